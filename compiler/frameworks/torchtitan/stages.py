"""Layers to stages by torchtitan's rule (distributed/pipeline_parallel.py), and the arguments that make it so."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.errors import ConfigError
from compiler.frameworks.options import number
from compiler.frameworks.stage_rule import stage_layers
from compiler.frameworks.torchtitan.arguments import FIRST_LESS, LAST_LESS, MODULES, given, named
from compiler.specs.config import Config

SCHEDULES = {"1f1b": "1F1B", "interleaved": "Interleaved1F1B", "zero_bubble": "InterleavedZeroBubble"}
"""Those whose chunks go round the pipeline as the plan's do; ZBVZeroBubble and DualPipeV go there and back."""


def schedule(config: Config) -> str:
    """`pipeline_parallel_schedule`. Several chunks a rank need a looped one."""
    chosen = SCHEDULES.get(config.workload.schedule, "DualPipeV")
    return "Interleaved1F1B" if chosen == "1F1B" and config.parallel.vpp > 1 else chosen


def split(layers: int, parts: int, first_less: int, last_less: int) -> list[int] | None:
    """Layers of each of `parts` stages, where the first and last hold fewer; None where the rule has no answer.

    The embedding counts as `first_less` layers and the head as `last_less`, and all of them are dealt out evenly.
    """
    base, extra = divmod(layers + first_less + last_less, parts)
    if parts < 2 or base < max(1, first_less, last_less):
        return None
    counts = [base + (stage < extra) for stage in range(parts)]
    counts[0] -= first_less
    counts[-1] -= last_less
    return counts


def weights(config: Config) -> tuple[int, int]:
    """Layers that the first and the last stage have less: as `framework.args` say, else one each."""
    told = given(config)
    return number(told, FIRST_LESS, 1), number(told, LAST_LESS, 1)


def uneven(config: Config, parts: int) -> Sequence[int] | None:
    return split(config.model.num_hidden_layers, parts, *weights(config))


def said(config: Config) -> Sequence[int] | None:
    """Layers of each virtual stage as `framework.args` name modules; None where they do not. Raises ConfigError where these are in
    another order than the model's, or some are missing.
    """
    found = named(config)
    if not found:
        return None
    counts = [sum(name.startswith("layers.") for name in stage) for stage in found]
    if found != [stage.split(",") for stage in modules(counts)]:
        raise ConfigError.of(
            f"framework.args: {MODULES} names other modules than tok_embeddings, layers.0 to layers.{sum(counts) - 1}, norm and lm_head "
            "in this order",
            "write them in this order, or parallel.stages in its place",
        )
    if config.parallel.stages is not None:
        raise ConfigError.of(f"framework.args sets {MODULES}, and so does the plan", "leave it out, or parallel.stages")
    return counts


def arguments(config: Config) -> list[str]:
    """What makes torchtitan build the plan's stages: its own rule where that gives them, else every module by name."""
    counts = list(stage_layers(config) or ())
    told, parts = given(config), len(counts)
    if config.parallel.pp == 1 or named(config):
        return []
    free = not {FIRST_LESS, LAST_LESS} & set(told)
    for first, last in [(0, 0), (1, 1)] if free else [weights(config)]:
        if config.parallel.vpp <= 2 and split(sum(counts), parts, first, last) == counts:
            less = {FIRST_LESS: first, LAST_LESS: last}
            return [f"{name}={value}" for name, value in less.items() if name not in told]
    return [MODULES, *modules(counts)]


def modules(counts: Sequence[int]) -> list[str]:
    """The modules of each stage, comma separated, as the rule itself would name them."""
    names, after = [], 0
    for stage, count in enumerate(counts):
        layers = [f"layers.{layer}" for layer in range(after, after + count)]
        after += count
        inputs = ["tok_embeddings"] if stage == 0 else []
        outputs = ["norm", "lm_head"] if stage == len(counts) - 1 else []
        names.append(",".join([*inputs, *layers, *outputs]))
    return names
