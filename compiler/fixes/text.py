"""The text of a fix, read: which overrides it names, what it says to leave out, and the same without any `key=value`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_START = re.compile(r"(?<![\w.\-=\[{,'/])(?=[a-z~])([a-z][\w.]*)=(?=[^\s=])")
_PLACEHOLDER = re.compile(r"\.\.\.|(?<![A-Za-z0-9_./-])[A-Z]+(?![A-Za-z0-9_])")
_TOGETHER = re.compile(r"\s+(and\s+)?")
_LEFT_OUT = re.compile(r"leave ([^;]*?) out\b")
_SEPARATE = re.compile(r",? or |, (?!and )")
_MEANT = re.compile(r"(\S+) may be meant: write it in its place, or leave (\S+) out")
_FLAG = re.compile(r"(?:write|add|or|and) (--[\w.-]+)(?:([= ])([^\s,;-][^\s,;]*))?")
_PAIR = re.compile(r"([^\s=\[{(,]+)==?(?=[^\s=])(?!\[?\.\.\.)")


def named(text: str) -> list[tuple[str, ...]]:
    """Overrides that a text names, those that belong together as one; none with a placeholder (FILE, N, ...) in it."""
    found: list[tuple[str, ...]] = []
    end = -1
    for start in _START.finditer(text):
        if start.start() < end:
            continue
        value = _value(text[start.end() :])
        joined = end >= 0 and _TOGETHER.fullmatch(text[end : start.start()])
        end = start.end() + len(value)
        override = f"{start[1]}={value}"
        if _PLACEHOLDER.search(value):
            end = -1
        elif joined:
            found[-1] = (*found[-1], override)
        else:
            found.append((override,))
    return found


def _value(rest: str) -> str:
    """Up to a space, comma or bracket outside of brackets and quotes."""
    depth, quote = 0, ""
    for index, char in enumerate(rest):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif depth <= 0 and (char.isspace() or char in ",;)" or rest[index:] in (":", ".") or rest[index:][:2] == ": "):
            return rest[:index]
    return rest


def left_out(text: str) -> Iterator[tuple[str, ...]]:
    """Words that a text says to leave out, each alone, or together where it joins them by `and`."""
    for found in _LEFT_OUT.finditer(text):
        for item in _SEPARATE.split(found[1]):
            yield tuple(word.partition("=")[0] for word in re.split(r",? and ", item.removeprefix("and ")))


def flags(text: str) -> Iterator[tuple[str, str, str]]:
    """Options of a program that a text says to write: the option, `=` or a space, and its value; both empty without one."""
    for found in _FLAG.finditer(_LEFT_OUT.sub("", text)):
        value = "" if found[3] in ("out", "in", "to", "or", "and", "as", None) else found[3]
        yield found[1], found[2] if value else "", value


def owner(text: str) -> str:
    """The key that says what an option of a program says, which is to be left out; empty where a text names none."""
    found = re.match(r"leave it out, and write ([a-z]\w*\.[\w.]+)", text)
    return found[1] if found else ""


def meant(text: str) -> tuple[str, str] | None:
    """The name that a misspelt one may have meant, and the misspelt one."""
    found = _MEANT.match(text)
    return (found[1], found[2]) if found else None


def lead(text: str) -> str:
    """What a text says before it comes to write something."""
    found = re.match(r"(.+?)(, or|:) write ", text)
    return f"{found[1]}{found[2]} " if found and not _START.search(found[1]) and "leave " not in found[1] else ""


def prose(text: str) -> str:
    """The same without `key=value`, which nobody has tried and which would be pasted; `key=...` is no value."""

    def said(found: re.Match[str]) -> str:
        option = found[1].startswith("-") or "." not in found[1]
        plain = re.match(r"[0-9a-z]", text[found.end() :])
        return f"{found[1]}{' ' if option else ' of ' if plain else ': '}"

    return _PAIR.sub(said, text)
