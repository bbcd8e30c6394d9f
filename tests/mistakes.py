"""Mistakes as users make them: what compiles for each framework, and the overrides that spoil it, by kind."""

from __future__ import annotations

TRAIN = ("workload=train", "hardware=h100_80gb", "hardware.nodes=8", "workload.sequence_length=4096")
SERVE = ("hardware=h100_80gb", "workload.global_batch_size=64", "workload.precision=bf16")

BASES: dict[str, tuple[str, ...]] = {
    "none": (),
    "megatron": ("framework=megatron", "model=mixtral_8x7b", *TRAIN, "parallel=ep8_etp1_tp2_pp4_dp1"),
    "deepspeed": (
        *("framework=deepspeed", "model=mixtral_8x7b", *TRAIN, "parallel=ep8_tp2_pp4_dp1"),
        *("workload.sequence_parallel=false", "workload.recompute=full"),
    ),
    "torchtitan": ("framework=torchtitan", "model=mixtral_8x7b", *TRAIN, "parallel=ep8_etp1_tp2_pp4_dp1"),
    "maxtext": (
        "framework=maxtext",
        "model=mixtral_8x7b",
        *TRAIN,
        "parallel=ep8_tp2_pp4_dp1",
        "workload.recompute=full",
    ),
    "vllm": ("framework=vllm", "model=qwen3_30b_a3b", *SERVE, "hardware.nodes=2", "parallel=ep16_etp1_tp4_adp4"),
    "sglang": ("framework=sglang", "model=qwen3_30b_a3b", *SERVE, "hardware.nodes=2", "parallel=ep16_etp1_tp4_adp4"),
    "tensorrt_llm": (
        *("framework=tensorrt_llm", "model=qwen3_30b_a3b", *SERVE, "hardware.nodes=2"),
        *("parallel=ep8_etp1_adp8", "framework.instances=2"),
    ),
}
"""Framework -> overrides that compile."""

TRAINERS = ("megatron", "deepspeed", "torchtitan", "maxtext")
SERVERS = ("vllm", "sglang", "tensorrt_llm")
POOLS = "workload.pools={prefill:{parallel:ep8_etp1_adp8,instances:1},decode:{parallel:ep8_etp1_adp8,instances:1}}"

Row = tuple[str, str, tuple[str, ...]]


def rows() -> list[Row]:
    """(kind, framework, overrides that spoil its base)."""
    found: list[Row] = []

    def add(kind: str, frameworks: tuple[str, ...], *spoilt: str) -> None:
        found.extend((kind, name, spoilt) for name in frameworks)

    everyone = tuple(BASES)
    add("no dp", everyone, "parallel=tp2")
    add("no dp", ("none", "megatron"), "parallel=tp4_pp4")
    add("nodes", everyone, "hardware.nodes=5")
    add("nodes", ("none", "vllm", "megatron"), "hardware.nodes=16")
    add("heads", everyone, "parallel=tp3_dp8")
    add("heads", everyone, "parallel.tp=64")
    add("experts", everyone, "parallel=ep3_tp2_dp4")
    add("experts", ("none", "megatron", "vllm"), "model=llama3_1_8b")
    add("layers", tuple(name for name in everyone if name != "vllm"), "parallel=pp5_tp2")
    add("layers", ("megatron", "maxtext", "none", "vllm"), "parallel.stages=[1,2,3]")
    add("batch", TRAINERS, "workload.global_batch_size=1001")
    add("batch", TRAINERS, "workload.micro_batch_size=7")
    add("expert layout", everyone, "framework.expert_layout=backwards")
    add("expert layout", (*TRAINERS, *SERVERS), "parallel.etp=4")
    add("order", (*TRAINERS, *SERVERS), "parallel.order=pp-dp-ep-cp-tp")
    add("schedule", TRAINERS, "workload.schedule=dualpipe")
    add("schedule", TRAINERS, "workload.schedule=interleaved")
    add("virtual stages", ("deepspeed", *SERVERS), "parallel.vpp=2")
    add("virtual stages", everyone, "parallel.vpp=2", "parallel.pp=1")
    add("lengths", TRAINERS, "parallel.cp=2", "workload.sequence_length=4095")
    add("lengths", ("none", *SERVERS), "parallel.cp=2", "workload.sequence_lengths=[1001]")
    add("passes", SERVERS, "workload.two_batch_overlap=true")
    add("passes", ("tensorrt_llm",), "workload.low_latency_dispatch=true")
    add("passes", SERVERS, "workload.draft_tokens=3")
    add("passes", ("vllm", "tensorrt_llm"), "workload.prefill_chunk=1")
    add("offload", ("deepspeed", "torchtitan", "maxtext"), "workload.optimizer_offload=0.5")
    add("offload", TRAINERS, "workload.activation_offload=0.5")
    add("offload", ("megatron",), "workload.optimizer_offload=0.5", "workload.distributed_optimizer=false")
    add("arguments", ("vllm",), "framework.args=[--enable-dbo,--enable-lora]")
    add("arguments", ("vllm",), "framework.args=[--decode-context-parallel-size,3]")
    add("arguments", ("vllm",), "framework.args=[--distributed-executor-backend,ray]")
    add("arguments", ("vllm",), "framework.args=[--tensor-parallel-size,8]")
    add("arguments", ("sglang",), "framework.args=[--dp-size,2]")
    add("arguments", ("sglang",), "framework.args=[--moe-a2a-backend,deepep]", "parallel=ep4_tp4_adp4")
    add("arguments", ("sglang",), "framework.args=[--moe-dense-tp-size,3]")
    add("arguments", ("megatron",), "framework.args=[--hybrid-context-parallel]")
    add("arguments", ("megatron",), "framework.args=[--ckpt-format,fsdp_dtensor]")
    add("arguments", ("megatron",), "framework.args=[--num-distributed-optimizer-instances,3]")
    add("arguments", ("megatron",), "framework.args=[--tensor-model-parallel-size,4]")
    add("arguments", ("deepspeed",), "framework.args=['--json.zero_optimization.stage=2']")
    add("arguments", ("torchtitan",), "framework.args=[--parallelism.data_parallel_replicate_degree,3]")
    add("arguments", ("maxtext",), "framework.args=['ici_sequence_parallelism=2']")
    add("memory", TRAINERS, "workload.micro_batch_size=16", "workload.sequence_length=16384", "workload.recompute=none")
    add("memory", TRAINERS, "parallel=ep1_tp1_dp64")
    add("memory", ("none",), "model=deepseek_v3", "hardware.nodes=1", "parallel=ep8_tp1", "hardware=h100_80gb")
    add("launch", SERVERS, "launch.unit=rank")
    add("launch", ("vllm",), "launch.environment.VLLM_PORT=5000")
    add("launch", ("sglang",), "launch.environment.SGLANG_PORT=5000")
    add("launch", ("megatron",), "launch.environment.CUDA_DEVICE_MAX_CONNECTIONS=8")
    add("launch", ("maxtext",), "launch.unit=rank")
    add("launch", everyone, "launch.time_limit=00:01:00")
    add("launch", ("none", "vllm"), "hardware.pin=true")
    add("site", ("none", "megatron"), "site.nics=[mlx5_0]")
    add("workload", ("vllm", "sglang", "tensorrt_llm"), "workload=train")
    add("workload", ("torchtitan",), "workload=serve")
    add("workload", ("none",), "workload.kind=train")
    add("zero", ("deepspeed",), "workload.zero_stage=3")
    add("zero", ("deepspeed",), "workload.sequence_parallel=true")
    add("precision", ("torchtitan", "maxtext"), "workload.precision=fp4")
    add("routing", ("none", "megatron", "vllm"), "model.num_experts_per_tok=1000")
    add("imbalance", ("none", "vllm"), "workload.imbalance=2", "workload.imbalance_exponent=0.5")
    add("pools", ("vllm", "sglang"), POOLS, "hardware.nodes=3")
    add("pools", ("vllm", "sglang"), POOLS, "framework.instances=2")
    add("pools", ("vllm",), POOLS, "launch.spare_nodes=1")
    add("pools", ("vllm",), POOLS.replace("ep8_etp1_adp8", "tp8_ep4", 1))
    add("pools", ("vllm",), POOLS.replace("ep8_etp1_adp8", "tp16", 1))
    add("two", everyone, "hardware.nodes=4", "workload.global_batch_size=1001")
    add("two", SERVERS, "launch.unit=rank", "parallel.order=pp-dp-ep-cp-tp")
    add("two", TRAINERS, "workload.schedule=zero_bubble", "parallel=tp3_dp4")
    return found
