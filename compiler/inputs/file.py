"""A user's file -> its text: regular files of a bounded size, in UTF-8."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from compiler.errors import ConfigError

MOST_BYTES = 4 * 2**20
"""Of a table or a config.json: 100,000 hosts, or the largest published model's file many times over."""
MOST_YAML_BYTES = 4 * MOST_BYTES
"""Of a YAML file, which may carry tables: a plan's own config.yaml does."""
MOST_JSON_BYTES = 64 * MOST_BYTES
"""Of JSON where it may be all that a cluster knows of its nodes: `kubectl get nodes` prints 10 to 30 kB each."""


def text(what: str, path: str | Path, instead: str, most_bytes: int = MOST_BYTES, most_json: int = 0) -> str:
    """Its line ends are line feeds, and it has no byte order mark.

    Raises ConfigError for what cannot be read, is no regular file (a pipe would be waited for), is larger than
    `most_bytes` (`most_json`, where that is more and it begins as JSON does), or is not UTF-8.
    """
    try:
        data = _bytes(what, Path(path).expanduser(), instead, most_bytes, most_json)
    except OSError as error:
        raise ConfigError.of(f"{what} cannot be read: {error.strerror}", instead) from error
    except (ValueError, RuntimeError) as error:  # a NUL in the path, a ~user who is none
        raise ConfigError.of(f"{what} cannot be read: {error}", instead) from error
    try:
        found = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError.of(
            f"{what} line {line} holds the byte 0x{data[error.start]:02x}, which is not UTF-8", "write it as UTF-8"
        ) from error
    return found.replace("\r\n", "\n").replace("\r", "\n")


def _bytes(what: str, path: Path, instead: str, most: int, most_json: int) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        raise ConfigError.of(f"{what} cannot be read: it is {kind}, not a file", instead)
    data = b""
    if status.st_size <= max(most, most_json):
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - Path.open has no flags
            if file.peek(1).lstrip()[:1] == b"{":
                most = max(most, most_json)
            data = file.read(most + 1) if status.st_size <= most else b""  # what /proc holds has no size beforehand
    size = max(len(data), status.st_size)
    if size > most:
        raise ConfigError.of(f"{what} has {size:,} bytes or more, of which at most {most:,} are read", instead)
    return data
