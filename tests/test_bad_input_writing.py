"""A plan that cannot be written is one line on stderr, exit code 4, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import BARE, STRATEGY, call, refused


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; a plan of the strategy is larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class TestWriting:
    def test_a_disk_that_fills(self, small_disk: Path) -> None:
        small = [BARE, "parallel=ep8_tp8", "hardware.nodes=8", "name=plan"]
        assert call(*small, cwd=small_disk).code == 0
        ran = refused(small_disk, BARE, "name=plan", "graph=true", code=4)
        assert "No space left on device" in ran.err
        assert "out/plan cannot be written" in ran.err

    def test_a_disk_that_is_read_only(self, small_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        assert "Read-only file system" in refused(small_disk, BARE, code=4).err

    @pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
    def test_a_folder_without_permission(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir(mode=0o500)
        assert "Permission denied" in refused(tmp_path, BARE, code=4).err

    @pytest.mark.parametrize("out", ["file", "file/far/below", "/proc/x", "dangling"])
    def test_an_out_that_is_no_folder(self, tmp_path: Path, out: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "dangling").symlink_to("nowhere")
        assert "cannot be written" in refused(tmp_path, BARE, f"out={out}", code=4).err

    @pytest.mark.parametrize("place", ["file", "link", "dangling link"])
    def test_a_place_that_is_taken(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "elsewhere").mkdir()
        taken = tmp_path / "out" / STRATEGY
        if place == "file":
            taken.write_text("mine")
        else:
            taken.symlink_to("../elsewhere" if place == "link" else "nowhere")
        assert "a file or link is in the folder's place" in refused(tmp_path, BARE, code=4).err

    def test_folders_made_on_the_way_are_taken_away_again(self, tmp_path: Path) -> None:
        ran = refused(tmp_path, BARE, "out=a/b/c/" + "d" * 300, code=4)
        assert "File name too long" in ran.err
