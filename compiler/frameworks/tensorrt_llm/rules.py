"""What TensorRT-LLM refuses, ignores or finds out late. `mapping.py` is `tensorrt_llm/mapping.py`."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks import blocks
from compiler.frameworks.serving import DTYPES, default_weights, format_said, heard
from compiler.frameworks.tensorrt_llm import pass_rules
from compiler.frameworks.tensorrt_llm.emit import default_stages, spans_nodes, weights
from compiler.frameworks.tensorrt_llm.layout import split_block
from compiler.frameworks.versions import Version, checked, version
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER, Degrees
from compiler.world import World


@rule
def declared(config: Config) -> Iterator[Check]:
    """Late and silent ones first: a partition that has no effect, heads that Helix cannot deal out, cp's order."""
    yield from checked(config)
    found = version(config)
    yield from _stages(config, found)
    if config.degrees.cp > 1:
        yield from _context(config, found)
        yield from _cp_type(config, found)
    yield from _degrees(config, found)
    yield from _one_way(config, found)
    yield from _model(config, found)
    yield _unit(config, found)
    mlps = config.degrees.tp if config.degrees.adp == 1 else 1  # attention DP keeps them whole
    yield from blocks.rules(config, f"TensorRT-LLM {found.number}", blocks.Over(mlps, mlps, "tp"))
    yield from pass_rules.rules(config, f"TensorRT-LLM {found.number}")
    yield heard(config, f"TensorRT-LLM {found.number}")


@rule
def _stages(config: Config, found: Version) -> Iterator[Check]:
    stages, own = list(config.parallel.stages or ()), default_stages(config)
    yield check(
        "tensorrt_llm-partition",
        holds=not stages or stages == own or bool(found.facts["partition"]),
        observed=stages or own,
        limit=own,
        message=f"TensorRT-LLM {found.number} has no pp_partition and splits layers as {own}, whatever parallel.stages says",
        fix="leave parallel.stages out, or write framework.version=1.2 or later",
    )
    yield check(
        "tensorrt_llm-virtual-stages",
        holds=config.degrees.vpp == 1,
        observed=f"vpp={config.degrees.vpp}",
        limit="vpp=1",
        message=f"TensorRT-LLM {found.number} gives a pipeline rank one run of layers (mapping.py pp_layers), and vpp is {config.degrees.vpp}",
        fix="leave vpp out",
    )


@rule
def _context(config: Config, found: Version) -> Iterator[Check]:
    """How cp deals out heads and ranks."""
    degrees, heads = config.degrees, config.model.num_attention_heads
    helix, cut = found.facts["cp_type"] == "HELIX", degrees.tp * degrees.cp
    yield check(
        "tensorrt_llm-helix-heads",
        holds=not helix or heads % cut == 0,
        observed=f"{heads} % {cut} = {heads % cut}",
        limit="0",
        message=f"Helix in TensorRT-LLM {found.number} deals each tp rank's heads out over cp, so tp*cp={cut} must divide "
        f"num_attention_heads={heads}; it fails when the model is built",
        fix=f"write tp and cp whose product divides {heads}",
    )
    yield check(
        "tensorrt_llm-cp-order",
        holds=bool(found.facts["dated"]) or degrees.tp * degrees.adp == 1,
        observed=found.number,
        limit="1.3 or later",
        message=f"TensorRT-LLM {found.number}: cp is taken to be the fastest axis, as since pull request 10350, but it is not "
        "known whether this release has it; before, tp was the fastest",
        fix="run `python -m compiler.prove PLAN --wheel FILE` with your wheel, or write framework.version",
        otherwise=Status.WARN,
    )


@rule
def _cp_type(config: Config, found: Version) -> Iterator[Check]:
    """What Helix and ULYSSES leave out."""
    cp, kind = config.degrees.cp, found.facts["cp_type"]
    helix = kind == "HELIX"
    yield check(
        "tensorrt_llm-context",
        holds=helix and config.workload.role == "decode",
        observed=f"cp={cp}",
        limit="cp=1",
        message=f"cp={cp} is {kind} in TensorRT-LLM {found.number}: "
        + (
            "it serves decoding alone, so prefill needs instances of its own (disaggregated serving)"
            if helix
            else "it needs an engine of the TensorRT backend; the PyTorch backend has none of it"
        ),
        fix="leave parallel.cp out, or give it to a pool that decodes alone, in workload.pools.decode.parallel"
        if helix
        else "leave parallel.cp out",
        otherwise=Status.WARN,
    )
    yield check(
        "tensorrt_llm-moe-context",
        holds=not split_block(config),
        observed=f"{kind} cp={cp}",
        limit="cp=1",
        message=f"experts with cp={cp} and ULYSSES: mapping.py of {found.number} refuses moe_ep_size > 1, and with 1 its "
        "moe_tp groups hold the first tp ranks of each stage only",
        fix="leave parallel.cp out, or write framework.version=1.2 or later, which has Helix",
    )


@rule
def _degrees(config: Config, found: Version) -> Iterator[Check]:
    degrees, moe = config.degrees, config.model.moe
    copies = degrees.edp if moe else degrees.adp
    name = "expert data parallelism" if moe else "data parallelism"
    yield check(
        "tensorrt_llm-replicas",
        holds=copies == 1,
        observed=copies,
        limit=1,
        message=f"TensorRT-LLM {found.number} has no {name} in an instance (mapping.py: world = tp*pp*cp"
        + (", moe_tp*moe_ep = tp*cp" if moe else "")
        + f"), and the plan has {copies} copies",
        fix=f"write {fix(config)}",
    )
    yield check(
        "tensorrt_llm-attention-dp",
        holds=not moe or degrees.tp == 1 or degrees.adp == 1,
        observed=f"tp={degrees.tp} adp={degrees.adp}",
        limit="tp=1 or adp=1",
        message=f"attention DP of TensorRT-LLM {found.number} is all or nothing (mapping.py: dp_size is tp_size or 1), and the "
        f"plan has tp={degrees.tp} with adp={degrees.adp}",
        fix=f"write {fix(config)}",
    )


@rule
def _one_way(config: Config, found: Version) -> Iterator[Check]:
    """Orders of ranks and experts that it does not have."""
    yield check(
        "tensorrt_llm-order",
        holds=config.parallel.order == DEFAULT_ORDER,
        observed=config.parallel.order,
        limit=DEFAULT_ORDER,
        message=f"TensorRT-LLM {found.number} orders ranks in one way only, and parallel.order={config.parallel.order} would have no effect",
        fix="leave parallel.order out",
    )
    yield check(
        "tensorrt_llm-expert-layout",
        holds=config.framework.expert_layout in (None, "contiguous"),
        observed=config.framework.expert_layout or "contiguous",
        limit="contiguous",
        message=f"TensorRT-LLM {found.number} deals experts out in runs (mapping.py ep_experts)",
        fix="leave framework.expert_layout out",
    )


def fix(config: Config) -> str:
    """Overrides of the nearest plan that it has: one block of ranks a stage, and its copies as instances."""
    given = config.degrees
    block = given.etp * given.ep if config.model.moe else given.tp * given.cp
    width = max(block // given.cp, 1)
    whole = config.model.moe and (given.adp > 1 or config.model.num_attention_heads % width != 0)
    tp, adp = (1, width) if whole else (width, 1)
    degrees = Degrees(tp, given.cp, given.pp, 1, given.ep, given.etp, adp, config.model.moe)
    copies = (given.edp if config.model.moe else given.adp) * config.framework.instances
    return f"parallel={degrees.name} framework.instances={copies}"


@rule
def _model(config: Config, found: Version) -> Iterator[Check]:
    """What is served, from which weights and in which format."""
    workload = config.workload
    yield check(
        "tensorrt_llm-serving",
        holds=not workload.train,
        observed=workload.kind,
        limit="serve",
        message=f"TensorRT-LLM {found.number} serves models, and workload.kind is {workload.kind}",
        fix="write workload=serve, or framework=megatron for training",
    )
    yield check(
        "tensorrt_llm-weights",
        holds=weights(config) is not None,
        observed=weights(config) or "not given",
        limit="a path or a name",
        message=f"trtllm-serve loads {weights(config) or default_weights(config)}",
        fix=f"name the model first in framework.args, as in [org/model], or mount it at {default_weights(config)}",
        otherwise=Status.WARN,
    )
    yield format_said(config, f"TensorRT-LLM {found.number}", tuple(DTYPES))


def _unit(config: Config, found: Version) -> Check:
    several = spans_nodes(config)
    unit = "rank" if several else "node"
    return check(
        "tensorrt_llm-unit",
        holds=config.launch.unit in (None, unit),
        observed=config.launch.unit or unit,
        limit=unit,
        message=f"trtllm-serve of TensorRT-LLM {found.number} "
        + (
            "on several nodes is one task a GPU, in one MPI world (trtllm-llmapi-launch)"
            if several
            else "on one node is one process, which starts the others itself"
        ),
        fix="leave launch.unit out",
    )


def laid_out(world: World) -> Iterator[Check]:
    """Ranks on several nodes find each other by MPI; what Kubernetes makes of that is its targets' to say."""
    config = world.config
    if not spans_nodes(config):
        return
    yield check(
        "tensorrt_llm-mpi",
        holds="local" not in config.scheduler,
        observed=", ".join(config.scheduler) or "none",
        limit="slurm or mpijob",
        message=f"{world.size} ranks of trtllm-serve must be one MPI world: Slurm starts them with srun --mpi=pmix, which needs Slurm "
        "with PMIx and an MPI beside TensorRT-LLM that speaks it"
        + ("; local starts each as a world of its own" if "local" in config.scheduler else ""),
        fix="write scheduler=slurm, or instances that fit in a node",
        otherwise=Status.WARN,
    )
