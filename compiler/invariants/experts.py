"""Experts against expert parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed, warned
from compiler.frameworks.adapter import adapter
from compiler.invariants.attention import divides
from compiler.invariants.registry import declared
from compiler.layout import loads as measured_loads
from compiler.specs.config import Config


@declared()
def blocks(config: Config) -> Iterator[Check]:
    """Every ep rank holds the same number of experts, redundant copies among them, but where a server deals out a rest; a dense
    model has none to spread.
    """
    model, degrees = config.model, config.degrees
    least, rest = divmod(model.num_experts, degrees.ep)
    if model.moe and rest and least and adapter(config.framework.name).uneven_experts(config):
        yield warned(
            "experts",
            observed=f"{model.num_experts} % {degrees.ep} = {rest}",
            limit="0",
            message=f"num_experts {model.num_experts} over ep={degrees.ep}: {rest} ranks hold {least + 1} and the others {least}, and a step "
            "takes as long as the first",
            fix=f"write ep as a divisor of {model.num_experts}",
        )
        return
    if model.moe:
        extra = adapter(config.framework.name).redundant_experts(config)
        name = f"num_experts {model.num_experts} with redundant copies, together" if extra else "num_experts"
        yield divides("experts", name, model.num_experts + extra, "ep", degrees.ep)
        return
    for name, value in (("ep", degrees.ep), ("etp", degrees.etp)):
        if value > 1:
            yield failed(
                "experts",
                observed=f"{name}={value}",
                limit=f"{name}=1",
                message=f"{name}={value}, but {model.name} has no experts",
                fix=f"leave {name} out, or choose a MoE model",
            )


@declared()
def routing(config: Config) -> Iterator[Check]:
    """A token is sent to some, and at most all, of the experts of a layer that it may reach."""
    model = config.model
    if not model.moe:
        return
    k, groups = model.num_experts_per_tok, model.n_group
    reach = model.num_experts * model.topk_group // groups
    yield check(
        "top-k",
        holds=1 <= k <= reach,
        observed=k,
        limit=f"1 to {reach}",
        message=f"num_experts_per_tok={k} of {reach} experts that a token can reach",
        fix=f"write model.num_experts_per_tok={min(max(k, 1), max(reach, 1))}",
    )
    if groups > 1:
        yield divides("expert-groups", "num_experts", model.num_experts, "n_group", groups)


@declared("imbalance")
def imbalance(config: Config) -> Iterator[Check]:
    """Loads of experts are told in one way."""
    told = {
        "workload.imbalance": config.workload.imbalance > 1,
        "workload.imbalance_exponent": config.workload.imbalance_exponent is not None,
        "experts.load": config.experts.load is not None,
    }
    ways = [key for key, given in told.items() if given]
    if len(ways) > 1:
        yield failed(
            observed=", ".join(ways),
            limit="one of them",
            message=f"{' and '.join(ways)} each say how uneven experts are",
            fix=", or ".join(f"leave {' and '.join(way for way in ways if way != kept)} out" for kept in ways),
        )


@declared("expert-loads")
def loads(config: Config) -> Iterator[Check]:
    """Measured loads are of this model's layers and experts."""
    model, text = config.model, config.experts.load
    if text is None:
        return
    found, layers = measured_loads.read(text), model.moe_layers
    strange = [layer for layer in found if layer >= len(layers) or not layers[layer]]
    sizes = sorted({len(row) for row in found.values()})
    yield check(
        holds=not strange and sizes == [model.num_experts],
        observed=f"layers {min(found)} to {max(found)}, {', '.join(map(str, sizes))} experts",
        limit=f"{sum(layers)} layers with {model.num_experts} experts",
        message=f"experts.load has {', '.join(map(str, sizes))} experts a layer; {model.name} has {model.num_experts}"
        + (f", and none in layer {', '.join(map(str, strange[:5]))}" if strange else ""),
        fix="measure this model's loads, or leave experts.load out",
    )
