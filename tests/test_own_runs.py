"""A site's own runs shift the constants of what they ran, and narrow its intervals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from compiler.api import compile_plan
from compiler.commands.calibrate import run
from compiler.costs.own import believed
from compiler.errors import ConfigError
from tests.command import BARE
from tests.pooled_plans import ON, pools

TRAIN = (BARE, "framework=megatron", "workload=train", "hardware=h100_80gb", "hardware.nodes=2", "parallel=ep16_etp1")
SERVE = (BARE, "framework=vllm", "model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=1", "parallel=tp8")
SERVED = (*SERVE, "workload.sequence_lengths=[1024]", "workload.output_length=128", "workload.global_batch_size=16")
BATCHES = (64, 128, 256)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan folders, as somebody has run them."""
    folder = tmp_path_factory.mktemp("site")
    for batch in BATCHES:
        compile_plan([*TRAIN, f"workload.global_batch_size={batch}"]).write(folder, f"train{batch}")
    compile_plan(SERVED).write(folder, "served")
    compile_plan([*ON, pools()]).write(folder, "pools")
    halves = ("model=qwen3_30b_a3b", "parallel=adp8_ep8_etp1", "workload.two_batch_overlap=true", "framework=none")
    compile_plan([*SERVED, *halves]).write(folder, "halves")
    compile_plan([*SERVED, "workload.role=prefill"]).write(folder, "fills")
    return folder


def step(folder: Path, name: str) -> float:
    return float(json.loads((folder / name / "plan.json").read_text())["projection"]["train"]["step_time_s"])


def written(folder: Path, text: str, *more: str, hardware: str = "h100_80gb") -> Path:
    (folder / "runs.csv").write_text(text)
    out = folder / "mine.yaml"
    assert run([str(folder / "runs.csv"), "--hardware", hardware, "--out", str(out), *more]) == 0
    return out


def steps(folder: Path, times: float) -> str:
    rows = [f"train{batch},{times * step(folder, f'train{batch}')}" for batch in BATCHES]
    return "\n".join(["plan,step_time_s", *rows]) + "\n"


def test_steps_that_take_longer_shift_what_is_projected_and_narrow_it(site: Path, capsys: Capture) -> None:
    out = written(site, steps(site, 1.3))
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("megatron/moe step_time_s, 1.300 of what is projected over 3 runs: constants times 1.21")
    assert said[1] == f"{out}: use it with hardware=h100_80gb hardware.calibration={out}"
    before, after = (
        compile_plan([*TRAIN, "workload.global_batch_size=512", *given]).to_dict()["projection"]["train"]
        for given in ((), (f"hardware.calibration={out}",))
    )
    assert after["step_time_s"] == pytest.approx(1.3 ** believed(1.0, 3) * before["step_time_s"], rel=1e-3)
    widths = [found["step_time_high_s"] / found["step_time_low_s"] for found in (before, after)]
    assert widths[1] < widths[0]


def test_other_frameworks_and_kinds_of_models_stay(site: Path) -> None:
    out = f"hardware.calibration={written(site, steps(site, 2.0))}"
    dense = [*TRAIN[:5], "model=llama3_1_8b", "parallel=tp8_dp2"]
    for given in (dense, [*TRAIN, "framework=deepspeed"], SERVED):
        assert compile_plan([*given, out]).to_dict()["projection"] == compile_plan(given).to_dict()["projection"]


def test_as_measured_nothing_moves(site: Path) -> None:
    out = yaml.safe_load(written(site, steps(site, 1.0)).read_text())
    assert out["runs"]["megatron"]["moe"]["step"] == pytest.approx(1.0, abs=1e-3)
    assert out["runs"]["megatron"]["moe"]["step_runs"] == 3


def test_prompts_and_tokens_are_shifted_apart(site: Path, capsys: Capture) -> None:
    seen = compile_plan(SERVED).to_dict()["projection"]["serve"]["aggregated"][0]
    rows = [f"served,{1.5 * seen['ttft_s']},{0.8 * seen['tpot_s']}"] * 9
    out = written(site, "\n".join(["plan,ttft_s,tpot_s", *rows]), "--json")
    told = {item["constants"]: item for item in json.loads(capsys.readouterr().out)["runs"]}
    assert {name: round(item["measured_over_projected"], 3) for name, item in told.items()} == {
        "decode": 0.8,
        "prefill": 1.5,
    }
    now = compile_plan([*SERVED, f"hardware.calibration={out}"]).to_dict()["projection"]["serve"]["aggregated"][0]
    assert now["ttft_s"] == pytest.approx(1.5 ** believed(1.0, 9) * seen["ttft_s"], rel=2e-3)
    assert now["tpot_s"] == pytest.approx(0.8 ** believed(1.0, 9) * seen["tpot_s"], rel=2e-3)


def test_runs_of_another_kind_are_kept_and_those_of_the_same_replaced(site: Path, tmp_path: Path) -> None:
    first = written(site, steps(site, 1.2))
    again = mine(tmp_path, first)
    served = compile_plan(SERVED).to_dict()["projection"]["serve"]["aggregated"][0]
    both = written(site, f"plan,tpot_s\nserved,{served['tpot_s']}\n", *again, hardware="mine")
    assert set(yaml.safe_load(both.read_text())["runs"]) == {"megatron", "vllm"}
    found = yaml.safe_load(written(site, steps(site, 1.5), *again, hardware="mine").read_text())["runs"]
    assert found["megatron"]["moe"]["step"] == pytest.approx(1.5 ** believed(1.0, 3), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan\ntrain64\n", "measures nothing ; write a row a run under the header plan and some of step_time_s"),
        ("plan,step_time_s\n", "measures nothing"),
        ("plan,step_time_s\nnowhere,1\n", "line 2: .*nowhere is no plan folder ; name one as it is seen from the CSV"),
        ("plan,step_time_s\n" + 5000 * "x" + ",1\n", "is no plan folder"),
        ("plan,step_time_s,step_time_s\ntrain64,1,2\n", "has the column step_time_s twice"),
        ("plan,step_time_s\npools,1\n", "line 2: .*pools holds two pools ; name a plan of one server"),
        ("plan,step_time_s\nserved,1\n", "line 2 has step_time_s of a plan that serves ; write ttft_s or tpot_s alone"),
        ("plan,tpot_s\ntrain64,1\n", "line 2 has tpot_s of a plan that trains ; write step_time_s alone"),
        ("plan,step_time_s\ntrain64,\n", "line 2 has no time of a plan that trains"),
        ("plan,step_time_s\ntrain64,fast\n", "line 2 has step_time_s=fast, which is no time ; write seconds, above 0"),
        ("plan,step_time_s\ntrain64,-1\n", "step_time_s=-1, which is no time"),
        ("plan,step_time_s\ntrain64,nan\n", "step_time_s=nan, which is no time"),
        (
            "plan,step_time_s\ntrain64,900\n",
            "step_time_s=900, .* times the .* s that are projected ; write seconds, and",
        ),
        ("plan,ttft_s\nhalves,1\n", "line 2 has ttft_s, and of this plan none is projected ; leave ttft_s out"),
        ("plan,tpot_s\nfills,1\n", "line 2 has tpot_s, and of this plan none is projected"),
    ],
)
def test_what_says_nothing_is_refused_by_its_line(site: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        written(site, text)


def test_runs_of_other_hardware_are_refused(site: Path) -> None:
    for hardware, said in (
        ("h200", "the plan runs on .*H100.*, and --hardware is h200"),
        ("generic_64gb", "no curves"),
    ):
        with pytest.raises(ConfigError, match=said):
            written(site, steps(site, 1.0), hardware=hardware)


def test_a_file_whose_runs_are_none_is_refused(site: Path) -> None:
    out = written(site, steps(site, 1.0))
    good = out.read_text()
    for bad, said in (("step: 1.0", "step: 99.0"), ("step: 1.0", "step: x"), ("moe:", "moe: 3\n    was:")):
        out.write_text(good.replace(bad, said, 1))
        with pytest.raises(ConfigError, match="runs"):
            compile_plan([*TRAIN, f"hardware.calibration={out}"])


def test_a_misspelt_factor_of_a_file_is_named(site: Path) -> None:
    out = written(site, steps(site, 1.0))
    out.write_text(out.read_text().replace("step: 1.0", "stepp: 1.0", 1))
    with pytest.raises(ConfigError, match=r"runs.megatron.moe has stepp, which shifts nothing ; did you mean step"):
        compile_plan([*TRAIN, f"hardware.calibration={out}"])


def test_rows_of_two_files_are_asked_for_in_one(site: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (site / name).write_text(steps(site, 1.0))
    with pytest.raises(ConfigError, match=r"2 files of runs: .*a.csv, .*b.csv ; write their rows into one"):
        run([str(site / "a.csv"), str(site / "b.csv"), "--hardware", "h100_80gb", "--out", str(site / "mine.yaml")])


@pytest.mark.parametrize("head", ['"plan","step_time_s"', "\ufeffplan,step_time_s", "step_time_s,plan"])
def test_a_header_is_read_as_a_table_has_it(site: Path, head: str) -> None:
    time = step(site, "train64")
    row = f"{time},train64" if head.startswith("step") else f"train64,{time}"
    out = yaml.safe_load(written(site, f"{head}\r\n{row}\r\n").read_text())
    assert out["runs"]["megatron"]["moe"]["step_runs"] == 1


def mine(folder: Path, calibration: Path) -> tuple[str, str]:
    """A hardware file of one's own that names a calibration file."""
    text = (Path(__file__).parents[1] / "conf/hardware/h100_80gb.yaml").read_text()
    (folder / "hardware").mkdir()
    (folder / "hardware/mine.yaml").write_text(text.replace("calibration: h100_80gb", f"calibration: {calibration}"))
    return "--config-dir", str(folder)


def test_runs_against_other_curves_are_dropped(site: Path, tmp_path: Path, capsys: Capture) -> None:
    given = mine(tmp_path, written(site, steps(site, 1.2)))
    gemms = "\n".join(f"{m},8192,8192,bf16,{2 * m * 8192**2 / 5e14}" for m in (512, 1024, 2048, 4096, 8192))
    (tmp_path / "gemm.csv").write_text(f"m,n,k,dtype,seconds\n{gemms}\n")
    out = tmp_path / "new.yaml"
    assert run([str(tmp_path / "gemm.csv"), "--hardware", "mine", "--out", str(out), *given]) == 0
    said = capsys.readouterr().out
    assert "runs of megatron: dropped, as they were held against other curves" in said
    assert f"use it with --config-dir={tmp_path} hardware=mine hardware.calibration={out}" in said
    assert "runs" not in yaml.safe_load(out.read_text())
    assert run([str(tmp_path / "gemm.csv"), "--hardware", "mine", "--out", str(out), *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == ["megatron"]


@pytest.mark.parametrize("runs", ["null", "3", "[1]", "{vllm: 3}", "{vllm: {dense: {decode: 99}}}"])
def test_a_file_that_is_kept_has_runs_or_none(site: Path, tmp_path: Path, runs: str) -> None:
    out = written(site, steps(site, 1.0))
    kept = yaml.safe_load(out.read_text())
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({**kept, "runs": yaml.safe_load(runs)}))
    with pytest.raises(ConfigError, match="runs"):
        written(site, steps(site, 1.0), *mine(tmp_path, tmp_path / "bad.yaml"), hardware="mine")
