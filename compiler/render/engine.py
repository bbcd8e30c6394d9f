"""Templates -> text. A text reaches a shell by `sh`, a directive by `sbatch`; what is written bare is a number, a word of ours, or a name
that was refused by pattern before (`config/grammar.py`, `schedulers/slurm/rules.py`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from compiler.errors import ConfigError
from compiler.render.assets import folder

if TYPE_CHECKING:
    from jinja2 import Environment

_BARE = re.compile(r"[A-Za-z0-9_./:=@%+-]+")
_SINGLE = re.compile(r"[^\x00-\x1f\x7f'\\$`]*")
_ESCAPED = re.compile(r"[\x00-\x1f\x7f'\\]")
_NAMED = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "'": r"\'", "\\": r"\\"}


def sh(value: object) -> str:
    """One word of bash, on one line, that reads back as `value`: line breaks, quotes and an empty text included.

    Raises ValueError for a NUL, which no word can hold.
    """
    text = str(value)
    if "\0" in text:
        raise ValueError(f"bash cannot carry a NUL: {text!r}")
    if _BARE.fullmatch(text):
        return text
    if _SINGLE.fullmatch(text):
        return f"'{text}'"
    return "$'" + _ESCAPED.sub(_escape, text) + "'"


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMED.get(character, f"\\x{ord(character):02x}")


def sbatch(value: object) -> str:
    """The value of an `#SBATCH --name=value` line, which sbatch reads by rules of its own: no expansion, one line.

    Raises ConfigError for a line break or another control character, which no directive can carry.
    """
    text = str(value)
    if not text.isprintable():
        raise ConfigError.of(
            f"a Slurm directive cannot carry {text!r}", "write it on one line, without control characters"
        )
    if text and all(character.isalnum() or character in "%,./:=@[]_+-" for character in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@cache
def environment() -> Environment:
    """An undefined name is an error, and a template's own lines leave no blank ones behind."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from compiler.render.bytecode import Beside

    made = Environment(
        loader=FileSystemLoader(folder("templates")),
        undefined=StrictUndefined,
        bytecode_cache=Beside(),
        optimized=False,  # what is kept of a template then holds no value that a filter made
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - what is written is bash, quoted by `sh` below
    )
    made.filters.update(sh=sh, sbatch=sbatch)
    return made


def render(template: str, **values: Any) -> str:
    """The text of `templates/<template>`."""
    return environment().get_template(template).render(**values)


@cache
def pages() -> Environment:
    """Of HTML and SVG: every value is escaped."""
    return environment().overlay(autoescape=True)


def markup(template: str, **values: Any) -> str:
    """The text of `templates/<template>`, HTML or SVG, in which every value stays text."""
    return pages().get_template(template).render(**values)
