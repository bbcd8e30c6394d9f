"""A launcher that runs once on each node and starts the ranks there itself: the parts of a command that begins with one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from compiler.cluster.share import Share
from compiler.errors import ConfigError
from compiler.frameworks.emission import Argument
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Agent:
    """`program` are the launcher's own words, `options` what the user gives it, `rest` what it starts."""

    name: str
    program: tuple[Argument, ...]
    options: tuple[Argument, ...]
    rest: tuple[Argument, ...]

    @property
    def given(self) -> tuple[str, ...]:
        """The user's options, as words."""
        return tuple(word for word in self.options if isinstance(word, str))

    def told(self, own: Sequence[Argument]) -> tuple[Argument, ...]:
        """The command with options of ours in front of the user's."""
        return (*self.program, *own, *self.options, *self.rest)

    def refuse(self, decided: re.Pattern[str], instead: str, unit: str | None, share: Share) -> None:
        """Raises ConfigError where the user gives what the plan decides, or would start it once a rank, or to start nothing."""
        chosen = [word for word in self.given if decided.fullmatch(word)]
        if chosen:
            raise ConfigError.of(
                f"launch.command gives {self.name} {' '.join(chosen)}, and the plan decides that",
                f"leave it out: {instead} come from the plan",
            )
        if not self.rest and all(word.startswith("-") for word in self.given):
            raise ConfigError.of(
                f"launch.command has {self.name} start nothing", "end it with your script and what the script is told"
            )
        if unit == "rank":
            raise ConfigError.of(
                f"launch.unit=rank would start {self.name} {share.ranks} times on each node", "write launch.unit=node"
            )


def agent(command: Sequence[Argument], name: str, modules: Collection[str]) -> Agent | None:
    """None where the command does not begin with this launcher, as a program or as `python -m` one of its modules."""
    words = [word if isinstance(word, str) else "" for word in command]
    start = _program(words, name, modules)
    if start is None:
        return None
    end = next((at for at in range(start, len(words)) if _starts(words[at])), len(words))
    return Agent(name, tuple(command[:start]), tuple(command[start:end]), tuple(command[end:]))


def _program(words: Sequence[str], name: str, modules: Collection[str]) -> int | None:
    """How many words are the launcher itself."""
    if words and words[0].rsplit("/", 1)[-1] == name:
        return 1
    found = [at for at in range(1, len(words) - 1) if words[at] == "-m" and words[at + 1] in modules]
    return found[0] + 2 if found else None


def _starts(word: str) -> bool:
    """Whether a launcher's options end here: at the first script, module or program."""
    return word.endswith(".py") or word in ("-m", "--module", "--no-python", "--no_python")
