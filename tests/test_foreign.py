"""What is in a plan folder and not the plan's stays, and a folder that is no plan's is never replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from compiler.render import atomic, owned, rename
from tests.command import whole
from tests.killed import die, killed
from tests.shared_folders import NEW, OLD, holds, names, shared_folder, state, write


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return shared_folder(tmp_path)


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
