"""What a framework's checkpoints survive, as data: each framework's `checkpoints.yaml`.

read: file and release that the rules were read in
rules:                      # by what changes; the first that holds is taken
- of: [tp, pp]              # words of CHANGES
  when: {workload.distributed_optimizer: true, --ckpt-format: torch}   # of the old run: keys, or options it was given
  resumes: always           # or never; where neither is said, by a format
  format: torch DCP         # that the old run must have saved in
  saved_with: [--option]    # one of these makes the old run save in it; none: it always does, or what it saved can be converted
  told: {--option: value}   # what the new run must be given to load it
  then: data starts over    # what the new run computes otherwise for it
  because: why, for people
trains: [--seed, --lr*]     # options that change what is computed
breaks: [--optimizer]       # options with which what was saved is of no use
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from compiler.frozen import dataclass

CHANGES = (
    *("tp", "cp", "pp", "vpp", "ep", "etp", "dp", "dp_cp"),
    *("ranks", "order", "stages", "experts", "vocab", "zero_stage", "distributed_optimizer", "states", "optimizer"),
)
"""What may change between two plans of one model. `dp` is attention data parallelism, `dp_cp` its product with cp, over which
optimizers are sharded; `ranks` how many there are; `vocab` the padding of the vocabulary; `states` what is kept in which precision."""


@dataclass(frozen=True)
class Rule:
    """One rule, as the module's text says."""

    of: tuple[str, ...]
    because: str
    when: Mapping[str, Any] = field(default_factory=dict)
    resumes: str | None = None
    format: str = ""
    saved_with: tuple[str, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    then: str = ""


@dataclass(frozen=True)
class Checkpoints:
    """A framework's rules, where they were read, and the options that change what is computed, or what is saved."""

    read: str
    rules: tuple[Rule, ...]
    trains: tuple[str, ...]
    breaks: tuple[str, ...]

    def rule(self, change: str, run: Run) -> Rule | None:
        """The rule for a change of an old run; None where nothing is known of it."""
        holding = (rule for rule in self.rules if change in rule.of)
        return next((rule for rule in holding if all(run.says(key, value) for key, value in rule.when.items())), None)

    def matches(self, patterns: tuple[str, ...], option: str) -> bool:
        """Whether an option is one of `trains`, or of `breaks`."""
        return any(fnmatchcase(spelt(option), spelt(pattern)) for pattern in patterns)


@dataclass(frozen=True)
class Run:
    """What a run was started with: keys of its configuration, dotted, and options of its program."""

    settings: Mapping[str, Any]
    options: Mapping[str, tuple[str, ...]]

    def says(self, key: str, value: Any) -> bool:
        """Whether a key, or an option, which has a dash before it or no dot in it, has a value; true stands for any."""
        if "." in key and not key.startswith("-"):
            return bool(self.settings.get(key) == value)
        found = self.options.get(spelt(key))
        return found is not None and (value is True or any(str(value) in item.split(",") for item in found))


def spelt(option: str) -> str:
    """An option as it is compared: `--a_b` and `--a-b` are the same to tyro and to nobody else, where one of them is an error."""
    return option.replace("_", "-")


@cache
def checkpoints(framework: str) -> Checkpoints:
    """A framework's rules."""
    import yaml

    text = Path(__file__).with_name(framework).joinpath("checkpoints.yaml").read_text(encoding="utf-8")
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    rules = tuple(map(_rule, found["rules"]))
    return Checkpoints(found["read"], rules, *(tuple(found.get(key, ())) for key in ("trains", "breaks")))


def _rule(row: Mapping[str, Any]) -> Rule:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Rule(**values)
