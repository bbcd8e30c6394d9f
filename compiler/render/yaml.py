"""Plain data -> YAML 1.2 that every parser, also a 1.1 one, reads back as it was. The only emitter of YAML.

Every string is quoted, so none turns into a number, a boolean or a date; long texts are literal blocks. Ours, and not PyYAML's: that
writes YAML 1.1, whose quoted style folds long texts, and escapes what 1.2 does not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNPRINTABLE = r"[^\t\n\x20-\x7e\u00a1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""What no parser takes as it is, and the breaks and blanks that not all take for characters."""


def emit(documents: Sequence[Mapping[str, Any]]) -> str:
    """The text of a file of documents, keys in the order in which they are given."""
    return "# yamllint disable rule:line-length\n" + "".join("---\n" + document(item) for item in documents)


def document(value: Mapping[str, Any]) -> str:
    """The text of one mapping."""
    return "".join(line + "\n" for line in _lines(value, ""))


def quoted(value: str) -> str:
    """A double-quoted scalar on one line. JSON's escapes are YAML's, except for those beyond 16 bits."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(_UNPRINTABLE, lambda found: f"\\U{ord(found[0]):08x}", text) if _escapes(text) else text


def _escapes(text: str) -> bool:
    """Whether a character must not stand as it is. Nearly all texts are plain, and the pattern takes long to compile."""
    plain = text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()
    return not plain and re.search(_UNPRINTABLE, text) is not None


def _lines(value: Any, pad: str) -> Iterator[str]:
    """The lines of a mapping or a list, each starting with `pad`."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _entry(f"{pad}{_key(key)}:", entry, pad)
        return
    for entry in value:
        inner = list(_lines(entry, pad + "  ")) if _nested(entry) else [f"{pad}  {_scalar(entry)}"]
        yield f"{pad}- {inner[0][len(pad) + 2 :]}"
        yield from inner[1:]


def _entry(head: str, value: Any, pad: str) -> Iterator[str]:
    if _nested(value):
        yield head
        yield from _lines(value, pad + "  ")
    elif isinstance(value, str) and "\n" in value[:-1] and _is_block(value):
        yield f"{head} |"
        yield from (f"{pad}  {line}" if line else "" for line in value[:-1].split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and len(value) > 0


def _is_block(value: str) -> bool:
    """A text that a literal block keeps: one line break at its end, nothing to escape, no blanks at a line's end."""
    ends = value.endswith("\n") and not value.endswith("\n\n")
    return ends and value[0] not in " \n" and not re.search("[ \t]\n", value) and not _escapes(value)


def _key(key: str | int) -> str:
    if isinstance(key, int):
        return str(key)
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _AMBIGUOUS else quoted(key)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return re.sub(r"^(-?[0-9]+)e", r"\1.0e", repr(value))  # 1e-06 is a text to a YAML 1.1 parser
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    raise TypeError(f"{type(value).__name__} has no place in YAML")
