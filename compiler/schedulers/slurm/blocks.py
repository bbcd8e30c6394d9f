"""Asking Slurm for nodes that are near each other: few leaf switches, or whole blocks."""

from __future__ import annotations

from compiler.schedulers.job import Job

Row = tuple[str, str]


def directives(job: Job, nodes: int, segment: int | None) -> tuple[Row, ...]:
    """`nodes` counts spares; `segment` is the job's own, None for the size of a block."""
    placement = job.site.slurm.placement
    if placement == "switches" and (leaf := job.world.config.hardware.fabric.nodes_per_leaf):
        return (("switches", f"{-(-nodes // leaf)}@{job.site.slurm.switch_wait}"),)
    if placement == "segment" and (size := segment or block(job)):
        return (("segment", str(min(size, nodes))),)
    return ()


def block(job: Job) -> int | None:
    """Nodes of a block: those of an NVLink domain where it is larger than a node, else those of a leaf."""
    hardware = job.world.config.hardware
    wide = hardware.nvlink.domain_gpus // hardware.node.gpus
    return wide if wide > 1 else hardware.fabric.nodes_per_leaf
