"""What Megatron is told of what training keeps of weights and of layers, and what that needs."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule, warned
from compiler.frameworks.megatron import positions
from compiler.frameworks.megatron.keys import GRAPHED, eight_bits, four_bits
from compiler.frameworks.megatron.options import given, optimizer, source
from compiler.frameworks.megatron.pipeline import Option
from compiler.frameworks.versions import since
from compiler.specs.config import Config

SHARDED_MUON = "0.18"
"""The first release that takes Muon with a distributed optimizer, or with overlapped gradients: core/optimizer of the wheels of 0.16.1,
0.17.1, 0.18.1 and 0.19.2, and training/arguments.py of those but the first, which has none.
"""


MUON_STEPS = 5
"""Newton-Schulz steps that it takes by itself (training/arguments.py)."""

WIDE_GRADIENTS = "--accumulate-allreduce-grads-in-fp32"
"""What training in FP16 has to be told; that in BF16 does it by itself (training/arguments.py, validate_args)."""


def options(config: Config) -> Iterator[Option]:
    """What is kept of a weight, of a plan that trains."""
    states, user = config.workload.states, given(config)
    if states.gradients == "bf16":
        yield ("--grad-reduce-in-bf16",)
    elif config.workload.precision == "fp16" and WIDE_GRADIENTS not in user:
        yield (WIDE_GRADIENTS,)
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
    if config.workload.optimizer == "muon" and config.workload.muon_steps != MUON_STEPS:
        yield "--muon-num-ns-steps", str(config.workload.muon_steps)
    if not set(GRAPHED) & user.keys():
        yield from _graphs(config)
    if config.workload.wide_layers:
        first, last = config.workload.wide_layers[0], config.workload.wide_layers[-1]
        yield ("--first-last-layers-bf16",)
        yield "--num-layers-at-start-in-bf16", str(first)
        yield "--num-layers-at-end-in-bf16", str(last)


def _graphs(config: Config) -> Iterator[Option]:
    """CUDA graphs of layers, of which tokens that go to experts are no part, or of a whole step."""
    graphs, modules = config.workload.cuda_graphs, config.workload.recompute_modules
    if graphs == "layer":
        yield "--cuda-graph-impl", "transformer_engine"
        if config.model.moe:
            yield "--cuda-graph-scope", "attn", *["moe_router"] * ("moe" not in modules)
    if graphs == "step":
        yield "--cuda-graph-impl", "full_iteration"
        yield ("--no-check-for-nan-in-loss-and-grad",)


@rule
def declared(config: Config) -> Iterator[Check]:
    """What these keys need of each other, asserted by every rank."""
    workload = config.workload
    if not workload.train:
        return
    if workload.states.gradients == "bf16":
        yield _gradients(config)
    if workload.states.of_optimizer:
        yield _optimizer(config)
    if workload.states.weights:
        yield _weights(config)
    if workload.lora_rank is not None:
        yield _adapters(config)
    if "muon" in optimizer(config):
        yield _muon(config)
    if workload.wide_layers:
        yield _wide(config)
    if workload.cuda_graphs == "layer":
        yield _captured(config)
    if workload.recompute == "selective":
        yield from _modules(config)


def _gradients(config: Config) -> Check:
    """Gradients are never narrower than weights are kept."""
    precision = config.workload.precision
    return check(
        "megatron-gradients",
        holds=precision != "fp32",
        observed=f"precision={precision}",
        limit="16 bits or fewer",
        message=f"workload.states.gradients=bf16 with workload.precision={precision}: {source(config, 'training/arguments.py')} adds up and "
        "reduces gradients of FP32 weights in FP32, whatever --grad-reduce-in-bf16 says",
        fix="leave workload.states.gradients out, or write workload.precision=bf16",
    )


def _captured(config: Config) -> Check:
    """Graphs of layers are beside what backward makes again of a whole layer, and beside what goes to the host."""
    workload = config.workload
    return check(
        "megatron-cuda-graphs",
        holds=workload.recompute != "full" and not workload.activation_offload,
        observed=f"recompute={workload.recompute}, activation_offload={workload.activation_offload:g}",
        limit="neither recompute=full nor activation_offload",
        message=f"workload.cuda_graphs=layer with recompute={workload.recompute} and activation_offload="
        f"{workload.activation_offload:g}: {source(config, 'transformer/transformer_config.py')} captures layers without either",
        fix="write workload.cuda_graphs=none",
    )


def _optimizer(config: Config) -> Check:
    workload, name = config.workload, optimizer(config)
    changed = ",".join(f"{key}={value}" for key, value in workload.states.changed.items())
    return check(
        "megatron-optimizer-states",
        holds=_sharded(config) and name == "adam",
        observed=f"distributed_optimizer={str(_sharded(config)).lower()}, {name}",
        limit="distributed_optimizer=true, adam",
        message=f"workload.states has {changed}: --use-precision-aware-optimizer is Adam's over the distributed optimizer "
        f"({source(config, 'optimizer/optimizer_config.py')})",
        fix="write workload.distributed_optimizer=true"
        if name == "adam"
        else "write workload.optimizer=adam, or leave workload.states out",
    )


def _adapters(config: Config) -> Check:
    """Megatron-Bridge has them, and starts by programs of its own."""
    return check(
        "megatron-lora",
        holds=bool(config.launch.command),
        observed="pretrain_gpt.py",
        limit="a program with adapters",
        message=f"workload.lora_rank={config.workload.lora_rank}: Megatron-LM's pretrain_gpt.py has no adapters; Megatron-Bridge's recipes do",
        fix="write launch.command=[...] of a recipe of Megatron-Bridge, or leave workload.lora_rank out",
    )


def _muon(config: Config) -> Check:
    """An exception of every rank: of the parser, or, for FP16, where the optimizer is made."""
    name, wrong = optimizer(config), ["fp16"] * (config.workload.precision == "fp16")
    if not since(config, SHARDED_MUON):
        wrong += ["--use-distributed-optimizer"] * _sharded(config)
        wrong += ["--overlap-grad-reduce"] * (name == "muon" and config.degrees.adp * config.degrees.cp > 1)
    return check(
        "megatron-muon",
        holds=not wrong,
        observed=", ".join(wrong) or "none",
        limit=f"no fp16; before {SHARDED_MUON}, neither a distributed optimizer nor overlapped gradients",
        message=f"--optimizer {name}: {source(config, 'core/optimizer')} does not take it with {' or '.join(wrong)}"
        if wrong
        else f"--optimizer {name}",
        fix="write workload.precision=bf16"
        if wrong == ["fp16"]
        else "write workload.optimizer=adam, or framework.version=0.19.2",
    )


def _sharded(config: Config) -> bool:
    return config.workload.distributed_optimizer or config.workload.zero_stage > 0


def _weights(config: Config) -> Check:
    workload, narrow = config.workload, config.workload.states.weights
    taken = eight_bits(workload) if narrow == "fp8" else four_bits(workload)
    return check(
        "megatron-narrow-weights",
        holds=taken and _sharded(config),
        observed=f"precision={workload.precision}, distributed_optimizer={str(_sharded(config)).lower()}",
        limit=f"precision={narrow}, distributed_optimizer=true",
        message=f"workload.states.weights={narrow} with workload.precision={workload.precision}: --{narrow}-param-gather keeps weights as "
        f"they are multiplied, and needs a distributed optimizer ({source(config, 'training/arguments.py')})",
        fix="write workload.distributed_optimizer=true" if taken else "leave workload.states.weights out",
    )


def _wide(config: Config) -> Check:
    """A ValueError of TransformerConfig; without FP8 it does nothing."""
    workload, least = config.workload, config.model.num_hidden_layers // config.degrees.pp
    found = [min(count, least) for count in workload.wide_layers]
    scaled = workload.precision != "fp8" or recipe(config) != "delayed"
    fits = found == list(workload.wide_layers)
    return check(
        "megatron-wide-layers",
        holds=scaled and fits and eight_bits(workload),
        observed=f"{_text(workload.wide_layers)}, precision={workload.precision}, {recipe(config)}",
        limit=f"first and last, 0 to {least} each, of FP8, not delayed",
        message=f"workload.wide_layers={_text(workload.wide_layers)} with workload.precision={workload.precision} and --fp8-recipe "
        f"{recipe(config)}: {source(config, 'transformer/transformer_config.py')} keeps a number of first and one of last layers "
        f"in BF16, each 0 to {least}, and not with delayed scaling",
        fix="leave workload.wide_layers out",
    )


def recipe(config: Config) -> str:
    """How FP8 is scaled."""
    usual = "mxfp8" if config.workload.precision == "mxfp8" else "delayed"
    return given(config).get("--fp8-recipe", (usual,))[-1]


@rule
def _modules(config: Config) -> Iterator[Check]:
    """Modules that a layer has, and that run again as they ran."""
    workload, modules = config.workload, config.workload.recompute_modules
    scaled = workload.precision != "fp8" or recipe(config) != "delayed"
    needs = (
        ("mhc", config.model.streams > 1, "a model with hyper-connections"),
        ("mhc", "mlp" not in modules, "no mlp among them"),
        ("mla_up_proj", positions.latent(config.model), "multi-head latent attention"),
        ("moe", not workload.overlapped_dispatch, "workload.overlapped_dispatch=false"),
        ("moe_act", config.model.moe, "a model with experts"),
        ("moe_act", scaled, "another --fp8-recipe than delayed"),
        ("layernorm", scaled, "another --fp8-recipe than delayed"),
        ("shared_experts", not workload.overlapped_shared_experts, "workload.overlapped_shared_experts=false"),
    )
    for module, holds, need in needs:
        if module in modules:
            rest = ",".join(other for other in modules if other != module)
            yield check(
                "megatron-recompute-modules",
                holds=holds,
                observed=module,
                limit=need,
                message=f"workload.recompute_modules={_text(modules)}: {module} needs {need} "
                f"({source(config, 'transformer/transformer_config.py')})",
                fix=f"write workload.recompute_modules=[{rest}]" if rest else "leave workload.recompute_modules out",
            )
    if "mhc" in modules:
        yield warned(
            "megatron-recompute-mhc",
            observed="mhc",
            limit="modules of the release",
            message=f"{source(config, 'transformer_config.py')} has no hyper-connections and no module mhc; its main branch has both",
            fix="run that one, or leave mhc out of workload.recompute_modules",
        )


def _text(value: object) -> str:
    return str(value).replace(" ", "").replace("'", "")
