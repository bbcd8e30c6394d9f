"""A folder is written beside the old one and exchanged with it in one step; a kill leaves the old or the new, whole.

What the old one's manifest does not list is not the plan's: it stays where it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compiler.errors import CompilerError, ConfigError, WriteError
from compiler.render import owned, rename, sync
from compiler.render.artifacts import Artifact
from compiler.render.locks import lock, turn
from compiler.secrets import shaped

Made = Callable[[dict[str, str]], Artifact]
"""A file made from {path: sha256} of those before it."""


def write_folder(target: Path, artifacts: Iterable[Artifact | Made]) -> None:
    """Write all artifacts in their order, the manifest last, and put them at `target`.

    Raises WriteError; the previous folder is then untouched and nothing new is left.
    """
    try:
        with _parents(target.parent):
            _refuse(target)
            with _beside(target) as scratch:
                new = _new(scratch)
                new.mkdir(parents=True)
                digests: dict[str, str] = {}
                seen: set[str] = set()
                for item in artifacts:
                    artifact = item if isinstance(item, Artifact) else item(dict(sorted(digests.items())))
                    digests[artifact.path] = _write(new, artifact, seen)
                sync.files(new)
                sync.folders(new)
                with turn(target):
                    _place(scratch, target, frozenset(digests))
    except OSError as error:
        raise _failed(target, error) from error


def write_file(target: Path, text: str) -> None:
    """Write one file that stands alone, in one step. Raises WriteError; what was there is then untouched."""
    try:
        with _parents(target.parent):
            handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.writing-", dir=target.parent)
            try:
                os.close(handle)
                Path(scratch).write_text(text, encoding="utf-8")
                Path(scratch).chmod(0o666 & ~_umask())
                sync.one(Path(scratch))
                Path(scratch).replace(target)
            except BaseException:
                Path(scratch).unlink()
                raise
    except OSError as error:
        raise _failed(target, error) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _failed(target: Path, error: OSError) -> CompilerError:
    reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return WriteError.of(f"{target} cannot be written: {reason}", "free the space or the place, or write out=FOLDER")


def recover(target: Path) -> None:
    """Finish what killed writers of a folder left: without an exchange it may be missing. Raises OSError."""
    if _left(target):
        with turn(target):
            _recover(target)


def _refuse(target: Path) -> None:
    """Raises WriteError for what is no plan folder of its own, FileExistsError for what is no folder at all."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise FileExistsError(errno.EEXIST, "a file or link is in the folder's place", str(target))
    if not target.is_dir() or not any(target.iterdir()):
        return
    if owned.listed(target) is None:
        raise WriteError.of(f"{target} is no plan folder: it holds no manifest.json of rankplan's", owned.INSTEAD)
    if target.name in owned.folders(owned.listed(target.parent) or ()):
        raise WriteError.of(f"{target} is a part of the plan in {target.parent}", owned.INSTEAD)


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Make a folder and what is above it; where the work fails, take away again those that were not there before."""
    missing = []
    while not folder.exists() and not folder.is_symlink():
        missing.append(folder)
        folder = folder.parent
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A locked file beside the target, after which a new folder and an old one are named; all are gone afterwards.

    Its lock says that its writer lives. Where a file system has no locks (some Lustre), nobody's files are cleared away.
    """
    with turn(target):  # a new file is not yet locked: no other writer may take it for a dead one's
        _recover(target)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.writing-", dir=target.parent)
        with suppress(OSError):
            lock(handle)
    scratch = Path(name)
    try:
        yield scratch
    finally:
        with suppress(OSError, ValueError), turn(target):
            _finish(scratch, target)
        os.close(handle)


def _left(target: Path) -> list[Path]:
    """Files that writers of a folder, living and dead, have made beside it."""
    name = re.compile(re.escape(f".{target.name}.writing-") + "[a-z0-9_]+")
    return sorted(path for path in target.parent.iterdir() if name.fullmatch(path.name))


def _recover(target: Path) -> None:
    for scratch in _left(target):
        with suppress(OSError, ValueError):  # its writer lives, it is another user's, or holds what nobody can name
            handle = os.open(scratch, os.O_RDWR | os.O_CLOEXEC)
            try:
                lock(handle)
                _finish(scratch, target)
            finally:
                os.close(handle)


def _finish(scratch: Path, target: Path) -> None:
    """Clear away what one writer left, at any moment of its work, and put back what is not its own."""
    new, old = _new(scratch), _old(scratch)
    if old.is_dir() and not os.path.lexists(target):
        old.rename(target)  # it was stopped between two renames
    elif old.is_dir() and not new.exists():
        old.rename(new)
    for folder in (new, old):
        if folder.is_dir():
            owned.settle(folder, target)
    if not new.exists():
        owned.unhop(new)
        scratch.unlink()


def _new(scratch: Path) -> Path:
    """The new folder, one deeper than its target: a link in it leads to another place than the same link there."""
    return scratch.with_name(f"{scratch.name}.new") / "plan"


def _old(scratch: Path) -> Path:
    return scratch.with_name(f"{scratch.name}.old")


def _write(folder: Path, artifact: Artifact, seen: set[str]) -> str:
    """Write one file and return its sha256; `seen`: words of other files, which hold no secret.

    Raises ConfigError where it would hold one; tables of numbers cannot.
    """
    own = artifact.path.endswith(".py")  # the package's programs, which hold nothing of a user's
    if not own and isinstance(artifact.text, str) and (found := shaped(artifact.text, seen)):
        raise ConfigError.of(
            f"{artifact.path} would hold what looks like {found.kind}",
            "leave it out of what the file is made from: ranks read secrets from a file, as in launch.secrets.NAME=FILE",
        )
    path = folder / artifact.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    chunks = [artifact.text] if isinstance(artifact.text, (str, bytes)) else artifact.text
    with path.open("wb") as file:
        for chunk in chunks:
            data = chunk.encode() if isinstance(chunk, str) else chunk
            digest.update(data)
            file.write(data)
    if artifact.executable:
        path.chmod(path.stat().st_mode | 0o111)
    return digest.hexdigest()


def _place(scratch: Path, target: Path, files: frozenset[str]) -> None:
    """Put the new folder at `target`, and what is there and not the plan's into it."""
    new = _new(scratch)
    _refuse(target)
    if owned.listed(target) is None:
        try:
            new.rename(target)  # nothing is there, or an empty folder
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _refuse(target)  # something has come since
        else:
            sync.one(target.parent)
            return
    if owned.invite(new, target, files):
        sync.folders(new)
    if not rename.exchange(new, target):
        _two_renames(scratch, target)
    sync.one(target.parent)
    with suppress(
        OSError, ValueError
    ):  # the plan is in place; what cannot be cleared away now is so by the next writer
        _finish(scratch, target)


def _two_renames(scratch: Path, target: Path) -> None:
    """The exchange for a file system that has none; what a kill in between leaves is put back by `recover`, and the rest
    cleared away by `_finish`.
    """
    new, old = _new(scratch), _old(scratch)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
