"""What Hydra composes of groups' files, less its own configuration, which takes it half of its time and no plan reads.

Files of ours do not change: what is made of the same choices of groups a third time is what was kept of the second. A command
composes once and keeps nothing; a sweep in Python, a notebook and the search for a fix that compiles ask again and again.
"""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from compiler import plugins
from compiler.config.choices import GROUPS
from compiler.config.source import PLUGINS
from compiler.errors import ConfigError
from compiler.render.assets import folder
from compiler.specs.degrees import Parallel, looks_like_degrees, parse

MOST = 256
"""Choices that are kept; each takes 70 kB."""

_DEGREES = "parallel: any list of degrees"

_KEPT: dict[tuple[str, ...], bytes | None] = {}
"""None for choices that were asked for once."""


def composed(loader: ConfigLoaderImpl, name: str, overrides: list[str], *, ours: bool) -> DictConfig:
    """The primary file `name` with overrides; `ours`: no folder of a user's is looked into."""
    parsed, repo = loader._parse_overrides_and_create_caching_repo(name, overrides)  # noqa: SLF001 - its public door adds its own
    loader.validate_sweep_overrides_legal(parsed, RunMode.RUN, from_shell=True)
    choices = {override.key_or_group: override for override in parsed if _chooses(override)}
    degrees = _degrees(choices.get("parallel"))
    key = (
        str(folder("conf")),
        name,
        *(_DEGREES if degrees and group == "parallel" else str(choice.input_line) for group, choice in choices.items()),
    )
    kept = _KEPT.get(key) if ours else None
    if kept is not None:
        cfg: DictConfig = pickle.loads(kept)  # noqa: S301 - of this process
        cfg.parallel.update(degrees)
        values: Sequence[Override] = [override for override in parsed if not _chooses(override)]
    else:
        found = create_defaults_list(repo, name, parsed, prepend_hydra=False, skip_missing=False)
        cfg = loader._compose_config_from_defaults_list(found.defaults, repo)  # noqa: SLF001 - as above
        OmegaConf.set_struct(cfg, value=True)
        values = found.config_overrides
        if ours and all(map(_stays, choices.values())):
            _keep(key, cfg, degrees)
    loader._apply_overrides_to_config(list(values), cfg)  # noqa: SLF001 - as above
    return cfg


def _keep(key: tuple[str, ...], cfg: DictConfig, degrees: Mapping[str, int]) -> None:
    """At the second time; without the degrees, which are of each time."""
    if len(_KEPT) >= MOST:
        _KEPT.clear()
    if key not in _KEPT:
        _KEPT[key] = None
        return
    whole = copy.deepcopy(cfg)
    whole.parallel.update({name: getattr(Parallel(), name) for name in degrees})
    _KEPT[key] = pickle.dumps(whole)


def _degrees(choice: Override | None) -> dict[str, int]:
    """Those that the option of the group `parallel` lists; none where it is a file, or Hydra has to say what is wrong with it."""
    option = str(choice.value()) if choice is not None and choice.type is OverrideType.CHANGE else ""
    if not looks_like_degrees(option) or os.path.isfile(folder("conf") / "parallel" / f"{option}.yaml"):  # noqa: PTH113 - Path.is_file raises for a name too long
        return {}
    try:
        return parse(option)
    except ConfigError:
        return {}


def _chooses(override: Override) -> bool:
    """Whether it chooses a group's file, as Hydra tells it from a value: a mapping is one of the group's keys."""
    group = override.key_or_group.partition("@")[0]
    return (group in GROUPS or "/" in group) and not isinstance(override.value(), dict)


def _stays(choice: Override) -> bool:
    """Whether the file is one of ours: code that lives elsewhere may come and go."""
    value: Any = choice.value()
    names = {str(one) for one in value} if isinstance(value, list) else {str(value)}
    group = choice.key_or_group
    return group in GROUPS and (group not in PLUGINS or names <= {*plugins.ours(PLUGINS[group][0])})
