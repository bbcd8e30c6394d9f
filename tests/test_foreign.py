"""What is in a plan folder and not the plan's stays, and a folder that is no plan's is never replaced."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import WriteError
from compiler.render import atomic, owned, rename
from compiler.render.artifacts import Artifact
from compiler.render.folder import manifest
from tests.command import BARE, call, refused, whole
from tests.killed import die, killed

OLD = {"plan.json": "old", "slurm/job.sbatch": "old job", "gone/only.txt": "only in the old one"}
NEW = {"plan.json": "new", "slurm/job.sbatch": "new job", "local/run.sh": "only in the new one"}


def write(target: Path, files: Mapping[str, str]) -> None:
    atomic.write_folder(target, [*(Artifact(path, text) for path, text in files.items()), manifest])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A plan folder with things of others in it."""
    folder = tmp_path / "out" / "plan"
    write(folder, OLD)
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.txt").chmod(0o640)
    (folder / "slurm" / "slurm-7.out").write_text("a log")
    (folder / "gone" / "kept.txt").write_text("beside a file that goes")
    (folder / "gone").chmod(0o750)
    (folder / "slurm").chmod(0o777)
    (folder / "rankplan-7" / "logs").mkdir(parents=True)
    (folder / "rankplan-7" / "logs" / "rank-0.log").write_text("step 1\n")
    (folder / "rankplan-7" / "logs" / "latest").symlink_to("rank-0.log")
    (folder / "rankplan-7").chmod(0o700)
    (folder / "empty").mkdir()
    (folder / "absolute").symlink_to("/etc/hostname")
    (folder / "relative").symlink_to("../other")
    (folder / "dangling").symlink_to("nowhere")
    (folder.parent / "other").write_text("beside the plan")
    os.mkfifo(folder / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket"))
    return folder


def state(folder: Path, ours: Mapping[str, str]) -> dict[str, tuple[int, int, str]]:
    """Path -> inode, mode and content of everything that is not the plan's; of a folder that was shared with it, only mode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, status = str(path.relative_to(folder)), path.lstat()
        if name in ours or name in ("manifest.json", "local"):
            continue
        kind = stat.S_IFMT(status.st_mode)
        content = str(path.readlink()) if kind == stat.S_IFLNK else path.read_text() if kind == stat.S_IFREG else ""
        found[name] = (0 if name in ("gone", "slurm") else status.st_ino, status.st_mode, content)
    return found


def holds(target: Path, files: Mapping[str, str]) -> bool:
    return {path: (target / path).read_text() for path in files} == files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to replace a folder."""
    if request.param == "two renames":
        monkeypatch.setattr(rename, "exchange", lambda one, other: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
class TestKept:
    def test_everything_that_the_manifest_does_not_list_stays(self, target: Path) -> None:
        before = state(target, OLD)
        assert len(before) == 15
        write(target, NEW)
        assert state(target, NEW) == before
        assert holds(target, NEW)
        assert not (target / "gone" / "only.txt").exists()
        assert names(target.parent) == {"plan", "other"}
        write(target, OLD)
        assert state(target, OLD) == before
        assert holds(target, OLD)

    def test_files_of_the_plan_that_somebody_changed_are_replaced(self, target: Path) -> None:
        (target / "plan.json").write_text("changed")
        (target / "slurm" / "job.sbatch").unlink()
        (target / "slurm" / "job.sbatch").symlink_to("../notes.txt")
        write(target, NEW)
        assert holds(target, NEW)
        assert not (target / "slurm" / "job.sbatch").is_symlink()
        assert (target / "notes.txt").read_text() == "mine"

    def test_a_folder_in_the_place_of_a_file_that_goes_is_somebodys(self, target: Path) -> None:
        (target / "gone" / "only.txt").unlink()
        (target / "gone" / "only.txt").mkdir()
        (target / "gone" / "only.txt" / "mine").write_text("mine")
        write(target, NEW)
        assert (target / "gone" / "only.txt" / "mine").read_text() == "mine"

    def test_a_link_in_the_place_of_a_folder_of_the_plan_is_not_followed(self, target: Path, tmp_path: Path) -> None:
        (target / "gone").rename(tmp_path / "elsewhere")
        (target / "gone").symlink_to(tmp_path / "elsewhere")
        write(target, NEW)
        assert names(tmp_path / "elsewhere") == {"only.txt", "kept.txt"}
        assert (target / "gone").is_symlink()

    def test_a_link_above_a_folder_of_the_plan_is_not_followed(self, target: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
        write(target, {**OLD, "link/deep/x": "x"})
        (target / "link" / "deep" / "x").unlink()
        (target / "link" / "deep").rmdir()
        (target / "link").rmdir()
        (target / "link").symlink_to(tmp_path / "elsewhere")
        write(target, NEW)
        assert (tmp_path / "elsewhere" / "deep").is_dir()
        assert (target / "link").is_symlink()

    def test_an_empty_folder_is_taken(self, target: Path) -> None:
        place = target.with_name("free")
        place.mkdir()
        write(place, NEW)
        assert whole(place)


def test_whoever_has_read_a_link_before_the_exchange_of_a_thing_arrives_after_it(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the link said, followed after the thing has left that place."""
    seen = []
    give_back = owned._give_back

    def looked(here: Path, there: Path, link: str) -> None:
        on_the_way, thing = there.parent / there.readlink(), here.lstat().st_ino
        give_back(here, there, link)
        seen.append((on_the_way.parent / on_the_way.readlink()).lstat().st_ino == thing)

    monkeypatch.setattr(owned, "_give_back", looked)
    write(target, NEW)
    assert len(seen) == 10
    assert all(seen)


def test_somebody_writes_and_reads_all_the_while(target: Path) -> None:
    """By path, relative to a folder that he is in, and into a file that he holds open."""
    script = (
        "import os, sys\n"
        "folder = os.path.abspath('plan')\n"
        "held = open('plan/notes.txt', 'a')\n"
        "os.chdir('plan/rankplan-7')\n"
        "print('ready', flush=True)\n"
        "turn = 0\n"
        "while not os.path.exists(folder + '/../stop'):\n"
        "    turn += 1\n"
        "    held.write('%d\\n' % turn), held.flush()\n"
        "    for path in ('logs/rank-0.log', folder + '/rankplan-7/by-path', folder + '/slurm/slurm-7.out'):\n"
        "        with open(path, 'a') as file: file.write('%d\\n' % turn)\n"
        "    os.mkdir('turn-%d' % turn)\n"
        "print(turn)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=target.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(10):
        write(target, NEW)
        write(target, OLD)
    (target.parent / "stop").touch()
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    lines = [str(turn) for turn in range(1, int(out) + 1)]
    assert lines
    assert (target / "notes.txt").read_text() == "mine" + "".join(f"{line}\n" for line in lines)
    assert (target / "rankplan-7" / "by-path").read_text().split() == lines
    assert (target / "rankplan-7" / "logs" / "rank-0.log").read_text().split()[2:] == lines
    assert (target / "slurm" / "slurm-7.out").read_text() == "a log" + "".join(f"{line}\n" for line in lines)
    assert {f"turn-{line}" for line in lines} <= names(target / "rankplan-7")


class TestKilled:
    """Nothing of somebody else's is lost, at whatever moment a writer is killed, and the next one puts all in order."""

    @pytest.mark.parametrize("step", range(1, 9))
    def test_between_two_steps_of_an_exchange(
        self, target: Path, monkeypatch: pytest.MonkeyPatch, way: str, step: int
    ) -> None:
        before, steps = state(target, OLD), iter(range(1, step + 1))

        def counted(act: Any) -> Any:
            def dying(*args: Any) -> Any:
                result = act(*args)
                if next(steps, 0) == step:
                    die()
                return result

            return dying

        with monkeypatch.context() as patch:
            if way == "exchange":
                patch.setattr(rename, "exchange", counted(rename.exchange))
            patch.setattr(Path, "rename", counted(Path.rename))
            assert killed(lambda: write(target, NEW))
        if target.exists():
            files = NEW if (target / "local").exists() else OLD
            assert holds(target, files)
            if (way, step) == ("two renames", 2):  # what is not the plan's is beside it until the next start
                atomic.recover(target)
            assert {path: found[1:] for path, found in seen(target, before).items()} == {
                path: found[1:] for path, found in before.items()
            }
        else:
            assert way == "two renames"
            atomic.recover(target)
            assert state(target, OLD) == before
        write(target, NEW)
        assert state(target, NEW) == before
        assert holds(target, NEW)
        assert names(target.parent) == {"plan", "other"}


def seen(target: Path, paths: Iterable[str]) -> dict[str, tuple[int, int, str]]:
    """The same as `state` by following paths, through links of ours too."""
    found = {}
    for name in paths:
        path = target / name
        while path.is_symlink() and ".plan.writing-" in str(path.readlink()):
            path = path.parent / path.readlink()
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content = str(path.readlink()) if kind == stat.S_IFLNK else path.read_text() if kind == stat.S_IFREG else ""
        found[name] = (status.st_ino, status.st_mode, content)
    return found


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


@pytest.mark.usefixtures("way")
def test_eight_writers_keep_it_too(target: Path) -> None:
    before, children = state(target, OLD), []
    for number in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(3):
                    write(target, NEW if number % 2 else OLD)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
    assert state(target, {**OLD, **NEW}) == before
    assert holds(target, NEW if (target / "local").exists() else OLD)
    assert names(target.parent) == {"plan", "other"}
