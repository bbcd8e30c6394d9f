"""A composed DictConfig -> the frozen Config, or every problem with its values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from compiler.cluster import inventory, topology
from compiler.cluster.hosts import names
from compiler.config import contents, exposed, grammar, pools
from compiler.config.compose import compose, known
from compiler.config.keys import check_keys, check_missing, check_search, mistyped, suggestion
from compiler.config.messages import translated
from compiler.config.schema import writable
from compiler.config.sealed import sealed
from compiler.errors import ConfigError, Problem, short
from compiler.frameworks.adapter import adapter
from compiler.inputs.file import MOST_JSON_BYTES
from compiler.layout import last_map, loads
from compiler.schedulers import registry
from compiler.schedulers.slurm import blocks
from compiler.specs.config import Config
from compiler.specs.model import Model
from compiler.specs.ranges import problems
from compiler.specs.site import KubernetesSite, TopologyKeys
from compiler.specs.weights import CLASSES, Stored
from compiler.specs.workload import ROLES, Workload


def load_config(overrides: Sequence[str], config_dir: str | None = None, config_name: str | None = None) -> Config:
    """Compose and check. Raises ConfigError with every value that is bad in itself."""
    return to_config(compose(overrides, config_dir, config_name), overrides, config_dir)


@sealed()
def to_config(cfg: DictConfig, overrides: Sequence[str] = (), config_dir: str | None = None) -> Config:
    """The frozen values of a composed configuration.

    `overrides` are those of the command line, already applied; `config_dir` is the user's folder, for files that pools name.
    """
    with translated():
        OmegaConf.set_struct(cfg, value=False)
        check_keys(cfg)
        check_search(cfg, overrides)
        _check_expect(cfg, overrides)
        _read_model(cfg, overrides)
        _read_nodes(cfg, overrides)
        _unset(cfg, overrides)
        if bad := list(mistyped(cfg)):
            raise ConfigError(bad)
        check_missing(cfg)
        scheduler = {name: _options(name, node) for name, node in (cfg.scheduler or {}).items()}
        config = cast("Config", OmegaConf.to_object(cfg))
    workload, bad_pools = pools.read(config, config_dir)
    config = dataclasses.replace(config, model=_with_forms(config.model))
    config = dataclasses.replace(
        config,
        workload=with_precision(workload, config.model),
        scheduler=dict(sorted(scheduler.items())),
        hardware=_with_calibration(_with_inventory(config)),
        experts=_with_loads(config),
        search=_with_measured(config.search),
        launch=_with_texts(config.launch),
        site=_with_texts(config.site),
    )
    found = [*bad_pools, *bad_values(config)]
    found = found or list(grammar.named(config))  # a name is made from degrees, good ones
    if found:
        raise ConfigError(found)
    registry.choose(list(config.scheduler))
    config = adapter(config.framework.name).told(config)
    if bad := list(problems(config.workload, "workload")):  # what an argument says of a key
        raise ConfigError(bad)
    return dataclasses.replace(config, hardware=blocks.requested(config))


def bad_values(config: Config) -> list[Problem]:
    """What is wrong with each value by itself."""
    return [*exposed.problems(config), *problems(config), *grammar.problems(config)]


def _check_expect(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """The group is optional, so Hydra passes over a file that is not there; a misspelt one must not go unjudged."""
    chosen = [override for override in overrides if re.fullmatch(r"expect=.*", override)]
    if chosen and cfg.expect.model is None and not cfg.expect.claims:
        raise ConfigError.of(
            f"{short(chosen[-1])} is not known",
            f"{known('expect', chosen[-1].partition('=')[2], 'expect')}, or ~expect for none",
        )


def _read_model(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Replace the model by a `config.json`; keys of the same command line still win."""
    path = OmegaConf.select(cfg, "model.hf_config")
    if path is None:
        return
    from compiler.config import hf

    keys = [override.lstrip("+").split("=", 1)[0] for override in overrides]
    written = {key: OmegaConf.select(cfg, key) for key in keys if key.startswith("model.") and key != "model.hf_config"}
    read = hf.read(path)
    layers = written.get("model.num_hidden_layers")
    cfg.model = writable(read if type(layers) is not int else hf.resized(read, layers))
    for key, value in written.items():
        OmegaConf.update(cfg, key, value, merge=True)


def _read_nodes(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """An inventory that is a file says how many nodes there are, less the spares, unless somebody did on the command line.

    Where it is the table itself, as in a plan's own config.yaml, both stand there.
    """
    path, keys = OmegaConf.select(cfg, "hardware.inventory"), [item.lstrip("+").split("=", 1)[0] for item in overrides]
    if path is None or "\n" in path or "hardware.nodes" in keys:
        return
    places = [f"workload.pools.{role}" for role in ROLES] if cfg.workload.pools else ["launch"]
    spares = [OmegaConf.select(cfg, f"{place}.spare_nodes") for place in places]
    text = _hosts(path, _labels(cfg)) or ""
    nodes = len(inventory.read(text)) - sum(spare for spare in spares if isinstance(spare, int))
    if nodes > 0:
        cfg.hardware.nodes = nodes


def _unset(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """A variable that is null on the command line is taken away, whoever has set it."""
    for override in overrides:
        found = re.fullmatch(r"\+*((?:launch|site|workload\.pools\.\w+)\.environment)\.(\w+)=null", override)
        if found and (variables := OmegaConf.select(cfg, found[1])) is not None:
            variables.pop(found[2], None)


def _options(name: str, node: Any) -> Any:
    """A target's own options, as its frozen dataclass."""
    options = writable(registry.target(str(name)).options)
    if not isinstance(node, (DictConfig, type(None))):
        raise ConfigError.of(
            f"scheduler.{name}={short(node)} is no set of options", "write {key: value}, or leave it out"
        )
    known = [str(key) for key in options]
    bad = [str(key) for key in node or {} if key not in known]
    if bad:
        raise ConfigError(
            Problem(f"scheduler.{name}.{key} is not a setting", suggestion(f"scheduler.{name}.{key}", known))
            for key in bad
        )
    return OmegaConf.to_object(OmegaConf.merge(options, node or {}))


def _with_forms(model: Model) -> Model:
    """The model with how its classes of weights are stored as frozen values. Raises ConfigError."""
    key, found = "model.quantization.weights", {}
    for name, given in model.quantization.weights.items():
        if name not in CLASSES:
            raise ConfigError.of(f"{key}.{short(name)} is not a class of weights", f"write one of {', '.join(CLASSES)}")
        found[name] = _form(f"{key}.{name}", given)
    return dataclasses.replace(model, quantization=dataclasses.replace(model.quantization, weights=found))


def _form(key: str, given: Any) -> Any:
    """One class's form. Raises ConfigError."""
    if not isinstance(given, (dict, Stored)):
        raise ConfigError.of(f"{key}={short(given)} is no form", "write {scheme: int4, bits: 4.5}")
    with translated():
        node = OmegaConf.merge(writable(Stored), given)
        missing = sorted(map(str, OmegaConf.missing_keys(node)))
        if missing:
            raise ConfigError(Problem(f"{key}.{part} has no value", f"write {part}: ...") for part in missing)
        return OmegaConf.to_object(node)


def with_precision(workload: Workload, model: Model) -> Workload:
    """The workload with what is computed in: in serving as the checkpoint says, where nobody else does."""
    if workload.precision is not None:
        return workload
    return dataclasses.replace(workload, precision="bf16" if workload.train else model.precision)


def _with_inventory(config: Config) -> Any:
    """Hardware with the table of hosts in the place of its path, so that it enters the plan by content."""
    text = _hosts(config.hardware.inventory, config.site.kubernetes)
    if config.hardware.hosts is not None:
        names(config.hardware.hosts)
    return dataclasses.replace(config.hardware, inventory=text)


def _hosts(given: str | None, site: KubernetesSite) -> str | None:
    """The table of hosts of an inventory, in whatever form it was given. Raises ConfigError."""
    text = contents.content("hardware.inventory", given, f"name a file: {topology.FORMS}", MOST_JSON_BYTES)
    if given is None or text is None:
        return None
    table = topology.table(contents.named("hardware.inventory", given), text, site)
    contents.readable("hardware.inventory", given, inventory.read, table)
    return table


def _labels(cfg: DictConfig) -> KubernetesSite:
    """The site's names for what nodes are labelled with, before the rest of the site is read."""
    keys = {key: OmegaConf.select(cfg, f"site.kubernetes.topology.{key}") for key in ("domain", "leaf", "pod")}
    return KubernetesSite(
        gpu_resource=str(OmegaConf.select(cfg, "site.kubernetes.gpu_resource")),
        topology=TopologyKeys(**{key: None if value is None else str(value) for key, value in keys.items()}),
    )


def _with_calibration(hardware: Any) -> Any:
    """Hardware with the text of a calibration file in the place of its path; a name is one of `conf/calibration`."""
    given = hardware.calibration
    if given is None or not given.endswith((".yaml", ".yml")):
        return hardware
    text = contents.content("hardware.calibration", given, "name a file that python -m compiler.calibrate wrote")
    return dataclasses.replace(hardware, calibration=text)


def _with_loads(config: Config) -> Any:
    """Measured loads of experts, and the map that they have now, likewise."""
    given = config.experts.load
    last = contents.content("experts.last", config.experts.last, last_map.INSTEAD, most_json=MOST_JSON_BYTES)
    if given is None:
        if last is not None:
            raise ConfigError.of(
                "experts.last has no loads to make a new map of", "write experts.load=FILE, or leave experts.last out"
            )
        return config.experts
    text = given if "\n" in given else contents.recorded_loads(f"experts.load={given}", given)
    contents.readable("experts.load", given, loads.read, text)
    return dataclasses.replace(config.experts, load=text, last=last)


def _with_measured(search: Any) -> Any:
    """Measured runs, likewise."""
    text = contents.content("search.measured", search.measured, "name a CSV file of runs")
    if text is not None:
        from compiler.config import measured  # a plain compile has none

        contents.readable("search.measured", search.measured, measured.read, text)
    return dataclasses.replace(search, measured=text)


def _with_texts(spec: Any) -> Any:
    """`launch` or `site` with whole numbers of its environment as texts."""
    return dataclasses.replace(spec, environment=grammar.as_texts(spec.environment))
