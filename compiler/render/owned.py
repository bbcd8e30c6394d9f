"""Whose the entries of a plan folder are: the plan's where its manifest lists them, else somebody else's, and kept."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from compiler.errors import WriteError
from compiler.render import rename, sync

MANIFEST = "manifest.json"
MOST_BYTES = 16 * 2**20
"""Of a manifest, which has one line for each file of a plan."""
LONGEST_BYTES = 4096
"""Of a path: Linux takes none that is longer."""
INSTEAD = "write another name=NAME or out=FOLDER, or move it away"

Entries = Iterator[tuple[str, os.DirEntry[str]]]
"""Path below a folder, and what is there."""


def listed(folder: Path) -> frozenset[str] | None:
    """Paths of the plan's files, its manifest too; None where the folder holds no manifest of ours.

    One of ours has clean paths below the folder and a sha256 for each. Raises OSError for one that cannot be read.
    """
    found = contents(folder)
    files = found.get("files") if isinstance(found, dict) and isinstance(found.get("rankplan"), str) else None
    if not isinstance(files, dict) or not all(_below(path) and _is_sha256(digest) for path, digest in files.items()):
        return None
    return frozenset([*files, MANIFEST])


def contents(folder: Path) -> object:
    """What manifest.json says, ours or not; None where there is none, or only its beginning. Raises OSError."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return "something longer than any of ours"
    try:
        found: object = json.loads(content)
    except RecursionError:
        return "something deeper than any of ours"
    except ValueError:
        return None
    return found


def _below(path: str) -> bool:
    """Whether a path leads to a place below the folder that it begins at, and the system takes it."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    return size <= LONGEST_BYTES and "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


def _is_sha256(digest: object) -> bool:
    return isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None


def folders(paths: Iterable[str]) -> frozenset[str]:
    """Every folder above any of these paths."""
    return frozenset(str(above) for path in paths for above in PurePosixPath(path).parents)


def entries(folder: Path, shared: frozenset[str]) -> Entries:
    """What is in a folder, and in those below it that are in `shared`; no link is followed."""

    def below(start: str) -> Entries:
        with os.scandir(folder / start) as found:
            rows = sorted(found, key=lambda entry: entry.name)
        for entry in rows:
            path = start + entry.name
            if path in shared and entry.is_dir(follow_symlinks=False):
                yield from below(f"{path}/")
            else:
                yield path, entry

    return below("")


def others(folder: Path, ours: frozenset[str], shared: frozenset[str]) -> Entries:
    """What is not of ours; neither is a folder in the place of a file of ours."""
    for path, entry in entries(folder, shared):
        if path not in ours or entry.is_dir(follow_symlinks=False):
            yield path, entry


def invite(new: Path, target: Path, wanted: frozenset[str]) -> bool:
    """Put a link to each thing in `target` that is not the plan's into the folder that will take its place.

    So every path leads to what it led to before, in the moment of the exchange too; `settle` puts the thing itself there.
    A reader may then be on his way through the link: at the thing's old place it leads, by a hop, to the new one.
    Says whether there was one. Raises WriteError for one in the place of a `wanted` file, and for one that cannot be moved.
    """
    ours, device, found = listed(target) or frozenset(), target.stat().st_dev, False
    taken = wanted | folders(wanted)
    hop = _hop(new)
    hop.parent.mkdir(exist_ok=True)
    hop.symlink_to(f"../../{target.name}")
    for path, entry in others(target, ours, folders(ours | wanted)):
        if path in taken:
            raise WriteError.of(f"{target / path} is not of the plan that is there, and the new plan has one", INSTEAD)
        if entry.is_dir(follow_symlinks=False) and not _movable(entry, device):
            raise WriteError.of(f"{target / path} cannot be moved along: it is mounted, or may not be written", INSTEAD)
        for above in reversed(PurePosixPath(path).parents):
            (new / above).mkdir(exist_ok=True)
            shutil.copymode(target / above, new / above)  # who may come to these things
        (new / path).symlink_to(_link(new, path))
        found = True
    return found


def _movable(folder: os.DirEntry[str], device: int) -> bool:
    """Whether a folder can change the folder that it is in."""
    return folder.stat(follow_symlinks=False).st_dev == device and os.access(folder.path, os.W_OK)


def _link(folder: Path, path: str) -> str:
    """What a link at `path` in a plan folder says that leads to the same path of `folder`, in a folder beside the plan's.

    In `folder` itself it leads, by the hop, to the same path of the plan's.
    """
    return f"{'../' * (path.count('/') + 1)}{folder.parent.name}/{folder.name}/{path}"


def _hop(folder: Path) -> Path:
    return folder.parent / folder.parent.name / folder.name


def unhop(folder: Path) -> None:
    """Take away the hop, and the folder that holds a plan's new folder. Raises OSError."""
    hop = _hop(folder)
    hop.unlink(missing_ok=True)
    for left in (hop.parent, folder.parent):
        if left.is_dir():
            left.rmdir()


def settle(folder: Path, target: Path) -> None:
    """Of a folder that another has replaced, or was to replace, delete what is the plan's and move the rest to `target`.

    One with a manifest that is not ours is left alone: nobody can say what in it is the plan's.
    """
    ours = listed(folder)
    if ours is None:
        if contents(folder) is None:  # of a writer that was stopped before it finished: the manifest is written last
            shutil.rmtree(folder)
        return
    shared = folders(ours | (listed(target) or frozenset()))
    foreign = [path for path, _ in others(folder, ours, shared)]
    for path in foreign:
        with suppress(OSError):
            if not _leads(folder / path, _link(folder, path)) and _unlinked(target, path):
                _give_back(folder / path, target / path, _link(folder, path))
    _remove_files(folder, ours, shared)
    if foreign:
        sync.one(target)  # what was moved is on the disk, and whoever was on his way through a link has arrived
    for path in foreign:
        with suppress(OSError):
            if _leads(folder / path, _link(folder, path)):
                (folder / path).unlink()
    _remove_folders(folder, shared)


def _leads(path: Path, link: str) -> bool:
    return path.is_symlink() and str(path.readlink()) == link


def _unlinked(folder: Path, path: str) -> bool:
    """Whether the folders above a path are in this folder, and not where a link leads to."""
    return not any((folder / above).is_symlink() for above in PurePosixPath(path).parents if above.parts)


def _give_back(here: Path, there: Path, link: str) -> None:
    """Put a thing in the place of the link to it; what somebody has put there since stays."""
    if _leads(there, link):
        if rename.exchange(here, there):
            return
        if here.is_dir() and not here.is_symlink():
            there.unlink()
        here.rename(there)
    elif there.parent.is_dir() and not os.path.lexists(there):
        here.rename(there)


def _remove_files(folder: Path, ours: frozenset[str], shared: frozenset[str]) -> None:
    """Delete files of ours, but for the manifest."""
    for path, entry in list(entries(folder, shared)):
        if path in ours and path != MANIFEST and not entry.is_dir(follow_symlinks=False):
            with suppress(OSError):  # a folder that may no longer be written
                Path(entry.path).unlink()


def _remove_folders(folder: Path, shared: frozenset[str]) -> None:
    """Delete folders that are empty; the manifest goes last, and stays while anything else does."""
    for path in sorted(shared - {"."}, reverse=True):
        if _unlinked(folder, path):
            with suppress(OSError):
                (folder / path).rmdir()
    if list(folder.iterdir()) == [folder / MANIFEST]:
        (folder / MANIFEST).unlink()
        folder.rmdir()
