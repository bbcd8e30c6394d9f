"""What DeepSpeed refuses or does silently about experts."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, failed, rule
from compiler.frameworks.deepspeed import emit, json_args, layout, zero
from compiler.frameworks.deepspeed.layout import named
from compiler.frameworks.versions import version
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """Every rule about a MoE model."""
    chosen = layout.chosen(config)
    yield from capacity(config)
    yield from expert_tensor(config)
    yield from zero.of_experts(config)
    if chosen.auto:
        yield from autoep(config)
    else:
        yield from routing(config)
    if chosen.strided:
        yield from strided(config)


@rule
def capacity(config: Config) -> Iterator[Check]:
    """Seen in the first forward pass only: `input dimension 1 is not divisible by tensor parallel world size`."""
    tp, workload = config.degrees.tp, config.workload
    if tp == 1 or layout.chosen(config).auto or not workload.train or workload.dispatch != "capacity":
        return  # without a fixed capacity DeepSpeed makes it a multiple of tp
    natural, least = emit.capacity(config), emit.min_capacity(config)
    yield check(
        "deepspeed-capacity",
        holds=natural % tp == 0,
        observed=f"{natural} % {tp} = {natural % tp}",
        limit="0",
        message=f"{named(config)} moe/mappings.py cuts an expert's capacity of {natural} tokens (of "
        f"{workload.micro_batch_size} x {workload.sequence_length}) into tp={tp} pieces in forward",
        fix=f"pass min_capacity={least} to MoE, as framework/constructors.json does",
        otherwise=Status.WARN,
    )


@rule
def expert_tensor(config: Config) -> Iterator[Check]:
    """Experts are split by all of tp, or not at all."""
    degrees, chosen = config.degrees, layout.chosen(config)
    wanted = degrees.tp if chosen.split else 1
    how = (
        "splits each expert over the tp ranks (MoE(enable_expert_tensor_parallelism=True), utils/groups.py "
        "_create_expert_data_and_model_parallel)"
        if chosen.split
        else "keeps experts whole (utils/groups.py _create_expert_and_data_parallel)"
    )
    other = "contiguous for whole experts" if chosen.split else "tensor for experts split by tp"
    yield check(
        "deepspeed-etp",
        holds=degrees.etp == wanted,
        observed=f"etp={degrees.etp}",
        limit=f"etp={wanted}",
        message=f"{named(config)}: expert_layout={chosen.name} {how}: etp is {wanted} with tp={degrees.tp}; the plan says {degrees.etp}",
        fix=f"write parallel.etp={wanted}, or framework.expert_layout={other}",
    )


@rule
def routing(config: Config) -> Iterator[Check]:
    model = config.model
    yield check(
        "deepspeed-routing",
        holds=model.n_group == 1,
        observed=f"n_group={model.n_group}",
        limit="1",
        message=f"{named(config)} moe/sharded_moe.py TopKGate chooses among all experts; n_group={model.n_group} limits them",
        fix="bring a gate of your own, or framework.expert_layout=autoep",
        otherwise=Status.WARN,
    )


@rule
def strided(config: Config) -> Iterator[Check]:
    """Blocks of ep run on from one tp lane into the next, and are a grid only where they fit."""
    degrees = config.degrees
    dp, ep = degrees.adp, degrees.ep
    known = bool(version(config).facts.get("mp_size"))
    yield check(
        "deepspeed-tp-strided",
        holds=known and (dp % ep == 0 or ep % dp == 0),
        observed=f"ep={ep}, adp={dp}",
        limit="one divides the other, from 0.19.2",
        message=f"{named(config)} utils/groups.py (mp_size, from 0.19.2) cuts tp lanes of adp={dp} ranks, one after the other, into "
        f"blocks of ep={ep}",
        fix="write framework.expert_layout=contiguous, or an ep that divides adp",
    )
    yield check(
        "deepspeed-unsorted",
        holds=degrees.tp == 1,
        observed=f"tp={degrees.tp}",
        limit="sorted groups",
        message="expert groups are listed lane by lane, not in rank order, and an edp group mixes tp lanes; "
        "torch.distributed.new_group sorts the ranks of a group",
        fix="read group ranks by rank, not by place, or write framework.expert_layout=contiguous",
        otherwise=Status.WARN,
    )


@rule
def autoep(config: Config) -> Iterator[Check]:
    """AutoEP's own rules (module_inject/auto_ep_folding.py validate_folding_global), and when it came."""
    degrees, facts = config.degrees, version(config).facts
    folded = degrees.tp > 1
    known = bool(facts.get("folding" if folded else "autoep"))
    yield check(
        "deepspeed-autoep-version",
        holds=known,
        observed=version(config).number,
        limit="0.19.3" if folded else "0.19.2",
        message=f"{named(config)}: AutoEP came with 0.19.2, and over AutoTP (tp={degrees.tp}) with 0.19.3",
        fix="write framework.version=0.19.8, or framework.expert_layout=contiguous",
    )
    if folded:
        yield from _folded(config)
        yield from _folded_json(config)


@rule
def _folded(config: Config) -> Iterator[Check]:
    """Degrees that AutoEP over AutoTP refuses."""
    degrees = config.degrees
    yield check(
        "deepspeed-autoep-pipeline",
        holds=degrees.pp == 1,
        observed=f"pp={degrees.pp}",
        limit="pp=1",
        message=f"{named(config)} module_inject/auto_ep_folding.py has AutoEP over AutoTP without a pipeline; tp={degrees.tp} "
        f"with pp={degrees.pp}",
        fix="write pp1 or tp1, or framework.expert_layout=contiguous",
    )
    yield check(
        "deepspeed-autoep-ep",
        holds=degrees.ep > 1,
        observed=f"ep={degrees.ep}",
        limit="ep > 1",
        message=f"{named(config)} module_inject/auto_ep_folding.py needs ep > 1 over AutoTP, or gradients count tp={degrees.tp} times",
        fix="write ep2 or more, or framework.expert_layout=contiguous",
    )


@rule
def _folded_json(config: Config) -> Iterator[Check]:
    """JSON keys that AutoEP over AutoTP refuses."""
    given = {
        "zero_optimization.offload_optimizer": json_args.nested(config, "zero_optimization.offload_optimizer"),
        "zero_optimization.offload_param": json_args.nested(config, "zero_optimization.offload_param"),
        "compile.deepcompile": json_args.nested(config, "compile.deepcompile"),
    }
    found = [f"{json_args.PREFIX}{key}" for key, value in given.items() if value]
    if config.workload.train and config.workload.optimizer_offload:
        found.append("workload.optimizer_offload")
    if found:
        yield failed(
            "deepspeed-autoep-json",
            observed=", ".join(found),
            limit="none",
            message=f"{named(config)} module_inject/auto_ep_folding.py has no offload and no DeepCompile over AutoTP: {', '.join(found)}",
            fix="leave it out, or write tp1",
        )
