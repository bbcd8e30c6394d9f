"""Values that have a grammar of their own: orders, names of folders, lists with an entry a layer, texts."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from compiler import plugins
from compiler.blocks import kinds as blocks
from compiler.blocks.kinds import FEEDS, MIXERS
from compiler.blocks.stack import BETWEEN
from compiler.errors import Problem, short
from compiler.frameworks.adapter import names as framework_names
from compiler.nearest import one_of
from compiler.specs.config import Config
from compiler.specs.limits import LAYERS
from compiler.specs.workload import ROLES, Pools

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAMING = "write up to 100 letters, digits, ., _ and -, the first a letter or digit"
POOLED_NAME = 100 - len("_prefill")
AXES = {"tp", "cp", "ep", "dp", "pp"}


def problems(config: Config) -> Iterator[Problem]:
    """Every value of a configuration that is bad in itself, beyond what its type says."""
    order = config.parallel.order.split("-")
    if sorted(order) != sorted(AXES):
        yield Problem(
            f"parallel.order={short(config.parallel.order)} is no order of the axes",
            "write each of tp, cp, ep, dp, pp once, as in tp-cp-ep-dp-pp",
        )
    if plugins.module(plugins.FRAMEWORKS, config.framework.name) is None:
        yield Problem(
            f"framework.name={short(config.framework.name)} is not a known framework",
            one_of(config.framework.name, framework_names()),
        )
    yield from _layers(config)
    yield from _lengths(config)
    yield from _environment(config)
    yield from _texts(config)
    yield from _places(config)


def _layers(config: Config) -> Iterator[Problem]:
    """Lists of the model with an entry a layer."""
    model, layers = config.model, config.model.num_hidden_layers
    freq, kinds = model.moe_layer_freq, model.layer_types
    if isinstance(freq, list):
        if any(entry not in (0, 1) for entry in freq):
            yield Problem(
                f"model.moe_layer_freq={short(freq)} is not made of 0 and 1", "write 1 for a layer with experts"
            )
        if len(freq) != layers:
            yield Problem(
                f"model.moe_layer_freq has {len(freq)} entries for {layers} layers",
                "write one entry a layer, or a period",
            )
    elif type(freq) is not int or not 1 <= freq <= LAYERS:
        yield Problem(
            f"model.moe_layer_freq={short(freq)} is neither a period nor a list",
            f"write 1 for MoE in every layer, or a period of up to {LAYERS}",
        )
    yield from blocks.problems(model)
    for key, words, standard in (("layer_types", kinds, MIXERS), ("mlp_layer_types", model.mlp_layer_types, FEEDS)):
        yield from _words(f"model.{key}", words, layers, blocks.words(model, standard))


def _words(key: str, words: list[str] | None, layers: int, known: tuple[str, ...]) -> Iterator[Problem]:
    """One entry a layer, and each of it a word that stands for something, or several with a + between."""
    if words is None:
        return
    if len(words) != layers:
        yield Problem(f"{key} has {len(words)} entries for {layers} layers", "write one entry a layer")
    names = dict.fromkeys(name for word in words for name in word.split(BETWEEN))
    for name in names:
        if name not in known:
            yield Problem(f"{key} has {short(name)}, which model.blocks does not describe", one_of(name, known))


def _lengths(config: Config) -> Iterator[Problem]:
    """The sequence lengths that the kind of workload is about have no default."""
    workload = config.workload
    if workload.train and workload.sequence_length is None:
        yield Problem("workload.sequence_length has no value, and kind is train", "write workload.sequence_length=4096")
    if workload.kind == "serve" and not workload.sequence_lengths:
        yield Problem(
            "workload.sequence_lengths has no value, and kind is serve", "write workload.sequence_lengths=[1024,8192]"
        )


def _environment(config: Config) -> Iterator[Problem]:
    """Every variable is one text."""
    pools = config.workload.pools
    groups: dict[str, Any] = {"launch": config.launch, "site": config.site}
    groups |= {f"workload.pools.{role}": pools[role] for role in ROLES} if isinstance(pools, Pools) else {}
    for group, spec in groups.items():
        for name, value in spec.environment.items():
            if not isinstance(value, str):
                shown = "[...]" if isinstance(value, (list, dict)) else short(value)  # which may hold a secret
                yield Problem(f"{group}.environment.{short(name)}={shown} is no text", "write one value, in quotes")


def as_texts(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Variables with whole numbers as texts."""
    return {name: str(value) if type(value) is int else value for name, value in environment.items()}


def _texts(config: Config) -> Iterator[Problem]:
    """Every text can be written as UTF-8; bytes of another encoding on the command line cannot."""
    try:
        json.dumps(dataclasses.asdict(config), ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        yield Problem(f"a value holds {error.object[error.start]!r}, which is no character", "write it in UTF-8")


def _places(config: Config) -> Iterator[Problem]:
    """Names of folders."""
    for key, value in (("name", config.name), ("sweep", config.sweep), ("search.name", config.search.name)):
        if value is not None and not NAME.fullmatch(value):
            yield Problem(f"{key}={short(value)} cannot name a folder", NAMING)
    if not config.out:
        yield Problem("out= names no folder", "write out=FOLDER, or out=. for this one")


def named(config: Config) -> Iterator[Problem]:
    """The plan's own name, where every other value is good."""
    name = config.plan_name
    if not NAME.fullmatch(name):
        yield Problem(f"name={short(name)} cannot name a folder", NAMING)
    if config.workload.pools is not None and len(name) > POOLED_NAME:
        yield Problem(
            f"the plan's name has {len(name)} characters, and its pools' names would have more than 100",
            f"write name=NAME, of at most {POOLED_NAME}",
        )
