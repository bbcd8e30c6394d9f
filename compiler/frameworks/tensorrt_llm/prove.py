"""A plan against TensorRT-LLM: its own `mapping.py` run in this process, or without a wheel its published rules.

`mapping.py` is run with the two modules of the package that it imports left empty: they are about Ray.
What is read of the plan are its emitted arguments, so a wrong flag is found too.
"""

from __future__ import annotations

import enum
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import yaml

from compiler.frameworks.lifted import Source, torch_module
from compiler.frameworks.lifted import source as opened
from compiler.frameworks.proof import Finding, compared, groups
from compiler.frameworks.tensorrt_llm.emit import emission
from compiler.frameworks.tensorrt_llm.layout import Sizes, sizes
from compiler.frameworks.tensorrt_llm.published import Place, Published, plan_groups, plan_places
from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.layout.groups import ATTENTION_KINDS, EXPERT_KINDS
from compiler.world import World

PACKAGE = "tensorrt_llm"
OPTIONS = {"--tp_size": "tp", "--pp_size": "pp", "--ep_size": "moe_ep"}


@dataclass(frozen=True)
class Executed:
    """mapping.py itself: `attention` is the mapping as configured, `behind` the one of the layers behind attention."""

    attention: Any
    behind: Any
    name: str

    def place(self, rank: int) -> Place:
        self.attention.rank = self.behind.rank = rank
        own = {name: getattr(self.attention, f"{name}_rank") for name in ("tp", "cp", "pp")}
        return {**own, **{name: getattr(self.behind, f"{name}_rank") for name in ("moe_tp", "moe_ep")}}

    def groups(self, kind: str) -> list[list[int]]:
        found: list[list[int]] = getattr(self.attention, f"{kind}_groups")
        return found

    def layers(self, count: int) -> list[list[int]]:
        mapping, stage = self.attention, self.attention.tp_size * self.attention.cp_size
        return [_at(mapping, first).pp_layers(count) for first in range(0, mapping.world_size, stage)]

    def experts(self, count: int) -> list[list[int]]:
        return [_at(self.behind, rank).ep_experts(count) for rank in range(self.behind.moe_ep_size)]


def _at(mapping: Any, rank: int) -> Any:
    mapping.rank = rank
    return mapping


def prove(world: World, source: Path | None) -> Iterator[Finding]:
    """Every kind of group, layers, experts and degrees. Raises NotInstalledError where a given wheel cannot be run."""
    config, given = world.config, _given(world)
    wanted = sizes(config)
    yield compared(
        "degrees in the emitted options", wanted, Sizes(**{k: v for k, v in given.items() if k != "partition"})
    )
    oracle = _oracle(world, given, source)
    yield compared(f"oracle: {oracle.name}", version(config).number, version(config).number)
    for name in world.kinds:
        if name.startswith(f"{PACKAGE}."):
            yield groups(name, world.groups[name], oracle.groups(name.removeprefix(f"{PACKAGE}.")))
    place = plan_places(oracle.place, attention_dp=bool(given["attention_dp"]))
    found = dict(plan_groups(world.size, place, ATTENTION_KINDS, ("tp", "cp", "dp", "pp")))
    if config.model.moe:
        found |= plan_groups(world.size, place, EXPERT_KINDS, ("etp", "ep", "edp", "pp"))
    for kind, table in found.items():
        yield groups(kind, world.groups[kind], table)
    layers = [list(stage) for stage in world.stages.layers]
    yield compared("layers of each stage", layers, oracle.layers(config.model.num_hidden_layers))
    if world.experts.blocks:
        blocks = [[i for first, last in block for i in range(first, last + 1)] for block in world.experts.blocks]
        yield compared("experts of each ep rank", blocks, oracle.experts(config.model.num_experts))


def _given(world: World) -> dict[str, Any]:
    """Degrees as trtllm-serve would read them from what the plan emits."""
    emitted = emission(world)
    words = [item if isinstance(item, str) else item.text for item in emitted.arguments]
    options = {name: int(words[words.index(flag) + 1]) for flag, name in OPTIONS.items() if flag in words}
    extra = yaml.safe_load(str(emitted.files[0].text))
    return {
        "tp": options["tp"],
        "cp": extra.get("context_parallel_size", 1),
        "pp": options["pp"],
        "moe_ep": options.get("moe_ep", 1),
        "moe_tp": extra.get("moe_tensor_parallel_size", options["tp"]),
        "attention_dp": extra["enable_attention_dp"],
        "partition": extra.get("pp_partition"),
    }


def _oracle(world: World, given: dict[str, Any], source: Path | None) -> Published | Executed:
    facts = version(world.config).facts
    if source is None and importlib.util.find_spec(PACKAGE) is None:
        own = {name: given[name] for name in ("tp", "cp", "pp", "moe_tp", "moe_ep", "partition")}
        return Published(**own, cp_fastest=bool(facts["cp_fastest"]))
    files = opened(PACKAGE, source, version(world.config).number)
    module = _run(files)
    names = ("tp", "cp", "pp", *(("moe_tp", "moe_ep") if world.config.model.moe else ()))
    kwargs: dict[str, Any] = {f"{name}_size": given[name] for name in names}
    if given["cp"] > 1 and hasattr(module, "CpType"):  # before 1.1 there was Ulysses alone
        kwargs["cp_config"] = {"cp_type": module.CpType[facts["cp_type"]]}
    if given["partition"]:
        kwargs["pp_partition"] = given["partition"]
    mapping = module.Mapping(world_size=world.size, enable_attention_dp=given["attention_dp"], **kwargs)
    helix = given["cp"] > 1 and facts["cp_type"] == "HELIX"
    behind = module.Mapping(world_size=world.size, **_repurposed(kwargs)) if helix else mapping
    return Executed(mapping, behind, f"tensorrt_llm/mapping.py of {files.root.name} was run")


def _repurposed(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Behind attention, Helix makes tp ranks of its cp ranks."""
    own = {name: value for name, value in kwargs.items() if name not in ("cp_config", "cp_size", "tp_size")}
    return {**own, "tp_size": kwargs["tp_size"] * kwargs["cp_size"]}


def _run(files: Source) -> ModuleType:
    """mapping.py as a module of its own. `sys.modules` is left as it was."""
    torch_module()
    ray, utilities, enums = ModuleType("device_mesh"), ModuleType("_utils"), ModuleType("strenum")
    vars(ray)["DeviceMeshTopologyImpl"] = type("DeviceMeshTopologyImpl", (), {})
    vars(utilities)["mpi_disabled"] = lambda: False
    vars(enums)["StrEnum"] = enum.StrEnum
    stubs = {
        PACKAGE: ModuleType(PACKAGE),
        f"{PACKAGE}._torch": ModuleType("_torch"),
        f"{PACKAGE}._torch.device_mesh": ray,
        f"{PACKAGE}._utils": utilities,
        "strenum": enums,
    }
    module = ModuleType(f"{PACKAGE}.mapping")
    with mock.patch.dict(sys.modules, stubs):
        exec(compile(files.text("mapping.py"), "mapping.py", "exec"), vars(module))  # noqa: S102 - the oracle itself
    return module
