"""What TensorRT-LLM refuses, ignores or finds out late. `mapping.py` is `tensorrt_llm/mapping.py`."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import blocks
from compiler.frameworks.serving import DTYPES, default_weights, format_said, heard
from compiler.frameworks.tensorrt_llm import pass_rules
from compiler.frameworks.tensorrt_llm.emit import default_stages, spans_nodes, weights
from compiler.frameworks.tensorrt_llm.layout import split_block
from compiler.frameworks.versions import Version, checked, version
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER, Degrees
from compiler.world import World


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


def _stages(config: Config, found: Version) -> Iterator[Check]:
    stages, own = list(config.parallel.stages or ()), default_stages(config)
    yield check(
        "tensorrt_llm-partition",
        not stages or stages == own or bool(found.facts["partition"]),
        stages or own,
        own,
        f"TensorRT-LLM {found.number} has no pp_partition and splits layers as {own}, whatever parallel.stages says",
        "leave parallel.stages out, or write framework.version=1.2 or later",
    )
    yield check(
        "tensorrt_llm-virtual-stages",
        config.degrees.vpp == 1,
        f"vpp={config.degrees.vpp}",
        "vpp=1",
        f"TensorRT-LLM {found.number} gives a pipeline rank one run of layers (mapping.py pp_layers), and vpp is {config.degrees.vpp}",
        "leave vpp out",
    )


def _context(config: Config, found: Version) -> Iterator[Check]:
    """How cp deals out heads and ranks."""
    degrees, heads = config.degrees, config.model.num_attention_heads
    helix, cut = found.facts["cp_type"] == "HELIX", degrees.tp * degrees.cp
    yield check(
        "tensorrt_llm-helix-heads",
        not helix or heads % cut == 0,
        f"{heads} % {cut} = {heads % cut}",
        "0",
        f"Helix in TensorRT-LLM {found.number} deals each tp rank's heads out over cp, so tp*cp={cut} must divide "
        f"num_attention_heads={heads}; it fails when the model is built",
        f"write tp and cp whose product divides {heads}",
    )
    yield check(
        "tensorrt_llm-cp-order",
        bool(found.facts["dated"]) or degrees.tp * degrees.adp == 1,
        found.number,
        "1.3 or later",
        f"TensorRT-LLM {found.number}: cp is taken to be the fastest axis, as since pull request 10350, but it is not "
        "known whether this release has it; before, tp was the fastest",
        "run `python -m compiler.prove PLAN --wheel FILE` with your wheel, or write framework.version",
        otherwise="warn",
    )


def _cp_type(config: Config, found: Version) -> Iterator[Check]:
    """What Helix and ULYSSES leave out."""
    cp, kind = config.degrees.cp, found.facts["cp_type"]
    yield check(
        "tensorrt_llm-context",
        False,
        f"cp={cp}",
        "cp=1",
        f"cp={cp} is {kind} in TensorRT-LLM {found.number}: "
        + (
            "it serves decoding alone, so prefill needs instances of its own (disaggregated serving)"
            if kind == "HELIX"
            else "it needs an engine of the TensorRT backend; the PyTorch backend has none of it"
        ),
        "leave cp out, or start prefill servers without it",
        otherwise="warn",
    )
    yield check(
        "tensorrt_llm-moe-context",
        not split_block(config),
        f"{kind} cp={cp}",
        "cp=1",
        f"experts with cp={cp} and ULYSSES: mapping.py of {found.number} refuses moe_ep_size > 1, and with 1 its "
        "moe_tp groups hold the first tp ranks of each stage only",
        "leave cp out, or write framework.version=1.2 or later, which has Helix",
    )


def _degrees(config: Config, found: Version) -> Iterator[Check]:
    degrees, moe = config.degrees, config.model.moe
    copies = degrees.edp if moe else degrees.adp
    name = "expert data parallelism" if moe else "data parallelism"
    yield check(
        "tensorrt_llm-replicas",
        copies == 1,
        copies,
        1,
        f"TensorRT-LLM {found.number} has no {name} in an instance (mapping.py: world = tp*pp*cp"
        + (", moe_tp*moe_ep = tp*cp" if moe else "")
        + f"), and the plan has {copies} copies",
        f"write {fix(config)}",
    )
    yield check(
        "tensorrt_llm-attention-dp",
        not moe or degrees.tp == 1 or degrees.adp == 1,
        f"tp={degrees.tp} adp={degrees.adp}",
        "tp=1 or adp=1",
        f"attention DP of TensorRT-LLM {found.number} is all or nothing (mapping.py: dp_size is tp_size or 1), and the "
        f"plan has tp={degrees.tp} with adp={degrees.adp}",
        f"write {fix(config)}",
    )


def _one_way(config: Config, found: Version) -> Iterator[Check]:
    """Orders of ranks and experts that it does not have."""
    yield check(
        "tensorrt_llm-order",
        config.parallel.order == DEFAULT_ORDER,
        config.parallel.order,
        DEFAULT_ORDER,
        f"TensorRT-LLM {found.number} orders ranks in one way only, and parallel.order={config.parallel.order} would have no effect",
        "leave parallel.order out",
    )
    yield check(
        "tensorrt_llm-expert-layout",
        config.framework.expert_layout in (None, "contiguous"),
        config.framework.expert_layout or "contiguous",
        "contiguous",
        f"TensorRT-LLM {found.number} deals experts out in runs (mapping.py ep_experts)",
        "leave framework.expert_layout out",
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


def _model(config: Config, found: Version) -> Iterator[Check]:
    """What is served, from which weights and in which format."""
    workload = config.workload
    yield check(
        "tensorrt_llm-serving",
        not workload.train,
        workload.kind,
        "serve",
        f"TensorRT-LLM {found.number} serves models, and workload.kind is {workload.kind}",
        "write workload=serve, or framework=megatron for training",
    )
    yield check(
        "tensorrt_llm-weights",
        weights(config) is not None,
        weights(config) or "not given",
        "a path or a name",
        f"trtllm-serve loads {weights(config) or default_weights(config)}",
        f"name the model first in framework.args, as in [org/model], or mount it at {default_weights(config)}",
        otherwise="warn",
    )
    yield format_said(config, f"TensorRT-LLM {found.number}", tuple(DTYPES))


def _unit(config: Config, found: Version) -> Check:
    several = spans_nodes(config)
    unit = "rank" if several else "node"
    return check(
        "tensorrt_llm-unit",
        config.launch.unit in (None, unit),
        config.launch.unit or unit,
        unit,
        f"trtllm-serve of TensorRT-LLM {found.number} "
        + (
            "on several nodes is one task a GPU, in one MPI world (trtllm-llmapi-launch)"
            if several
            else "on one node is one process, which starts the others itself"
        ),
        "leave launch.unit out",
    )


def laid_out(world: World) -> Iterator[Check]:
    """Ranks on several nodes find each other by MPI; what Kubernetes makes of that is its targets' to say."""
    config = world.config
    if not spans_nodes(config):
        return
    yield check(
        "tensorrt_llm-mpi",
        "local" not in config.scheduler,
        ", ".join(config.scheduler) or "none",
        "slurm or mpijob",
        f"{world.size} ranks of trtllm-serve must be one MPI world: Slurm starts them with srun --mpi=pmix, which needs Slurm "
        "with PMIx and an MPI beside TensorRT-LLM that speaks it"
        + ("; local starts each as a world of its own" if "local" in config.scheduler else ""),
        "write scheduler=slurm, or instances that fit in a node",
        otherwise="warn",
    )
