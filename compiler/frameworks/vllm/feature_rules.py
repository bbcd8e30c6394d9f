"""Features of vLLM that know no pipeline, or only some context parallelism, held against the plan's degrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.checks import Check, check, rule
from compiler.frameworks.asked import args_key
from compiler.frameworks.options import nested, number
from compiler.frameworks.vllm.arguments import DRAFTS, LOW_LATENCY, decode_context, given, spelt, transfers_by_nixl
from compiler.specs.config import Config

OVERLAPPING = (LOW_LATENCY, "deepep_high_throughput", "nixl_ep")
"""All-to-all back ends that dual batch overlap takes."""

RUNNER = "VLLM_USE_V2_MODEL_RUNNER"


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about features; `source` names vLLM and its version."""
    args = given(config)
    yield from _elastic(config, args, source)
    yield from _alone(config, args, source)
    if "--enable-dbo" in args:
        yield from _overlap(config, args, source)
    yield from _runner(config, args, source)
    yield from _connector(config, args, source)


@rule
def _elastic(config: Config, args: Mapping[str, str], source: str) -> Iterator[Check]:
    """Ranks that come and go, and ranks that may fail."""
    balanced = "--enable-eplb" in args
    if "--enable-elastic-ep" in args:
        yield check(
            "vllm-elastic",
            holds=config.degrees.pp == 1 and balanced,
            observed=f"pp={config.degrees.pp}, EPLB {'on' if balanced else 'off'}",
            limit="pp=1, EPLB on",
            message=f"{source} config/parallel.py: elastic expert parallelism wants pp=1 and EPLB, and builds its groups otherwise",
            fix="leave --enable-elastic-ep out",
        )
    if "--enable-fault-tolerance" in args:
        servers = number(args, "--api-server-count", 1)
        yield check(
            "vllm-fault-tolerance",
            holds=servers == 1 and config.degrees.adp == 1,
            observed=f"{servers} API servers, adp={config.degrees.adp}",
            limit="1 API server, adp=1",
            message=f"{source} config/parallel.py: fault tolerance wants one API server, and an external load balancer over DP "
            f"ranks, which a plan does not start; --api-server-count is {servers}, adp={config.degrees.adp}",
            fix="leave --enable-fault-tolerance out",
        )


@rule
def _alone(config: Config, args: Mapping[str, str], source: str) -> Iterator[Check]:
    """Features that go with pp=1 only, most of them without context parallelism too."""
    degrees, decode = config.degrees, decode_context(config)
    both = max(degrees.cp, decode)
    features = (
        ("dbo", "--enable-dbo", "dual batch overlap", both),
        ("return-routed-experts", "--enable-return-routed-experts", "returning routed experts", both),
        ("hc-sp", "--enable-hc-sp", "sequence parallelism of hyper-connections", 1),
        ("hisparse", "HiSparse", "HiSparse", decode),
    )
    for name, flag, what, contexts in features:
        if flag in args or (flag == "HiSparse" and _sparse(args)):
            yield check(
                f"vllm-{name}",
                holds=degrees.pp == 1 and contexts == 1,
                observed=f"pp={degrees.pp} cp={contexts}",
                limit="pp=1 cp=1",
                message=f"{source} config/vllm.py: {what} knows no pipeline and no context parallelism; the plan has pp={degrees.pp}, "
                f"context parallelism {contexts}",
                fix=f"leave {spelt(config, flag)} out, or write pp1 and no context parallelism",
            )


def _sparse(args: Mapping[str, str]) -> bool:
    """Whether the KV cache is sparse in host memory: by its own configuration, or by its connector."""
    nested_ = any(flag.startswith("--attention-config.hisparse_config") for flag in args)
    given_ = nested(args, "--attention-config", "hisparse_config") is not None
    return nested_ or given_ or _connectors(args, "HiSparseConnector")


@rule
def _overlap(config: Config, args: Mapping[str, str], source: str) -> Iterator[Check]:
    """Dual batch overlap runs two micro-batches, of one model without adapters or drafts."""
    backend, dbo = args.get("--all2all-backend", "allgather_reducescatter"), spelt(config, "--enable-dbo")
    fitting = OVERLAPPING[config.workload.role == "prefill"]
    yield check(
        "vllm-dbo-backend",
        holds=backend in OVERLAPPING,
        observed=backend,
        limit=", ".join(OVERLAPPING),
        message=f"{source} config/vllm.py: dual batch overlap takes all-to-all back ends {', '.join(OVERLAPPING)}, not {backend}",
        fix=f"write --all2all-backend={fitting} in {args_key(config)}, or leave {dbo} out",
    )
    least = min(number(args, "--dbo-decode-token-threshold", 32), number(args, "--dbo-prefill-token-threshold", 512))
    yield check(
        "vllm-dbo-threshold",
        holds=least >= 2,
        observed=least,
        limit="2 or more",
        message=f"{source} config/parallel.py: dual batch overlap cuts a batch in 2, and its smaller token threshold is {least}",
        fix="leave --dbo-decode-token-threshold and --dbo-prefill-token-threshold out",
    )
    others = [flag for flag in ("--enable-lora", DRAFTS) if flag in args]
    yield check(
        "vllm-dbo-alone",
        holds=not others,
        observed=", ".join(others) or "none",
        limit="neither LoRA nor speculative decoding",
        message=f"{source} config/vllm.py: dual batch overlap goes with neither LoRA nor speculative decoding"
        + (f"; {', '.join(others)}" if others else ""),
        fix=f"leave {dbo} or {' and '.join(spelt(config, flag) for flag in others) or 'the others'} out",
    )


@rule
def _runner(config: Config, args: Mapping[str, str], source: str) -> Iterator[Check]:
    """What only the second model runner can do, where the first one is asked for."""
    degrees = config.degrees
    runner = {**config.site.environment, **config.launch.environment}.get(RUNNER)
    if degrees.cp > 1:
        yield check(
            "vllm-prefill-context",
            holds=runner != "0",
            observed=runner or "default",
            limit="the V2 model runner",
            message=f"{source} config/vllm.py: only the V2 model runner has prefill context parallelism, cp={degrees.cp}",
            fix=f"leave {RUNNER}=0 out",
        )
    if degrees.pp > 1 and "--async-scheduling" in args:
        yield check(
            "vllm-async-scheduling",
            holds=runner != "0",
            observed=runner or "default",
            limit="the V2 model runner",
            message=f"{source} config/vllm.py: only the V2 model runner schedules a pipeline of pp={degrees.pp} asynchronously",
            fix=f"leave {RUNNER}=0 or --async-scheduling out",
        )


@rule
def _connector(config: Config, args: Mapping[str, str], source: str) -> Iterator[Check]:
    """NIXL moves a KV cache that is whole on every rank, or cut over all of them."""
    if not (transfers_by_nixl(config) or _connectors(args, "NixlConnector")):
        return
    dcp, whole = decode_context(config), max(config.degrees.tp, config.degrees.cp)
    yield check(
        "vllm-nixl-context",
        holds=dcp == 1 or (dcp == whole and config.model.mla),
        observed=f"dcp={dcp}",
        limit=f"1, or {whole} with latent attention",
        message=f"{source} config/vllm.py: NixlConnector takes --decode-context-parallel-size 1, or {whole} (the larger of tp and cp) "
        f"with latent attention; it is {dcp}",
        fix=f"write --decode-context-parallel-size=1{f' or {whole}' if config.model.mla else ''}",
    )


def _connectors(args: Mapping[str, str], name: str) -> bool:
    """Whether KV caches move by this connector, alone or among several."""
    return name in args.get("--kv-transfer-config", "") or name == nested(args, "--kv-transfer-config", "kv_connector")
