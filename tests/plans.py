"""Small plans for tests of the launch side, made without compiling costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from math import gcd
from pathlib import Path
from typing import Any

from compiler.frameworks.lay_out import lay_out
from compiler.pools import pool_config
from compiler.render.artifacts import Artifact
from compiler.render.folder import manifest
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.specs.config import Config, Framework
from compiler.specs.degrees import Parallel
from compiler.specs.hardware import Fabric, Gpu, Hardware, Nic, Node, Nvlink
from compiler.specs.launch import Launch
from compiler.specs.model import Model
from compiler.specs.site import Site
from compiler.specs.workload import Pool, Pools, Workload
from compiler.world import World

HOSTILE = {
    "SPACES": " a  b ",
    "QUOTES": """it's "so" `id`""",
    "SHELL": "$(id) $HOME ${HOME} $$ ; & | > # ! ~ * ? {a,b} [x]",
    "KUBERNETES": "$(RANK) $(NODE_RANK) $$(HOME)",
    "BACKSLASHES": "a\\b\\n\\",
    "COMMAS": "mlx5_0,mlx5_1=x",
    "LINES": "first\n\n  third\t\r\nlast\n",
    "UNICODE": "é\u2028\x85\ufeff😀",
    "CONTROL": "\x01\x1b[0m\x7f",
    "YAML": "- {a: yes}, [1]: |",
    "NUMBER": "0755",
    "EMPTY": "",
}
"""Values that quoting gets wrong somewhere."""


@dataclass(frozen=True)
class SmallPlan:
    """What a launch reads of a plan."""

    name: str
    world: World
    fingerprint: str = "0123456789abcdef" * 4

    @property
    def config(self) -> Config:
        return self.world.config

    @property
    def parts(self) -> dict[str, SmallPlan]:
        return {"": self}

    @property
    def contents(self) -> dict[str, Any]:
        return {"name": self.name}


def plan(
    nodes: int = 2,
    gpus: int = 8,
    *,
    instances: int = 1,
    hosts: str | None = None,
    pin: bool = False,
    name: str = "small",
    scheduler: tuple[str, ...] = ("slurm",),
    site: Site | None = None,
    options: dict[str, Any] | None = None,
    fabric: Fabric | None = None,
    domain_gpus: int | None = None,
    **launch: Any,
) -> SmallPlan:
    """A plan of `nodes` nodes in all, tp = an instance's ranks on a node, dp over nodes; `launch` is Launch's fields."""
    ranks = nodes * gpus // instances
    config = Config(
        hardware=Hardware(
            name="test",
            nodes=nodes,
            node=Node(gpus=gpus),
            gpu=Gpu(name="test", memory_bytes=64e9, memory_bandwidth=1e12),
            nvlink=Nvlink(domain_gpus=domain_gpus or gpus, bandwidth=1e11, latency=1e-6),
            nic=Nic(per_node=gpus, bandwidth=5e10, latency=1e-6),
            fabric=fabric or Fabric(kind="flat", nodes_per_leaf=2),
            inventory=hosts,
        ),
        model=Model(name="test", num_hidden_layers=2, hidden_size=64, num_attention_heads=64, vocab_size=128),
        parallel=_degrees(ranks, gpus),
        workload=Workload(kind="serve", global_batch_size=64),
        framework=Framework(name="none", instances=instances),
        scheduler={item: registry.target(item).options(**(options or {})) for item in scheduler},
        site=site or Site(name="test"),
        launch=Launch(**launch),
        name=name,
    )
    return SmallPlan(name, lay_out(replace(config, hardware=replace(config.hardware, pin=pin))))


@dataclass(frozen=True)
class SmallPools:
    """What a launch reads of pools."""

    name: str
    config: Config
    parts: dict[str, SmallPlan]
    fingerprint: str = "fedcba9876543210" * 4


def pools(
    prefill: tuple[int, int], decode: tuple[int, int], gpus: int = 8, spares: tuple[int, int] = (0, 0), **given: Any
) -> SmallPools:
    """Pools of (nodes in all, instances) each, with `spares` of their own; `given` is as for `plan`, whose name is of both."""
    shapes = {"prefill": prefill, "decode": decode}
    parts = {
        role: Pool(_degrees(nodes * gpus // instances, gpus), instances, spare_nodes=spare)
        for (role, (nodes, instances)), spare in zip(shapes.items(), spares, strict=True)
    }
    return _pooled(plan(sum(nodes for nodes, _ in shapes.values()), gpus, **given).config, parts)


def sharing(
    nodes: int, gpus: int, prefill: int, decode: int, ranks: int = 2, spares: int = 0, **given: Any
) -> SmallPools:
    """Instances of `ranks` ranks of both pools, so many of each, on nodes of which they share one."""
    counts = {"prefill": (prefill, 0), "decode": (decode, spares)}
    parts = {role: Pool(_degrees(ranks, gpus), count, spare_nodes=spare) for role, (count, spare) in counts.items()}
    return _pooled(plan(nodes, gpus, **given).config, parts)


def _pooled(config: Config, parts: dict[str, Pool]) -> SmallPools:
    config = replace(config, workload=replace(config.workload, pools=Pools(**parts)))
    made = {role: pool_config(config, role) for role in parts}
    plans = {role: SmallPlan(own.plan_name, lay_out(own)) for role, own in made.items()}
    return SmallPools(config.plan_name, config, plans)


def _degrees(ranks: int, gpus: int) -> Parallel:
    """tp = an instance's ranks on a node, dp over nodes."""
    tp = gcd(gpus, ranks)
    return Parallel(tp=tp, dp=ranks // tp)


def files(made: SmallPlan | SmallPools) -> dict[str, Artifact]:
    """Path -> artifact of everything that a launch needs."""
    own = [*registry.artifacts(made)]
    for name, part in made.parts.items():
        own += [Artifact(path, text).within(name) for path, text in job(part).shared]
        if part.config.hardware.inventory is not None:
            own.append(Artifact("runtime/inventory.csv", part.config.hardware.inventory).within(name))
    return {item.path: item for item in own}


def write(made: SmallPlan | SmallPools, folder: Path) -> Path:
    """The plan's launch files under `folder`, and their manifest."""
    found = files(made)
    digests = {path: sha256(str(item.text).encode()).hexdigest() for path, item in found.items()}
    for path, item in {**found, "manifest.json": manifest(digests)}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(str(item.text), encoding="utf-8")
        target.chmod(0o755 if item.executable else 0o644)
    return folder
