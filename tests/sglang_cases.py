"""Plans that break a rule of SGLang's: what they change, and what is said of it."""

from __future__ import annotations

from typing import Any

from compiler.specs.config import Config
from tests.configs import changed, composed

MODEL = "--model-path=org/model"
ARGS = "framework.args"
BASE = changed(
    composed("framework=sglang"),
    {"parallel.dp": None, "parallel.adp": 4, "parallel.pp": 1, "parallel.etp": 1, "hardware.nodes": 2, ARGS: [MODEL]},
)
"""A stage of 16 ranks, tp4 x adp4 for attention and ep16 for experts."""
FLAT = changed(BASE, {"parallel.tp": 1, "parallel.adp": 16})
PIPE = changed(BASE, {"parallel.pp": 4, "hardware.nodes": 8})
DENSE = changed(composed("framework=sglang", "model=llama3_1_8b", "parallel=tp8"), {"hardware.nodes": 1, ARGS: [MODEL]})
CONTEXT = changed(BASE, {"parallel.cp": 2, "parallel.adp": 2, ARGS: [MODEL, "--cp-strategy=zigzag"]})
DEEPSEEK = changed(
    composed("framework=sglang", "model=deepseek_v3"),
    {"parallel.dp": None, "parallel.tp": 4, "parallel.adp": 4, "parallel.ep": 16, "parallel.etp": 1, "parallel.pp": 1},
)

CASES: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, message, fix
    ("sglang-serving", BASE, {"workload.kind": "train"}, "fail", "workload.kind is train", "framework=megatron"),
    ("sglang-order", BASE, {"parallel.order": "tp-pp-cp-ep-dp"}, "fail", "would have no effect", "parallel.order out"),
    ("sglang-virtual-stages", BASE, {"parallel.vpp": 2}, "fail", "vpp is 2", "leave vpp out"),
    (
        "sglang-weights",
        BASE,
        {ARGS: []},
        "warn",
        "loads /models/moe_30b, for framework.args have no --model-path",
        "PATH",
    ),
    (
        "sglang-precision",
        BASE,
        {"workload.precision": "fp4"},
        "warn",
        "takes the format of fp4 weights from the checkpoint",
        "model.hf_config",
    ),
    (
        "sglang-expert-layout",
        BASE,
        {"framework.expert_layout": "x"},
        "fail",
        "than trivial is not known",
        "leave framework.expert_layout out",
    ),
    ("sglang-unit", BASE, {"launch.unit": "rank"}, "fail", "a server for each", "leave launch.unit out"),
    (
        "sglang-nodes",
        PIPE,
        {"parallel.tp": 3, "parallel.adp": 2, "parallel.ep": 6},
        "fail",
        "6 ranks a stage, pp=4, 3 nodes of 8 GPUs",
        "divisor or a multiple of 8",
    ),
    (
        "sglang-dense-layers",
        DEEPSEEK,
        {"parallel.adp": 44, "parallel.ep": 176},
        "fail",
        "intermediate_size 18432 of dense layers over the 176 ranks of a stage, not over tp=4: 104.727 each",
        "--moe-dense-tp-size=1",
    ),
    (
        "sglang-shared-experts",
        DEEPSEEK,
        {"parallel.adp": 44, "parallel.ep": 176},
        "warn",
        "shared experts of width 2048 over the 176 ranks",
        "an all-to-all back end",
    ),
    (
        "sglang-expert-data-parallel",
        PIPE,
        {"parallel.adp": 16, "hardware.nodes": 32},
        "fail",
        "moe_dp_size above 1 wants attn_cp_size equal to it, pp_size=1",
        "parallel.adp=4 parallel.etp=1 framework.instances=4",
    ),
    (
        "sglang-expert-data-parallel",
        CONTEXT,
        {"parallel.ep": 4, "parallel.etp": 2},
        "fail",
        "etp2 x ep4 x edp2",
        "etp=4",
    ),
    (
        "sglang-dense-data-parallel",
        DENSE,
        {"parallel.adp": 2, "hardware.nodes": 2},
        "fail",
        "over all 16 ranks of a stage",
        "instances=2",
    ),
    (
        "sglang-a2a-ep",
        BASE,
        {ARGS: ["--moe-a2a-backend=mooncake"], "parallel.ep": 4, "parallel.etp": 4},
        "fail",
        "mooncake sets ep_size to tp_size=16 without a word, and the plan has ep=4",
        "parallel.ep=16 parallel.etp=1",
    ),
    (
        "sglang-a2a-ep",
        BASE,
        {ARGS: ["--enable-waterfill"], "parallel.ep": 4, "parallel.etp": 4},
        "fail",
        "deepep sets ep_size",
        "leave --moe-a2a-backend out",
    ),
    (
        "sglang-a2a-attention",
        BASE,
        {ARGS: ["--moe-a2a-backend=flashinfer"]},
        "fail",
        "flashinfer with attn_dp_size=4 on 16 ranks",
        "write tp1, cp1 and adp16",
    ),
    (
        "sglang-a2a-attention",
        changed(BASE, {"parallel.tp": 16, "parallel.adp": 1}),
        {ARGS: ["--moe-a2a-backend=pplx"]},
        "fail",
        "pplx with attn_dp_size=1",
        "write adp2 or more",
    ),
    (
        "sglang-deepep-ranks",
        FLAT,
        {ARGS: ["--moe-a2a-backend=deepep"], "parallel.adp": 320, "parallel.ep": 320},
        "fail",
        "an expert group of 320 ranks",
        "160 or less",
    ),
    (
        "sglang-deepep-node",
        FLAT,
        {ARGS: ["--moe-a2a-backend=deepep"], "hardware.nvlink.domain_gpus": 1},
        "warn",
        "nodes have 8, domains 1",
        "another back end",
    ),
    (
        "sglang-nvlink-domain",
        FLAT,
        {ARGS: ["--moe-a2a-backend=deepep"], "hardware.nvlink.domain_gpus": 12},
        "warn",
        "16 ranks fills NVLink domains of 12 GPUs in part",
        "multiple of 12",
    ),
    (
        "sglang-moe-runner",
        BASE,
        {ARGS: ["--moe-runner-backend=flashinfer_cutlass"], "parallel.ep": 4, "parallel.etp": 4},
        "fail",
        "takes ep_size=1 or ep_size=16, and the plan has ep=4",
        "write ep16",
    ),
    (
        "sglang-moe-runner",
        BASE,
        {ARGS: ["--moe-runner-backend=cutlass", "--quantization", "fp8"]},
        "fail",
        "takes ep_size=1, and the plan has ep=16",
        "another --moe-runner-backend",
    ),
    (
        "sglang-expert-copies",
        BASE,
        {ARGS: [MODEL, "--ep-num-redundant-experts", "-4"]},
        "fail",
        "--ep-num-redundant-experts=-4 is no whole number from 0 to 1024, and moe_30b has 64 experts over ep=16",
        "--ep-num-redundant-experts=0",
    ),
    (
        "sglang-expert-copies",
        BASE,
        {ARGS: [MODEL, "--ep-num-redundant-experts=99999999999"]},
        "fail",
        "--ep-num-redundant-experts=99999999999 is no whole number from 0 to 1024",
        "--ep-num-redundant-experts=0",
    ),
    (
        "sglang-physical-experts",
        BASE,
        {ARGS: ["--ep-num-redundant-experts=8"]},
        "fail",
        "64 experts and 8 redundant ones over ep=16 are 4.5 each",
        "--ep-num-redundant-experts=0",
    ),
    ("sglang-eplb", DENSE, {ARGS: ["--enable-eplb"]}, "fail", "the plan has ep=1", "leave --enable-eplb out"),
    ("sglang-ep-dispatch", BASE, {ARGS: ["--ep-dispatch-algorithm", "static"]}, "fail", "another copy", "dynamic"),
    ("sglang-cp-strategy", CONTEXT, {ARGS: ["--cp-strategy=ring"]}, "fail", "--cp-strategy=ring is", "interleave"),
    ("sglang-decode-context", DENSE, {ARGS: ["--dcp-size=3"]}, "fail", "--dcp-size 3 cuts the 8 ranks", "divisor of 8"),
    ("sglang-decode-context", CONTEXT, {ARGS: ["--dcp-size=2"]}, "fail", "prefill context parallelism, cp=2", "no cp"),
    ("sglang-replicas", BASE, {ARGS: ["--dp-size=2"]}, "fail", "the plan knows nothing of", "framework.instances"),
    (
        "sglang-replicas",
        BASE,
        {ARGS: ["--data-parallel-size", "4", "--enable-dp-attention"]},
        "fail",
        "deprecated, sets --attn-dp-size",
        "adp is --attn-dp-size",
    ),
    (
        "sglang-dense-width",
        BASE,
        {ARGS: ["--moe-dense-tp-size=4"]},
        "fail",
        "4 on 16 ranks a stage",
        "write --moe-dense-tp-size=1 or --moe-dense-tp-size=16",
    ),
    (
        "sglang-shared-width",
        BASE,
        {ARGS: ["--shared-experts-tp-size=2"]},
        "fail",
        "2 with attention tp=4 and --moe-a2a-backend none",
        "deepep",
    ),
    ("sglang-lm-head", DENSE, {ARGS: ["--enable-dp-lm-head"]}, "fail", "the plan has adp=1", "adp2 or more"),
    (
        "sglang-lm-head-all-to-all",
        BASE,
        {ARGS: ["--enable-tp-lm-head-all-to-all"]},
        "fail",
        "equal to tp_size=16",
        "write tp1 and cp1",
    ),
    ("sglang-pipeline-overlap", BASE, {"parallel.pp": 4}, "warn", "overlap schedule off with pp=4", "pp1"),
    (
        "sglang-speculative",
        PIPE,
        {ARGS: ["--speculative-algorithm=NGRAM"]},
        "fail",
        "pp=4 takes EAGLE alone, not NGRAM",
        "EAGLE, or pp1",
    ),
    ("sglang-elastic", PIPE, {ARGS: ["--elastic-ep-backend=nixl"]}, "fail", "knows no pipeline, pp=4", "pp1"),
    ("sglang-dwdp", BASE, {ARGS: ["--dwdp-size=16"]}, "fail", "the plan has adp=4 ep=16 pp=1", "ep equal to adp"),
    (
        "sglang-environment",
        BASE,
        {"site.environment": {"SGLANG_PP_LAYER_PARTITION": "16"}},
        "fail",
        "cuts layers past the plan",
        "leave SGLANG_PP_LAYER_PARTITION out",
    ),
    ("framework-version", BASE, {"framework.version": "0.4.1"}, "warn", "rules are known for", "version=0.5.23"),
]
