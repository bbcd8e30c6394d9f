"""TensorRT-LLM's options file: what a user adds to it, and what a file of the user's makes of the plan's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.tensorrt_llm import merge_options
from compiler.plan import Plan
from tests.command import BARE

SERVER = [
    BARE,
    "framework=tensorrt_llm",
    "model=deepseek_v3",
    "hardware=b200",
    "hardware.nodes=1",
    "parallel=adp8_ep8_etp1",
]
OPTION = "--extra_llm_api_options"
SHOW = "import sys; print(open(sys.argv[sys.argv.index('--extra_llm_api_options') + 1]).read())"


def served(*args: str, extra: tuple[str, ...] = ()) -> Plan:
    words = ",".join(f"'{word}'" for word in ("/w", *args))
    return compile_plan([*SERVER, f"framework.args=[{words}]", *extra])


def options(plan: Plan, tmp_path: Path) -> dict[str, Any]:
    folder = plan.write(tmp_path)
    assert not any(
        word.startswith((f"{OPTION}.", "--config")) for word in (folder / "framework/args").read_text().split()
    )
    return dict(yaml.safe_load((folder / "framework/llm_api.yaml").read_text()))


def test_keys_are_added_to_the_plans(tmp_path: Path) -> None:
    plan = served(
        f"{OPTION}.moe_config.backend=CUTLASS",
        "--config.cuda_graph_config={batch_sizes: [1, 2], enable_padding: true}",
        f"{OPTION}.kv_cache_config.enable_block_reuse=false",
        f"{OPTION}.stream_interval=20",
        f"{OPTION}.enable_attention_dp=true",
        f"{OPTION}.cache_transceiver_config.backend=UCX",
        extra=("workload.kv_cache_precision=fp8", "workload.role=decode"),
    )
    found = options(plan, tmp_path)
    assert found["moe_config"] == {"backend": "CUTLASS"}
    assert found["cuda_graph_config"] == {"batch_sizes": [1, 2], "enable_padding": True}
    assert found["kv_cache_config"] == {"dtype": "fp8", "enable_block_reuse": False}
    assert (found["stream_interval"], found["enable_attention_dp"]) == (20, True)
    assert found["cache_transceiver_config"]["backend"] == "UCX"


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        (f"{OPTION}.enable_attention_dp=false", "write framework.args=[/w]"),
        (f"{OPTION}.max_batch_size=8", "write workload.global_batch_size"),
        (f"{OPTION}.speculative_config.decoding_type=MTP", "write workload.draft_tokens"),
        ("--config.kv_cache_config={dtype: fp8}", "write workload.kv_cache_precision"),
        (f"{OPTION}.dtype.x=1", "write framework.args=[/w]"),
        (f"{OPTION}.=1", "sets no key"),
    ],
)
def test_what_the_plan_decides_is_refused(word: str, instead: str) -> None:
    with pytest.raises(ConfigError) as refused:
        served(word, extra=("scheduler=slurm",))
    assert instead in str(refused.value)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("kv_cache_config.free_gpu_memory_fraction", ".nan", "holds nan, which is no text"),
        ("kv_cache_config", "{max_tokens: -.inf}", "holds -inf, which is no text"),
        ("cuda_graph_config.batch_sizes", "[1, .nan]", "holds nan, which is no text"),
        ("moe_config.load_balancer.num_slots", ".nan", "holds nan, which is no text"),
        ("x", "2026-01-01", "holds 2026-01-01, which is no text"),
        ("x", "[{1: 2}]", "holds 1, which is no text"),
        ("x", "[", "is no YAML"),
        ("x", "9" * 31, "an integer of 31 digits"),
        ("x", "[" * 60 + "]" * 60, "nested more than 50 deep"),
    ],
)
def test_a_value_that_the_file_cannot_hold_is_refused_by_name(key: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        served(f"{OPTION}.{key}={text}")
    assert f"{OPTION}.{key} " in str(refused.value)
    assert said in str(refused.value)


def test_slots_of_its_load_balancer_hold_redundant_experts() -> None:
    plain, spare = served(), served(f"{OPTION}.moe_config.load_balancer.num_slots=288")
    assert spare.rank_map["experts"].tolist()[:2] == ["0-35", "32-67"]
    weights = [plan.to_dict()["memory"]["weights_bytes"] for plan in (plain, spare)]
    assert 1.09 < weights[1] / weights[0] < 1.125


@pytest.mark.parametrize("slots", ["1000000000", "2312", "255", "0", "-4", "abc", "288.0", "null", "true"])
def test_slots_are_a_whole_number_of_at_least_the_experts(slots: str) -> None:
    with pytest.raises(InvariantError) as refused:
        served(f"{OPTION}.moe_config.load_balancer.num_slots={slots}")
    assert "is no whole number from 256 to 2304, and deepseek_v3 has 256 experts over ep=8" in str(refused.value)


def test_the_share_for_the_cache_is_read_from_the_file() -> None:
    caches = [served(f"{OPTION}.kv_cache_config.free_gpu_memory_fraction={share}", extra=MANY) for share in (0.2, 0.8)]
    low, high = (plan.to_dict()["memory"]["kv_cache_bytes"] for plan in caches)
    assert 3.9 < high / low < 4.1


MANY = ("workload.global_batch_size=100000", "workload.sequence_lengths=[8192]")


class TestFileOfTheUser:
    def test_is_named_and_costs_say_so(self, tmp_path: Path) -> None:
        plan = served(OPTION, "/configs/mine.yaml", extra=("scheduler=slurm",))
        assert "tensorrt_llm-options-unread" in {check.id for check in plan.checks if check.status == "warn"}
        launch = (plan.write(tmp_path) / "runtime/launch.json").read_text()
        start = launch.index('"command"')
        words = launch[start : launch.index("]", start)]
        assert words.index("merge_options.py") < words.index("/configs/mine.yaml") < words.index("trtllm-serve")

    def started(self, tmp_path: Path, ours: str, theirs: str) -> subprocess.CompletedProcess[str]:
        for name, text in (("ours.yaml", ours), ("theirs.yaml", theirs)):
            (tmp_path / name).write_text(text)
        program = [sys.executable, "-c", SHOW, OPTION, str(tmp_path / "ours.yaml"), "--port", "1"]
        command = [sys.executable, str(merge_options.__file__), str(tmp_path / "theirs.yaml"), *program]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_adds_to_the_plans(self, tmp_path: Path) -> None:
        ran = self.started(tmp_path, "a: 1\nb: {c: 2}\n", "a: 1\nb: {d: 3}\ne: [1]\n")
        assert yaml.safe_load(ran.stdout) == {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}

    @pytest.mark.parametrize(
        ("theirs", "said"),
        [
            ("b: {c: 3}\n", "b.c is 3, and the plan's is 2"),
            ("- 1\n", "it holds no mapping"),
            ("a: [\n", "while parsing"),
        ],
    )
    def test_that_disagrees_starts_nothing(self, tmp_path: Path, theirs: str, said: str) -> None:
        ran = self.started(tmp_path, "a: 1\nb: {c: 2}\n", theirs)
        assert (ran.returncode, ran.stdout) == (64, "")
        assert said in ran.stderr
