"""What MaxText refuses, ignores or finds out late; files are those of the package `maxtext`."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.maxtext import host, lost, training
from compiler.frameworks.maxtext.emit import given, settings
from compiler.frameworks.maxtext.layout import UNDERSTOOD, replicas
from compiler.frameworks.unsaid import unsaid
from compiler.frameworks.versions import checked, version
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER, Degrees


@rule
def declared(config: Config) -> Iterator[Check]:
    """Silent ones first: a key without an axis, variables that override keys, another architecture."""
    yield from checked(config)
    name = f"MaxText {version(config).number}"
    yield from _silent(config, name)
    yield _gated(config, name)
    yield from unsaid("maxtext", f"{name} configs/types.py", lost.unsaid(config))
    yield from training.declared(config, name)
    yield from host.declared(config, name)
    yield from _axes(config, name)
    yield from _shards(config, name)
    yield from _one_way(config, name)
    yield from _even(config, name)
    yield from _start(config, name)


@rule
def _silent(config: Config, name: str) -> Iterator[Check]:
    keys = [f"{key}={value}" for key, value in given(config).items() if key.endswith("_sequence_parallelism")]
    keys = [key for key in keys if key.startswith(("ici_sequence_", "dcn_sequence_")) and not key.endswith("=1")]
    yield check(
        "maxtext-sequence-axis",
        holds=not keys,
        observed=", ".join(keys) or "none",
        limit="none",
        message=f"{', '.join(keys) or 'no key'} of the sequence axis: {name} still takes the key, but mesh_axes of configs/base.yml has no "
        "such axis since 0.2.2, and the degree is dropped without a word",
        fix="leave it out: the axis context is parallel.cp",
    )
    variables = {**config.site.environment, **config.launch.environment}
    found = sorted(key for key in variables if key.startswith("M_") and key[2:].lower() in settings(config))
    yield check(
        "maxtext-environment",
        holds=not found,
        observed=", ".join(found) or "none",
        limit="none",
        message=f"{', '.join(found) or 'no variable'} in launch.environment or site.environment: {name} reads M_<KEY> as a key "
        "(configs/pyconfig.py), and stops where it is an argument too",
        fix="leave the variable out",
    )


def _gated(config: Config, name: str) -> Check:
    spec = config.model
    return check(
        "maxtext-gated-experts",
        holds=not spec.moe or spec.gated_mlp,
        observed=f"gated_mlp={spec.gated_mlp}".lower(),
        limit="gated_mlp=true",
        message=f"experts of {name} always have three matrices (layers/moe.py: wi_0, wi_1, wo), and model.gated_mlp is false: "
        "they are half as large again as planned",
        fix="write model.gated_mlp=true",
        otherwise=Status.WARN,
    )


@rule
def _axes(config: Config, name: str) -> Iterator[Check]:
    """Degrees that its mesh has no axes for."""
    degrees, spec = config.degrees, config.model
    yield check(
        "maxtext-expert-axis",
        holds=degrees.adp % degrees.ep == 0,
        observed=f"{degrees.adp} % {degrees.ep} = {degrees.adp % degrees.ep}",
        limit="0",
        message=f"expert is an axis of its own in the mesh of {name}, a factor of adp: adp={degrees.adp} with ep={degrees.ep}",
        fix=f"write {_fix(degrees)}",
    )
    yield check(
        "maxtext-expert-tensor",
        holds=not spec.moe or degrees.etp == degrees.tp,
        observed=f"etp={degrees.etp} tp={degrees.tp}",
        limit="etp = tp",
        message=f"{name} cuts experts by the tensor axis as it does everything else (mlp_moe of logical_axis_rules): "
        f"etp={degrees.etp} with tp={degrees.tp}",
        fix=f"write {_fix(degrees)}",
    )


@rule
def _shards(config: Config, name: str) -> Iterator[Check]:
    """Copies and shards of parameters that `framework.args` ask for, apart."""
    if not set(UNDERSTOOD) & set(given(config)):
        return
    degrees, found = config.degrees, replicas(config)
    rest, data, fsdp = degrees.adp // degrees.ep, found.get("data", 1), found.get("fsdp", 1)
    yield check(
        "maxtext-shards",
        holds=data * fsdp == rest,
        observed=f"{data} * {fsdp} = {data * fsdp}",
        limit=rest,
        message=f"framework.args deal data={data} * fsdp={fsdp} to the mesh of {name}, and adp={degrees.adp} over ep={degrees.ep} leaves {rest}",
        fix=f"write ici_data_parallelism={max(1, rest // fsdp)}, or leave it out",
    )
    yield check(
        "maxtext-shards-stage",
        holds=fsdp == 1 or config.workload.zero_stage == 3,
        observed=f"zero_stage={config.workload.zero_stage}",
        limit="zero_stage=3",
        message=f"fsdp={fsdp} of framework.args cuts parameters too, which workload.zero_stage={config.workload.zero_stage} does not say",
        fix="write workload.zero_stage=3",
    )


@rule
def _one_way(config: Config, name: str) -> Iterator[Check]:
    """Orders of ranks and experts that it does not have."""
    yield check(
        "maxtext-order",
        holds=config.parallel.order == DEFAULT_ORDER,
        observed=config.parallel.order,
        limit=DEFAULT_ORDER,
        message=f"{name} orders devices by mesh_axes of configs/base.yml, and parallel.order={config.parallel.order} would have no effect",
        fix="leave parallel.order out",
    )
    yield check(
        "maxtext-expert-layout",
        holds=config.framework.expert_layout in (None, "contiguous"),
        observed=config.framework.expert_layout or "contiguous",
        limit="contiguous",
        message=f"{name} shards experts in runs, as JAX shards any dimension",
        fix="leave framework.expert_layout out",
    )


@rule
def _even(config: Config, name: str) -> Iterator[Check]:
    """Sizes of parameters are multiples of what shards them: `embed` of logical_axis_rules, and tensor."""
    spec, tp, shards = config.model, config.degrees.tp, embedding_shards(config)
    by_tp, tp_fix = f"tp={tp}", "write tp as a divisor of {}"
    embed, embed_fix = f"the axes fsdp, context and expert, {shards}", "write degrees whose product divides {}"
    cuts = [
        ("vocab-size", "vocab_size", spec.vocab_size, by_tp, tp, tp_fix),
        ("hidden-size", "hidden_size", spec.hidden_size, embed, shards, embed_fix),
    ]
    if not spec.mla:
        cuts += [("kv-heads", "num_key_value_heads", spec.kv_heads, by_tp, tp, tp_fix)]
    for what, key, size, axes, by, fix in cuts:
        yield check(
            f"maxtext-{what}",
            holds=size % by == 0,
            observed=f"{size} % {by} = {size % by}",
            limit="0",
            message=f"{key}={size} over {axes}: {name} pads and replicates nothing, and JAX shards parameters evenly or not at all",
            fix=fix.format(size),
        )


def embedding_shards(config: Config) -> int:
    """Devices over which the embedding dimension of every dense parameter is cut."""
    return config.degrees.ep * config.degrees.cp * max(replicas(config).get("fsdp", 1), 1)


def _fix(degrees: Degrees) -> str:
    """The same ranks with etp = tp, and an adp that ep divides."""
    adp = -(-degrees.adp // degrees.ep) * degrees.ep
    found = Degrees(
        degrees.tp, degrees.cp, degrees.pp, degrees.vpp, degrees.ep, degrees.tp if degrees.moe else 1, adp, degrees.moe
    )
    return f"parallel={found.name}"


@rule
def _start(config: Config, name: str) -> Iterator[Check]:
    yield check(
        "maxtext-unit",
        holds=config.launch.unit in (None, "node"),
        observed=config.launch.unit or "node",
        limit="node",
        message=f"{name} is one process a node: jax.distributed.initialize takes NODE_RANK for the process (utils/max_utils.py), "
        "and a process a GPU would hang with the same number on all GPUs of a node",
        fix="leave launch.unit out",
    )
    yield check(
        "maxtext-serving",
        holds=config.workload.train,
        observed=config.workload.kind,
        limit="train",
        message=f"{name} is made for training; workload.kind={config.workload.kind} starts its decode program, which needs "
        "JetStream and answers one prompt",
        fix="write workload=train, or framework=vllm, sglang or tensorrt_llm",
        otherwise=Status.WARN,
    )
