"""Worlds for tests: a config in a line, laid out by the plan's own axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config, Framework
from compiler.specs.degrees import Parallel, parse
from compiler.specs.hardware import Fabric, Gpu, Hardware, Nic, Node, Nvlink, PeakFlops
from compiler.specs.model import Declared, Model
from compiler.specs.workload import Workload
from compiler.world import World

GENERIC = Hardware(
    name="generic_64gb",
    nodes=128,
    node=Node(8),
    gpu=Gpu("generic 64 GB", 64e9, 1.8e12, 0.8, PeakFlops(bf16=400e12, fp16=400e12), 0.6),
    nvlink=Nvlink(8, 450e9, 1e-6),
    nic=Nic(8, 50e9, 5e-6),
    fabric=Fabric("rail_optimized", 16, 8, 1.0),
)

ROOMY = replace(GENERIC, gpu=replace(GENERIC.gpu, memory_bytes=1e13))
"""Whatever a server is asked for runs at a time."""

MOE_30B = Model(
    name="moe_30b",
    dtype="fp16",
    num_hidden_layers=16,
    hidden_size=1024,
    num_attention_heads=16,
    num_key_value_heads=16,
    head_dim=64,
    vocab_size=32000,
    gated_mlp=False,
    num_experts=64,
    num_experts_per_tok=2,
    moe_intermediate_size=2048,
    declared=Declared(30e9, 4e9, 26e9),
)

# Published architectures, in the words of their config.json.
LLAMA_8B = Model(
    name="llama3_1_8b",
    num_hidden_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_key_value_heads=8,
    intermediate_size=14336,
    vocab_size=128256,
)
LLAMA_70B = Model(
    name="llama3_1_70b",
    num_hidden_layers=80,
    hidden_size=8192,
    num_attention_heads=64,
    num_key_value_heads=8,
    intermediate_size=28672,
    vocab_size=128256,
)
QWEN_30B = Model(
    name="qwen3_30b_a3b",
    num_hidden_layers=48,
    hidden_size=2048,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=128,
    intermediate_size=6144,
    vocab_size=151936,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
)
DEEPSEEK_V3 = Model(
    name="deepseek_v3",
    num_hidden_layers=61,
    hidden_size=7168,
    num_attention_heads=128,
    num_key_value_heads=128,
    intermediate_size=18432,
    vocab_size=129280,
    num_experts=256,
    num_experts_per_tok=8,
    moe_intermediate_size=2048,
    num_shared_experts=1,
    first_k_dense_replace=3,
    num_nextn_predict_layers=1,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
)
MIXTRAL = Model(
    name="mixtral_8x7b",
    num_hidden_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_key_value_heads=8,
    intermediate_size=14336,
    vocab_size=32000,
    num_experts=8,
    num_experts_per_tok=2,
)
GPT_OSS = Model(
    name="gpt_oss_120b",
    num_hidden_layers=36,
    hidden_size=2880,
    num_attention_heads=64,
    num_key_value_heads=8,
    head_dim=64,
    intermediate_size=2880,
    vocab_size=201088,
    num_experts=128,
    num_experts_per_tok=4,
    sliding_window=128,
    layer_types=["sliding_attention", "full_attention"] * 18,
)
GPT3 = Model(
    name="gpt3_175b",
    num_hidden_layers=96,
    hidden_size=12288,
    num_attention_heads=96,
    intermediate_size=49152,
    vocab_size=50257,
    tie_word_embeddings=True,
    gated_mlp=False,
)

SERVE = Workload(
    kind="serve",
    global_batch_size=128,
    sequence_lengths=[128, 1024, 10240],
    output_length=1024,
    precision="fp16",
)

TRAIN = Workload(kind="train", global_batch_size=1024, sequence_length=4096, precision="bf16")


def world(
    degrees: str = "ep16_tp4_pp4_dp4",
    model: Model = MOE_30B,
    workload: Workload = SERVE,
    hardware: Hardware = GENERIC,
    **parallel: Any,
) -> World:
    """Lay out `degrees`, as written in `parallel=`; `parallel` overrides single ones, `stages` the layers by stage."""
    config = Config(
        hardware=hardware,
        model=model,
        parallel=Parallel(**{**parse(degrees), **parallel}),
        workload=workload,
        framework=Framework(name="none"),
    )
    sizes, layers = config.degrees, model.num_hidden_layers
    stages = config.parallel.stages or even(layers, sizes.pp * sizes.vpp)
    return lay_out(replace(config, parallel=replace(config.parallel, stages=stages)))


def even(layers: int, parts: int) -> list[int]:
    """Layers of each part, the first ones taking what is left over."""
    base, extra = divmod(layers, parts)
    return [base + (part < extra) for part in range(parts)]
