"""Looks for secrets in a text, and takes them out of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from compiler.frozen import dataclass
from compiler.secrets import names
from compiler.secrets.commands import COMMANDS
from compiler.secrets.shapes import PHRASES, STRUCTURES, TOKENS, Shape

_VALUE = r"""(?P<value>"[^"\n]*"|'[^'\n]*'|(?:\$\{[^{}\s]*\}|[^\s"',;&|)}\]])+)"""
_NAME = r"(?P<name>[A-Za-z_][\w.-]*)"
_ASSIGNED = (
    rf"""(?<![\w.-])-{{0,2}}{_NAME}(?P<quote>\\?["']?\]?)"""
    r"""(?:(?P<equals>[ \t]+\+?=(?![=~])[ \t]*|\+?=(?![=~])(?:[ \t]+(?=\\?["']))?)|\s?:(?![/:])\s*)"""
    rf"(?=\\?{_VALUE})"
)
"""The value is looked at, not passed over: it may be an assignment itself, as in --env=HF_TOKEN=..."""
_OPTION = rf"(?<![\w-])--?(?P<name>[A-Za-z][\w.-]*)\s+(?!-){_VALUE}"
_SET = rf"(?<![\w-])(?:setenv|ENV|env_set|set\s+-\w+)\s+{_NAME}\s+(?!-){_VALUE}"
"""A shell that has no equals sign: csh, fish, modules of Tcl, a Dockerfile."""
_ELEMENT = rf"<{_NAME}(?:\s[^<>]*)?>\s*(?P<value>[^<>\s][^<>]*?)\s*</"
_PROPERTY = rf"<name>\s*{_NAME}\s*</name>\s*<value>\s*(?P<value>[^<>]+?)\s*</value>"
"""An element of XML, and a property of Hadoop's."""
_PAIR = rf"""["'](?:--?)?{_NAME}\\?["']\s*,\s*\\?(?P<value>["'][^"'\s]+["'])"""
"""Two arguments of a function, or two words of a list: putenv("NAME", "...")."""
_PROSE = rf"(?i:(?<![\w./-])(?P<name>[a-z_]*(?:password|passwd|passphrase))\s+(?:is\s+)?(?!-){_VALUE})"
_SWITCH = r"(?:no|use|enable|disable|with|without|require|skip|allow)[-_]"
_HINT = r"(?i:pass|pwd|pswd|psw|pw|tok|secret|key|cred|auth|bearer|cookie|jwt|pat|sas|login|sid)"
_SHORTEST = 8
"""Characters of the shortest word that holds a secret of a known shape."""


@dataclass(frozen=True)
class Found:
    """A secret of some kind at text[start:end], by the name that gives it away, if one does."""

    kind: str
    start: int = 0
    end: int = 0
    name: str = ""


def named(name: str, value: str) -> str | None:
    """The kind of secret that a variable or key of that name holds, None where it is none."""
    kind = names.kind(name) or (names.within(name) if names.random(value) else None)
    return None if kind is None or names.harmless(value, name) else kind


def shaped(text: str, seen: set[str] | None = None) -> Found | None:
    """The first secret that shows by its shape alone: a look that is cheap enough for every file. Only its kind is kept.

    Most of a large file is numbers and words that come again and again, in other files too, so each word is looked at once:
    `seen` holds those that were, and takes in these.
    """
    fresh = set(text.split()).difference(seen or ())
    words = "\n".join(word for word in fresh if len(word) >= _SHORTEST and word.strip("0123456789,;.*-"))
    found = next(_by_shape(words, (*TOKENS, *STRUCTURES)), None) or next(_by_shape(text, PHRASES), None)
    if seen is not None and found is None:
        seen |= fresh
    return Found(found.kind) if found else None


def first(text: str) -> Found | None:
    """A secret of a text that somebody wrote: by shape, as a program's argument, or by the name in front of it."""
    return shaped(text) or next(_by_shape(text, COMMANDS), None) or next(_by_name(text), None)


def _searched(text: str) -> Iterator[Found]:
    """Every one, and where it is."""
    yield from _by_shape(text, (*TOKENS, *STRUCTURES, *PHRASES, *COMMANDS))
    yield from _by_name(text)


def redacted(text: str) -> str:
    """The text with *** in the place of every secret, wherever its value comes again."""
    spans = sorted({(found.start, found.end) for found in _searched(text)})
    values = {text[start:end].strip("\"'") for start, end in spans}
    parts, at = [], 0
    for start, end in spans:
        if start >= at:
            parts += [text[at:start], "***"]
        at = max(at, end)
    text = "".join([*parts, text[at:]])
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***") if len(value) > 3 else text  # shorter ones are parts of words
    return text


def _by_shape(text: str, shapes: Iterable[Shape]) -> Iterator[Found]:
    for shape in shapes:
        if any(word in text for word in shape.words):
            for match in _compiled(shape.pattern).finditer(text):
                group = "value" if "value" in match.re.groupindex else 0
                if not (group and names.harmless(match[group])):
                    yield Found(shape.kind, *match.span(group))
                    if "around" in match.re.groupindex:
                        yield Found(shape.kind, *match.span("around"))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Few of them are ever needed, and compiling all takes longer than searching."""
    return re.compile(pattern)


def _by_name(text: str) -> Iterator[Found]:
    if not re.search(_HINT, text):
        return
    for pattern in (_ASSIGNED, _OPTION, _SET, _ELEMENT, _PROPERTY):
        yield from _given(text, pattern)
    for pattern in (_PAIR, _PROSE):  # two words side by side are more often none
        yield from (found for found in _given(text, pattern) if names.random(text[found.start : found.end]))


def _given(text: str, pattern: str) -> Iterator[Found]:
    """What stands behind a name in one of the ways to give it a value."""
    for match in re.finditer(pattern, text):
        name, value = match["name"], match["value"]
        kind = named(name, value)
        if kind is not None and not names.programmed(value, name) and not _told(match, kind):
            yield Found(kind, *match.span("value"), name)


def _told(match: re.Match[str], kind: str) -> bool:
    """Whether this is prose or a reference that only reads like an assignment: `the token: see below`, `secrets.X=FILE`."""
    name, given = match["name"], match.groupdict()
    if ".secrets." in name or (re.match(_SWITCH, name) and not names.random(match["value"])):
        return True
    if "equals" not in given or given["equals"] or given["quote"]:
        return False
    return (
        re.fullmatch(r"[A-Za-z]+", name) is not None and kind != "a password" and not re.search("[0-9]", match["value"])
    )
