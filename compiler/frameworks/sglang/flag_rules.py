"""What SGLang refuses of the options in `framework.args`, held against the plan's degrees."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed, rule, warned
from compiler.frameworks.options import number
from compiler.frameworks.serving import stage_width
from compiler.frameworks.sglang import contexts, expert_rules
from compiler.frameworks.sglang.arguments import backend, given
from compiler.specs.config import Config


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about options; `source` names SGLang and its version."""
    yield from expert_rules.rules(config, source)
    yield from contexts.rules(config, source)
    yield from _context(config, source)
    yield from _replicas(config, source)
    yield from _widths(config, source)
    yield from _heads(config, source)
    yield from _pipeline(config, source)
    yield from _unpiped(config, source)


@rule
def _context(config: Config, source: str) -> Iterator[Check]:
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    dcp = number(args, "--dcp-size", 1)
    if degrees.cp > 1:
        strategy = args.get("--cp-strategy")
        yield check(
            "sglang-cp-strategy",
            holds=strategy in ("zigzag", "interleave"),
            observed=strategy or "not given",
            limit="zigzag, interleave",
            message=f"{source} arg_groups/parallel_hook.py: cp={degrees.cp} is prefill context parallelism, and --cp-strategy={strategy} is "
            "no way to cut prompts for it",
            fix="leave --cp-strategy out, which is --cp-strategy=interleave",
        )
    if dcp > 1:
        yield check(
            "sglang-decode-context",
            holds=width % dcp == 0 and degrees.cp == 1,
            observed=f"dcp={dcp} cp={degrees.cp}",
            limit=f"a divisor of {width}, cp=1",
            message=f"{source} distributed/parallel_state.py: --dcp-size {dcp} cuts the {width} ranks of a stage, and does not go with "
            f"prefill context parallelism, cp={degrees.cp}",
            fix=f"write --dcp-size as a divisor of {width}, and no cp",
        )


@rule
def _replicas(config: Config, source: str) -> Iterator[Check]:
    args = given(config)
    replicas = number(args, "--dp-size", 1)
    old = "--enable-dp-attention" in args
    if replicas > 1 or old:
        yield failed(
            "sglang-replicas",
            observed=f"--dp-size {replicas}" + " --enable-dp-attention" * old,
            limit="neither",
            message=f"{source} arg_groups/parallel_hook.py: --dp-size {replicas} "
            + (
                "with --enable-dp-attention, which is deprecated, sets --attn-dp-size"
                if old
                else "starts replicas, on one node only, that the plan knows nothing of"
            ),
            fix="leave it out: adp is --attn-dp-size, and replicas are framework.instances",
        )


@rule
def _widths(config: Config, source: str) -> Iterator[Check]:
    """MLPs that take a width of their own."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    dense, shared = args.get("--moe-dense-tp-size"), number(args, "--shared-experts-tp-size", 1)
    if dense is not None:
        yield check(
            "sglang-dense-width",
            holds=dense in ("1", str(width)),
            observed=dense,
            limit=f"1, {width}",
            message=f"{source} arg_groups/validation_hook.py: --moe-dense-tp-size {dense} on {width} ranks a stage",
            fix=f"write --moe-dense-tp-size=1 or --moe-dense-tp-size={width}",
        )
    if shared > 1:
        yield check(
            "sglang-shared-width",
            holds=degrees.tp % shared == 0 and backend(args) != "none",
            observed=f"{shared}, back end {backend(args)}",
            limit=f"a divisor of {degrees.tp}, with an all-to-all back end",
            message=f"{source} arg_groups/parallel_hook.py: --shared-experts-tp-size {shared} with attention tp={degrees.tp} and "
            f"--moe-a2a-backend {backend(args)}",
            fix=f"write a divisor of {degrees.tp} and --moe-a2a-backend=deepep, or leave it out",
        )


@rule
def _heads(config: Config, source: str) -> Iterator[Check]:
    """Ways of splitting the output layer."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    if "--enable-dp-lm-head" in args:
        yield check(
            "sglang-lm-head",
            holds=degrees.adp > 1,
            observed=f"adp={degrees.adp}",
            limit="adp > 1",
            message=f"{source} arg_groups/overrides.py: --enable-dp-lm-head wants attention DP, and the plan has adp={degrees.adp}",
            fix="leave --enable-dp-lm-head out, or write adp2 or more",
        )
    if "--enable-tp-lm-head-all-to-all" in args:
        yield check(
            "sglang-lm-head-all-to-all",
            holds=degrees.adp == width,
            observed=f"adp={degrees.adp}",
            limit=f"adp={width}",
            message=f"{source} arg_groups/overrides.py: --enable-tp-lm-head-all-to-all wants attn_dp_size equal to tp_size={width} and "
            f"no context parallelism; the plan has adp={degrees.adp}",
            fix="leave --enable-tp-lm-head-all-to-all out, or write tp1 and cp1",
        )


@rule
def _pipeline(config: Config, source: str) -> Iterator[Check]:
    args, degrees = given(config), config.degrees
    speculative = args.get("--speculative-algorithm")
    if degrees.pp > 1:
        yield warned(
            "sglang-pipeline-overlap",
            observed=f"pp={degrees.pp}",
            limit="pp=1",
            message=f"{source} arg_groups/overrides.py switches its overlap schedule off with pp={degrees.pp}: the CPU's share of a "
            "step is no longer hidden",
            fix="write pp1 where the model fits",
        )
        if speculative:
            yield check(
                "sglang-speculative",
                holds=speculative.upper() == "EAGLE",
                observed=speculative,
                limit="EAGLE",
                message=f"{source} arg_groups/validation_hook.py: a pipeline of pp={degrees.pp} takes EAGLE alone, not {speculative}",
                fix="write --speculative-algorithm=EAGLE, or pp1",
            )


@rule
def _unpiped(config: Config, source: str) -> Iterator[Check]:
    """Kinds of expert parallelism that know no pipeline."""
    args, degrees, width = given(config), config.degrees, stage_width(config.degrees)
    if "--elastic-ep-backend" in args:
        yield check(
            "sglang-elastic",
            holds=degrees.pp == 1,
            observed=f"pp={degrees.pp}",
            limit="pp=1",
            message=f"{source} arg_groups/parallel_hook.py: elastic expert parallelism knows no pipeline, pp={degrees.pp}",
            fix="leave --elastic-ep-backend out, or write pp1",
        )
    dwdp = number(args, "--dwdp-size", 1)
    if dwdp > 1:
        good = dwdp == width == degrees.adp == degrees.ep and degrees.pp == 1 and "--enable-eplb" not in args
        yield check(
            "sglang-dwdp",
            holds=good,
            observed=f"dwdp={dwdp} adp={degrees.adp} ep={degrees.ep} pp={degrees.pp}",
            limit=f"all {width}, pp=1",
            message=f"{source} arg_groups/parallel_hook.py: --dwdp-size {dwdp} sets attn_dp_size and ep_size to it and wants tp_size "
            f"equal, pp_size=1 and no EPLB; the plan has adp={degrees.adp} ep={degrees.ep} pp={degrees.pp} on {width} ranks "
            "a stage",
            fix="leave --dwdp-size out, or write tp1, cp1, pp1 and ep equal to adp",
        )
