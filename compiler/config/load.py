"""A composed DictConfig -> the frozen Config, or every problem with its values."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from compiler.cluster import inventory
from compiler.config.compose import compose
from compiler.config.messages import translated
from compiler.config.schema import writable
from compiler.errors import ConfigError, Problem
from compiler.frameworks.adapter import names as framework_names
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.fields import problems

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
AXES = {"tp", "cp", "ep", "dp", "pp"}


def load_config(overrides: Sequence[str], config_dir: str | None = None, config_name: str | None = None) -> Config:
    """Compose and check. Raises ConfigError with every value that is bad in itself."""
    cfg = compose(overrides, config_dir, config_name)
    with flag_override(cfg, ["struct", "readonly"], [False, False]):
        del cfg["hydra"]
    return to_config(cfg, overrides)


def to_config(cfg: DictConfig, overrides: Sequence[str] = ()) -> Config:
    """The frozen values of a composed configuration; `overrides` are those of the command line, already applied."""
    with translated():
        OmegaConf.set_struct(cfg, value=False)
        _check_keys(cfg)
        _read_model(cfg, overrides)
        missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
        if missing:
            raise ConfigError(
                Problem(f"{key} has no value", f"write {key}=..., or choose a file that has it") for key in missing
            )
        scheduler = {name: _options(name, node) for name, node in (cfg.scheduler or {}).items()}
        config = OmegaConf.to_object(cfg)
    if not isinstance(config, Config):
        raise ConfigError.of(
            "the primary configuration does not start from the schema", "give it `defaults: [rankplan_schema, _self_]`"
        )
    config = dataclasses.replace(config, scheduler=dict(sorted(scheduler.items())), hardware=_with_inventory(config))
    found = [*problems(config), *_words(config)]
    if found:
        raise ConfigError(found)
    registry.choose(list(config.scheduler))
    return config


def _check_keys(cfg: DictConfig) -> None:
    """Hydra's + walks past a schema; a misspelt key must not run with the defaults."""
    known = [item.name for item in dataclasses.fields(Config)]
    bad = [str(key) for key in cfg if key not in known]
    if bad:
        raise ConfigError(Problem(f"{key} is not a setting", _suggestion(key, known)) for key in bad)


def _suggestion(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(known)}"


def _read_model(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Replace the model by a `config.json`; keys of the same command line still win."""
    path = OmegaConf.select(cfg, "model.hf_config")
    if path is None:
        return
    from compiler.config import hf

    keys = [override.lstrip("+").split("=", 1)[0] for override in overrides]
    written = {key: OmegaConf.select(cfg, key) for key in keys if key.startswith("model.") and key != "model.hf_config"}
    cfg.model = writable(hf.read(path))
    for key, value in written.items():
        OmegaConf.update(cfg, key, value, merge=True)


def _options(name: str, node: Any) -> Any:
    """A target's own options, as its frozen dataclass."""
    options = writable(registry.target(str(name)).options)
    known = [str(key) for key in options]
    bad = [str(key) for key in node or {} if key not in known]
    if bad:
        raise ConfigError(Problem(f"scheduler.{name}.{key} is not a setting", _suggestion(key, known)) for key in bad)
    return OmegaConf.to_object(OmegaConf.merge(options, node or {}))


def _with_inventory(config: Config) -> Any:
    """Hardware with the inventory's text in the place of its path, so that it enters the plan by content."""
    given = config.hardware.inventory
    if given is None or "\n" in given:
        return config.hardware
    try:
        text = Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError.of(
            f"hardware.inventory={given} cannot be read: {error}", "name a CSV file of hosts"
        ) from error
    if "\n" not in text:
        text += "\n"
    inventory.read(text)
    return dataclasses.replace(config.hardware, inventory=text)


def _words(config: Config) -> Iterator[Problem]:
    """Values with a grammar of their own."""
    order = config.parallel.order.split("-")
    if sorted(order) != sorted(AXES):
        yield Problem(
            f"parallel.order={config.parallel.order} is no order of the axes",
            "write each of tp, cp, ep, dp, pp once, as in tp-cp-ep-dp-pp",
        )
    if config.framework.name not in framework_names():
        yield Problem(
            f"framework.name={config.framework.name} is not a known framework",
            f"write one of {', '.join(framework_names())}",
        )
    freq = config.model.moe_layer_freq
    layers = config.model.num_hidden_layers
    if isinstance(freq, list):
        if len(freq) != layers:
            yield Problem(
                f"model.moe_layer_freq has {len(freq)} entries for {layers} layers",
                "write one entry a layer, or a period",
            )
    elif not isinstance(freq, int) or freq < 1:
        yield Problem(f"model.moe_layer_freq={freq} is neither a period nor a list", "write 1 for MoE in every layer")
    yield from _unavailable(config)
    if not NAME.fullmatch(config.plan_name):
        yield Problem(
            f"name={config.plan_name} cannot name a plan folder",
            "write up to 100 letters, digits, ., _ and -, the first a letter or digit",
        )


def _unavailable(config: Config) -> Iterator[Problem]:
    """Settings of the interface whose work is not built yet: refused by name, never ignored."""
    if config.placement != "default":
        yield Problem(f"placement={config.placement} is not available in this version", "write placement=default")
    if config.experts.load is not None:
        yield Problem(f"experts.load={config.experts.load} is not available in this version", "leave it out")
    if config.workload.pools is not None:
        yield Problem("workload.pools is not available in this version", "compile prefill and decode as two plans")
