"""`completion`: the script that a shell reads, and the words that it then asks for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import NoReturn

from compiler.entry import Parser, finish
from compiler.render.assets import folder

SHELLS = {
    "bash": """_rankplan() {
  local line=${COMP_LINE:0:COMP_POINT} word prefix
  read -r -a word <<<"$line"
  [[ $line == *[[:space:]] ]] && word+=("")
  prefix=${word[-1]}
  mapfile -t COMPREPLY < <(rankplan completion words -- "${word[@]:1}" 2>/dev/null)
  [[ $prefix == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${prefix%=*}="}")  # bash replaces what is behind the =
  [[ ${COMPREPLY[0]} == *[=/.] ]] && compopt -o nospace 2>/dev/null
}
complete -F _rankplan rankplan
""",
    "zsh": """#compdef rankplan
_rankplan() {
  local -a found
  found=("${(@f)$(rankplan completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -S '' -- $found
}
compdef _rankplan rankplan
""",
    "fish": """function __rankplan
    set -l found (commandline -opc) (commandline -ct)
    rankplan completion words -- $found[2..-1] 2>/dev/null
end
complete -c rankplan -f -a '(__rankplan)'
""",
}
"""What each shell reads once; the words come from rankplan itself, so that they are those of its version and of this folder."""

COMMANDS = {
    "calibrate": ("--hardware", "--out", "--config-dir", "--json"),
    "check": ("--json", "--config-dir", "--config-name"),
    "completion": tuple(SHELLS),
    "diff": ("--json", "--markdown", "--html", "--all", "--allow"),
    "impact": ("--lost", "--json", "--all"),
    "prove": ("--wheel", "--json"),
    "repair": ("--lost", "--out", "--json"),
    "show": ("rank=", "group=", "host=", "slot=", "job=slurm", "job=kubernetes", "job=local", "--all", "--json"),
}
"""Command -> its options, and what else its words begin with."""
COMPILE = ("--multirun", "--config-dir", "--config-name", "--json", "--cfg", "--info", "--version", "--help")
PLANS = ("check", "diff", "impact", "prove", "repair", "show")
"""Commands that are about plan folders."""
LOST = ("host=", "gpu=", "leaf=", "pod=", "domain=", "slot=")
OVERRIDES = ("check", "diff")
"""Commands that take overrides too."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit 0, or 2 for a shell that is none of ours."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print a script, or the words that may stand where the last one is. Raises ConfigError."""
    if argv[:1] == ["words"]:
        for word in candidates([item for item in argv[1:] if item != "--"] or [""]):
            print(word)
        return 0
    args = _parse(argv)
    print(SHELLS[args.shell], end="")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand in the place of the last word, sorted; the others are before it, without the program's name."""
    *before, current = words
    command = before[0] if before and before[0] in COMMANDS else ""
    found = {*_own(command, before, current)} if command else {*COMPILE, *_overrides(current)}
    if not before:
        found |= set(COMMANDS)
    return sorted(word for word in found if word.startswith(current))


def _own(command: str, before: Sequence[str], current: str) -> Iterator[str]:
    """Of a command: its options, plan folders, and overrides where it takes some."""
    if before[-1] == "--lost":
        yield from LOST
        return
    yield from COMMANDS[command]
    if command in PLANS and "=" not in current:
        yield from _plans(current)
    if command in OVERRIDES and len(before) > 1:
        yield from _overrides(current)


def _plans(current: str) -> Iterator[str]:
    """Plan folders beside each other, and the folders that lead to some."""
    base = Path(current.rpartition("/")[0] or ".")
    places = [path for path in base.glob("*") if path.is_dir() and not path.name.startswith(".")]
    for path in places:
        if (path / "manifest.json").is_file():
            yield str(path)
        elif any(path.glob("*/manifest.json")) or any(path.glob("*/*/manifest.json")):
            yield f"{path}/"


def _overrides(current: str) -> Iterator[str]:
    """Groups with their files, and keys; a key is offered part by part, as it is long."""
    key, equals, _ = current.partition("=")
    groups = {path.name for path in folder("conf").iterdir() if path.is_dir()} - {"hydra", "calibration"}
    if equals and key in groups:
        yield from (f"{key}={path.stem}" for path in (folder("conf") / key).glob("*.yaml"))
    elif not equals:
        yield from (f"{group}=" for group in groups)
        yield from _keys(current)


def _keys(current: str) -> Iterator[str]:
    from compiler.specs.config import Config

    found, path = Config(), current.split(".")[:-1]
    for name in path:
        found = getattr(found, name, None)  # type: ignore[assignment] # a part of it, and another one's below
    if is_dataclass(found):
        prefix = "".join(f"{name}." for name in path)
        for item in fields(found):
            yield f"{prefix}{item.name}{'.' if is_dataclass(getattr(found, item.name)) else '='}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.completion",
        description="Print what a shell reads to complete rankplan: its commands, plan folders, groups and keys.",
        epilog="example: rankplan completion bash > ~/.local/share/bash-completion/completions/rankplan",
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=list(SHELLS), help="the shell that reads it")
    return parser.parse_args(list(argv))
