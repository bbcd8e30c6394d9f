"""What a lost node moves: our repair beside the rule of a launcher with hot spares, from the same inputs.

    python -m benchmarks.repair

The launcher's rule is in `compiler/failures/renumbered.py`. Every single loss is tried. Ours counts the nodes whose ranks sit
elsewhere than before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from compiler import compile_plan
from compiler.failures import renumbered as launcher
from compiler.plan import Plan
from compiler.repairs.standing import Repaired, Standing

NODES = 128


@dataclass(frozen=True)
class Shape:
    """`domains` NVLink domains of `size` nodes, of which jobs use whole segments; None for no segments."""

    domains: int
    size: int
    segment: int | None


SHAPES = (Shape(8, 18, 16), Shape(16, 9, 8), Shape(9, 16, None), Shape(9, 16, 16))


def renumbered(shape: Shape) -> list[int]:
    """Nodes of a job that get another number, for the loss of each of them."""
    domains = [domain for domain in range(shape.domains) for _ in range(shape.size)]
    before = launcher.numbered(domains, shape.segment, NODES)
    return [launcher.renumbered(domains, shape.segment, NODES, (node,)) for node in before]


def compiled(shape: Shape, folder: str) -> Plan:
    """128 nodes of four GPUs, a tensor-parallel group a node, an expert-parallel group a segment; the rest are spares."""
    rows = [f"node{i:03d},leaf{i // shape.size},pod,rack{i // shape.size}" for i in range(shape.domains * shape.size)]
    with open(f"{folder}/hosts.csv", "w", encoding="utf-8") as file:  # noqa: PTH123 - a scratch file
        file.write("\n".join(["host,leaf,pod,rack", *rows]) + "\n")
    given = [
        "scheduler=[]", "hardware=gb200_nvl72", f"hardware.inventory={folder}/hosts.csv",
        f"launch.spare_nodes={shape.domains * shape.size - NODES}",
        f"hardware.nvlink.domain_gpus={4 * (shape.segment or shape.size)}", "model=moe_30b", "parallel=tp4_ep16_adp128",
    ]  # fmt: skip
    return compile_plan(given)


def moved(plan: Plan) -> tuple[list[int], float]:
    """Nodes that move for the loss of each, and CPU seconds of all."""
    standing, counts, start = Standing(plan), [], time.process_time()
    for host in plan.world.slots.hosts:
        found = standing.without(standing.graph.lost(*[f"host={host}"]))
        if isinstance(found, Repaired):
            counts.append(sum(a != b for a, b in zip(found.hosts, plan.world.slots.hosts, strict=True)))
    return counts, time.process_time() - start


def _figures(counts: Sequence[int]) -> str:
    return f"{statistics.mean(counts):6.1f} / {max(counts):3d}"


def main() -> None:
    """Print the table."""
    print("domains x size, segment   spares   renumbered mean / max   moved mean / max   CPU s of all 128")
    for shape in SHAPES:
        with TemporaryDirectory() as folder:
            counts, seconds = moved(compiled(shape, folder))
        name = f"{shape.domains} x {shape.size}, {shape.segment or 'none'}"
        spares = shape.domains * shape.size - NODES
        print(f"{name:24s} {spares:7d} {_figures(renumbered(shape)):>23s} {_figures(counts):>18s} {seconds:18.2f}")


if __name__ == "__main__":
    main()
