"""Training in eight and four bits: sizes of products that kernels take, by recipe, in `products` of a framework's `versions.yaml`.

`rows`: multiples that rows (tokens) of a layer's input come in; `gradients`: those of a weight's gradient, which sums over them;
`width`: those of a matrix's sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from compiler.checks import Check, Status, check, rule
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.model import Model


@dataclass(frozen=True)
class Side:
    """A side of matrices, `size` over `by` ranks, the value of `degree`."""

    what: str
    size: int
    by: int
    degree: str

    @property
    def part(self) -> float:
        return self.size / self.by


def sides(config: Config) -> Iterator[Side]:
    """Every side of a layer's matrices, as a rank has it."""
    model, degrees = config.model, config.degrees
    tp, etp = degrees.tp, degrees.etp
    yield Side("hidden_size", model.hidden_size, 1, "tp")
    yield from _attention(model, tp)
    if model.intermediate_size and not all(model.moe_layers):
        yield Side("intermediate_size", model.intermediate_size, tp, "tp")
    if model.moe:
        yield Side("moe_intermediate_size", model.expert_size, etp, "etp")
    if model.shared_size:
        yield Side("shared experts' width", model.shared_size, tp, "tp")


def _attention(model: Model, tp: int) -> Iterator[Side]:
    heads = model.num_attention_heads
    if not model.mla:
        shared = 2 * max(model.kv_heads, tp) * model.head_size  # replicated where tp is larger
        yield Side("heads x head_dim", heads * model.head_size, tp, "tp")
        yield Side("heads of queries, keys and values x head_dim", heads * model.head_size + shared, tp, "tp")
        return
    nope, rope = model.qk_nope_head_dim or 0, model.qk_rope_head_dim or 0
    yield Side("heads x query width", heads * (nope + rope), tp, "tp")
    yield Side("heads x v_head_dim", heads * (model.v_head_dim or nope), tp, "tp")
    yield Side("kv_lora_rank + qk_rope_head_dim", (model.kv_lora_rank or 0) + rope, 1, "tp")
    if model.q_lora_rank:
        yield Side("q_lora_rank", model.q_lora_rank, 1, "tp")


@rule
def rows(config: Config, source: str, recipe: str, table: Mapping[str, int], *, scattered: bool) -> Iterator[Check]:
    """Tokens of a micro-batch on a rank; `scattered`: over tp too where layers take them, and gathered for their products."""
    workload, degrees, name = config.workload, config.degrees, config.framework.name
    split = degrees.tp if scattered else 1
    tokens = workload.micro_batch_size * workload.longest
    own, all_of = tokens / (degrees.cp * split), tokens / degrees.cp
    over = f"cp={degrees.cp}" + f" and tp={split}" * scattered
    fix = f"write workload.sequence_length={_length(config, table, split)}, or workload.precision=bf16"
    gathered = table["rows"] > 8 and scattered and all_of % table["rows"] == 0
    yield check(
        f"{name}-fp8-rows",
        holds=own % table["rows"] == 0,
        observed=f"{own:g} % {table['rows']} = {own % table['rows']:g}",
        limit="0",
        message=f"{source}: {workload.micro_batch_size} x {workload.longest} tokens over {over} are {own:g} rows a rank, no multiple of "
        f"{table['rows']}, which {recipe} products take"
        + "; where they are gathered over tp that is done in bf16, or stops, by the release"
        * gathered,
        fix=fix,
        otherwise=Status.WARN if gathered else Status.FAIL,
    )
    yield check(
        f"{name}-fp8-gradients",
        holds=all_of % table["gradients"] == 0,
        observed=f"{all_of:g} % {table['gradients']} = {all_of % table['gradients']:g}",
        limit="0",
        message=f"{source}: {workload.micro_batch_size} x {workload.longest} tokens over cp={degrees.cp} are {all_of:g} rows, no multiple of "
        f"{table['gradients']}, which {recipe} gradients of weights take",
        fix=fix,
    )


def _length(config: Config, table: Mapping[str, int], split: int) -> int:
    """The next length whose rows are whole multiples, on every rank and of every product."""
    micro, cp = config.workload.micro_batch_size, config.degrees.cp
    wanted = math.lcm(cp * split * table["rows"], cp * table["gradients"])
    step = math.lcm(wanted // math.gcd(wanted, micro), 2 * cp if cp > 1 else 1, cp * split)
    return -(-config.workload.longest // step) * step


@rule
def widths(
    config: Config, source: str, recipe: str, width: int, found: Iterable[Side], *, kept: bool = False
) -> Iterator[Check]:
    """Sides of matrices; `kept`: a layer whose whole matrix does not fit stays in bf16 without a word, one whose cut does not stops."""
    bad = sorted((side for side in found if side.part % width), key=lambda side: kept and side.size % width > 0)
    first = bad[0] if bad else Side("hidden_size", config.model.hidden_size, 1, "tp")
    stays = kept and first.size % width > 0
    yield check(
        f"{config.framework.name}-fp8-width",
        holds=not bad,
        observed=f"{first.part:g} % {width} = {first.part % width:g}",
        limit="0",
        message=f"{source}: {first.what} {first.size} over {first.degree}={first.by} is {first.part:g}, no multiple of {width}, which "
        f"{recipe} products take" + "; such layers stay in bf16" * stays,
        fix=_narrower(first, width),
        otherwise=Status.WARN if stays else Status.FAIL,
    )


def _narrower(side: Side, width: int) -> str:
    """A degree with which ranks have whole multiples, where there is one."""
    sizes = [by for by in range(1, side.by) if side.by % by == 0 and side.size / by % width == 0]
    if not sizes:
        return "write workload.precision=bf16"
    return f"write parallel.{side.degree}={sizes[-1]}, or workload.precision=bf16"
