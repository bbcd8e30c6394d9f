"""What Megatron is told of what training keeps of weights and of layers, and what that needs."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.megatron.keys import eight_bits, four_bits
from compiler.frameworks.megatron.options import given, optimizer, source
from compiler.frameworks.megatron.pipeline import Option
from compiler.specs.config import Config


def options(config: Config) -> Iterator[Option]:
    """What is kept of a weight, of a plan that trains."""
    states, user = config.workload.states, given(config)
    if states.gradients == "bf16":
        yield ("--grad-reduce-in-bf16",)
    if states.of_optimizer and states.gradients == "bf16" and "--main-grads-dtype" not in user:
        yield "--main-grads-dtype", "bf16"
    if states.of_optimizer:
        yield "--main-params-dtype", states.masters
        yield "--exp-avg-dtype", states.exp_avg
        yield "--exp-avg-sq-dtype", states.exp_avg_sq
    if states.weights:
        yield (f"--{states.weights}-param-gather",)
    if config.workload.optimizer != "adam":
        yield "--optimizer", config.workload.optimizer
    if config.workload.wide_layers:
        first, last = config.workload.wide_layers
        yield ("--first-last-layers-bf16",)
        yield "--num-layers-at-start-in-bf16", str(first)
        yield "--num-layers-at-end-in-bf16", str(last)


def declared(config: Config) -> Iterator[Check]:
    """What these keys need of each other, asserted by every rank."""
    workload, states = config.workload, config.workload.states
    if not workload.train:
        return
    if states.of_optimizer:
        name = optimizer(config)
        sharded = workload.distributed_optimizer or workload.zero_stage > 0
        yield _needs(
            config,
            "megatron-optimizer-states",
            sharded and name == "adam",
            f"distributed_optimizer={str(sharded).lower()}, optimizer {name}",
            "distributed_optimizer=true, adam",
            f"workload.states={_text(states.changed)}: --use-precision-aware-optimizer is Adam's over the distributed optimizer",
            "optimizer/optimizer_config.py",
            "write workload.distributed_optimizer=true, or leave workload.states out",
        )
    if states.weights:
        taken = eight_bits(workload) if states.weights == "fp8" else four_bits(workload)
        sharded = workload.distributed_optimizer or workload.zero_stage > 0
        yield _needs(
            config,
            "megatron-narrow-weights",
            taken and sharded,
            f"precision={workload.precision}, distributed_optimizer={str(sharded).lower()}",
            f"precision={states.weights}, distributed_optimizer=true",
            f"workload.states.weights={states.weights} with workload.precision={workload.precision}: "
            f"--{states.weights}-param-gather keeps weights as they are multiplied, and needs a distributed optimizer",
            "training/arguments.py",
            "leave workload.states.weights out",
        )
    if workload.recompute == "selective":
        yield from _modules(config)


def _modules(config: Config) -> Iterator[Check]:
    """Modules that a layer has, and that run again as they ran."""
    workload, modules = config.workload, config.workload.recompute_modules
    recipe = given(config).get("--fp8-recipe", ("delayed",))[-1]
    needs = (
        ("mla_up_proj", config.model.mla, "multi-head latent attention"),
        ("moe", not workload.overlapped_dispatch, "workload.overlapped_dispatch=false"),
        ("moe_act", workload.precision != "fp8" or recipe != "delayed", "another --fp8-recipe than delayed"),
        ("layernorm", workload.precision != "fp8" or recipe != "delayed", "another --fp8-recipe than delayed"),
        ("shared_experts", "--moe-shared-expert-overlap" not in given(config), "no --moe-shared-expert-overlap"),
    )
    for module, holds, need in needs:
        if module in modules:
            yield _needs(
                config,
                "megatron-recompute-modules",
                holds,
                module,
                need,
                f"workload.recompute_modules={_text(modules)}: {module} needs {need}",
                "transformer/transformer_config.py",
                f"leave {module} out of workload.recompute_modules",
            )


def _needs(
    config: Config, name: str, holds: bool, observed: str, limit: str, message: str, module: str, fix: str
) -> Check:
    return check(name, holds, observed, limit, f"{message} ({source(config, module)})", fix)


def _text(value: object) -> str:
    return str(value).replace(" ", "").replace("'", "")
