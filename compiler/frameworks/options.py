"""What `framework.args` say: option names and values, as argument parsers read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from compiler.frameworks import json_text
from compiler.frameworks.emission import is_flag
from compiler.words import whole


def options(arguments: Sequence[str], aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """Option -> value (the last one wins, a switch has ""), with `aliases` spelt as what they stand for.

    A value is what follows `=`, or the next word where that is no option.
    """
    found: dict[str, str] = {}
    for argument, following in pairwise([*arguments, "-"]):
        if is_flag(argument):
            name, equals, value = argument.partition("=")
            value = value if equals or is_flag(following) else following
            found[_spelt(name, aliases or {})] = value
    return found


def _spelt(name: str, aliases: Mapping[str, str]) -> str:
    """A name, or of one with a key of JSON behind it (`--speculative-config.method`) its option."""
    if name in aliases:
        return aliases[name]
    head, dot, key = name.partition(".")
    return aliases.get(head, head) + dot + key


def without(arguments: Sequence[str], *names: str) -> Iterator[str]:
    """The arguments less some options and their values; an option's name without a value takes the next word along."""
    skip = False
    for argument in arguments:
        if skip and not is_flag(argument):
            skip = False
            continue
        name, equals, _ = argument.partition("=")
        skip = name in names and not equals
        if name not in names:
            yield argument


def number(given: Mapping[str, str], name: str, default: int) -> int:
    """An option's number; `default` where it is not given or is none, which the framework then says itself."""
    found = whole(json_text.counted(given.get(name, "")))
    return default if found is None else found


def nested(given: Mapping[str, str], name: str, key: str) -> object:
    """A key of an option that holds JSON, or is written `--option.key`; None where it is not given."""
    if f"{name}.{key}" in given:
        text = given[f"{name}.{key}"]
        found = whole(text)
        return {"true": True, "false": False}.get(text.lower(), text) if found is None else found
    return (json_text.mapping(given.get(name, ""), letters=True) or {}).get(key)


def sizes(arguments: Sequence[str], names: Sequence[str]) -> Iterator[int]:
    """Every number behind options that take one or several, in one word or in words of their own."""
    taken = False
    for argument in arguments:
        name, equals, text = argument.partition("=")
        taken = name in names if is_flag(argument) else taken
        if taken and (equals or not is_flag(argument)):
            found = whole(text if equals else argument)
            yield from () if found is None else (found,)


def leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Dotted keys of a mapping with their values that are no mappings; an empty one is a value."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(f"{key}.{name}", inner)
    else:
        yield key, value
