"""Asking Slurm for nodes that are near each other: few leaf switches, or whole blocks."""

from __future__ import annotations

from dataclasses import replace

from compiler.schedulers.job import Job
from compiler.specs.config import Config
from compiler.specs.hardware import Hardware

Row = tuple[str, str]


def directives(job: Job, nodes: int, segment: int | None) -> tuple[Row, ...]:
    """`nodes` counts spares; `segment` is the job's own, None for the size of a block."""
    placement = job.site.slurm.placement
    if placement == "switches" and (leaf := job.world.config.hardware.fabric.nodes_per_leaf):
        return (("switches", f"{-(-nodes // leaf)}@{job.site.slurm.switch_wait}"),)
    if placement == "segment" and (size := segment or block(job.world.config.hardware)):
        return (("segment", str(min(size, nodes))),)
    return ()


def block(hardware: Hardware) -> int | None:
    """Nodes of a block: those of an NVLink domain where it is larger than a node, else those of a leaf."""
    wide = hardware.nvlink.domain_gpus // hardware.node.gpus
    return wide if wide > 1 else hardware.fabric.nodes_per_leaf


def requested(config: Config) -> Hardware:
    """The cluster in the segments that the job asks for, so that slots, spans and times are those of the request.

    Slurm keeps a segment in one block and promises nothing of two of them: where a segment is smaller than a block, as 16 of
    18 trays, the nodes that a job sees together are the segment's. An inventory says itself what hangs where, and so much of a
    rack is used.
    """
    hardware, options = config.hardware, config.scheduler.get("slurm")
    size = None if options is None else options.segment
    whole = block(hardware)
    if size is None or whole is None or size >= whole:
        return hardware
    if config.site.slurm.placement != "segment":
        return hardware
    gpus = min(hardware.nvlink.domain_gpus, size * hardware.node.gpus)
    joined = replace(hardware, nvlink=replace(hardware.nvlink, domain_gpus=gpus))
    if hardware.inventory is not None:
        return joined if hardware.nvlink.domain_gpus > hardware.node.gpus else hardware
    return replace(joined, fabric=replace(hardware.fabric, nodes_per_leaf=size))
