"""Options that a framework's parser does not know: an error, or a warning where its parser is not at hand."""

from __future__ import annotations

import pytest

from compiler import invariants
from compiler.config.load import load_config
from compiler.fixes import change
from compiler.frameworks import lifted
from compiler.frameworks.sglang import prove as sglang
from compiler.frameworks.vllm import prove as vllm
from tests.parsers import TABLES, path, text
from tests.pasted import refused
from tests.test_framework_told import args
from tests.wheels import wheel

TRAIN = ("workload=train", "scheduler=[]")

UNKNOWN = [
    # framework, arguments, which of them it does not know, what it may have meant
    ("megatron", "--moe-permut-fusion", "--moe-permut-fusion", "--moe-permute-fusion"),
    ("megatron", "--qk-layernorm,--qk_layernorm", "--qk_layernorm", "--qk-layernorm"),
    ("torchtitan", "--compile.enabled", "--compile.enabled", "--compile.enable"),
    ("torchtitan", "--traning.steps=3", "--traning.steps", "--training.steps"),
    ("torchtitan", "--metric.log_freq=3", "--metric.log_freq", "--metrics.log_freq"),
    ("maxtext", "remat_polici=full", "remat_polici", "remat_policy"),
    (
        "deepspeed",
        "--json.zero_optimisation.overlap_comm=true",
        "--json.zero_optimisation.overlap_comm",
        "--json.zero_optimization.overlap_comm",
    ),
    ("deepspeed", "--json.gradient_cliping=1", "--json.gradient_cliping", "--json.gradient_clipping"),
    ("vllm", "--enable-prefix-cachin", "--enable-prefix-cachin", "--enable-prefix-caching"),
    ("sglang", "--moe-runner-backen2", "--moe-runner-backen2", "--moe-runner-backend"),
]
KNOWN = [
    (
        "megatron",
        "--moe-permute-fusion,--seed=3,--lr=1e-4,--lr-warmup-init,-1,--rerun-mode=disabled,--attention-backend,flash,--cp-comm-type,p2p,a2a",
    ),
    ("megatron", "--data-path,0.3,/a,0.7,/b"),
    ("vllm", "--max-model-len=128k,--max-num-batched-tokens=8k,--kv-cache-dtype=fp8,--max-num-seqs=None"),
    ("vllm", "--moe-backend=flashinfer-cutlass,--attention-backend,flashinfer,-q,compressed-tensors"),
    ("vllm", "--kv-cache-memory-bytes=80g,--block-size=None,-cc.mode=3,--eplb-config.window_size=1k,-O,3"),
    (
        "vllm",
        "--compilation-config.cudagraph_capture_sizes+=4,--hf-overrides.rope_theta=3,--additional-config.any.key=x",
    ),
    ("sglang", "--max-total-tokens=4k,--page-size=64,--chunked-prefill-size=-1"),
    ("torchtitan", "--training.max_norm=inf,--compile.enable,--optimizer.lr=1e-3,--metrics.no_enable_wandb"),
    ("maxtext", "steps=30,steps=3e2,learning_rate=3.e-5,enable_checkpointing=False,max_num_checkpoints_to_keep=null"),
    ("vllm", "--enable_prefix_caching,--no-enable-prefix-caching,-O3,--compilation-config.mode=3"),
    ("sglang", "--moe-runner-backend=triton,--moe-runner-back=triton"),
    (
        "deepspeed",
        "--json.optimizer.params.lr=1e-4,--json.zero_optimization.reduce_bucket_size=5e8,--json.gradient_clipping=auto,--my-own=3",
    ),
    (
        "deepspeed",
        "--json.zero_optimization.offload_param.device=cpu,--json.scheduler.type=WarmupLR,--json.aio.block_size=1",
    ),
]


WRONG = [
    # framework, arguments, what is said, what is written instead
    ("megatron", "--fp8-recipe,foo", "--fp8-recipe foo, and megatron 0.19.2 takes tensorwise, delayed, ", "give it one of these, or leave --fp8-recipe out"),
    ("megatron", "--fp8-recipe,blockwis", "--fp8-recipe blockwis", "write --fp8-recipe blockwise, or leave --fp8-recipe out"),
    ("megatron", "--lr,fast", "--lr fast, and megatron 0.19.2 takes a number of at least 0", "give --lr a number of at least 0, or leave --lr out"),
    ("megatron", "--train-iters,1.5", "--train-iters 1.5, and megatron 0.19.2 takes a whole number", "leave --train-iters out"),
    ("megatron", "--save,--load,/c", "--save nothing, and megatron 0.19.2 takes a value", "leave --save out"),
    ("megatron", "--moe-permute-fusion=true", "--moe-permute-fusion true, and megatron 0.19.2 takes no value", "write --moe-permute-fusion and no value"),
    ("vllm", "--kv-cache-dtype=fp9", "--kv-cache-dtype fp9, and vllm 0.33.0 takes auto, float16, ", "write --kv-cache-dtype fp8, or"),
    ("vllm", "-q=foo", "--quantization foo, and vllm 0.33.0 takes awq, ", "give it one of these, or leave --quantization out"),
    ("vllm", "--moe-backend=marlyn", "--moe-backend marlyn, and vllm 0.33.0 takes auto, ", "write --moe-backend marlin, or"),
    ("vllm", "--attention-backend=flashmia", "--attention-backend flashmia, and", "write --attention-backend FLASHMLA, or"),
    ("sglang", "--moe-runner-backend=flashinfer_trtlm", "and sglang 0.5.23 takes auto, ", "write --moe-runner-backend flashinfer_trtllm, or"),
    ("sglang", "--attention-backend,fa5", "--attention-backend fa5, and sglang 0.5.23 takes triton, ", "write --attention-backend fa4, or"),
    ("vllm", "--gpu-memory-utilization=7", "takes a number above 0 and of at most 1", "leave --gpu-memory-utilization out"),
    ("vllm", "--max-num-seqs,-8", "--max-num-seqs -8, and vllm 0.33.0 takes a whole number of at least 1", "write --max-num-seqs 1, or"),
    ("vllm", "--max_num_seqs=0", "--max-num-seqs 0, and", "write --max-num-seqs 1, or"),
    ("sglang", "--mem-fraction-static=1.5", "takes a number above 0 and below 1", "leave --mem-fraction-static out"),
    ("sglang", "--max-running-req=-1", "takes a whole number of at least 1", "write --max-running-req 1, or"),
    ("sglang", "--fp8-gemm-backend=cutlas", "--fp8-gemm-backend cutlas, and sglang ", "write --fp8-gemm-backend cutlass"),
    ("vllm", "--cpu-offload-gb,nan", "--cpu-offload-gb nan, and vllm 0.33.0 takes a number of at least 0", "leave --cpu-offload-gb out"),
    ("sglang", "--cpu-offload-gb=inf", "takes a whole number of at least 0", "leave --cpu-offload-gb out"),
    ("sglang", "--dcp-size=-1", "--dcp-size -1, and sglang 0.5.23 takes a whole number of at least 1", "write --dcp-size 1, or"),
    ("vllm", "--max-logprobs=1e3", "takes a whole number of at least -1", "leave --max-logprobs out"),
    ("vllm", "--kv-cache-memory-bytes=foo", "takes a whole number of at least 1", "leave --kv-cache-memory-bytes out"),
    ("vllm", "--speculative-config={", "--speculative-config {, and vllm 0.33.0 takes a mapping in JSON", "leave --speculative-config out"),
    ("vllm", "-cc=9", "--compilation-config 9, and vllm 0.33.0 takes a mapping in JSON", "leave --compilation-config out"),
    ("vllm", "--eplb-config={'window_size': -1}", "--eplb-config {'window_size': -1}, and", "leave --eplb-config out"),
    ("vllm", "--eplb-config.window_size=0", "--eplb-config.window_size 0, and vllm 0.33.0 takes a whole number above 0", "leave --eplb"),
    ("vllm", "-O.mode=3", "--optimization-level .mode, and vllm 0.33.0 takes 0, 1, 2 or 3", "leave --optimization-level out"),
    ("vllm", "-O9", "--optimization-level 9, and vllm 0.33.0 takes 0, 1, 2 or 3", "leave --optimization-level out"),
    ("sglang", "--json-model-override-args={", "takes a mapping in JSON", "leave --json-model-override-args out"),
    ("sglang", "--port=70000", "takes a whole number of at least 0 and of at most 65,535", "leave --port out"),
    ("megatron", "--muon-num-ns-steps,0", "takes a whole number of at least 1", "write --muon-num-ns-steps 1, or"),
    ("maxtext", "learning_rate=nan", "takes a number of at least 0", "leave learning_rate out"),
    ("torchtitan", "--training.dtype=bf16", "--training.dtype bf16, and torchtitan 0.3.0 takes bfloat16 or float32", "leave --training.dtype out"),
    ("torchtitan", "--training.steps=many", "takes a whole number", "leave --training.steps out"),
    ("deepspeed", "--json.zero_optimization.overlap_comm=maybe", "overlap_comm maybe, and deepspeed 0.19.8 takes true or false", "leave --json"),
    ("deepspeed", "--json.zero_optimization.offload_param.device=gpu", "takes none, cpu or nvme", "write --json.zero_optimization.offload_param.device=cpu, or"),
    ("deepspeed", "--json.zero_optimization.reduce_bucket_size=0", "takes a whole number above 0", "leave --json"),
    ("maxtext", "steps=many", "takes a whole number of at least -1", "give steps a whole number"),
    ("maxtext", "enable_checkpointing=maybe", "takes true or false", "leave enable_checkpointing out"),
]  # fmt: skip


@pytest.mark.parametrize(("framework", "arguments", "message", "fix"), WRONG)
def test_a_value_that_its_parser_does_not_take_is_refused(
    framework: str, arguments: str, message: str, fix: str
) -> None:
    [(status, found, instead)] = said(framework, args(arguments))
    assert status == "fail"
    assert message in found
    assert fix in instead


MAPPINGS = [
    # framework, an option with JSON, what is said of its key
    ("deepspeed", '--json.zero_optimization={"reduce_bucket_sise": 5e8}', "sets --json.zero_optimization.reduce_bucket_sise, which"),
    ("vllm", '--eplb-config={"num_redundant_expert": 1}', "sets --eplb-config.num_redundant_expert, which vllm"),
    ("vllm", '--kv-transfer-config={"kv_role": "both"}', "gives --kv-transfer-config.kv_role both, and vllm"),
    ("vllm", '-cc={"pass_config": {"fuse_norm": true}}', "sets --compilation-config.pass_config.fuse_norm, which vllm"),
    ("vllm", '--eplb-config={"use_async": 3}', "gives --eplb-config.use_async 3, and vllm 0.33.0 takes true or false"),
    ("vllm", '--compilation-config={"cudagraph_capture_sizes": [1, 1.5]}', "cudagraph_capture_sizes 1 1.5, and"),
]  # fmt: skip
TAKEN = [
    '--eplb-config={"window_size": 1k, "num_redundant_experts": 2}',
    '--speculative-config={"method": "mtp", "num-speculative-tokens": 1}',
    '-cc={"mode": "NONE", "cudagraph_capture_sizes": [1, 2], "inductor_compile_config": {"any": {"key": 1}}}',
]


@pytest.mark.parametrize(("framework", "option", "expected"), MAPPINGS)
def test_what_a_key_of_a_mapping_does_not_take_is_refused(framework: str, option: str, expected: str) -> None:
    command = ("launch.command=[python3,t.py]",) if framework == "deepspeed" else ()
    [(status, message, _)] = said(framework, f"framework.args={change.written([option])}", *command)
    assert status == "fail"
    assert expected in message


@pytest.mark.parametrize("option", TAKEN)
def test_mappings_whose_keys_it_knows(option: str) -> None:
    assert said("vllm", f"framework.args={change.written([option])}") == []


def test_a_configuration_of_ones_own_may_have_other_sections() -> None:
    own = args("--module=mine,--config=mine_8b,--rollout.steps=3")
    assert [status for status, *_ in said("torchtitan", own)] == ["warn"]


def said(framework: str, *overrides: str) -> list[tuple[str, str, str]]:
    kind = () if framework in ("vllm", "sglang") else TRAIN
    config = load_config([*kind, "scheduler=[]", f"framework={framework}", *overrides])
    return [(item.status, item.message, item.fix) for item in invariants.declared(config) if item.id == "framework-arguments" and item.status != "pass"]  # fmt: skip


@pytest.mark.parametrize(("framework", "arguments", "option", "meant"), UNKNOWN)
def test_an_option_that_nobody_knows_is_refused(framework: str, arguments: str, option: str, meant: str) -> None:
    [(status, message, fix)] = said(framework, args(arguments))
    assert status == "fail"
    assert message.startswith(f"framework.args sets {option}, which {framework} ")
    assert fix == f"{meant} may be meant: write it in its place, or leave {option} out"


MENDED = [
    ("megatron", ["--seed=1", "--recompute-module", "moe_act"], "['--seed=1',--recompute-modules,moe_act]"),
    ("megatron", ["--moe-permut-fusion"], "[--moe-permute-fusion]"),
    ("vllm", ["/w", "--max-logprob=8"], "[/w,'--max-logprobs=8']"),
    ("maxtext", ["gradient_clipping_treshold=1.0"], "['gradient_clipping_threshold=1.0']"),
]
SMALL = ("model=llama3_1_8b", "hardware.nodes=1", "parallel=tp8", "scheduler=[]")


@pytest.mark.parametrize(("framework", "given", "mended"), MENDED)
def test_a_misspelt_option_is_mended_with_its_values(framework: str, given: list[str], mended: str) -> None:
    kind = () if framework == "vllm" else TRAIN[:1]
    [line] = refused([*SMALL, *kind, f"framework={framework}", f"framework.args={change.written(given)}"])
    assert f" may be meant: write framework.args={mended} or " in line


@pytest.mark.parametrize(("framework", "arguments"), KNOWN)
def test_options_that_it_knows(framework: str, arguments: str) -> None:
    assert said(framework, args(arguments)) == []


@pytest.mark.parametrize("other", ["framework.version=0.18.1", "launch.command=[python3,pretrain_mine.py]"])
def test_a_parser_that_is_not_at_hand_is_warned_of(other: str) -> None:
    [(status, message, _)] = said("megatron", "framework.args=[--my-own-option]", other)
    assert (status, message) == (
        "warn",
        "framework.args sets --my-own-option, which megatron 0.19.2 does not know",
    )


@pytest.mark.parametrize(("framework", "release"), TABLES, ids=str)
def test_tables_are_as_the_frameworks_source_has_them(framework: str, release: str) -> None:
    assert path(framework, release).read_text(encoding="utf-8") == text(TABLES[framework, release]())


def table(framework: str, release: str) -> set[str]:
    return {line.split()[0] for line in path(framework, release).read_text(encoding="utf-8").splitlines()}


@pytest.mark.parametrize("release", ["0.5.21", "0.5.23"])
def test_sglangs_own_fields_have_these_options(release: str) -> None:
    source = lifted.Source("sglang", wheel("sglang", release))
    found = {name for path in source.names("srt/arg_groups/fields") for name in sglang._options(source.tree(path))}
    assert table("sglang", release) <= found


def test_vllms_own_parsers_have_these_options() -> None:
    source = lifted.Source("vllm", wheel("vllm", "0.33.0"))
    paths = [path for path in vllm.PARSERS if source.holds(path)]
    ours = {name for name in table("vllm", "0.33.0") if "." not in name}
    assert ours <= {name for path in paths for name in vllm._options(source.tree(path))}
