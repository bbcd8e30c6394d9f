"""What SGLang refuses of the options in `framework.args` about experts: all-to-all, kernels and slots."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks import copies, versions
from compiler.frameworks.asked import args_key
from compiler.frameworks.deepep import deepep
from compiler.frameworks.family import architecture
from compiler.frameworks.options import number
from compiler.frameworks.serving import stage_width
from compiler.frameworks.sglang.arguments import A2A, SPANNING, backend, given, spelt
from compiler.frameworks.sglang.chunks import chunk
from compiler.specs.config import Config

ROOMS = {
    "pplx": ("SGLANG_PPLX_NUM_MAX_DISPATCH_TOKENS_PER_RANK", 128),
    "mori": ("SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK", 4096),
}
"""All-to-all back ends with room for so many tokens of a rank, a whole chunk of prompts (`environ.py`, `arg_groups/moe_hook.py`)."""

ATTENTION_EVERYWHERE = ("flashinfer", "flashinfer_megamoe")
"""All-to-all back ends that want an attention DP rank on every rank of the stage."""
COPIES = "--ep-num-redundant-experts"


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """`source` names SGLang and its version."""
    yield from _all_to_all(config, source)
    yield from _runner(config, source)
    yield from _slots(config, source)
    yield from _balanced(config, source)


@rule
def _all_to_all(config: Config, source: str) -> Iterator[Check]:
    """The silent ep_size = tp_size first."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    chosen = backend(args)
    if chosen not in SPANNING:
        return
    yield check(
        "sglang-a2a-ep",
        holds=degrees.ep == width,
        observed=f"ep={degrees.ep}",
        limit=f"ep={width}",
        message=f"{source} arg_groups/overrides.py: --moe-a2a-backend {chosen} sets ep_size to tp_size={width} without a word, "
        f"and the plan has ep={degrees.ep}",
        fix=f"write parallel.dp=null parallel.adp={degrees.adp} parallel.ep={width} parallel.etp=1, or leave {spelt(config, A2A)} out",
    )
    least = width if chosen in ATTENTION_EVERYWHERE else 2 if chosen == "pplx" else 1
    good = degrees.adp == width if chosen in ATTENTION_EVERYWHERE else degrees.adp >= least
    yield check(
        "sglang-a2a-attention",
        holds=good,
        observed=f"adp={degrees.adp}",
        limit=f"adp={least}" + " or more" * (chosen not in ATTENTION_EVERYWHERE),
        message=f"{source} arg_groups/moe_hook.py: --moe-a2a-backend {chosen} with attn_dp_size={degrees.adp} on {width} ranks a stage",
        fix=f"write tp1, cp1 and adp{width}" if chosen in ATTENTION_EVERYWHERE else "write adp2 or more",
    )
    yield from _room(config, chosen, source)
    yield from _kernels(config, chosen, source)
    if chosen == "deepep" and args.get("--deepep-mode") != "low_latency":
        yield from deepep(config, chosen, width, source)


RUNNERS = ("flashinfer_cutlass", "flashinfer_cutedsl", "flashinfer_trtllm", "flashinfer_trtllm_routed", "deep_gemm")
"""Kernels of experts that FlashInfer's all-to-all goes with; beside it SGLang chooses none by itself (`arg_groups/moe_hook.py`)."""


@rule
def _kernels(config: Config, chosen: str, source: str) -> Iterator[Check]:
    """Back ends that a model, or the kernels of experts, must be known to go with."""
    runner, name = given(config).get("--moe-runner-backend", "auto"), architecture(config.model)
    if chosen == "flashinfer":
        fit = "deep_gemm" if config.model.quantization.method == "fp8" else "flashinfer_cutlass"
        yield check(
            "sglang-a2a-runner",
            holds=runner in RUNNERS or config.model.quantization.method == "mxfp8",
            observed=runner,
            limit=", ".join(RUNNERS),
            message=f"{source} arg_groups/moe_hook.py: --moe-a2a-backend {chosen} goes with {len(RUNNERS)} kernels of experts, and "
            f"--moe-runner-backend is {runner}",
            fix=f"add --moe-runner-backend={fit} to {args_key(config)}",
        )
    if chosen == "deepep_v2":
        known = versions.version(config).facts["deepep_v2"]
        yield check(
            "sglang-a2a-model",
            holds=name in known,
            observed=name,
            limit=", ".join(known),
            message=f"{source} configs/moe_model_registry.py: --moe-a2a-backend {chosen} is not validated for {name}, and stops",
            fix=f"leave {A2A} out, or write deepep in its place",
        )


@rule
def _room(config: Config, chosen: str, source: str) -> Iterator[Check]:
    """Buffers that hold a pass of prompts; servers of decode alone have none to hold."""
    if chosen not in ROOMS or config.workload.role == "decode":
        return
    name, usual = ROOMS[chosen]
    tokens, room = chunk(config), number({**config.site.environment, **config.launch.environment}, name, usual)
    yield check(
        "sglang-a2a-room",
        holds=tokens <= room,
        observed=f"{tokens} tokens",
        limit=f"{room} tokens",
        message=f"{source} arg_groups/moe_hook.py: --moe-a2a-backend {chosen} has room for {name}={room} tokens of a rank, and a pass of prompts "
        f"has {tokens}",
        fix=f"write launch.environment.{name}={tokens}, or workload.prefill_chunk={room}",
    )


@rule
def _runner(config: Config, source: str) -> Iterator[Check]:
    """Kernels that know all experts of a layer or an equal share on every rank."""
    args, ep, width = given(config), config.degrees.ep, stage_width(config.degrees)
    runner = args.get("--moe-runner-backend", "auto")
    fp8 = config.workload.precision == "fp8" or args.get("--quantization") in ("fp8", "mxfp8")
    if runner in ("flashinfer_cutlass", "flashinfer_cutedsl"):
        sizes = [1, width]
    elif runner == "triton_kernel" or (runner == "cutlass" and fp8):
        sizes = [1]
    else:
        return
    yield check(
        "sglang-moe-runner",
        holds=ep in sizes,
        observed=f"ep={ep}",
        limit=" or ".join(f"ep={size}" for size in sizes),
        message=f"{source} arg_groups/moe_hook.py: --moe-runner-backend {runner} takes {' or '.join(f'ep_size={s}' for s in sizes)}, "
        f"and the plan has ep={ep}",
        fix=f"write ep{sizes[-1]}, or another --moe-runner-backend",
    )


@rule
def _slots(config: Config, source: str) -> Iterator[Check]:
    args, model, ep = given(config), config.model, config.degrees.ep
    extra, even = number(args, COPIES, 0), f"write {COPIES}={-model.num_experts % ep}"
    if COPIES in args:
        yield from copies.rules(config, f"{source} eplb/expert_location.py", COPIES, args[COPIES], even)
    if extra and model.moe:
        total = model.num_experts + extra
        yield check(
            "sglang-physical-experts",
            holds=total % ep == 0,
            observed=f"{total} % {ep} = {total % ep}",
            limit="0",
            message=f"{source} eplb/expert_location.py: {model.num_experts} experts and {extra} redundant ones over ep={ep} are "
            f"{total / ep:g} each",
            fix=even,
        )


@rule
def _balanced(config: Config, source: str) -> Iterator[Check]:
    """Experts that move between ranks, and tokens that choose among copies of one."""
    args, ep = given(config), config.degrees.ep
    if "--enable-eplb" in args:
        yield check(
            "sglang-eplb",
            holds=ep > 1,
            observed=f"ep={ep}",
            limit="ep > 1",
            message=f"{source} arg_groups/parallel_hook.py: EPLB moves experts between ep ranks, and the plan has ep={ep}",
            fix="leave --enable-eplb out, or write ep2 or more",
        )
    dispatch = args.get("--ep-dispatch-algorithm")
    if dispatch in ("static", "lp"):
        yield check(
            "sglang-ep-dispatch",
            holds=backend(args) != "none",
            observed=dispatch,
            limit="dynamic",
            message=f"{source} arg_groups/parallel_hook.py: --ep-dispatch-algorithm {dispatch} picks another copy of an expert on each "
            "rank, which wants an all-to-all back end",
            fix="write --ep-dispatch-algorithm=dynamic, or --moe-a2a-backend=deepep",
        )
