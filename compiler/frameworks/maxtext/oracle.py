"""A program of its own: what MaxText and JAX make of arguments. JSON in on stdin, JSON out on stdout.

MaxText's own configuration reads the arguments, JAX's own `create_device_mesh` places as many pretended GPUs, and MaxText's own
sharding rules say which axes mean what. Packages that MaxText imports and that are not installed are stood in for: none
of them has a say in a configuration. Without MaxText, mesh and rules come with the question, and JAX places the GPUs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from compiler.frozen import dataclass

RULES = {
    "dp": ("activation_batch",),
    "cp": ("activation_length_no_exp", "activation_length"),
    "tp": ("heads",),
    "pp": ("layers",),
    "ep": ("exp",),
    "etp": ("mlp_moe", "mlp"),
}
"""Axis of the plan -> the logical axis whose sharding it is; of several names the first that a version has."""

VALUES = (
    "num_pipeline_repeats",
    "num_layers_per_pipeline_stage",
    "num_pipeline_microbatches",
    "num_decoder_layers",
    "gradient_accumulation_steps",
    "global_batch_size_to_train_on",
    "micro_batch_size_to_train_on",
    "max_target_length",
    "emb_dim",
    "num_query_heads",
    "num_kv_heads",
    "num_experts",
    "num_experts_per_tok",
    "moe_mlp_dim",
    "mlp_dim",
    "vocab_size",
    "tensors_to_offload",
    "optimizer_memory_host_offload",
    "attention",
    "dtype",
    "weight_dtype",
    "grad_dtype",
    "mu_dtype",
    "quantization",
    "remat_policy",
    "shard_optimizer_over_data",
)


@dataclass(frozen=True)
class Gpu:
    """What `create_device_mesh` looks at: ids follow processes, and processes follow NODE_RANK."""

    id: int
    process_index: int = 0
    platform: str = "gpu"
    device_kind: str = "GPU"


class Nothing(type):
    """Classes that are whatever is asked of them: a base, a decorator, a module, something to patch."""

    def __getattr__(cls, name: str) -> Any:
        return nothing(name)

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        return nothing(cls.__name__)

    def __getitem__(cls, key: object) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())


def nothing(name: str) -> Nothing:
    """Raises AttributeError for what Python itself looks for."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing(name, (), {})


class StandIn(MetaPathFinder, Loader):
    """Imports of these packages give objects that do nothing."""

    def __init__(self) -> None:
        self.packages: set[str] = set()

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return (
            ModuleSpec(fullname, self, is_package=True) if fullname.split(".", maxsplit=1)[0] in self.packages else None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        made = ModuleType(spec.name)
        vars(made).update(__getattr__=nothing, __path__=[], __version__="0")
        return made

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


NEEDED = ("jax", "pydantic", "omegaconf", "yaml", "jinja2", "numpy", "maxtext")


@cache
def configuration() -> Any:
    """MaxText's module of configurations. Raises ModuleNotFoundError for a package that has a say in it."""
    stand_in = StandIn()
    sys.meta_path.append(stand_in)
    while True:
        try:
            return importlib.import_module("maxtext.configs.pyconfig")
        except ModuleNotFoundError as missing:
            package = str(missing.name).split(".", maxsplit=1)[0]
            if package in NEEDED or package in stand_in.packages:
                raise
            stand_in.packages.add(package)
            for name in [name for name in sys.modules if name.split(".")[0] == "maxtext"]:
                del sys.modules[name]


def answer(case: dict[str, Any], question: dict[str, Any], real: Sequence[Any]) -> dict[str, Any]:
    """Groups by kind, experts by ep rank, and what the configuration made of the arguments."""
    import jax

    gpus = [Gpu(rank, rank // case["gpus_per_node"]) for rank in range(case["devices"])]
    if question["root"] is None:
        axes, sizes, rules, values = case["mesh_axes"], case["sizes"], question["rules"], {}
    else:
        jax.devices = lambda *_: gpus
        module = configuration()
        # the inner one raises, the other exits
        read = getattr(module, "_initialize_pydantic", module.initialize_pydantic)
        found = read(["", question["base"], *case["arguments"], "skip_jax_distributed_system=true"])
        filled = importlib.import_module("maxtext.utils.max_utils").fill_unspecified_mesh_axes
        axes, sizes = list(found.mesh_axes), filled(list(found.ici_parallelism), len(gpus), "ICI")
        rules = {axis: _rule(found.logical_axis_rules, names) for axis, names in RULES.items()}
        values = {name: _plain(getattr(found, name, None)) for name in (*VALUES, *case["described"])}
    return {
        "mesh_axes": axes,
        "values": values,
        "groups": dict(_groups(case, gpus, axes, sizes, rules)),
        "experts": _experts(case, real),
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: the word of an enumeration, the name of a type."""
    value = getattr(value, "value", value)
    return (
        value
        if value is None or isinstance(value, (str, int, float, list, dict))
        else getattr(value, "__name__", str(value))
    )


def _rule(rules: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Mesh axes that shard a logical axis: the first rule of that name."""
    for name in names:
        for rule in rules:
            if rule[0] == name:
                return [rule[1]] if isinstance(rule[1], str) else list(rule[1])
    return []


def _groups(
    case: dict[str, Any], gpus: list[Gpu], axes: list[str], sizes: list[int], rules: dict[str, list[str]]
) -> Any:
    """A kind's groups: its axes last, in the order of the mesh, and a row for everything else."""
    import numpy as np
    from jax.experimental import mesh_utils

    placed = mesh_utils.create_device_mesh(sizes, gpus)
    ids = np.vectorize(lambda gpu: gpu.id, otypes=[np.int64])(placed)
    if not case["moe"]:  # there are no experts: tensor cuts what is not expert
        rules = {**rules, "ep": [], "etp": []}
    taken = {axis for name in ("ep", "etp", "pp") for axis in rules[name]}
    meaning = {
        **rules,
        "edp": [axis for axis in axes if axis not in taken],
        **{f"maxtext.{axis}": [axis] for axis in axes},
    }
    for kind, names in case["kinds"].items():
        wanted = [index for index, axis in enumerate(axes) if any(axis in meaning[name] for name in names)]
        rest = [index for index in range(len(axes)) if index not in wanted]
        width = int(np.prod([sizes[index] for index in wanted], dtype=np.int64))
        yield kind, ids.transpose([*rest, *wanted]).reshape(-1, width).tolist()


def _experts(case: dict[str, Any], real: Sequence[Any]) -> list[list[int]]:
    """Experts of each position of the axis `expert`, as JAX shards a dimension of that length."""
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    if not case["moe"]:
        return []
    mesh = Mesh(np.array(real[: case["ep"]]), ("expert",))
    shards = NamedSharding(mesh, PartitionSpec("expert")).devices_indices_map((case["experts"],))
    return [list(range(case["experts"])[shards[device][0]]) for device in real[: case["ep"]]]


def main() -> None:
    """Answer every case; an error is an answer too."""
    with contextlib.redirect_stdout(sys.stderr):
        question = json.load(sys.stdin)
        os.environ["XLA_FLAGS"] = (
            f"--xla_force_host_platform_device_count={max(case['ep'] for case in question['cases'])}"
        )
        if question["root"] is not None:
            sys.path.insert(0, question["root"])
        import jax

        real, answers = jax.devices(), []
        for case in question["cases"]:
            try:
                answers.append(answer(case, question, real))
            except (ValueError, AssertionError, NotImplementedError) as error:  # what MaxText refuses with
                answers.append({"error": " ".join(str(error).split())})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
