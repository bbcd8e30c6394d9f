"""What the inference servers have in common: stages of one width, slots of experts, the model's place, what none can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check, Status, check, failed, rule
from compiler.cluster.share import share
from compiler.frameworks.emission import ANYWHERE, Computed, flags, is_flag
from compiler.frameworks.options import options
from compiler.layout.experts import ExpertBlocks, placed
from compiler.layout.stages import Stages
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER, Degrees

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""`--dtype` of both servers by precision."""


def stage_width(degrees: Degrees) -> int:
    """Ranks of one pipeline stage."""
    return degrees.tp * degrees.cp * degrees.adp


def apart(config: Config, ranks: int, replicas: int) -> str:
    """The override that makes instances of `ranks` ranks: as many as fill the cluster, else one for each replica."""
    count, rest = divmod(config.hardware.gpus, ranks)
    count = config.framework.instances * replicas if rest or not count else count
    return "" if count == config.framework.instances else f" framework.instances={count}"


def whole(ranks: int, gpus: int) -> bool:
    """Whether ranks fill nodes of so many GPUs, or an equal part of one."""
    return ranks % gpus == 0 or gpus % ranks == 0


def slots(config: Config, redundant: int, stages: Stages) -> ExpertBlocks:
    """Experts where slot i holds expert i % num_experts, and each ep rank an equal, contiguous share of the slots.

    With redundant slots an expert is on several ranks.
    """
    model, ep = config.model, config.degrees.ep
    share = (model.num_experts + max(redundant, 0)) // ep
    held = min(share, model.num_experts)  # as many slots in a row hold every expert
    ids = (sorted({slot % model.num_experts for slot in range(i * share, i * share + held)}) for i in range(ep))
    return replace(placed(ids, model.moe_layers, stages), redundant=max(redundant, 0))


def weights(config: Config, flags: Sequence[str], *, positional: bool = False) -> str | None:
    """Where `framework.args` say that the weights are: the value of a flag, or a first word that is no option."""
    args = config.framework.args
    if positional and args and not is_flag(args[0]):
        return args[0]
    given = options(args, dict.fromkeys(flags, flags[0]))
    return given.get(flags[0]) or None


def default_weights(config: Config) -> str:
    return f"/models/{config.model.name}"


def context_length(config: Config) -> int:
    """Tokens of the longest request: prompt and answer."""
    return config.workload.longest + config.workload.output_length


def precision(config: Config) -> tuple[str, ...]:
    """The precision as both servers take it: that of activations, where the checkpoint is quantised by itself, or is to be wide;
    FP8 where they are to quantise it.
    """
    model, given = config.model, config.workload.precision
    if model.keeps_quantization(given):
        return (f"--dtype={DTYPES[model.wide(given)]}",)
    if given in DTYPES:
        return (f"--dtype={DTYPES[given]}",)
    return ("--quantization=fp8",) if given == "fp8" and not model.stored else ()


def shares_nodes(config: Config) -> bool:
    """Whether several instances run on one node, and need ports of their own there."""
    return config.hardware.within.taken_gpus > 0 or (config.framework.instances > 1 and share(config).seats > 1)


def http_flag(config: Config, first: int, step: int) -> tuple[Computed, ...]:
    """Alone on its node, a server keeps the port that it is given."""
    return (Computed("--port={PORT}", times=step, port=first),) if shares_nodes(config) else ()


def http_port(config: Config, first: int, step: int) -> Computed:
    """The port that `http_flag` gives; else the user's, or the server's default."""
    if shares_nodes(config):
        return Computed("{PORT}", times=step, port=first)
    return Computed(options(config.framework.args, {}).get("--port") or str(first))


def numa(config: Config, *own: str) -> tuple[str, ...]:
    """NUMA node of each GPU that a server sees, for one that binds its own processes; empty where the site says none.

    `own` are options by which a user binds them otherwise. Servers that share a node see parts of it, which differ.
    """
    given = {flag.split(".")[0].replace("_", "-") for flag in flags(config.framework.args)}
    if given & set(own) or shares_nodes(config):
        return ()
    return tuple(map(str, config.site.numa))


def http_host(config: Config) -> str:
    """The address that a server listens on: the user's, else every one of its node's."""
    return options(config.framework.args, {}).get("--host") or ANYWHERE


def http_scheme(config: Config) -> str:
    """Every server takes a certificate by the same option."""
    return "https" if "--ssl-certfile" in flags(config.framework.args) else "http"


def heard(config: Config, source: str) -> Check:
    """Whether somebody on another machine reaches the server."""
    host = http_host(config)
    return check(
        f"{config.framework.name}-host",
        holds=not (host.startswith("127.") or host in ("localhost", "::1")),
        observed=host,
        limit="an address that others reach",
        message=f"{source} listens on {host}, where nobody on another machine reaches it",
        fix="leave --host out of framework.args",
        otherwise=Status.WARN,
    )


@rule
def common(config: Config, source: str, flags: Sequence[str], *, positional: bool = False) -> Iterator[Check]:
    """Rules of every inference server; `source` names it and its version, `flags` are those of the weights."""
    yield from _limits(config, source)
    yield heard(config, source)
    yield from _checkpoint(config, source, weights(config, flags, positional=positional), flags[0])


@rule
def _limits(config: Config, source: str) -> Iterator[Check]:
    """What none of them does: train, order ranks in another way, interleave stages."""
    name, degrees = config.framework.name, config.degrees
    yield check(
        f"{name}-serving",
        holds=not config.workload.train,
        observed=config.workload.kind,
        limit="serve",
        message=f"{source} serves models, and workload.kind is {config.workload.kind}",
        fix="write workload=serve, or framework=megatron for training",
    )
    yield check(
        f"{name}-order",
        holds=config.parallel.order == DEFAULT_ORDER,
        observed=config.parallel.order,
        limit=DEFAULT_ORDER,
        message=f"{source} orders ranks in one way only, and parallel.order={config.parallel.order} would have no effect",
        fix="leave parallel.order out",
    )
    yield check(
        f"{name}-virtual-stages",
        holds=degrees.vpp == 1,
        observed=f"vpp={degrees.vpp}",
        limit="vpp=1",
        message=f"{source} gives a pipeline rank one run of layers, and vpp is {degrees.vpp}",
        fix="leave vpp out",
    )


@rule
def _checkpoint(config: Config, source: str, found: str | None, flag: str) -> Iterator[Check]:
    """Where the weights are, `found` in the arguments or not, and their format."""
    name = config.framework.name
    yield check(
        f"{name}-weights",
        holds=found is not None,
        observed=found or "not given",
        limit="a path or a name",
        message=f"the server loads {found or default_weights(config)}"
        + ("" if found else f", for framework.args have no {flag}"),
        fix=f"write framework.args=[{flag},PATH], or mount the weights at {default_weights(config)}",
        otherwise=Status.WARN,
    )
    yield format_said(config, source, (*DTYPES, "fp8"))


def format_said(config: Config, source: str, asked: Sequence[str]) -> Check:
    """Whether the checkpoint that is planned says its own format, or is wide, or an option asks for one of `asked`."""
    model, given = config.model, config.workload.precision
    return check(
        f"{config.framework.name}-precision",
        holds=model.keeps_quantization(given) or (given in asked and not model.stored),
        observed=given,
        limit=", ".join(asked) or "that of the checkpoint",
        message=f"{source} takes the format of {given} weights from the checkpoint, not from an option"
        + (f", and {model.name} is described as {model.quantization.method}" if model.stored else ""),
        fix=f"start a checkpoint of {given} weights, and name its config.json in model.hf_config",
        otherwise=Status.WARN,
    )


@rule
def environment(config: Config, names: Mapping[str, str]) -> Iterator[Check]:
    """Variables that would change the plan behind its back; `names` says what each would do."""
    given = {**config.site.environment, **config.launch.environment}
    for name, effect in names.items():
        if name in given:
            yield failed(
                f"{config.framework.name}-environment",
                observed=f"{name}={given[name]}",
                limit="not set",
                message=f"{name}={given[name]} {effect}",
                fix=f"leave {name} out of launch.environment and site.environment",
            )
