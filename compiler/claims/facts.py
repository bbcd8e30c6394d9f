"""Plain facts about a plan that people claim things of; each is computed from the plan, none is looked up.

A fact that has no meaning for a plan is None: every path exists in every plan, so that any claim can be judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.claims.performance import performance
from compiler.cluster.spans import distinct
from compiler.costs.arrays import array
from compiler.costs.case import Case, case
from compiler.costs.numbers import whole
from compiler.costs.work.flops import peak_flops
from compiler.costs.work.params import counts, mixing_params, stored_bytes, totals
from compiler.world import World

COUNTED = re.compile(r"_bytes$|params")
"""Names of facts that are whole numbers."""


def facts(world: World, costs: Mapping[str, Any]) -> dict[str, float | int | None]:
    """Facts of one instance; `costs` is the dictionary of its costs. Units are in the names: bytes, FLOP/s, bytes/s."""
    found = {
        **_hardware(world, costs),
        **_parameters(world, costs),
        **_placement(world),
        **_batch(world),
        **_traffic(world, costs),
        **performance(case(world), costs["projection"]),
    }
    return {key: whole(value) if COUNTED.search(key) else value for key, value in found.items()}


def _hardware(world: World, costs: Mapping[str, Any]) -> dict[str, float | int | None]:
    gpu = world.config.hardware.gpu
    return {
        "effective_flops": peak_flops(gpu, world.config.workload.precision) * gpu.compute_efficiency,
        "effective_bandwidth": gpu.memory_bandwidth * gpu.memory_efficiency,
        "capacity_over_world_bytes": costs["memory"]["capacity_bytes"] / world.size,
    }


def _parameters(world: World, costs: Mapping[str, Any]) -> dict[str, float | int | None]:
    model, params, plan = world.config.model, costs["params"], case(world)
    gated = totals(replace(model, gated_mlp=True))
    held = counts(plan, totals(model))
    fullest = int(held.total.argmax())
    uncut = replace(plan, tp=array(1), etp=array(1), padded_vocab_size=array(model.vocab_size))
    layers = sum(model.moe_layers)
    return {
        "weights_total_bytes": stored_bytes(model, totals(model), plan.widths),
        "architecture_params": params["derived_dense"] + params["derived_moe"],
        "architecture_params_gated": gated.derived_dense + gated.derived_moe,
        "architecture_attention_params": mixing_params(model),
        "architecture_moe_params": params["derived_moe"],
        "params_per_expert_all_layers": params["moe"] / model.num_experts if model.moe else None,
        "params_per_expert_per_layer": params["moe"] / (model.num_experts * layers) if layers else None,
        "dense_params_per_rank": float(held.dense[fullest]),
        "moe_params_per_rank": float(held.moe[fullest]),
        "tp_parameter_cut": _fullest(uncut) / _fullest(plan),
    }


def _fullest(plan: Case) -> float:
    return float(counts(plan, totals(plan.model)).total.max())


def _placement(world: World) -> dict[str, float | int | None]:
    """Nodes and dp coordinates of the groups that hold all experts of a layer: kind etp_ep."""
    blocks = world.experts.counts
    placed: dict[str, float | int | None] = {
        "experts_per_rank": max(blocks, default=0),
        "experts_active_at_once": sum(blocks),
        "layers_per_stage": max(len(layers) for layers in world.stages.layers),
        "router_scores_per_token": world.config.model.num_experts,
    }
    if not world.config.model.moe:
        return placed | {
            "ep_group_ranks": 1,
            "ep_group_nodes": 1,
            "ep_group_nodes_half": 1,
            "ep_nodes_over_half": 1.0,
            "dp_ranks_per_ep_group": 1,
        }
    table = world.groups["etp_ep"]
    near = world.expert.coordinate("ep", table[0]) < -(-world.degrees.ep // 2)
    nodes = int(distinct(world.slots.slot(table)).max())
    half = int(distinct(world.slots.slot(table[:, near])).max())
    return placed | {
        "ep_group_ranks": table.shape[1],
        "ep_group_nodes": nodes,
        "ep_group_nodes_half": half,
        "ep_nodes_over_half": nodes / half,
        "dp_ranks_per_ep_group": int(distinct(world.attention.coordinate("dp", table)).max()),
    }


def _batch(world: World) -> dict[str, float | int | None]:
    batch, degrees = world.config.workload.global_batch_size, world.degrees
    sequences = -(-batch // degrees.adp)
    busy = min(degrees.pp, sequences)
    return {
        "replicas_at_once": degrees.dp,
        "sequences_per_replica": batch / degrees.dp if degrees.dp else None,
        "sequences_per_rank": sequences,
        "busy_stages_decode": busy,
        "idle_stages_decode": degrees.pp - busy,
    }


def _traffic(world: World, costs: Mapping[str, Any]) -> dict[str, float | int | None]:
    """What the rows of `communication` carry; rows of groups of one rank carry nothing."""
    flows = [flow for flow in costs["communication"] if world.groups.size(flow["kind"]) > 1]
    tensor = [flow for flow in flows if flow["kind"] == "tp" and flow["count"]]
    roles = {flow["role"] for flow in flows if flow["kind"] == "ep"}
    return {
        "dp_collectives": sum(flow["count"] for flow in flows if flow["kind"] in ("dp", "dp_cp", "edp")),
        "all_to_alls_per_moe_layer": len(roles),
        "tp_gradient_bytes": sum(flow["bytes_per_rank"] * flow["backward_count"] / flow["count"] for flow in tensor),
    }
