"""What SGLang makes of context parallelism by the model: degrees and a dispatcher that it sets itself, and models that it refuses.

Its overrides of a model come after its parser and ask nobody (`arg_groups/model_overrides/deepseek_v2.py`): a plan follows them, or
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks import versions
from compiler.frameworks.devices import device
from compiler.frameworks.family import architecture
from compiler.frameworks.options import options
from compiler.frameworks.serving import apart, stage_width
from compiler.frameworks.sglang.checkpoint import sparse
from compiler.specs.config import Config

LATENT = frozenset(
    "DeepseekV3ForCausalLM DeepseekV32ForCausalLM KimiK25ForConditionalGeneration MistralLarge3ForCausalLM "
    "PixtralForConditionalGeneration GlmMoeDsaForCausalLM Glm5NextForConditionalGeneration HYV4ForCausalLM HYV4ForCausalLMNextN "
    "LongcatFlashForCausalLM LongcatFlashForCausalLMNextN Dots3NoteForCausalLM".split()
)
"""Architectures whose latent attention has overrides (`_deepseek_family_overrides`)."""

REFUSED = frozenset(
    "HYV4ForCausalLM HYV4ForCausalLMNextN LongcatFlashForCausalLM NemotronHForCausalLM NemotronHPuzzleForCausalLM".split()
)
"""Those that it stops at with prefill context parallelism (the same, and `arg_groups/parallel_hook.py`)."""

ZIGZAG = frozenset("MiMoV2ForCausalLM MiMoV2FlashForCausalLM Qwen4ExpForConditionalGeneration".split())
"""Those that take no other strategy; all others are cut by interleaving."""

DENSE = "--moe-dense-tp-size"
SPARSE_RANKS = 8
"""Ranks of a stage that sparse attention is right on with context parallelism."""


def strategy(config: Config) -> str:
    """How prompts are cut: the user's way, else the model's."""
    own = "zigzag" if architecture(config.model) in ZIGZAG else "interleave"
    return options(config.framework.args).get("--cp-strategy", own)


def spans(config: Config) -> bool:
    """Whether all ranks of a stage and of one attention-DP rank cut the prompt, none the heads, whatever it is told."""
    if config.degrees.cp == 1 or architecture(config.model) not in LATENT or not config.model.mla:
        return False
    keeps = versions.version(config).facts["sparse_context"] == "as told" and strategy(config) == "interleave"
    return not (sparse(config.model) and keeps)


def dispatches(config: Config) -> bool:
    """Whether it then sends tokens by DeepEP, with experts on all ranks: without an indexer, or with prompts cut in zigzag."""
    return spans(config) and (not sparse(config.model) or strategy(config) == "zigzag")


def unshared(config: Config) -> bool:
    """Whether ranks that each are all of an attention-DP rank cannot share MLPs of layers without experts: a remainder, or a block
    of weights with a scale (`layers/quantization/fp8.py validate_block_quant_shapes`), is cut through.
    """
    model, adp = config.model, config.degrees.adp
    if not (model.moe and 1 < adp == stage_width(config.degrees)) or all(model.moe_layers):
        return False
    form = model.stored.get("mlp") if model.keeps_quantization(config.workload.precision) else None
    return any(model.intermediate_size % (adp * side) for side in (form and form.block) or [1])


def forced(config: Config) -> dict[str, str]:
    """Options that it sets itself, so that a plan says them too, or that the plan cannot run without, less what the user wrote."""
    found = {DENSE: "1"} if spans(config) or unshared(config) else {}
    found |= {"--moe-a2a-backend": "deepep"} if dispatches(config) else {}
    given = options(config.framework.args)
    return {name: value for name, value in found.items() if name not in given}


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """`source` names SGLang and its version."""
    if config.degrees.cp == 1:
        return
    yield from _device(config, source)
    yield from _model(config, source)
    yield from _heads(config, source)
    yield from _sparse(config, source)
    yield from _told(config, source)


@rule
def _device(config: Config, source: str) -> Iterator[Check]:
    yield check(
        "sglang-context-device",
        holds=not device(config.hardware.gpu).amd,
        observed=f"cp={config.degrees.cp}",
        limit="cp=1",
        message=f"{source} arg_groups/parallel_hook.py: no prefill context parallelism of {architecture(config.model)} on "
        f"{config.hardware.gpu.name}, and the plan has cp={config.degrees.cp}",
        fix=_without(config),
    )


@rule
def _model(config: Config, source: str) -> Iterator[Check]:
    name = architecture(config.model)
    yield check(
        "sglang-context-model",
        holds=name not in REFUSED,
        observed=name,
        limit="another model",
        message=f"{source} stops at prefill context parallelism of {name}, and the plan has cp={config.degrees.cp}",
        fix=_without(config),
    )
    own = strategy(config)
    if name in ZIGZAG or name == "DeepseekV32ForCausalLM":
        wanted = "zigzag" if name in ZIGZAG else "interleave"
        yield check(
            "sglang-context-strategy",
            holds=own == wanted,
            observed=own,
            limit=wanted,
            message=f"{source} arg_groups/parallel_hook.py cuts prompts of {name} by --cp-strategy {wanted} alone, not {own}",
            fix="leave --cp-strategy out",
        )


@rule
def _heads(config: Config, source: str) -> Iterator[Check]:
    degrees, width = config.degrees, stage_width(config.degrees)
    if not spans(config):
        return
    wide = width // degrees.adp
    ep = f" parallel.ep={width} parallel.etp=1" if dispatches(config) and config.model.moe else ""
    yield check(
        "sglang-context-heads",
        holds=degrees.tp == 1,
        observed=f"tp={degrees.tp} cp={degrees.cp}",
        limit=f"tp=1 cp={wide}",
        message=f"{source} arg_groups/model_overrides/deepseek_v2.py: with context parallelism {architecture(config.model)} gets "
        f"attn_cp_size = {width} / adp={degrees.adp} = {wide} and no tensor parallelism of attention, whatever it is told; the plan has "
        f"tp={degrees.tp} cp={degrees.cp}",
        fix=f"write parallel.tp=1 parallel.cp={wide} parallel.dp=null parallel.adp={degrees.adp}{ep}",
    )


@rule
def _sparse(config: Config, source: str) -> Iterator[Check]:
    degrees, width = config.degrees, stage_width(config.degrees)
    if not sparse(config.model) or architecture(config.model) not in LATENT:
        return
    yield check(
        "sglang-context-sparse",
        holds=width <= SPARSE_RANKS,
        observed=f"{width} ranks",
        limit=f"{SPARSE_RANKS} or fewer",
        message=f"{source} arg_groups/model_overrides/deepseek_v2.py: context parallelism of sparse attention takes a stage of at most "
        f"{SPARSE_RANKS} ranks, and tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} are {width}",
        fix=_narrower(config),
    )
    if versions.version(config).facts["sparse_context"] != "as told":
        yield check(
            "sglang-context-replicas",
            holds=degrees.adp == 1 or strategy(config) != "interleave",
            observed=f"adp={degrees.adp}",
            limit="adp=1",
            message=f"{source} arg_groups/model_overrides/deepseek_v2.py: context parallelism by interleaving knows no attention DP with sparse "
            f"attention, and the plan has adp={degrees.adp}",
            fix="write parallel.dp=null parallel.adp=1 with cp as large as adp*cp was",
        )


@rule
def _told(config: Config, source: str) -> Iterator[Check]:
    """Options of the user's that it overrides."""
    given = options(config.framework.args)
    wanted = ({DENSE: "1"} if spans(config) else {}) | ({"--moe-a2a-backend": "deepep"} if dispatches(config) else {})
    for name, value in wanted.items():
        if name in given:
            yield check(
                "sglang-context-override",
                holds=given[name] == value,
                observed=f"{name} {given[name]}",
                limit=value,
                message=f"{source} arg_groups/model_overrides/deepseek_v2.py: with context parallelism of {architecture(config.model)} it sets "
                f"{name} to {value}, whatever it is told, and framework.args ask for {given[name]}",
                fix=f"leave {name} out",
            )


def _narrower(config: Config) -> str:
    """Degrees of a stage that is narrow enough, with as many instances as there were such stages."""
    degrees = config.degrees
    tp = min(degrees.tp, SPARSE_RANKS)
    cp = min(degrees.cp, SPARSE_RANKS // tp)
    width = tp * cp
    replicas = stage_width(degrees) // width
    return (
        f"write parallel.tp={tp} parallel.cp={cp} parallel.dp=null parallel.adp=1 parallel.ep={width} parallel.etp=1"
        f"{apart(config, width * degrees.pp, replicas)}"
    )


def _without(config: Config) -> str:
    """The same ranks, with attention DP in the place of context parallelism where there are experts, else heads."""
    degrees = config.degrees
    if config.model.moe:
        return f"write parallel.cp=1 parallel.dp=null parallel.adp={degrees.adp * degrees.cp}"
    return f"write parallel.cp=1 parallel.tp={degrees.tp * degrees.cp}"
