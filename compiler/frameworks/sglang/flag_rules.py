"""What SGLang refuses of the options in `framework.args`, held against the plan's degrees."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.deepep import deepep
from compiler.frameworks.options import number
from compiler.frameworks.serving import stage_width
from compiler.frameworks.sglang.arguments import SPANNING, backend, given
from compiler.specs.config import Config

ATTENTION_EVERYWHERE = ("flashinfer", "flashinfer_megamoe")
"""All-to-all back ends that want an attention DP rank on every rank of the stage."""


def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about options; `source` names SGLang and its version."""
    yield from _all_to_all(config, source)
    yield from _runner(config, source)
    yield from _slots(config, source)
    yield from _context(config, source)
    yield from _replicas(config, source)
    yield from _widths(config, source)
    yield from _pipeline(config, source)


def _all_to_all(config: Config, source: str) -> Iterator[Check]:
    """The silent ep_size = tp_size first."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    chosen = backend(args)
    if chosen not in SPANNING:
        return
    yield check(
        "sglang-a2a-ep",
        degrees.ep == width,
        f"ep={degrees.ep}",
        f"ep={width}",
        f"{source} arg_groups/overrides.py: --moe-a2a-backend {chosen} sets ep_size to tp_size={width} without a word, "
        f"and the plan has ep={degrees.ep}",
        f"write parallel.dp=null parallel.adp={degrees.adp} parallel.ep={width} parallel.etp=1, or leave --moe-a2a-backend out",
    )
    least = width if chosen in ATTENTION_EVERYWHERE else 2 if chosen == "pplx" else 1
    good = degrees.adp == width if chosen in ATTENTION_EVERYWHERE else degrees.adp >= least
    yield check(
        "sglang-a2a-attention",
        good,
        f"adp={degrees.adp}",
        f"adp={least}" + " or more" * (chosen not in ATTENTION_EVERYWHERE),
        f"{source} arg_groups/moe_hook.py: --moe-a2a-backend {chosen} with attn_dp_size={degrees.adp} on {width} ranks a stage",
        f"write tp1, cp1 and adp{width}" if chosen in ATTENTION_EVERYWHERE else "write adp2 or more",
    )
    if chosen == "deepep" and args.get("--deepep-mode") != "low_latency":
        yield from deepep(config, chosen, width, source)


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
        ep in sizes,
        f"ep={ep}",
        " or ".join(f"ep={size}" for size in sizes),
        f"{source} arg_groups/moe_hook.py: --moe-runner-backend {runner} takes {' or '.join(f'ep_size={s}' for s in sizes)}, "
        f"and the plan has ep={ep}",
        f"write ep{sizes[-1]}, or another --moe-runner-backend",
    )


def _slots(config: Config, source: str) -> Iterator[Check]:
    args, model, ep = given(config), config.model, config.degrees.ep
    extra = number(args, "--ep-num-redundant-experts", 0)
    if extra and model.moe:
        total = model.num_experts + extra
        yield check(
            "sglang-physical-experts",
            total % ep == 0,
            f"{total} % {ep} = {total % ep}",
            "0",
            f"{source} eplb/expert_location.py: {model.num_experts} experts and {extra} redundant ones over ep={ep} are "
            f"{total / ep:g} each",
            f"write --ep-num-redundant-experts={-model.num_experts % ep}",
        )
    if "--enable-eplb" in args:
        yield check(
            "sglang-eplb",
            ep > 1,
            f"ep={ep}",
            "ep > 1",
            f"{source} arg_groups/parallel_hook.py: EPLB moves experts between ep ranks, and the plan has ep={ep}",
            "leave --enable-eplb out, or write ep2 or more",
        )
    dispatch = args.get("--ep-dispatch-algorithm")
    if dispatch in ("static", "lp"):
        yield check(
            "sglang-ep-dispatch",
            backend(args) != "none",
            dispatch,
            "dynamic",
            f"{source} arg_groups/parallel_hook.py: --ep-dispatch-algorithm {dispatch} picks another copy of an expert on each "
            "rank, which wants an all-to-all back end",
            "write --ep-dispatch-algorithm=dynamic, or --moe-a2a-backend=deepep",
        )


def _context(config: Config, source: str) -> Iterator[Check]:
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    dcp = number(args, "--dcp-size", 1)
    if degrees.cp > 1:
        strategy = args.get("--cp-strategy")
        yield check(
            "sglang-cp-strategy",
            strategy in ("zigzag", "interleave"),
            strategy or "not given",
            "zigzag, interleave",
            f"{source} arg_groups/parallel_hook.py: cp={degrees.cp} is prefill context parallelism, and --cp-strategy is "
            f"{strategy or 'not given'}; which one a model has depends on the model",
            "write framework.args=[--cp-strategy=interleave], or zigzag",
        )
    if dcp > 1:
        yield check(
            "sglang-decode-context",
            width % dcp == 0 and degrees.cp == 1,
            f"dcp={dcp} cp={degrees.cp}",
            f"a divisor of {width}, cp=1",
            f"{source} distributed/parallel_state.py: --dcp-size {dcp} cuts the {width} ranks of a stage, and does not go with "
            f"prefill context parallelism, cp={degrees.cp}",
            f"write --dcp-size as a divisor of {width}, and no cp",
        )


def _replicas(config: Config, source: str) -> Iterator[Check]:
    args = given(config)
    replicas = number(args, "--dp-size", 1)
    old = "--enable-dp-attention" in args
    if replicas > 1 or old:
        yield check(
            "sglang-replicas",
            False,
            f"--dp-size {replicas}" + " --enable-dp-attention" * old,
            "neither",
            f"{source} arg_groups/parallel_hook.py: --dp-size {replicas} "
            + (
                "with --enable-dp-attention, which is deprecated, sets --attn-dp-size"
                if old
                else "starts replicas, on one node only, that the plan knows nothing of"
            ),
            "leave it out: adp is --attn-dp-size, and replicas are framework.instances",
        )


def _widths(config: Config, source: str) -> Iterator[Check]:
    """Single layers that take a width of their own."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    dense, shared = args.get("--moe-dense-tp-size"), number(args, "--shared-experts-tp-size", 1)
    if dense is not None:
        yield check(
            "sglang-dense-width",
            dense in ("1", str(width)),
            dense,
            f"1, {width}",
            f"{source} arg_groups/validation_hook.py: --moe-dense-tp-size {dense} on {width} ranks a stage",
            f"write 1 or {width}",
        )
    if shared > 1:
        yield check(
            "sglang-shared-width",
            degrees.tp % shared == 0 and backend(args) != "none",
            f"{shared}, back end {backend(args)}",
            f"a divisor of {degrees.tp}, with an all-to-all back end",
            f"{source} arg_groups/parallel_hook.py: --shared-experts-tp-size {shared} with attention tp={degrees.tp} and "
            f"--moe-a2a-backend {backend(args)}",
            f"write a divisor of {degrees.tp} and --moe-a2a-backend=deepep, or leave it out",
        )
    if "--enable-dp-lm-head" in args:
        yield check(
            "sglang-lm-head",
            degrees.adp > 1,
            f"adp={degrees.adp}",
            "adp > 1",
            f"{source} arg_groups/overrides.py: --enable-dp-lm-head wants attention DP, and the plan has adp={degrees.adp}",
            "leave --enable-dp-lm-head out, or write adp2 or more",
        )
    if "--enable-tp-lm-head-all-to-all" in args:
        yield check(
            "sglang-lm-head-all-to-all",
            degrees.adp == width,
            f"adp={degrees.adp}",
            f"adp={width}",
            f"{source} arg_groups/overrides.py: --enable-tp-lm-head-all-to-all wants attn_dp_size equal to tp_size={width} and "
            f"no context parallelism; the plan has adp={degrees.adp}",
            "leave --enable-tp-lm-head-all-to-all out, or write tp1 and cp1",
        )


def _pipeline(config: Config, source: str) -> Iterator[Check]:
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    speculative = args.get("--speculative-algorithm")
    if degrees.pp > 1:
        yield check(
            "sglang-pipeline-overlap",
            False,
            f"pp={degrees.pp}",
            "pp=1",
            f"{source} arg_groups/overrides.py switches its overlap schedule off with pp={degrees.pp}: the CPU's share of a "
            "step is no longer hidden",
            "write pp1 where the model fits",
            otherwise="warn",
        )
        if speculative:
            yield check(
                "sglang-speculative",
                speculative.upper() == "EAGLE",
                speculative,
                "EAGLE",
                f"{source} arg_groups/validation_hook.py: a pipeline of pp={degrees.pp} takes EAGLE alone, not {speculative}",
                "write --speculative-algorithm=EAGLE, or pp1",
            )
    if "--elastic-ep-backend" in args:
        yield check(
            "sglang-elastic",
            degrees.pp == 1,
            f"pp={degrees.pp}",
            "pp=1",
            f"{source} arg_groups/parallel_hook.py: elastic expert parallelism knows no pipeline, pp={degrees.pp}",
            "leave --elastic-ep-backend out, or write pp1",
        )
    dwdp = number(args, "--dwdp-size", 1)
    if dwdp > 1:
        good = dwdp == width == degrees.adp == degrees.ep and degrees.pp == 1 and "--enable-eplb" not in args
        yield check(
            "sglang-dwdp",
            good,
            f"dwdp={dwdp} adp={degrees.adp} ep={degrees.ep} pp={degrees.pp}",
            f"all {width}, pp=1",
            f"{source} arg_groups/parallel_hook.py: --dwdp-size {dwdp} sets attn_dp_size and ep_size to it and wants tp_size "
            f"equal, pp_size=1 and no EPLB; the plan has adp={degrees.adp} ep={degrees.ep} pp={degrees.pp} on {width} ranks "
            "a stage",
            "leave --dwdp-size out, or write tp1, cp1, pp1 and ep equal to adp",
        )
