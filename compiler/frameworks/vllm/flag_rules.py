"""What vLLM refuses of the options in `framework.args`, held against the plan's degrees."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks import copies
from compiler.frameworks.asked import asked
from compiler.frameworks.deepep import deepep
from compiler.frameworks.options import nested
from compiler.frameworks.serving import stage_width
from compiler.frameworks.vllm.arguments import COPIES, decode_context, expert_parallel, given, redundant, spelt
from compiler.specs.config import Config

REMOVED = ("pplx", "naive")
"""All-to-all back ends that vLLM takes and replaces by allgather_reducescatter."""

BALANCERS = (
    "--data-parallel-hybrid-lb",
    "--data-parallel-external-lb",
    "--data-parallel-multi-port-external-lb",
    "--data-parallel-rank",
)


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about options; `source` names vLLM and its version."""
    yield from _all_to_all(config, source)
    yield from _redundant(config, source)
    if "--enable-eplb" in given(config):
        yield from _eplb(config, source)
    yield from _decode_context(config, source)
    yield from _elsewhere(config, source)


@rule
def _all_to_all(config: Config, source: str) -> Iterator[Check]:
    args, degrees = given(config), config.degrees
    backend = args.get("--all2all-backend")
    if backend is None:
        return
    yield check(
        "vllm-all2all-removed",
        holds=backend not in REMOVED,
        observed=backend,
        limit="a back end that exists",
        message=f"{source} config/parallel.py replaces --all2all-backend {backend} by allgather_reducescatter",
        fix="write a back end that exists, such as deepep_low_latency",
        otherwise=Status.WARN,
    )
    used = expert_parallel(config) and (degrees.adp > 1 or degrees.cp > 1)
    yield check(
        "vllm-all2all-unused",
        holds=used,
        observed=f"ep={degrees.ep} adp={degrees.adp} cp={degrees.cp}",
        limit="ep > 1, and adp > 1 or cp > 1",
        message=f"{source} fused_moe/config.py uses --all2all-backend {backend} only with expert parallelism over DP or "
        f"prefill-context ranks; the plan has ep={degrees.ep} adp={degrees.adp} cp={degrees.cp}",
        fix=f"leave {spelt(config, '--all2all-backend')} out",
        otherwise=Status.FAIL if asked(config).low_latency else Status.WARN,
    )
    if used and backend == "deepep_high_throughput":
        yield from deepep(config, backend, degrees.ep, source)
    if backend == "moonep":
        yield _moonep(config, source)


def _moonep(config: Config, source: str) -> Check:
    args = given(config)
    precision = args.get("--dtype") or config.workload.precision
    wrong = ["EPLB is on"] * ("--enable-eplb" in args)
    wrong += ["placement is round_robin"] * (config.framework.expert_layout == "round_robin")
    wrong += [f"the precision is {precision}"] * (precision != "bf16")
    return check(
        "vllm-moonep",
        holds=not wrong,
        observed=", ".join(wrong) or "fits",
        limit="bf16, linear, no EPLB",
        message=f"{source} config/vllm.py: all2all-backend moonep wants bf16, linear placement and no EPLB"
        + (f"; {', '.join(wrong)}" if wrong else ""),
        fix="write another --all2all-backend, or workload.precision=bf16 and no --enable-eplb",
    )


@rule
def _redundant(config: Config, source: str) -> Iterator[Check]:
    """Copies of experts are EPLB's."""
    on, extra, said = "--enable-eplb" in given(config), redundant(config), nested(given(config), *COPIES)
    if said is not None:
        fix = f"write {COPIES[1]}={-config.model.num_experts % config.degrees.ep}, or leave {'.'.join(COPIES)} out"
        yield from copies.rules(config, f"{source} config/parallel.py", COPIES[1], said, fix)
    if extra:
        yield check(
            "vllm-redundant-experts",
            holds=on,
            observed=f"{extra} redundant experts",
            limit="--enable-eplb",
            message=f"{source} config/parallel.py: num_redundant_experts={extra}, and EPLB is {'on' if on else 'off'}",
            fix="add --enable-eplb, or leave num_redundant_experts out",
        )


@rule
def _eplb(config: Config, source: str) -> Iterator[Check]:
    args, model, ep = given(config), config.model, config.degrees.ep
    extra, where = redundant(config), f"{source} config/parallel.py"
    yield check(
        "vllm-eplb",
        holds=expert_parallel(config),
        observed=f"ep={ep}",
        limit="ep > 1",
        message=f"{where}: EPLB wants expert parallelism, and the plan has ep={ep} over {stage_width(config.degrees)} ranks",
        fix="leave --enable-eplb out, or write ep = tp*cp*adp with etp=1",
    )
    total = model.num_experts + extra
    yield check(
        "vllm-physical-experts",
        holds=total % ep == 0,
        observed=f"{total} % {ep} = {total % ep}",
        limit="0",
        message=f"{source} eplb_state.py: {model.num_experts} experts and {extra} redundant ones over ep={ep} are {total / ep:g} each",
        fix=f"write num_redundant_experts={-model.num_experts % ep}",
    )
    communicator, asynchronous = (nested(args, "--eplb-config", key) for key in ("communicator", "use_async"))
    yield check(
        "vllm-eplb-communicator",
        holds=not (asynchronous is not False and communicator in ("torch_nccl", "pynccl")),
        observed=f"{communicator}",
        limit="torch_gloo or nixl",
        message=f"{where}: asynchronous EPLB over {communicator} would share NCCL's streams",
        fix="write communicator torch_gloo or nixl, or use_async false",
    )


@rule
def _decode_context(config: Config, source: str) -> Iterator[Check]:
    """DCP takes no ranks of its own: it cuts the KV cache over tp ranks, or over cp and tp ranks."""
    dcp, degrees, model = decode_context(config), config.degrees, config.model
    tp, cp = degrees.tp, degrees.cp
    if dcp == 1:
        return
    sizes = [size for size in range(1, tp + 1) if tp % size == 0] if cp == 1 else sorted({1, cp, tp * cp})
    yield check(
        "vllm-decode-context",
        holds=dcp in sizes,
        observed=dcp,
        limit=", ".join(map(str, sizes)),
        message=f"{source} config/parallel.py: --decode-context-parallel-size {dcp} with tp={tp} and cp={cp}",
        fix="write " + " or ".join(f"--decode-context-parallel-size={size}" for size in sizes),
    )
    if model.mla:
        return
    kv, queries = model.kv_heads, model.num_attention_heads // model.kv_heads
    most = tp // kv
    yield check(
        "vllm-decode-context-heads",
        holds=tp > kv and dcp <= most and queries % dcp == 0,
        observed=f"tp={tp} dcp={dcp}",
        limit=f"tp > {kv}, dcp <= tp / {kv} and a divisor of {queries}",
        message=f"{source} config/model.py: decode context parallelism of {dcp} with tp={tp}, {kv} KV heads and {queries} "
        "query heads for each",
        fix=f"write tp above {kv} and a dcp up to tp/{kv} that divides {queries}, or leave dcp out",
    )


@rule
def _elsewhere(config: Config, source: str) -> Iterator[Check]:
    """Options that put ranks elsewhere than planned."""
    args = given(config)
    executor = args.get("--distributed-executor-backend", "mp")
    backend = args.get("--data-parallel-backend", "mp")
    yield check(
        "vllm-executor",
        holds=executor == "mp" and backend == "mp",
        observed=f"{executor}, {backend}",
        limit="mp, mp",
        message=f"{source}: executor {executor} and data-parallel back end {backend}; only mp puts ranks where the plan has them",
        fix="leave --distributed-executor-backend and --data-parallel-backend out",
    )
    balancers = sorted(set(BALANCERS) & set(args))
    yield check(
        "vllm-load-balancer",
        holds=not balancers,
        observed=", ".join(balancers) or "none",
        limit="none",
        message=f"{source} engine/arg_utils.py refuses {' and '.join(balancers) or 'load balancers'} on headless nodes, which all but "
        "the first are",
        fix="leave it out: the first node balances over all DP ranks",
    )
