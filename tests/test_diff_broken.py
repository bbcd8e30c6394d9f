"""`diff` of what is no plan folder, and with overrides that compile nothing: exit 2, and what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler import ConfigError
from compiler.diff.command import run
from tests.diffed import Folder, compiled_in


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return compiled_in(tmp_path_factory.mktemp("diff"))


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Something else in the place of a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


def spoiled(path: Path, name: str, content: bytes | None) -> None:
    (path / name).unlink()
    if content is not None:
        (path / name).write_bytes(content)


def with_json(path: Path, change: Callable[[Any], None]) -> None:
    found = json.loads((path / "plan.json").read_text())
    change(found)
    (path / "plan.json").write_text(json.dumps(found))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "an empty folder": lambda path: replaced(path, Path.mkdir),
    "no folder": shutil.rmtree,
    "a file": lambda path: replaced(path, Path.touch),
    "no manifest": lambda path: spoiled(path, "manifest.json", None),
    "a manifest that is none": lambda path: spoiled(path, "manifest.json", b'{"files": {}}'),
    "a manifest of paths above": lambda path: spoiled(
        path, "manifest.json", json.dumps({"rankplan": "0.1.0", "files": {"../x": "0" * 64}}).encode()
    ),
    "no plan.json": lambda path: spoiled(path, "plan.json", None),
    "half of a plan.json": lambda path: spoiled(path, "plan.json", b'{"schema": "rankplan/1", "name"'),
    "a deep plan.json": lambda path: spoiled(path, "plan.json", b"[" * 100_000),
    "no memory": lambda path: with_json(path, lambda found: found.update(memory={"stages": found["memory"]["stages"]})),
    "memory in words": lambda path: with_json(path, lambda found: found["memory"].update(total_bytes="much")),
    "a projection in words": lambda path: with_json(path, lambda found: found.update(projection={"train": {"step_time_s": "a"}})),
    "degrees that are none": lambda path: with_json(path, lambda found: found.update(degrees=[])),
    "layers without end": lambda path: with_json(path, lambda found: found["stages"][0].update(chunks=[[0, 10**15]])),
    "ranks without end": lambda path: with_json(path, lambda found: found.update(instances=10**12)),
    "groups without end": lambda path: with_json(path, lambda found: found["groups"][0].update(members=[[10**10, 0]])),
    "a pipe for plan.json": lambda path: replaced(path / "plan.json", os.mkfifo),
    "no config.yaml": lambda path: spoiled(path, "config.yaml", None),
    "a config.yaml of aliases": lambda path: spoiled(
        path, "config.yaml", b"a: &a [x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9))
    ),
    "an unknown framework": lambda path: (path / "config.yaml").write_text(
        (path / "config.yaml").read_text().replace('  name: "none"\n  version', '  name: "other"\n  version')
    ),
    "manifests that are none": lambda path: (path / "kubernetes" / "job.yaml").write_text("- [1, 2\n"),
    "a launch.json that is none": lambda path: (path / "runtime" / "launch.json").write_text("[]"),
    "a folder for launch.json": lambda path: replaced(path / "runtime/launch.json", Path.mkdir),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_folder_is_one_line(plan: Folder, tmp_path: Path, name: str) -> None:
    shutil.copytree(plan("dense"), tmp_path / "broken")
    HOSTILE[name](tmp_path / "broken")
    for pair in ([plan("reordered"), tmp_path / "broken"], [tmp_path / "broken", plan("reordered")]):
        with pytest.raises(ConfigError) as caught:
            run(list(map(str, pair)))
        assert len(caught.value.problems) == 1
        assert "broken" in str(caught.value)


def test_bad_overrides_are_bad_input(plan: Folder) -> None:
    for override, said in (
        ("workload.batch=1", "workload.batch is not a setting"),
        ("parallel.tp=3", "attention-heads: num_attention_heads 32 over tp=3"),
        ("parallel=what", "parallel=what is not known"),
        ("model.hf_config=/nowhere", "model.hf_config=/nowhere cannot be read"),
    ):
        with pytest.raises(ConfigError) as caught:
            run([str(plan("dense")), override])
        assert said in str(caught.value)
        assert caught.value.exit_code == 2


def test_a_search_is_no_plan(plan: Folder) -> None:
    with pytest.raises(
        ConfigError, match="parallel=auto is a search, and diff compares two plans ; compile it, and name the folder"
    ):
        run([str(plan("dense")), "parallel=auto"])
