"""docs/glossary.md: the words of compiler/glossary.py as tables."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.glossary import ENUMS, FIELD, TERMS

HEAD = """# Glossary

One word for one thing, in the code, in files and in what is said. `python -m tests.test_glossary` writes this page from
`compiler/glossary.py`; a test holds each place to exist. What every configuration key means is in
[configuration.md](configuration.md), what modules are in [architecture.md](architecture.md).

## Things

| word | what it is | in the code |
|---|---|---|
"""


def page() -> str:
    return HEAD + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (f"| {term.word} | {term.meaning} | `{term.place}` |" for term in TERMS)
    yield from ("", "## Of the field", "", "| word | what it is |", "|---|---|")
    yield from (f"| {word} | {meaning} |" for word, meaning in FIELD)
    for enum in ENUMS:
        title = enum.__name__.removesuffix("Name").lower()
        yield from ("", f"## {title.capitalize()}", "", str(enum.__doc__), "", f"| {title} | |", "|---|---|")
        yield from (f"| `{word}` | {word.meaning} |" for word in enum)
