"""Limits of DeepEP's kernels, which several frameworks send tokens to experts with."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.specs.config import Config

RDMA_PEERS, NVLINK_PEERS = 20, 8
"""What DeepEP's high-throughput kernels are compiled for: nodes of a group, and ranks of it on each of them."""


@rule
def deepep(config: Config, backend: str, ranks: int, source: str) -> Iterator[Check]:
    """Its high-throughput kernels between nodes know 20 peers over RDMA, with 8 ranks each over NVLink; within an NVLink domain,
    also one of several nodes, they need no RDMA.

    The low-latency ones know neither limit, and no prefill either.
    """
    hardware, name = config.hardware, config.framework.name
    if ranks <= max(hardware.node.gpus, hardware.nvlink.domain_gpus):
        return
    most = RDMA_PEERS * NVLINK_PEERS
    yield check(
        f"{name}-deepep-ranks",
        holds=ranks <= most,
        observed=ranks,
        limit=most,
        message=f"{source} with {backend}: an expert group of {ranks} ranks, and DeepEP's high-throughput kernels take "
        f"{RDMA_PEERS} RDMA peers of {NVLINK_PEERS} GPUs, {most} ranks",
        fix=f"write an ep of {most // config.degrees.etp} or less, or take low-latency kernels, or another back end",
    )
    yield check(
        f"{name}-deepep-node",
        holds=hardware.node.gpus == NVLINK_PEERS and hardware.nvlink.domain_gpus >= NVLINK_PEERS,
        observed=f"{hardware.node.gpus} GPUs, {hardware.nvlink.domain_gpus} in NVLink",
        limit=f"{NVLINK_PEERS} and {NVLINK_PEERS}",
        message=f"{source} with {backend}: DeepEP's high-throughput kernels want {NVLINK_PEERS} GPUs of a node on NVLink; "
        f"nodes have {hardware.node.gpus}, domains {hardware.nvlink.domain_gpus}",
        fix="use another back end, or an expert group inside a node",
        otherwise=Status.WARN,
    )
    yield from domain(config, backend, ranks, source)


@rule
def domain(config: Config, backend: str, ranks: int, source: str) -> Iterator[Check]:
    """Kernels that find an NVLink domain by counting its ranks (HybridEP is DeepEP's) wait for a whole one."""
    hardware, name = config.hardware, config.framework.name
    if ranks <= hardware.node.gpus:
        return
    yield check(
        f"{name}-nvlink-domain",
        holds=hardware.nvlink.domain_gpus <= hardware.node.gpus or ranks % hardware.nvlink.domain_gpus == 0,
        observed=f"{ranks} % {hardware.nvlink.domain_gpus} = {ranks % hardware.nvlink.domain_gpus}",
        limit="0",
        message=f"{source} with {backend}: an expert group of {ranks} ranks fills NVLink domains of "
        f"{hardware.nvlink.domain_gpus} GPUs in part, and DeepEP counts a whole domain and waits for ever",
        fix=f"set NUM_OF_HYBRID_EP_RANKS_PER_NVLINK_DOMAIN, or choose an ep that is a multiple of {hardware.nvlink.domain_gpus}",
        otherwise=Status.WARN,
    )
