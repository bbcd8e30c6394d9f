"""Names of a sweep: its folder's, its jobs', and its overrides as words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from hydra.core.override_parser.types import Override

from compiler.specs.config import Config

SHOWN = frozenset(
    "model name parallel parallel.tp parallel.cp parallel.pp parallel.vpp parallel.ep parallel.etp parallel.dp "
    "parallel.adp parallel.order framework framework.instances workload.kind".split()
)
"""Keys whose values a plan's name already shows."""
NOTHING: Mapping[str, str] = MappingProxyType({})


def default_name(overrides: Sequence[str]) -> str:
    """A sweep's folder where `sweep` is not given: its overrides, shortened, and a hash of them."""
    text = " ".join(item for item in overrides if not item.startswith(("out=", "hydra")))
    return f"{_word(text)[:60].strip('-') or 'default'}-{digest(text)}"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")


def job_name(config: Config, changed: Sequence[str], shown: Mapping[str, str] = NOTHING) -> str:
    """The plan's name and the swept values that it does not show; `shown` are swept overrides as words."""
    told = SHOWN if config.name is None else frozenset({"name"})
    pairs = [item.lstrip("+").split("=", 1) for item in changed]
    values = [shown.get(f"{key}={value}", _exact(value)) for key, value in pairs]
    added = [
        f"{key.rpartition('.')[2]}-{value}" for (key, _), value in zip(pairs, values, strict=True) if key not in told
    ]
    name = "_".join([config.plan_name, *added])
    return name if len(name) <= 100 else f"{name[:91]}-{digest(name)}"


def words(swept: Iterable[tuple[Override, Sequence[str]]]) -> dict[str, str]:
    """Every swept override's value as a word; where two of one key would be the same word, each with a hash."""
    found: dict[str, str] = {}
    for item, choices in swept:
        if item.is_sweep_override():
            pairs = [choice.lstrip("+").split("=", 1) for choice in choices]
            plain = [_plain(value) for _, value in pairs]
            distinct = len({word.lower() for word in plain}) == len({value for _, value in pairs})
            for (key, value), word in zip(pairs, plain, strict=True):
                found[f"{key}={value}"] = word if distinct and word else _exact(value)
    return found


def _plain(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", value).strip("-.")


def _exact(value: str) -> str:
    """A value as a word; where the word says less than the value, a hash makes up for it."""
    word = _plain(value)
    return word if word == value else f"{word}-{digest(value)}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
