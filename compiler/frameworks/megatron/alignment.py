"""Sizes that Transformer Engine takes under Megatron: of products in eight and four bits, and of heads in all-to-all context parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks import multiples
from compiler.frameworks.megatron.options import context_levels, effective, given, number, source
from compiler.frameworks.versions import version
from compiler.specs.config import Config

RECIPES = {"fp8": "delayed", "mxfp8": "mxfp8", "fp4": "nvfp4", "nvfp4": "nvfp4"}
"""Precision -> the recipe where `--fp8-recipe` names none (transformer_config.py)."""

PADDING = ("--moe-router-padding-for-quantization", "--moe-router-padding-for-fp8")


def recipe(config: Config) -> str | None:
    """How products are quantised; None where they are not."""
    precision = config.workload.precision
    if precision not in RECIPES or not config.workload.train:
        return None
    said = given(config).get("--fp8-recipe", ())[-1:] if precision == "fp8" else ()
    return said[0] if said else RECIPES[precision]


@rule
def declared(config: Config) -> Iterator[Check]:
    yield from _heads(config)
    yield from _padding(config)
    chosen = recipe(config)
    table = version(config).facts["products"].get(chosen)
    if chosen is None or table is None:  # a recipe of the user's own
        return
    engine = f"{source(config, 'fp8_utils.py')}, Transformer Engine"
    scattered = config.sequence_parallel and config.degrees.tp > 1
    yield from multiples.rows(config, engine, chosen, table, scattered=scattered)
    yield from multiples.widths(config, engine, chosen, table["width"], [*multiples.sides(config), *_head(config)])


def _head(config: Config) -> Iterator[multiples.Side]:
    """The LM head is quantised on demand alone; its rows are the padded vocabulary."""
    if "--fp8-output-proj" in given(config):
        step = number(config, "--make-vocab-size-divisible-by", 128) * config.degrees.tp
        padded = -(-config.model.vocab_size // step) * step
        yield multiples.Side("padded vocabulary", padded, config.degrees.tp, "tp")


@rule
def _padding(config: Config) -> Iterator[Check]:
    """Tokens of each expert are padded to the recipe's multiple by the expert itself, or in the router where that is asked for."""
    user = effective(config)
    flag = next((flag for flag in PADDING if flag in user), None)
    if flag is None or not config.workload.train:
        return
    dispatcher = user.get("--moe-token-dispatcher-type", ("alltoall",))[-1:]
    yield check(
        "megatron-router-padding",
        holds=recipe(config) is not None and config.model.moe and dispatcher != ("allgather",),
        observed=f"{config.workload.precision}, {' '.join(dispatcher)}",
        limit="fp8 or fp4, an alltoall or flex dispatcher",
        message=f"framework.args: {flag} pads the tokens of experts for products in FP8 or FP4 behind an alltoall or flex dispatcher "
        f"({source(config, 'transformer_config.py')}); the plan has {config.workload.precision} and {' '.join(dispatcher)}",
        fix=f"leave {flag} out",
    )


@rule
def _heads(config: Config) -> Iterator[Check]:
    """All-to-all context parallelism (Ulysses) deals a tp rank's heads out over cp, keys' and values' too."""
    model, degrees = config.model, config.degrees
    kinds = given(config).get("--cp-comm-type", ())
    over = [degrees.cp] * ("a2a" in kinds) + [level for level in context_levels(config)[:1] if "a2a+p2p" in kinds]
    if degrees.cp == 1 or not over:
        return
    queries = model.num_attention_heads // degrees.tp
    shared = queries if model.mla else max(model.kv_heads // degrees.tp, 1)
    by = max(over)
    yield check(
        "megatron-cp-heads",
        holds=all(count % ranks == 0 for count in (queries, shared) for ranks in over),
        observed=f"{queries} and {shared} % {by}",
        limit="0",
        message=f"--cp-comm-type {' '.join(kinds[:3])}: Transformer Engine's context_parallel.py deals heads out over {by} ranks of cp, and a rank of "
        f"tp={degrees.tp} has {queries} heads and {shared} for keys and values",
        fix=f"leave --cp-comm-type out, or write parallel.cp={_most(shared, degrees.cp)}",
    )


def _most(heads: int, cp: int) -> int:
    """The largest cp up to this one that divides the heads of a rank."""
    return max(size for size in range(1, cp + 1) if heads % size == 0 and cp % size == 0)
