"""The cluster of a row: a file of `conf/hardware` by the GPU's name, with the row's own sizes."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from benchmarks.rows.record import Row, Skip, number
from compiler.specs.hardware import Hardware

GPUS = (
    (r"a100.*40 ?gb", "a100_40gb"),
    (r"a100", "a100_80gb"),
    (r"h100.*96 ?gb", "h100_96gb"),
    (r"h100|hopper", "h100_80gb"),
    (r"h200", "h200"),
    (r"h800", "h800"),
    (r"gb300", "gb300_nvl72"),
    (r"gb200", "gb200_nvl72"),
    (r"b300", "b300"),
    (r"b200|sm100", "b200"),
    (r"mi300", "mi300x"),
    (r"rtx.*6000", "rtx_pro_6000"),
)
"""What a GPU is called in a row, in lower case, and its file; the first that fits."""


def gpu_file(row: Row) -> str:
    """Raises Skip for a GPU without a file."""
    name = row["gpu"].lower()
    found = next((file for pattern, file in GPUS if re.search(pattern, name)), None)
    if found is None:
        raise Skip(f"no file for GPU {row['gpu'] or 'unknown'}")
    return found


USUAL_GBPS = {"b300": 400.0}
"""Network of a GPU in clusters of the rows that leave it out, where it is less than the GPU's own card has: with experts
spread over servers B300 is no faster than B200 (10.2 and 9.8 s for equal steps of equal kernels)."""

EFA_V3 = 3
"""The network of P5en, and what came after it."""


@cache
def nominal(file: str) -> Hardware:
    """The cluster as its file says."""
    from compiler.config.load import load_config

    return load_config([f"hardware={file}"]).hardware


def segmented(hardware: Hardware, gpus: int) -> Hardware:
    """Jobs larger than an NVLink domain of many nodes get a power of two of each (Slurm's --segment): 64 GPUs of 72."""
    domain = hardware.nvlink.domain_gpus
    if not hardware.node.gpus < domain < gpus:
        return hardware
    return replace(hardware, nvlink=replace(hardware.nvlink, domain_gpus=2 ** (domain.bit_length() - 1)))


def efa_s(row: Row) -> float:
    """What a hop over EFA takes longer: as AWS's plug-in tells NCCL (aws-ofi-nccl platform-aws), 75 us before P5en, then 35 us."""
    found = re.search(r"\befa\b(?: v(\d))?", row["nic"].lower())
    return 0.0 if found is None else 35e-6 if int(found[1] or 2) >= EFA_V3 else 75e-6


def cluster(row: Row, gpus: int) -> Hardware:
    """As many nodes as `gpus` need, with the network that the row states."""
    found = nominal(gpu_file(row))
    per_node = min(found.node.gpus, gpus)
    hardware = replace(found, nodes=-(-gpus // per_node), node=replace(found.node, gpus=per_node), pin=None)
    rate = number(row, "inter_node_gbps_per_gpu") or USUAL_GBPS.get(found.name)
    cards = found.nic.per_node * per_node / found.node.gpus
    nic = replace(found.nic, per_node=max(1, round(cards)), latency=found.nic.latency + efa_s(row))
    if rate:
        nic = replace(nic, bandwidth=rate * 1e9 / 8 * per_node / nic.per_node)
    return replace(hardware, nic=nic)
