"""What Megatron-LM is started with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.cluster.spans import SPANS
from compiler.frameworks.emission import Argument, Computed, Emission, merged
from compiler.frameworks.megatron import eased, host, hybrid, keys, layer, layout, model, pipeline, positions, states
from compiler.frameworks.megatron.options import dispatching, fully_sharded, given, needs_one_connection
from compiler.frameworks.megatron.pipeline import Option
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config
from compiler.world import World

TRAINER, SERVER = "pretrain_gpt.py", "tools/run_dynamic_text_generation_server.py"
HYBRID = "pretrain_hybrid.py"
"""Starts models whose layers a pattern says (Megatron-LM, examples/mamba)."""
COMMUNICATORS = "framework/nccl_communicators.yaml"
_OTHER_NAMES = {
    "--position-embedding-type": ("--use-rotary-position-embeddings", "--no-position-embedding"),
    "--swiglu": ("--quick-geglu", "--squared-relu"),
    "--quick-geglu": ("--swiglu", "--squared-relu"),
    "--squared-relu": ("--swiglu", "--quick-geglu"),
    "--glu-linear-offset": ("--swiglu", "--squared-relu"),
    "--activation-func-clamp-value": ("--swiglu", "--squared-relu"),
    "--qk-layernorm": ("--qk-l2-norm",),
    "--qk-l2-norm": ("--qk-layernorm",),
    "--moe-router-load-balancing-type": ("--moe-aux-loss-coeff",),
    "--moe-aux-loss-coeff": ("--moe-router-load-balancing-type",),
    "--init-method-std": ("--init-method-xavier-uniform",),
}
"""Other options that decide the same."""


def emission(world: World) -> Emission:
    """A training plan starts pretrain_gpt.py, a serving plan the text generation server. Raises ConfigError."""
    config = eased.eased(world.config)
    sure = [*degrees(config), *pipeline.options(config), *model.options(config), *workload(config)]
    user, said = given(config), keys.said(config)
    sure = [option for option in sure if option[0] not in said]
    open_ = [option for option in defaults(config) if not _named(option[0], user)]
    arguments: list[Argument] = [word for option in (*sure, *open_) for word in option]
    file = _communicators(world)
    if file:
        arguments += ["--nccl-communicator-config-path", Computed(f"{{RANKPLAN_PLAN}}/{COMMUNICATORS}")]
    return Emission(
        program=(config.launch.python, _trainer(config) if config.workload.train else SERVER),
        arguments=merged(config, arguments),
        environment=environment(config),
        files=(Artifact(COMMUNICATORS, file),) if file else (),
    )


def environment(config: Config) -> dict[str, str]:
    """Variables that arguments.py asserts: an order of kernels, and Transformer Engine's way to offload that leaves weights alone."""
    found = {"CUDA_DEVICE_MAX_CONNECTIONS": "1"} if needs_one_connection(config) else {}
    sent = config.workload.train and bool(config.workload.offload_modules)
    return found | ({"NVTE_CPU_OFFLOAD_V1": "1"} if sent else {})


def _trainer(config: Config) -> str:
    return HYBRID if hybrid.patterned(config) else TRAINER


def _named(flag: str, user: dict[str, tuple[str, ...]]) -> bool:
    return any(name in user for name in (flag, *_OTHER_NAMES.get(flag, ())))


def degrees(config: Config) -> Iterator[Option]:
    """Sizes and order; DP is never given, it is what the world leaves."""
    sizes = config.degrees
    yield "--tensor-model-parallel-size", str(sizes.tp)
    yield "--pipeline-model-parallel-size", str(sizes.pp)
    yield "--context-parallel-size", str(sizes.cp)
    yield "--expert-model-parallel-size", str(sizes.ep)
    yield "--expert-tensor-parallel-size", str(layout.expert_tensor_parallel(config))
    if layout.order(config) == layout.MAPPED:
        yield ("--use-tp-pp-dp-mapping",)


def workload(config: Config) -> Iterator[Option]:
    """Batch, sequence, precision, recomputation and what is sharded over data parallelism."""
    given_, train = config.workload, config.workload.train
    length = given_.longest + (0 if train else given_.output_length)
    yield "--micro-batch-size", str(given_.micro_batch_size)
    yield "--seq-length", str(length)
    yield from _precision(given_.precision)
    if not train:
        yield ("--inference-dynamic-batching",)
        yield "--inference-max-seq-length", str(length)
        return
    yield "--global-batch-size", str(given_.global_batch_size)
    if config.sequence_parallel and config.degrees.tp > 1:
        yield ("--sequence-parallel",)
    if given_.recompute == "selective":
        yield "--recompute-granularity", "selective"
        if given_.recompute_modules:
            yield "--recompute-modules", *given_.recompute_modules
    if given_.recompute == "full":
        yield from (
            ("--recompute-granularity", "full"),
            ("--recompute-method", "uniform"),
            ("--recompute-num-layers", "1"),
        )
    yield from _sharding(config)
    yield from states.options(config)
    yield from host.options(config)
    if not given_.fused_attention:
        yield "--attention-backend", "unfused"
    if not given_.fused_accumulation:
        yield ("--no-gradient-accumulation-fusion",)


FORMATS: Mapping[str, tuple[Option, ...]] = {
    "fp8": (("--fp8-format", "hybrid"),),
    "mxfp8": (("--fp8-format", "e4m3"), ("--fp8-recipe", "mxfp8")),
    "fp4": (("--fp4-format", "e2m1"),),
    "nvfp4": (("--fp4-format", "e2m1"), ("--fp4-recipe", "nvfp4")),
}
"""Formats below 16 bits are Transformer Engine's; master weights and the rest of the layer stay in bf16. The recipe of FP8 is the
user's, that of FP4 the only one.
"""


def _precision(precision: str) -> Iterator[Option]:
    if precision != "fp32":
        yield (f"--{precision}" if precision in ("bf16", "fp16") else "--bf16",)
    yield from FORMATS.get(precision, ())


def _sharding(config: Config) -> Iterator[Option]:
    """ZeRO-1 is the distributed optimizer, 2 and 3 are Megatron-FSDP; both run beside computation, as costs assume."""
    stage = max(config.workload.zero_stage, int(config.workload.distributed_optimizer))
    if fully_sharded(config):
        yield ("--use-megatron-fsdp",)
        yield "--data-parallel-sharding-strategy", "optim_grads_params" if stage == 3 else "optim_grads"
    if stage:
        yield ("--use-distributed-optimizer",)
    if config.degrees.adp * config.degrees.cp > 1:
        yield ("--overlap-grad-reduce",)
        if stage:
            yield ("--overlap-param-gather",)


def defaults(config: Config) -> Iterator[Option]:
    """What nobody states and Megatron's own default would get wrong; `framework.args` may say otherwise."""
    length = next(values for flag, *values in workload(config) if flag == "--seq-length")
    yield "--max-position-embeddings", str(_positions(config, int(*length)))
    yield "--make-vocab-size-divisible-by", "128"
    yield "--distributed-timeout-minutes", "30"
    yield from positions.options(config)
    yield from layer.options(config)
    if config.model.moe:
        yield ("--moe-grouped-gemm",)
        yield from ((flag, *values) for flag, values in dispatching(config).items())
    if fully_sharded(config):
        yield "--ckpt-format", "fsdp_dtensor"
    if config.workload.train and (config.workload.optimizer_offload or config.workload.states.of_optimizer):
        yield ("--use-precision-aware-optimizer",)


def _positions(config: Config, length: int) -> int:
    """Rows of a learned table, or what RoPE is worked out for."""
    learned = config.model.max_position_embeddings if config.model.position_embedding_type == "absolute" else None
    return max(learned or length, length)


def _communicators(world: World) -> str:
    """The communicator file: groups that computation waits for and that leave an NVLink domain get a stream of their own.

    Empty where there are none, or where the user has a file. Megatron ignores keys that it does not know.
    """
    if "--nccl-communicator-config-path" in given(world.config):
        return ""
    nvlink = SPANS.index("nvlink")
    waiting = ("cp", "pp", "ep") if world.config.model.moe else ("cp", "pp")
    far = [kind for kind in waiting if SPANS.index(world.worst_span(kind)) > nvlink]
    return "".join(f"{kind}: {{is_high_priority_stream: true}}\n" for kind in far)
