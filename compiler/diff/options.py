"""A command's arguments as options and their values, which is what of them can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from compiler.frameworks.checkpoints import spelt

_NAMED = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)


def options(arguments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Option, as `spelt` writes it -> its values; of one without a dash, `key=value` or a word, the word has no values.

    `--a b c`, `--a=b` and `a=b` are told apart from words by their form alone, so a word behind a switch counts as its value.
    """
    found: dict[str, list[str]] = {}
    for name, values in _read(arguments):
        found.setdefault(name, []).extend(values)
    return {name: tuple(values) for name, values in found.items()}


def _read(arguments: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    name, values = "", list[str]()
    for argument in arguments:
        if re.match(r"--?[A-Za-z]", argument):
            yield from [(name, values)] * bool(name)
            option, equals, value = argument.partition("=")
            name, values = ("", []) if equals else (spelt(option), [])
            yield from [(spelt(option), [value])] * bool(equals)
        elif not name and (named := _NAMED.fullmatch(argument)):
            yield spelt(named[1]), [named[2]]
        elif name:
            values.append(argument)
        else:
            yield argument, []
    yield from [(name, values)] * bool(name)
