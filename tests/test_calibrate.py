"""A site's own curves from nccl-tests and GEMM times."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from compiler.commands.calibrate import run
from compiler.errors import ConfigError

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
        ("x.csv", "m,n,k,dtype\n1,1,1,bf16\n", "has no usable 'seconds'"),
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
