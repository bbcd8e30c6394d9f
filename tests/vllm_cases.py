"""Plans that break a rule of vLLM's: what they change, and what is said of it."""

from __future__ import annotations

from typing import Any

from compiler.specs.config import Config
from tests.configs import changed, composed

BASE = changed(
    composed("framework=vllm"),
    {"parallel.dp": None, "parallel.adp": 4, "parallel.etp": 1, "hardware.nodes": 8, "framework.args": ["org/model"]},
)
BASE = changed(BASE, {"workload.prefill_chunk": None})  # left to vLLM
WIDE = changed(BASE, {"parallel.tp": 1, "parallel.pp": 1, "parallel.adp": 64, "parallel.ep": 64})
DENSE = changed(composed("framework=vllm", "model=llama3_1_8b"), {"hardware.nodes": 4, "framework.args": ["org/model"]})
DENSE = changed(DENSE, {"parallel.tp": 8, "parallel.pp": 4, "parallel.ep": 1, "parallel.dp": None, "parallel.adp": 1})
DENSE = changed(DENSE, {"workload.prefill_chunk": None})
H200, A100 = (composed(f"hardware={name}").hardware for name in ("h200", "a100_80gb"))
KUBERNETES = composed("framework=vllm", "scheduler=kubernetes_job")
ARGS = "framework.args"
DCP, KV = "--decode-context-parallel-size", "--kv-transfer-config"
NIXL = f'{KV}={{"kv_connector": "NixlConnector"}}'
DBO = ["--enable-dbo", "--all2all-backend=deepep_low_latency"]
FIRST_RUNNER = changed(BASE, {"launch.environment": {"VLLM_USE_V2_MODEL_RUNNER": "0"}})

CASES: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, message, fix
    ("vllm-serving", BASE, {"workload.kind": "train"}, "fail", "workload.kind is train", "framework=megatron"),
    (
        "vllm-order",
        BASE,
        {"parallel.order": "tp-pp-cp-ep-dp"},
        "fail",
        "would have no effect",
        "leave parallel.order out",
    ),
    ("vllm-virtual-stages", BASE, {"parallel.vpp": 2}, "fail", "vpp is 2", "leave vpp out"),
    ("vllm-weights", BASE, {ARGS: []}, "warn", "loads /models/moe_30b, for framework.args have no --model", "PATH"),
    (
        "vllm-precision",
        BASE,
        {"workload.precision": "fp4"},
        "warn",
        "takes the format of fp4 weights from the checkpoint",
        "model.hf_config",
    ),
    ("vllm-expert-layout", BASE, {"framework.expert_layout": "x"}, "fail", "expert_layout=x is none of", "round_robin"),
    (
        "vllm-round-robin",
        BASE,
        {"framework.expert_layout": "round_robin", ARGS: ["--enable-eplb"]},
        "warn",
        "linearly in spite of round_robin: the model has one expert group, EPLB is on, the all-to-all back end is allgather",
        "expert_layout=linear",
    ),
    (
        "vllm-round-robin",
        BASE,
        {"framework.expert_layout": "round_robin", "parallel.ep": 1, "parallel.etp": 16},
        "warn",
        "expert parallelism is off",
        "expert_layout=linear",
    ),
    (
        "vllm-vocabulary",
        BASE,
        {"parallel.tp": 5, "model.vocab_size": 50257, "parallel.ep": 20},
        "fail",
        "vocab_size 50257 to 50304 rows, a multiple of 64, and tp=5 gives 10060.8 each",
        "divisor of 50304",
    ),
    (
        "vllm-expert-parallel",
        BASE,
        {"parallel.etp": 4, "parallel.ep": 4},
        "fail",
        "the plan has ep=4 etp=4 edp=1",
        "adp",
    ),
    ("vllm-expert-parallel", BASE, {"parallel.ep": 8}, "fail", "ep=8 etp=1 edp=2", "framework.instances=2"),
    (
        "vllm-dense-data-parallel",
        DENSE,
        {"parallel.adp": 2, "hardware.nodes": 8},
        "fail",
        "2 DP ranks of a dense model",
        "instances=2",
    ),
    ("vllm-nodes", BASE, {"hardware.node.gpus": 6}, "fail", "cp1 x pp4 = 16 ranks on nodes of 6 GPUs", "divisor"),
    ("vllm-unit", BASE, {"launch.unit": "rank"}, "fail", "a server for each", "leave launch.unit out"),
    ("vllm-service-name", KUBERNETES, {"name": "vLLM"}, "fail", "reads VLLM_PORT as a number", "another name"),
    (
        "vllm-all2all-removed",
        WIDE,
        {ARGS: ["--all2all-backend=pplx"]},
        "warn",
        "pplx by allgather",
        "deepep_low_latency",
    ),
    (
        "vllm-all2all-unused",
        changed(BASE, {"parallel.adp": 1, "parallel.ep": 4}),
        {ARGS: ["--all2all-backend=nixl_ep"]},
        "warn",
        "has ep=4 adp=1 cp=1",
        "leave --all2all-backend out",
    ),
    (
        "vllm-deepep-ranks",
        WIDE,
        {ARGS: ["--all2all-backend=deepep_high_throughput"], "parallel.adp": 256, "parallel.ep": 256},
        "fail",
        "an expert group of 256 ranks, and DeepEP's high-throughput kernels take 20 RDMA peers of 8 GPUs, 160 ranks",
        "160 or less",
    ),
    (
        "vllm-deepep-node",
        WIDE,
        {ARGS: ["--all2all-backend=deepep_high_throughput"], "hardware.node.gpus": 4},
        "warn",
        "nodes have 4, domains 8",
        "another back end",
    ),
    (
        "vllm-nvlink-domain",
        WIDE,
        {ARGS: ["--all2all-backend=deepep_high_throughput"], "hardware.nvlink.domain_gpus": 48},
        "warn",
        "64 ranks fills NVLink domains of 48 GPUs in part",
        "NUM_OF_HYBRID_EP_RANKS_PER_NVLINK_DOMAIN",
    ),
    (
        "vllm-moonep",
        WIDE,
        {ARGS: ["--all2all-backend=moonep", "--enable-eplb"]},
        "fail",
        "EPLB is on, the precision is fp16",
        "workload.precision=bf16",
    ),
    (
        "vllm-expert-copies",
        BASE,
        {ARGS: ["--enable-eplb", "--eplb-config.num_redundant_experts=-4"]},
        "fail",
        "num_redundant_experts=-4 is no whole number from 0 to 1024, and moe_30b has 64 experts over ep=16",
        "num_redundant_experts=0",
    ),
    (
        "vllm-expert-copies",
        BASE,
        {ARGS: ["--enable-eplb", '--eplb-config={"num_redundant_experts": 99999999999}']},
        "fail",
        "num_redundant_experts=99999999999 is no whole number from 0 to 1024",
        "num_redundant_experts=0",
    ),
    (
        "vllm-redundant-experts",
        BASE,
        {ARGS: ["--eplb-config.num_redundant_experts=16"]},
        "fail",
        "num_redundant_experts=16, and EPLB is off",
        "--enable-eplb",
    ),
    (
        "vllm-eplb",
        DENSE,
        {ARGS: ["--enable-eplb"]},
        "fail",
        "the plan has ep=1 over 8 ranks",
        "leave --enable-eplb out",
    ),
    (
        "vllm-physical-experts",
        BASE,
        {ARGS: ["--enable-eplb", '--eplb-config={"num_redundant_experts": 8}']},
        "fail",
        "64 experts and 8 redundant ones over ep=16 are 4.5 each",
        "num_redundant_experts=0",
    ),
    (
        "vllm-eplb-communicator",
        BASE,
        {ARGS: ["--enable-eplb", "--eplb-config.communicator=pynccl"]},
        "fail",
        "asynchronous EPLB over pynccl",
        "torch_gloo",
    ),
    (
        "vllm-decode-context",
        DENSE,
        {ARGS: [DCP, "3"]},
        "fail",
        "size 3 with tp=8 and cp=1",
        "write --decode-context-parallel-size=1 or --decode-context-parallel-size=2",
    ),
    ("vllm-decode-context-heads", DENSE, {ARGS: ["-dcp", "2"]}, "fail", "2 with tp=8, 8 KV heads", "tp above 8"),
    (
        "vllm-executor",
        BASE,
        {ARGS: ["--distributed-executor-backend=ray"]},
        "fail",
        "executor ray and data-parallel back end mp",
        "leave --distributed",
    ),
    ("vllm-load-balancer", BASE, {ARGS: ["-dph"]}, "fail", "refuses --data-parallel-hybrid-lb on headless", "balances"),
    ("vllm-elastic", BASE, {ARGS: ["--enable-elastic-ep"]}, "fail", "wants pp=1 and EPLB", "leave --enable-elastic-ep"),
    ("vllm-dbo", BASE, {ARGS: ["--enable-dbo"]}, "fail", "the plan has pp=4", "leave --enable-dbo out"),
    ("vllm-dbo-backend", WIDE, {ARGS: ["--enable-dbo"]}, "fail", "not allgather_reducescatter", "deepep_low_latency"),
    (
        "vllm-return-routed-experts",
        WIDE,
        {ARGS: ["--enable-return-routed-experts", "-dcp=2"]},
        "fail",
        "context parallelism 2",
        "leave --enable-return-routed-experts out",
    ),
    (
        "vllm-dbo-threshold",
        WIDE,
        {ARGS: [*DBO, "--dbo-decode-token-threshold=1"]},
        "fail",
        "threshold is 1",
        "leave --dbo",
    ),
    ("vllm-dbo-alone", WIDE, {ARGS: [*DBO, "--enable-lora"]}, "fail", "; --enable-lora", "or --enable-lora out"),
    ("vllm-hc-sp", BASE, {ARGS: ["--enable-hc-sp"]}, "fail", "the plan has pp=4", "leave --enable-hc-sp out"),
    ("vllm-hisparse", BASE, {ARGS: ["--attention-config.hisparse_config.x=1"]}, "fail", "pp=4", "leave HiSparse out"),
    (
        "vllm-hisparse",
        BASE,
        {ARGS: [KV, '{"kv_connector": "HiSparseConnector"}']},
        "fail",
        "pp=4",
        "leave HiSparse out",
    ),
    ("vllm-nixl-context", DENSE, {ARGS: [NIXL, f"{DCP}=2"]}, "fail", "or 8 (the larger", "size=1"),
    (
        "vllm-async-scheduling",
        FIRST_RUNNER,
        {ARGS: ["--async-scheduling"]},
        "fail",
        "pp=4",
        "=0 or --async-scheduling out",
    ),
    ("vllm-fault-tolerance", WIDE, {ARGS: ["--enable-fault-tolerance"]}, "fail", "adp=64", "leave --enable-fault"),
    (
        "vllm-prefill-context",
        changed(BASE, {"parallel.cp": 2, "parallel.ep": 32}),
        {"launch.environment": {"VLLM_USE_V2_MODEL_RUNNER": "0"}},
        "fail",
        "only the V2 model runner",
        "VLLM_USE_V2_MODEL_RUNNER=0",
    ),
    (
        "vllm-prefill-context-attention",
        DENSE,
        {"parallel.cp": 2},
        "fail",
        "has prefill context parallelism for latent attention (MLA) alone, and cp=2 beside 8 KV heads",
        "write parallel.cp=1 parallel.tp=16",
    ),
    (
        "vllm-sparse-attention",
        changed(BASE, {"model.index_topk": 2048, "hardware.gpu": H200.gpu}),
        {"hardware.gpu": A100.gpu},
        "fail",
        "no kernel of sparse attention (model.index_topk=2048) for NVIDIA A100-SXM4-80GB",
        "hardware=h200",
    ),
    (
        "vllm-environment",
        BASE,
        {"launch.environment": {"VLLM_PP_LAYER_PARTITION": "16,0,0,0"}},
        "fail",
        "cuts layers past the plan",
        "leave VLLM_PP_LAYER_PARTITION out",
    ),
    ("framework-version", BASE, {"framework.version": "0.9.2"}, "warn", "rules are known for 0.32", "version=0.33.0"),
]
