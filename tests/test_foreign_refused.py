"""Folders that are never replaced or shared: what is refused, and what stays as it was."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from compiler.errors import WriteError
from compiler.render import atomic
from compiler.render.artifacts import Artifact
from compiler.render.folder import manifest
from tests.command import BARE, call, refused, whole
from tests.shared_folders import NEW, OLD, holds, names, shared_folder, state, write


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return shared_folder(tmp_path)


NOT_OURS = [
    None, "", "{", "[]", "{}", '{"files": {}}', '{"rankplan": "0.1.0"}', '{"rankplan": 1, "files": {}}',
    '{"rankplan": "0.1.0", "files": []}', '{"rankplan": "0.1.0", "files": {"a": 1}}', "[" * 100000, "\xff",
    '{"short_name": "a web app", "icons": []}', '{"rankplan": "0.1.0", "files": {"a": "0"}}',
]  # fmt: skip
OUTSIDE = [
    "../../mine", "../other", "/etc/hostname", "", ".", "a/../../mine", "a//b", "a/", "./a", "a/.", "\0", "a\0b",
    "\ud800", "\udcff/x", "a" * 5000,
]  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize("text", NOT_OURS)
    def test_a_folder_without_a_manifest_of_ours(self, tmp_path: Path, text: str | None) -> None:
        (tmp_path / "src" / "deep").mkdir(parents=True)
        (tmp_path / "src" / "deep" / "main.py").write_text("print()")
        if text is not None:
            (tmp_path / "src" / "manifest.json").write_text(text, encoding="latin-1")
        ran = refused(tmp_path, BARE, "out=.", "name=src", code=4)
        what = "src is no plan folder: it holds no manifest.json of rankplan's"
        assert ran.errors == [f"error: {what} ; write another name=NAME or out=FOLDER, or move it away"]

    @pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
    def test_a_manifest_with_a_path_that_is_not_below_it(self, target: Path, tmp_path: Path, path: str) -> None:
        (tmp_path / "mine").mkdir()
        found = json.loads((target / "manifest.json").read_text())
        found["files"][path] = "0" * 64
        (target / "manifest.json").write_text(json.dumps(found))
        for _ in range(2):
            with pytest.raises(WriteError, match="is no plan folder"):
                write(target, NEW)
        assert holds(target, OLD)
        assert (tmp_path / "mine").is_dir()
        assert names(target.parent) == {"plan", "other"}

    def test_a_manifest_without_an_end(self, target: Path) -> None:
        os.truncate(target / "manifest.json", 5 * 2**30)
        with pytest.raises(WriteError, match="is no plan folder"):
            write(target, NEW)
        assert holds(target, OLD)

    @pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
    def test_a_leftover_whose_manifest_is_not_ours_is_kept_and_in_nobodys_way(self, target: Path, path: str) -> None:
        left = target.with_name(".plan.writing-abcd1234")
        left.touch()
        beside = atomic._new(left)
        beside.mkdir(parents=True)
        (beside / "mine").write_text("mine")
        (beside / "manifest.json").write_text(json.dumps({"rankplan": "0.1.0", "files": {path: "0" * 64}}))
        write(target, NEW)
        assert holds(target, NEW)
        assert (beside / "mine").read_text() == "mine"

    def test_a_manifest_that_is_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        os.mkfifo(tmp_path / "src" / "manifest.json")
        assert "is no plan folder" in call(BARE, "out=.", "name=src", cwd=tmp_path).err

    def test_a_file_of_somebody_where_the_new_plan_has_one(self, target: Path) -> None:
        for place in ("local", "local/run.sh"):
            path = target / place
            path.parent.mkdir(exist_ok=True)
            path.write_text("mine")
            before = state(target, OLD)
            with pytest.raises(
                WriteError, match=f"{path} is not of the plan that is there, and the new plan has one ; "
            ):
                write(target, NEW)
            assert state(target, OLD) == before
            assert holds(target, OLD)
            assert names(target.parent) == {"plan", "other"}
            path.unlink()

    @pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
    def test_a_folder_that_cannot_be_moved(self, target: Path) -> None:
        (target / "empty").chmod(0o500)
        with pytest.raises(WriteError, match="empty cannot be moved along"):
            write(target, NEW)
        assert holds(target, OLD)

    def test_a_mounted_folder_is_not_moved(self, target: Path) -> None:
        command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(target / "empty")]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
        try:
            (target / "empty" / "mine").write_text("mine")
            with pytest.raises(WriteError, match="empty cannot be moved along: it is mounted"):
                write(target, NEW)
            assert holds(target, OLD)
            assert (target / "empty" / "mine").read_text() == "mine"
        finally:
            subprocess.run(["umount", str(target / "empty")], check=True)

    def test_a_plan_that_is_a_part_of_another(self, target: Path) -> None:
        parts = {"prefill/plan.json": "a pool's", "plan.json": "of both"}

        def own(_: dict[str, str]) -> Artifact:
            return Artifact("prefill/manifest.json", '{"rankplan": "0.1.0", "files": {"plan.json": "%s"}}' % ("0" * 64))

        pooled = target.with_name("pooled")
        atomic.write_folder(pooled, [*(Artifact(path, text) for path, text in parts.items()), own, manifest])
        with pytest.raises(WriteError, match=f"pooled/prefill is a part of the plan in {pooled} ; write another name"):
            write(pooled / "prefill", NEW)
        assert whole(pooled)
        write(pooled / "mine", NEW)
        atomic.write_folder(pooled, [*(Artifact(path, text) for path, text in parts.items()), own, manifest])
        assert whole(pooled / "mine")
