"""Weights that share a scale by blocks, cut over ranks: what an inference server does where a cut goes through a block.

Its release's table says so, `weight_blocks` of its `versions.yaml`: method of a checkpoint -> what becomes of
`merged` (rows of several matrices in one product, as gate and up), `rows` (outputs of one matrix), `columns` (inputs) and
`experts` (both): refuse, or a number, the least block that it cuts a block into, or warn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import field

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.model import Model

ROWS, COLUMNS = 0, 1


@dataclass(frozen=True)
class Cut:
    """A side of a class's matrices: `size` in all, over `by` ranks; `way` is the table's word for it."""

    kind: str
    what: str
    size: int
    by: int
    side: int
    way: str
    degree: str

    @property
    def part(self) -> float:
        return self.size / self.by


@dataclass(frozen=True)
class Over:
    """Ranks that share the matrices of a class, and the degree that says how many: MLPs of layers without experts, shared experts.
    `fixes`: of a class, what leaves it whole on every rank.
    """

    mlp: int
    shared: int
    degree: str
    fixes: Mapping[str, str] = field(default_factory=dict)


def cuts(config: Config, over: Over) -> Iterator[Cut]:
    """Every side of a quantised class that is cut, or stands beside another in one product."""
    model, degrees = config.model, config.degrees
    yield from _attention(model, degrees.tp)
    layers = [("experts", "moe_intermediate_size", model.expert_size * model.moe, degrees.etp, "etp")]
    dense = model.intermediate_size * (not all(model.moe_layers))
    layers += [("mlp", "intermediate_size", dense, over.mlp, over.degree)]
    layers += [("shared_experts", "shared experts' width", model.shared_size, over.shared, over.degree)]
    for kind, what, size, by, degree in layers:
        ways = ("experts", "experts") if kind == "experts" else ("merged", "columns")
        if size:
            yield from (
                Cut(kind, what, size, by, side, way, degree) for side, way in zip((ROWS, COLUMNS), ways, strict=True)
            )


def _attention(model: Model, tp: int) -> Iterator[Cut]:
    """Queries, keys and values are one product but for MLA, where each goes up from its latent; heads come together again."""
    heads, value = model.num_attention_heads, model.v_head_dim or model.head_size
    if model.mla:
        nope, rope = model.qk_nope_head_dim or 0, model.qk_rope_head_dim or 0
        rows = [("queries", heads * (nope + rope), tp), ("keys and values", heads * (nope + value), tp)]
    else:
        rows = [("queries", heads * model.head_size, tp)]
        rows += [("keys", model.kv_heads * model.head_size, min(tp, model.kv_heads))]
    way = "rows" if model.mla else "merged"
    yield from (Cut("attention", what, size, by, ROWS, way, "tp") for what, size, by in rows)
    yield Cut("attention", "heads", heads * value, tp, COLUMNS, "columns", "tp")


@rule
def rules(config: Config, source: str, over: Over) -> Iterator[Check]:
    """`source` names the server and its version. One check for each class whose weights are stored in blocks."""
    model, facts = config.model, version(config).facts.get("weight_blocks", {})
    table: Mapping[str, str | int] = facts.get(model.quantization.method or "", {})
    if not table or not model.keeps_quantization(config.workload.precision):
        return
    found: dict[str, list[tuple[Cut, int]]] = {}
    for cut in cuts(config, over):
        form = model.stored.get(cut.kind)
        whole = cut.by == 1 and cut.way in ("columns", "rows")
        if form is not None and form.block is not None and cut.way in table and not whole:
            found.setdefault(cut.kind, []).append((cut, form.block[cut.side]))
    for kind, those in found.items():
        yield _class(config, source, table, those, over.fixes.get(kind))


def _class(
    config: Config, source: str, table: Mapping[str, str | int], those: list[tuple[Cut, int]], fix: str | None
) -> Check:
    """The first side that is cut through a block, or that all are whole."""
    broken = [(cut, block) for cut, block in those if cut.part % block]
    cut, block = min(broken or those, key=lambda item: _does(item[0], item[1], table, config.model.hidden_size)[0])
    status, does = _does(cut, block, table, config.model.hidden_size) if broken else (Status.PASS, "")
    shape = "x".join(map(str, config.model.stored[cut.kind].block or ()))
    name = config.framework.name
    return check(
        f"{name}-weight-blocks-{cut.kind.replace('_', '-')}",
        holds=not broken,
        observed=f"{cut.part:g} % {block} = {cut.part % block:g}",
        limit="0",
        message=f"{source} ({version(config).facts['quantization_source']}) loads {config.model.quantization.method} weights with a scale for {shape}: "
        f"{cut.what} {cut.size} over {cut.degree}={cut.by} is {cut.part:g}, no multiple of {block}" + does,
        fix=fix or _fix(cut, block),
        otherwise=status,
    )


def _does(cut: Cut, block: int, table: Mapping[str, str | int], hidden: int) -> tuple[Status, str]:
    """Status and words of what the server does with such a cut; a failure sorts first."""
    way = table[cut.way]
    if way == "warn":
        return Status.WARN, ", and ranks would share a scale"
    least = block + 1 if way == "refuse" else int(way)
    finer = math.gcd(block, int(cut.part), hidden) if cut.part == int(cut.part) else 0
    if finer >= least:
        return Status.WARN, f"; scales are repeated for blocks of {finer}, which fewer kernels take"
    return Status.FAIL, "" if way == "refuse" else f" nor of a block of {least} or more"


def _fix(cut: Cut, block: int) -> str:
    """Degrees with which every rank has whole blocks."""
    sizes = [by for by in range(1, cut.by) if cut.by % by == 0 and cut.size % (by * block) == 0]
    most = sizes[-1] if sizes else 1
    if cut.kind == "experts":
        return f"write parallel.etp={most} with a larger ep, or tp{most}"
    return f"write tp{most} or less, with adp or pp for the other ranks"
