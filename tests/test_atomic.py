"""Whatever stops a writer, the plan folder is the old one or the new one, whole; the next writer clears the rest."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from compiler.errors import WriteError
from compiler.render import atomic, rename
from compiler.render.artifacts import Artifact
from compiler.render.folder import manifest
from tests.command import ROOT, program, tree, whole
from tests.killed import die, dying_after, killed, then_die

OLD = {"plan.json": "old", "sub/a.txt": "old a", "gone.txt": "only in the old one"}
NEW = {"plan.json": "new", "sub/a.txt": "new a", "sub/b.txt": "only in the new one"}


def write(target: Path, files: Mapping[str, str]) -> None:
    atomic.write_folder(target, [*(Artifact(path, text) for path, text in files.items()), manifest])


def holds(target: Path, files: Mapping[str, str]) -> bool:
    """Whether a whole folder has these files."""
    return whole(target) and {path: (target / path).read_text() for path in files} == files


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "plan"
    write(folder, OLD)
    assert holds(folder, OLD)
    return folder


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without an exchange of two names."""
    monkeypatch.setattr(rename, "exchange", lambda one, other: False)


class TestKilled:
    @pytest.mark.parametrize("at", range(len(NEW)))
    def test_while_a_file_is_written(self, target: Path, at: int) -> None:
        path = list(NEW)[at]
        files = [Artifact(name, dying_after("half") if name == path else text) for name, text in NEW.items()]
        assert killed(lambda: atomic.write_folder(target, [*files, manifest]))
        assert holds(target, OLD)
        write(target, NEW)
        assert holds(target, NEW)
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("first", [False, True])
    def test_before_the_exchange(self, target: Path, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
        place = target.with_name("another") if first else target
        with monkeypatch.context() as patch:
            patch.setattr(atomic, "_place", lambda *_: die())
            assert killed(lambda: write(place, NEW))
        assert holds(target, OLD)
        assert place.exists() is not first
        write(place, NEW)
        assert holds(place, NEW)
        assert {path.name for path in target.parent.iterdir()} == {"plan", place.name}

    def test_after_the_exchange(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        exchange = rename.exchange
        with monkeypatch.context() as patch:
            patch.setattr(rename, "exchange", lambda one, other: then_die(exchange, one, other))
            assert killed(lambda: write(target, NEW))
        assert holds(target, NEW)
        write(target, OLD)
        assert holds(target, OLD)
        assert list(target.parent.iterdir()) == [target]

    def test_at_any_moment(self, tmp_path: Path) -> None:
        """The real program, killed at moments spread over its run."""
        folder = tmp_path / "out" / "plan"
        small = ["scheduler=[]", "~expect", "name=plan", "parallel=ep8_tp8", "hardware.nodes=8"]
        assert program(*small, cwd=tmp_path).code == 0
        old = tree(folder)
        seen = set()
        for delay in (0.0, 0.01, 0.02, 0.05):
            changed = [*small, f"workload.output_length={2000 + int(1000 * delay)}"]
            process = subprocess.Popen(
                [sys.executable, "-m", "compiler", *changed],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while process.poll() is None and not list(folder.parent.glob(".plan.writing-*")):
                time.sleep(0.0005)
            time.sleep(delay)
            process.kill()
            process.wait()
            assert whole(folder)
            seen.add(tree(folder) == old)
        assert seen, "killed nobody"
        assert program(*small, cwd=tmp_path).code == 0
        assert tree(folder) == old
        assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.usefixtures("no_exchange")
class TestWithoutExchange:
    def test_two_renames_do(self, target: Path) -> None:
        write(target, NEW)
        assert holds(target, NEW)
        assert list(target.parent.iterdir()) == [target]

    def test_killed_between_them_the_next_writer_puts_the_old_one_back(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", lambda self, to: then_die(rename, self, to))
            assert killed(lambda: write(target, NEW))
        assert not target.exists()
        broken = [Artifact("plan.json", "x"), Artifact("plan.json/below", "a file is in the way")]
        with pytest.raises(WriteError):
            atomic.write_folder(target, [*broken, manifest])
        assert holds(target, OLD)
        assert list(target.parent.iterdir()) == [target]

    def test_a_second_rename_that_fails_is_undone(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rename = Path.rename

        def failing(self: Path, to: Path) -> Path:
            if self.parent.name.endswith(".new"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return rename(self, to)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(WriteError, match="Input/output error"):
            write(target, NEW)
        assert holds(target, OLD)
        assert list(target.parent.iterdir()) == [target]


def test_all_is_on_the_disk_before_the_exchange(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync, exchange = os.fsync, rename.exchange

    def noted(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def exchanged(one: Path, other: Path) -> bool:
        found = {str(Path(path).relative_to(one)) for path in synced}
        assert found == {*NEW, "manifest.json", "sub", "."}
        synced.clear()
        return exchange(one, other)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(rename, "exchange", exchanged)
    write(target, NEW)
    assert synced == [str(target.parent)]


def test_a_disk_that_fails_late_keeps_the_old_plan(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="quota exceeded"):
        write(target, NEW)
    assert holds(target, OLD)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("no_exchange_too", [False, True])
def test_what_cannot_be_deleted_of_the_old_plan_waits_for_the_next_writer(
    target: Path, monkeypatch: pytest.MonkeyPatch, no_exchange_too: bool
) -> None:
    unlink = Path.unlink

    def kept(self: Path, missing_ok: bool = False) -> None:
        if self.match("sub/a.txt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        unlink(self, missing_ok)

    if no_exchange_too:
        monkeypatch.setattr(rename, "exchange", lambda one, other: False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", kept)
        write(target, NEW)
        assert holds(target, NEW)
        assert "gone.txt" not in "".join(tree(target.parent))
    write(target, NEW)
    assert holds(target, NEW)
    assert list(target.parent.iterdir()) == [target]


class TestFailing:
    @pytest.mark.parametrize("at", range(len(NEW)))
    def test_a_file_that_cannot_be_written(self, target: Path, at: int) -> None:
        def full() -> Iterator[str]:
            yield "half"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        path = list(NEW)[at]
        with pytest.raises(WriteError, match="No space left on device"):
            atomic.write_folder(target, [Artifact(path, full()), manifest])
        assert holds(target, OLD)
        assert list(target.parent.iterdir()) == [target]

    def test_nothing_stays_of_a_first_plan(self, tmp_path: Path) -> None:
        with pytest.raises(WriteError):
            atomic.write_folder(tmp_path / "a" / "b" / "plan", [Artifact("x", "1"), Artifact("x/y", "2"), manifest])
        assert not tree(tmp_path)

    def test_an_interrupt_leaves_nothing(self, target: Path) -> None:
        def interrupted() -> Iterator[str]:
            yield "half"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            atomic.write_folder(target, [Artifact("x", interrupted()), manifest])
        assert holds(target, OLD)
        assert list(target.parent.iterdir()) == [target]


class TestConcurrent:
    def test_a_living_writer_is_let_be(self, target: Path) -> None:
        with atomic._beside(target) as scratch:
            folder = atomic._new(scratch)
            folder.mkdir(parents=True)
            (folder / "mine").write_text("still writing")
            write(target, NEW)
            assert (folder / "mine").read_text() == "still writing"
        assert holds(target, NEW)
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("exchange", [True, False])
    def test_many_writers_of_one_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
        target = tmp_path / "out" / "plan"
        if not exchange:
            monkeypatch.setattr(rename, "exchange", lambda one, other: False)
        children = []
        for number in range(8):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    for turn in range(10):
                        write(target, {f"{name}-{turn}": str(number) * 500 for name in "abc"})
                    code = 0
                except WriteError as error:
                    code = error.exit_code
                finally:
                    os._exit(code)
            children.append(child)
        codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
        assert codes <= ({0} if exchange else {0, 4})
        assert whole(target)
        assert len({path.read_text() for path in target.iterdir() if path.name != "manifest.json"}) == 1
        assert list(target.parent.iterdir()) == [target]

    def test_a_file_system_without_locks(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(handle: int, operation: int) -> None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

        (target.parent / ".plan.writing-other").mkdir()
        monkeypatch.setattr(fcntl, "flock", refuse)
        write(target, NEW)
        assert holds(target, NEW)
        assert {path.name for path in target.parent.iterdir()} == {"plan", ".plan.writing-other"}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_the_umask_decides_who_may_read(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        atomic.write_folder(tmp_path / "plan", [Artifact("run.sh", "#!/bin/sh\n", executable=True), manifest])
    finally:
        os.umask(before)
    assert (tmp_path / "plan").stat().st_mode & 0o777 == mode
    assert (tmp_path / "plan" / "run.sh").stat().st_mode & 0o777 == (0o666 & ~mask) | 0o111
