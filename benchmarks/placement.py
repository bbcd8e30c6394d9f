"""What `placement=best` finds beside the default and names in order, how far from its bound, and how long it takes.

    python -m benchmarks.placement

128 nodes whose names go round leaves of 16; one axis, pipelines of 8 nodes, over leaves of unequal size; and 2,048 nodes of racks of which 16 to 18 nodes are
there, with experts in NVLink domains and pipelines or data parallelism over leaves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from compiler.config.load import load_config
from compiler.passes import timed_by
from compiler.placement.chosen import Chosen, choose
from compiler.placement.search import search

TRAIN = ("scheduler=[]", "~expect", "workload=train")
MOE = (
    *TRAIN,
    "model=qwen3_30b_a3b",
    "parallel=tp2_pp4_ep8_adp128",
    "hardware=h100_80gb",
    "workload.global_batch_size=1024",
)
SERVE = ("scheduler=[]", "~expect", "model=llama3_1_8b", "parallel=tp8_pp8", "hardware=h100_80gb")
RACKS = (
    *(*TRAIN, "model=deepseek_v3", "model.num_hidden_layers=64", "hardware=gb200_nvl72", "hardware.nodes=2048"),
    "workload.global_batch_size=32768",
)
TWO_AXES = ("tp1_pp8_ep64_adp1024", "tp1_pp4_ep32_adp2048", "tp2_pp8_ep32_etp1_adp512", "tp1_pp16_ep64_adp512")


def table(leaves: Sequence[int], *, interleaved: bool = False) -> str:
    """Hosts on leaves of these sizes; interleaved, their names go round the leaves."""
    places = [(leaf, at) for leaf, size in enumerate(leaves) for at in range(size)]
    order = sorted(places, key=lambda place: place[::-1]) if interleaved else places
    rows = (f"n{number:04d},leaf{leaf},p,r{leaf}\n" for number, (leaf, _) in enumerate(order))
    return "host,leaf,pod,rack\n" + "".join(rows)


def racks(sizes: Sequence[int], of_leaf: int) -> str:
    """Racks of so many nodes, several on a leaf."""
    nodes = [rack for rack, size in enumerate(sizes) for _ in range(size)]
    rows = (f"n{number:04d},leaf{rack // of_leaf},p,r{rack}\n" for number, rack in enumerate(nodes))
    return "host,leaf,pod,rack\n" + "".join(rows)


def cut(random_: random.Random, nodes: int, least: int, most: int) -> list[int]:
    """Leaves of unequal size for so many nodes."""
    sizes: list[int] = []
    while sum(sizes) < nodes:
        sizes.append(min(random_.randint(least, most), nodes - sum(sizes)))
    return sizes


def chosen(folder: str, text: str, *overrides: str) -> tuple[Chosen, float]:
    """With CPU seconds of the search alone."""
    path = Path(folder) / "hosts.csv"
    path.write_text(text, encoding="utf-8")
    config = load_config([*overrides, f"hardware.inventory={path}"])
    by = timed_by(config)[0]
    start = time.process_time()
    search(config, by)
    spent = time.process_time() - start
    return choose(config, by), spent


def compared(found: Chosen) -> None:
    for row in found.compared:
        sent = "  ".join(
            f"{kind} {sent:9.3g}" for kind, sent in row.leaf_bytes.items() if kind in ("ep", "dp", "edp", "pp")
        )
        print(
            f"  {row.placement:15s} step {row.seconds:.6f} s, collectives {row.communication_s:.6f} s, between leaves: {sent}"
        )


def gaps(found: Chosen, spent: float) -> str:
    return f"gap {100 * found.gap:6.3f} %, mean of groups {100 * found.communication_gap:7.3f} %, {spent:.2f} s CPU"


def main() -> None:
    """Print all three."""
    seeded = random.Random(0)  # noqa: S311 - clusters, no secret
    with TemporaryDirectory() as folder:
        for over in (1, 2):
            print(f"128 nodes in leaves of 16, names go round them, oversubscription {over}")
            found, _ = chosen(
                folder,
                table([16] * 8, interleaved=True),
                *MOE,
                "hardware.nodes=128",
                f"hardware.fabric.oversubscription={over}",
            )
            compared(found)
        print("one axis, leaves of unequal size")
        for nodes in (64, 128, 256, 512, 1024, 2048):
            leaves = cut(seeded, nodes, 8, 48)
            given = (*SERVE, f"framework.instances={nodes // 8}", f"hardware.nodes={nodes}")
            spares = nodes // 32
            text = table([*leaves, spares], interleaved=True)
            found, spent = chosen(folder, text, *given, f"launch.spare_nodes={spares}")
            print(f"  {nodes:5d} nodes, {len(leaves):3d} leaves: {gaps(found, spent)}")
        print("2,048 nodes, two axes")
        near = 0
        for _ in range(10):
            degrees = seeded.choice(TWO_AXES)
            block = 16 if "ep64" in degrees else 8
            sizes: list[int] = []
            while sum(size // block for size in sizes) < 2048 // block:
                sizes.append(seeded.choice([16, 17, 18, 18]))
            text = racks([*sizes, *[seeded.choice([3, 8, 17])] * seeded.choice([0, 2])], seeded.choice([2, 4, 8]))
            over = seeded.choice([1, 2])
            found, spent = chosen(
                folder, text, *RACKS, f"parallel={degrees}", f"hardware.fabric.oversubscription={over}"
            )
            near += found.gap <= 0.02
            print(
                f"  {degrees:26s} {len(sizes)} racks: {gaps(found, spent)}; default {found.compared[-2].seconds:.3f} s, best {found.best.seconds:.3f} s"
            )
        print(f"  {near} of 10 within 2 %")


if __name__ == "__main__":
    main()
