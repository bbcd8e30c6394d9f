"""`framework.args` as Megatron's parser reads them, and which of its options a plan decides."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compiler.errors import ConfigError, short
from compiler.frameworks.emission import is_flag
from compiler.frameworks.megatron.keys import said
from compiler.frameworks.owned import problem
from compiler.frameworks.owned import said as said_as
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.specs.limits import INT32
from compiler.specs.workload import Workload
from compiler.words import whole

_SIZE = {
    "--tensor-model-parallel-size": "parallel.tp",
    "--pipeline-model-parallel-size": "parallel.pp",
    "--context-parallel-size": "parallel.cp",
    "--expert-model-parallel-size": "parallel.ep",
    "--expert-tensor-parallel-size": "parallel.etp",
    "--use-tp-pp-dp-mapping": "parallel.order",
    "--num-virtual-stages-per-pipeline-rank": "parallel.vpp",
    "--num-layers-per-virtual-pipeline-stage": "parallel.vpp",
}
_MODEL = {
    "--num-layers": "model.num_hidden_layers",
    "--encoder-num-layers": "model.num_hidden_layers",
    "--decoder-num-layers": "model.num_hidden_layers",
    "--hidden-size": "model.hidden_size",
    "--ffn-hidden-size": "model.intermediate_size",
    "--num-attention-heads": "model.num_attention_heads",
    "--kv-channels": "model.head_dim",
    "--group-query-attention": "model.num_key_value_heads",
    "--num-query-groups": "model.num_key_value_heads",
    "--multi-latent-attention": "model.kv_lora_rank",
    "--q-lora-rank": "model.q_lora_rank",
    "--kv-lora-rank": "model.kv_lora_rank",
    "--qk-head-dim": "model.qk_nope_head_dim",
    "--qk-pos-emb-head-dim": "model.qk_rope_head_dim",
    "--v-head-dim": "model.v_head_dim",
    "--vocab-size": "model.vocab_size",
    "--padded-vocab-size": "model.vocab_size",
    "--untie-embeddings-and-output-weights": "model.tie_word_embeddings",
    "--swiglu": "model.gated_mlp",
    "--num-experts": "model.num_experts",
    "--moe-router-topk": "model.num_experts_per_tok",
    "--moe-ffn-hidden-size": "model.moe_intermediate_size",
    "--moe-shared-expert-intermediate-size": "model.shared_expert_intermediate_size",
    "--moe-layer-freq": "model.moe_layer_freq",
    "--moe-router-num-groups": "model.n_group",
    "--moe-router-group-topk": "model.topk_group",
    "--mtp-num-layers": "model.num_nextn_predict_layers",
    "--window-size": "model.sliding_window",
    "--window-attn-skip-freq": "model.layer_types",
}
_WORKLOAD = {
    "--micro-batch-size": "workload.micro_batch_size",
    "--global-batch-size": "workload.global_batch_size",
    "--seq-length": "workload.sequence_length",
    "--encoder-seq-length": "workload.sequence_length",
    "--sequence-parallel": "workload.sequence_parallel",
    "--use-distributed-optimizer": "workload.distributed_optimizer",
    "--use-megatron-fsdp": "workload.zero_stage",
    "--use-torch-fsdp2": "workload.zero_stage",
    "--data-parallel-sharding-strategy": "workload.zero_stage",
    "--recompute-activations": "workload.recompute",
    "--recompute-granularity": "workload.recompute",
    "--recompute-method": "workload.recompute",
    "--recompute-num-layers": "workload.recompute",
    "--bf16": "workload.precision",
    "--fp16": "workload.precision",
    "--fp8-format": "workload.precision",
    "--fp4-format": "workload.precision",
}
OWNED: Mapping[str, str] = {**_SIZE, **_MODEL, **_WORKLOAD}
"""Options that say what the plan was compiled for, and the key that each comes from."""

_ASKED: Mapping[str, str] = {
    "--optimizer-cpu-offload": "optimizer_offload",
    "--optimizer-offload-fraction": "optimizer_offload",
    "--cpu-offloading-num-layers": "activation_offload",
    "--fine-grained-activation-offloading": "offload_modules",
    "--offload-modules": "offload_modules",
    "--attention-backend": "fused_attention",
}
"""Options that are the user's while the workload leaves a key at its default, and the plan's where it asks for more."""


_STAGES = (
    "--pipeline-model-parallel-layout",
    "--decoder-first-pipeline-num-layers",
    "--decoder-last-pipeline-num-layers",
    "--account-for-embedding-in-pipeline-split",
    "--account-for-loss-in-pipeline-split",
)
"""Options that say the stages where `parallel.stages` does not."""


def given(config: Config) -> dict[str, tuple[str, ...]]:
    """Option -> its values, of `framework.args`; the last of a repeated option counts, as with argparse."""
    found: dict[str, tuple[str, ...]] = {}
    last = ""
    for word in config.framework.args:
        if is_flag(word):
            last, equals, value = word.partition("=")
            found[last] = (value,) if equals else ()
        else:
            found[last] = (*found.get(last, ()), word)
    return found


def dispatching(config: Config) -> dict[str, tuple[str, ...]]:
    """How tokens reach experts, as the workload has it: options and their values, as `given` reads them."""
    workload = config.workload
    if not config.model.moe:
        return {}
    found: dict[str, tuple[str, ...]] = {"--moe-token-dispatcher-type": ("alltoall",)}
    if workload.train and workload.dispatch == "deduplicated":
        found["--moe-token-dispatcher-type"] = ("flex",)
    if workload.train and workload.dispatch == "capacity":
        found |= {"--moe-expert-capacity-factor": ("1.0",), "--moe-pad-expert-input-to-capacity": ()}
    if workload.train and workload.overlapped_dispatch:
        found["--overlap-moe-expert-parallel-comm"] = ()
    if workload.train and workload.overlapped_shared_experts:
        found["--moe-shared-expert-overlap"] = ()
    if workload.train and workload.delayed_weight_gradients:
        found["--delay-wgrad-compute"] = ()
    return found


def effective(config: Config) -> dict[str, tuple[str, ...]]:
    """The same with `framework.args`, which go before."""
    return {**dispatching(config), **given(config)}


def refuse_owned(config: Config) -> None:
    """Raise ConfigError with every option of `framework.args` that the plan decides, emitted by us or not."""
    owned = {**OWNED, **asked(config)}
    bad = [flag for flag in given(config) if flag in owned and flag not in said(config)]
    if bad:
        values = given(config)
        raise ConfigError(problem(flag, owned[flag], _key_value(flag, owned[flag], values[flag])) for flag in bad)


_SAYS: Mapping[str, str] = {
    "--swiglu": "true",
    "--untie-embeddings-and-output-weights": "false",
    "--sequence-parallel": "true",
    "--use-distributed-optimizer": "true",
    "--use-megatron-fsdp": "2",
    "--use-torch-fsdp2": "3",
    "--bf16": "bf16",
    "--fp16": "fp16",
    "--fp8-format": "fp8",
    "--fp4-format": "nvfp4",
    "--recompute-activations": "selective",
    "--recompute-method": "full",
    "--recompute-num-layers": "full",
    "--use-tp-pp-dp-mapping": "tp-cp-ep-pp-dp",
}
"""What an option says of its key whatever its own value is."""

_OTHERWISE = (
    "--num-layers-per-virtual-pipeline-stage",
    "--window-size",
    "--moe-layer-freq",
    "--cpu-offloading-num-layers",
)
"""Options whose values are not their keys'."""


def _key_value(flag: str, key: str, values: tuple[str, ...]) -> str:
    """What to write for the key in the place of the option; empty where its value does not say it."""
    if flag in _SAYS or flag in _OTHERWISE:
        return _SAYS.get(flag, "")
    return said_as(key, values[-1] if values else "")


def asked(config: Config) -> dict[str, str]:
    """Options that are the plan's because a key of the user's is not at its default, and that key."""
    usual = {key: getattr(Workload(kind="train"), key) for key in _ASKED.values()}
    stages = {} if config.parallel.stages is None else dict.fromkeys(_STAGES, "parallel.stages")
    return stages | {
        flag: f"workload.{key}"
        for flag, key in _ASKED.items()
        if config.workload.train and getattr(config.workload, key) != usual[key]
    }


def numbers(config: Config, flag: str) -> tuple[int, ...]:
    """The positive whole numbers of an option, () where it is not given. Raises ConfigError for anything else."""
    values = given(config).get(flag, ())
    found = [whole(value) or 0 for value in values]
    if not all(0 < value <= INT32 for value in found):
        raise ConfigError.of(
            f"framework.args: {flag} {short(' '.join(values))} is not made of numbers above 0",
            f"write whole numbers of at most {INT32}",
        )
    return tuple(found)


def number(config: Config, flag: str, default: int) -> int:
    """The last positive number of an option, or the default. Raises ConfigError."""
    return (numbers(config, flag) or (default,))[-1]


def optimizer(config: Config) -> str:
    """Its name."""
    return given(config).get("--optimizer", (config.workload.optimizer,))[-1]


def optimizer_instances(config: Config) -> int:
    """Replicas of the distributed optimizer."""
    return number(config, "--num-distributed-optimizer-instances", 1)


def context_levels(config: Config) -> tuple[int, ...]:
    """Sizes of hierarchical context parallelism, innermost first; () without it or where they do not multiply to cp."""
    sizes = numbers(config, "--hierarchical-context-parallel-sizes")
    return sizes if math.prod(sizes) == config.degrees.cp else ()


def needs_one_connection(config: Config) -> bool:
    """Whether Megatron insists on CUDA_DEVICE_MAX_CONNECTIONS=1: tp or cp before Blackwell (which computes in FP4)."""
    split = config.degrees.tp > 1 or config.degrees.cp > 1
    exempt = fully_sharded(config) or "--overlap-moe-expert-parallel-comm" in effective(config)
    return split and not exempt and config.hardware.gpu.peak_flops.fp4 is None


def fully_sharded(config: Config) -> bool:
    """ZeRO-2 and ZeRO-3 are Megatron-FSDP; below is Megatron's own data parallelism."""
    return config.workload.train and config.workload.zero_stage > 1


def source(config: Config, module: str) -> str:
    """What a message cites."""
    return f"Megatron-Core {version(config).number} {module}"
