"""A site's own curves from nccl-tests and GEMM times."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import yaml

from compiler.api import compile_plan
from compiler.commands.calibrate import run
from compiler.errors import ConfigError, WriteError

RANKS = "\n".join(f"#  Rank  {i} Group  0 Pid 1 on host device  {i} [0x1b] NVIDIA H100" for i in range(8))


def nccl(path: Path, bandwidth: float) -> Path:
    """all_reduce of 8 ranks that reaches `bandwidth` on the wire, after 20 us."""
    lines = [
        f" {size:>12} {size // 4:>12}     float     sum      -1 {20 + 1e6 * 1.75 * size / bandwidth:>8.2f}    1.0    1.0      0"
        for size in (2**power for power in range(10, 31))
    ]
    path.write_text(RANKS + "\n" + "\n".join(lines) + "\n")
    return path


def test_curves_of_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gemms = tmp_path / "gemm.csv"
    rows = [f"{m},8192,8192,bf16,{5e-6 + 2 * m * 8192**2 / (0.7 * 989.4e12)}" for m in (512, 1024, 2048, 4096, 8192)]
    gemms.write_text("m,n,k,dtype,seconds\n" + "\n".join(rows))
    out = tmp_path / "mine.yaml"
    files = [str(nccl(tmp_path / "all_reduce_perf.txt", 300e9)), str(gemms)]
    assert run([*files, "--hardware", "h100_80gb", "--out", str(out)]) == 0
    assert "links all_reduce, mean error" in capsys.readouterr().out
    found = yaml.safe_load(out.read_text())
    assert found["name"] == "mine"
    assert found["links"]["all_reduce"]["mean_error"] < 0.05
    assert found["gemm"]["bf16"]["efficiency"] == pytest.approx(0.7, rel=0.05)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("all_reduce.txt", "nothing", "all_reduce, 0 ranks and 0 sizes"),
        ("x.csv", "m,n,k,dtype,seconds\n1,1,1,fp64,1\n", "fp64 cannot be fitted"),
        ("x.csv", "m,n,k,dtype\n1,1,1,bf16\n", "has no column seconds"),
        ("x.csv", "m;n;k;dtype;seconds\n", "has semicolons between its columns ; write commas"),
        ("x.csv", "plan\tstep_time_s\n", "has tabs between its columns ; write commas"),
    ],
)
def test_what_cannot_be_fitted_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        run([str(path), "--hardware", "h100_80gb", "--out", str(tmp_path / "out.yaml")])


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        run([str(tmp_path / "no.txt"), "--hardware", "h100_80gb", "--out", str(tmp_path / "out.yaml")])


PLAN = ["hardware=h100_80gb", "model=llama3_1_8b", "parallel=tp8_adp2", "hardware.nodes=2"]


def test_a_site_uses_its_file_by_its_path(tmp_path: Path) -> None:
    """Only all_reduce was measured anew, and three times as slow: GEMM curves stay the hardware's own."""
    out = tmp_path / "mine.yaml"
    assert run([str(nccl(tmp_path / "all_reduce_perf.txt", 100e9)), "--hardware", "h100_80gb", "--out", str(out)]) == 0
    plans = [compile_plan([*PLAN, f"hardware.calibration={given}"]) for given in ("h100_80gb", out)]
    before, after = (plan.to_dict()["projection"]["serve"]["prefill"][-1]["parts"] for plan in plans)
    assert after["tp_s"] > 2 * before["tp_s"]
    assert after["products_s"] == pytest.approx(before["products_s"])
    folder = plans[1].write(tmp_path / "out")
    assert "From curves measured on mine." in (folder / "report.md").read_text()
    assert str(tmp_path) not in (folder / "config.yaml").read_text()
    assert compile_plan([*PLAN, f"hardware.calibration={out}"]).fingerprint == plans[1].fingerprint


CURVE = "{efficiency: 0.7, memory_efficiency: 0.8, launch_s: 1e-5, sharpness: 2}"
LINK = "{latency_s: 1e-5, hop_s: 1e-6, efficiency: 0.9, pair_loss: 0, ramp_s: 0, sizes: [1, 2], shape: [1]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "hardware.calibration is no YAML"),
        ("just words", "hardware.calibration holds no mapping"),
        ("gemm: {bf16: {efficiency: 0.7}}", "has a curve that is none"),
        ("gemm: 3", "has a curve that is none"),
        (
            f"gemm: {{bf16: {CURVE.replace('0.7', '.nan')}}}",
            "hardware.calibration.gemm.bf16.efficiency=nan is not a fin",
        ),
        (f"gemm: {{bf16: {CURVE.replace('0.7', '70')}}}", "gemm.bf16.efficiency=70 is above 10 ; write at most 10"),
        (f"gemm: {{bf16: {CURVE.replace('0.7', 'high')}}}", "gemm.bf16.efficiency=high is no number"),
        (f"gemm: {{bf16: {CURVE.replace('0.7', '[0.7]')}}}", r"efficiency=\(0.7,\) is one list or mapping too many"),
        (f"gemm: {{bf16: {CURVE}}}\nlinks: {{all_reduce: {LINK}}}", "links.all_reduce has 2 sizes and 1 factors"),
        (
            f"gemm: {{bf16: {CURVE}}}\nlinks: {{all_reduce: {LINK.replace('ramp_s: 0', 'ramp_s: null')}}}",
            "ramp_s has no v",
        ),
        (
            f"gemm: {{bf16: {CURVE}}}\nlinks: {{all_reduce: {LINK.replace('[1, 2]', '[1, x]')}}}",
            r"sizes\[1\]=x is no num",
        ),
        (f"grouped: {{bf16: {CURVE}}}", "has no GEMM curves"),
        (None, "no.yaml cannot be read"),
    ],
)
def test_a_file_without_curves_is_said(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / ("mine.yaml" if text else "no.yaml")
    if text:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        compile_plan([*PLAN, f"hardware.calibration={path}"])


def test_times_of_no_curve_are_said(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    lines = [f"{2**i},4096,4096,bf16,{1e-5 * 2**i}" for i in range(8)]
    lines[2] = "4,1000000000,1000000000,bf16,4e-05"
    (tmp_path / "gemm.csv").write_text("\n".join(["m,n,k,dtype,seconds", *lines]))
    with pytest.raises(
        ConfigError, match=r"gemm.csv bf16: the curve of these times is none: efficiency=\S+ is above 10"
    ):
        run([str(tmp_path / "gemm.csv"), "--hardware", "h200", "--out", str(tmp_path / "new.yaml")])
    assert not (tmp_path / "new.yaml").exists()
    assert not recwarn.list


@pytest.mark.parametrize("text", ["gemm: [1, 2]", "gemm: {bf16: 3}", "links: null"])
def test_a_file_of_before_that_holds_no_curves_is_said(tmp_path: Path, text: str) -> None:
    """What is not measured anew would be copied from it."""
    (tmp_path / "hardware").mkdir()
    (tmp_path / "old.yaml").write_text(text)
    (tmp_path / "hardware" / "mine.yaml").write_text(
        f"defaults: [h100_80gb, _self_]\ncalibration: {tmp_path / 'old.yaml'}\n"
    )
    files = [str(nccl(tmp_path / "all_reduce.txt", 3e11)), "--config-dir", str(tmp_path), "--hardware", "mine"]
    with pytest.raises(ConfigError, match=r"hardware\.calibration has a curve that is none"):
        run([*files, "--out", str(tmp_path / "new.yaml")])
    assert not (tmp_path / "new.yaml").exists()


def test_a_file_that_cannot_be_written_is_whole_or_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "mine.yaml"
    out.write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    files = [str(nccl(tmp_path / "all_reduce.txt", 3e11)), "--hardware", "h100_80gb"]
    with pytest.raises(WriteError, match="No space left"):
        run([*files, "--out", str(out)])
    assert out.read_text() == "before"
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(WriteError, match="it is no file"):
            run([*files, "--out", str(place)])
    with pytest.raises(WriteError, match="cannot be written"):
        run([*files, "--out", str(out / "below.yaml")])
