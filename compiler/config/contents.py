"""Files that keys name -> their texts, which enter a plan in the place of the path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from compiler.errors import ConfigError
from compiler.inputs import file
from compiler.layout import recorded


def named(key: str, given: str) -> str:
    """A key with the file that it names; what has a line break is the text itself."""
    return key if "\n" in given else f"{key}={given}"


def content(key: str, given: str | None, instead: str, most_json: int = 0) -> str | None:
    """The text of a file that is named by its path; what has a line break is the text itself. Raises ConfigError."""
    if given is None or "\n" in given:
        return given
    return _whole(file.text(f"{key}={given}", given, instead, most_json=most_json))


def recorded_loads(what: str, path: str) -> str:
    """The table of a file of loads, whoever wrote it. Raises ConfigError."""
    data = file.data(what, path, recorded.INSTEAD, recorded.MOST_BYTES)
    return _whole(recorded.table(what, data) or file.decoded(what, data))


def readable(key: str, given: str, read: Callable[[str], object], text: str) -> None:
    """Raises ConfigError for a table that cannot be read, with the file that it is from."""
    try:
        read(text)
    except ConfigError as error:
        what = named(key, given)
        raise ConfigError(
            dataclasses.replace(one, what=one.what.replace(key, what, 1)) for one in error.problems
        ) from error


def _whole(text: str) -> str:
    """With a line break, by which it is known for a text."""
    return text if "\n" in text else text + "\n"
