"""A folder is written beside the old one and exchanged with it in one step; a kill leaves the old or the new, whole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from compiler.errors import ConfigError, WriteError
from compiler.render.artifacts import Artifact
from compiler.secrets import shaped

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


Made = Callable[[dict[str, str]], Artifact]
"""A file made from {path: sha256} of those before it."""


def write_folder(target: Path, artifacts: Iterable[Artifact | Made]) -> None:
    """Write all artifacts in their order, and put them at `target`.

    Raises WriteError; the previous folder is then untouched and nothing new is left.
    """
    try:
        with _parents(target.parent):
            if target.is_symlink() or (target.exists() and not target.is_dir()):
                raise FileExistsError(errno.EEXIST, "a file or link is in the folder's place", str(target))
            with _beside(target) as folder:
                digests: dict[str, str] = {}
                for item in artifacts:
                    artifact = item if isinstance(item, Artifact) else item(dict(sorted(digests.items())))
                    digests[artifact.path] = _write(folder, artifact)
                _exchange(folder, target)
    except OSError as error:
        reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise WriteError.of(
            f"{target} cannot be written: {reason}", "free the space or the place, or write out=FOLDER"
        ) from error


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
    """A locked working folder beside the target, gone afterwards; those of killed writers are cleared away.

    Where a file system has no locks for folders (NFS, some Lustre), it is not locked and nobody's is cleared.
    """
    prefix = f".{target.name}.writing-"
    with ExitStack() as held:
        with ExitStack() as turn:  # a new folder is not yet locked: no other writer may take it for a dead one's
            with suppress(OSError):
                turn.enter_context(_lock(target.parent, wait=True))
            for stale in target.parent.glob(f"{prefix}*"):
                with suppress(OSError), _lock(stale):
                    _recover(stale, target)
                    shutil.rmtree(stale)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            with suppress(OSError):
                held.enter_context(_lock(folder))
        folder.chmod(0o777 & ~_umask())
        yield folder


@contextmanager
def _lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock. Raises OSError: BlockingIOError where another holds it, others where there are no locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(folder: Path, artifact: Artifact) -> str:
    """Write one file and return its sha256. Raises ConfigError where it would hold a secret; tables of numbers cannot."""
    if isinstance(artifact.text, str) and (found := shaped(artifact.text)):
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


def _exchange(folder: Path, target: Path) -> None:
    """Put `folder` at `target`; what was there is then at `folder`, or gone."""
    if not target.exists():
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    if not _renameat2(folder, target):
        _two_renames(folder, target)


def _two_renames(folder: Path, target: Path) -> None:
    """The exchange for a file system that has none; a kill between the renames is mended by the next writer."""
    aside = folder.with_name(f"{folder.name}.old")
    target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _renameat2(folder: Path, target: Path) -> bool:
    """Exchange two folders in one step; False where the file system or the C library has no such call."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(folder), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(target))


def _recover(stale: Path, target: Path) -> None:
    """Where a writer without an exchange was killed between its two renames, put the old folder back."""
    if stale.name.endswith(".old") and not target.exists():
        stale.rename(target)
