"""A plan folder that somebody has edited: `show` and `prove` name the file and what of it differs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.commands import prove, show

PLAN = ["parallel=tp8_pp2_ep8_adp1_etp1", "hardware=h100_80gb", "hardware.nodes=2", "model=mixtral_8x7b"]
SERVED = ["framework=tensorrt_llm", "workload=serve", "scheduler=[slurm,kubernetes_job]"]


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new, 1))

    return edit


def appended(path: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / path).write_text((folder / path).read_text() + text)

    return edit


def line_taken(path: str, number: int) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        lines = (folder / path).read_text().splitlines(keepends=True)
        del lines[number]
        (folder / path).write_text("".join(lines))

    return edit


EDITS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "launch": (replaced("runtime/launch.json", '"port": 0', '"port": 1'), "runtime/launch.json", "port: compiled 0, found 1"),
    "degrees": (replaced("plan.json", '"tp": 8', '"tp": 2'), "plan.json", "degrees.tp: compiled 8, found 2"),
    "stages": (replaced("plan.json", " 15\n", " 14\n"), "plan.json", "stages[0].chunks[0][1]: compiled 15, found 14"),
    "arguments": (replaced("framework/args", "\n8", "\n4"), "framework/args", "line 3: compiled 8, found 4"),
    "groups": (replaced("nccl_groups.csv", "0 1 2 3", "0 1 3 2"), "nccl_groups.csv", "line 2: compiled tp,0,8,nvlink,0 1 2 3"),
    "ranks": (replaced("rank_map.csv", "\n1,0,", "\n1,1,"), "rank_map.csv", "line 3: compiled 1,0,"),
    "a rank less": (line_taken("rank_map.csv", 5), "rank_map.csv", "line 6: compiled 4,0,"),
    "slots": (replaced("slots.csv", "\n1,,", "\n1,node7,"), "slots.csv", "line 3: compiled 1,,"),
    "program": (appended("runtime/bind.py", "pass\n"), "runtime/bind.py", "compiled no such line, found pass"),
    "job": (replaced("slurm/job.sbatch", "--nodes=2", "--nodes=5"), "slurm/job.sbatch", "compiled #SBATCH --nodes=2"),
    "manifests": (replaced("kubernetes/job.yaml", "parallelism: 2", "parallelism: 3"), "kubernetes/job.yaml", "compiled   parallelism: 2"),
    "report": (appended("report.md", "all is well\n"), "report.md", "found all is well"),
    "gone": (lambda folder: (folder / "nccl_groups.csv").unlink(), "nccl_groups.csv", "it is not there"),
    "a link in its place": (lambda folder: relinked(folder / "framework" / "args"), "framework/args", "line 1: compiled "),
    "a pipe": (lambda folder: piped(folder / "rank_map.csv"), "rank_map.csv", "it is no file"),
    "a folder": (lambda folder: emptied(folder / "report.md"), "report.md", "it is no file"),
    "far too long": (lambda folder: os.truncate(folder / "report.md", 5 * 2**30), "report.md", "found "),
    "configuration that compiles": (
        replaced("config.yaml", "output_length: ", "output_length: 1"), "config.yaml", "it gives another plan.json, ",
    ),
    "configuration that does not": (replaced("config.yaml", "tp: 8", "tp: 3"), "config.yaml", "it does not compile: "),
}  # fmt: skip


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def emptied(path: Path) -> None:
    path.unlink()
    path.mkdir()


def relinked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_plan([*PLAN, *SERVED]).write(tmp_path_factory.mktemp("out"), "plan")


@pytest.fixture
def plan(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "plan"))


def ran(run: Callable[[list[str]], int], *args: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*args])
    return code, out.getvalue(), err.getvalue()


def test_one_that_nobody_has_edited(plan: Path) -> None:
    assert ran(show.run, str(plan), "rank=0")[::2] == (0, "")
    code, out, _ = ran(prove.run, str(plan))
    assert (code, "equal   files: as compiled" in out) == (0, True)


def test_what_is_beside_the_plan_is_nobodys_edit(plan: Path) -> None:
    (plan / "notes.txt").write_text("mine")
    (plan / "runtime" / "launch.json.orig").write_text("mine")
    assert ran(show.run, str(plan), "rank=0")[0] == ran(prove.run, str(plan))[0] == 0


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit(plan: Path, kind: str) -> None:
    edit, file, what = EDITS[kind]
    edit(plan)
    code, _, err = ran(show.run, str(plan), "rank=0")
    (line,) = err.splitlines()
    assert (code, line.startswith(f"warning: {file} is not as it was compiled: ")) == (1, True), err
    assert what in line
    code, out, _ = ran(prove.run, str(plan))
    assert code == 1
    assert [what in row for row in out.splitlines() if row.startswith(f"DIFFERS {file}: ")] == [True], out


def test_an_edit_that_the_manifest_was_made_to_fit(plan: Path) -> None:
    EDITS["arguments"][0](plan)
    manifest = json.loads((plan / "manifest.json").read_text())
    manifest["files"]["framework/args"] = hashlib.sha256((plan / "framework" / "args").read_bytes()).hexdigest()
    (plan / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    code, out, _ = ran(prove.run, str(plan))
    assert (code, "DIFFERS framework/args: plan as compiled | found line 3: " in out) == (1, True)


def test_another_version_names_the_file_alone(plan: Path) -> None:
    replaced("manifest.json", '"rankplan": "', '"rankplan": "0.0.')(plan)
    assert ran(show.run, str(plan), "rank=0")[0] == 0
    EDITS["ranks"][0](plan)
    assert "warning: rank_map.csv is not as it was compiled: changed since ; " in ran(show.run, str(plan), "rank=0")[2]
    assert "DIFFERS rank_map.csv: plan as compiled | found changed since" in ran(prove.run, str(plan))[1]


def test_a_manifest_with_a_name_that_no_file_can_have(plan: Path) -> None:
    manifest = json.loads((plan / "manifest.json").read_text())
    manifest["files"]["x" * 300] = "0" * 64
    (plan / "manifest.json").write_text(json.dumps(manifest))
    assert (
        f"warning: {'x' * 300} is not as it was compiled: it is not there ; " in ran(show.run, str(plan), "rank=0")[2]
    )


def test_it_is_in_the_json(plan: Path) -> None:
    EDITS["degrees"][0](plan)
    found = json.loads(ran(show.run, str(plan), "rank=0", "--json")[1])
    assert found["edited"] == [{"file": "plan.json", "what": "degrees.tp: compiled 8, found 2"}]


def test_a_file_of_a_pool(tmp_path: Path) -> None:
    pools = "workload.pools={prefill:{parallel:tp8_ep8_adp1_etp1,instances:1},decode:{parallel:tp8_ep8_adp1_etp1,instances:1}}"
    folder = compile_plan([*PLAN[1:], *SERVED, "hardware.nodes=2", pools]).write(tmp_path, "plan")
    assert ran(prove.run, str(folder))[0] == 0
    replaced("decode/runtime/launch.json", '"port": 0', '"port": 1')(folder)
    assert "DIFFERS decode/runtime/launch.json: " in ran(prove.run, str(folder))[1]
    assert "warning: runtime/launch.json is not " in ran(show.run, str(folder / "decode"), "rank=0")[2]
