"""What servers of a prefill and a decode pool are started with, where they differ from servers that do both."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler import ConfigError, InvariantError, compile_plan
from compiler.config.load import load_config
from compiler.frameworks.adapter import adapter
from compiler.frameworks.options import options
from compiler.pools import pool_config
from compiler.specs.config import Config
from tests.command import BARE
from tests.servers import servers
from tests.wheels import wheel

SHARED = "prefill: {parallel: tp2, instances: 4}, decode: {parallel: tp8}"
"""Four servers of prefill on a node, one of decode on another."""


ON = ["model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "workload.global_batch_size=32", BARE]


def pool(framework: str, role: str, *overrides: str) -> Config:
    given = [*ON, f"framework={framework}", f"workload.pools={{{SHARED}}}"]
    return pool_config(load_config([*given, *overrides]), role)


def words(config: Config, folder: Path, instance: int = 0) -> dict[str, str]:
    return options(servers(config, folder, instance, "127.0.0.1")[0].words)


def test_sglang_does_one_phase_and_prefill_listens_on_a_port_of_its_own(tmp_path: Path) -> None:
    found = [words(pool("sglang", "prefill"), tmp_path, instance) for instance in range(4)]
    assert {item["--disaggregation-mode"] for item in found} == {"prefill"}
    ports = [(item["--port"], item["--disaggregation-bootstrap-port"]) for item in found]
    assert ports == [("30000", "8998"), ("31000", "8999"), ("32000", "9000"), ("33000", "9001")]
    decode = words(pool("sglang", "decode"), tmp_path)
    assert decode["--disaggregation-mode"] == "decode"
    assert "--disaggregation-bootstrap-port" not in decode


@pytest.mark.parametrize(("role", "expected"), [("prefill", "kv_producer"), ("decode", "kv_consumer")])
def test_vllm_hands_caches_on_through_nixl(tmp_path: Path, role: str, expected: str) -> None:
    found = json.loads(words(pool("vllm", role), tmp_path)["--kv-transfer-config"])
    assert found == {"kv_connector": "NixlConnector", "kv_role": expected}


def test_nixls_side_channel_is_at_the_nodes_own_address(tmp_path: Path) -> None:
    def seen(role: str, instance: int) -> dict[str, str]:
        return servers(pool("vllm", role), tmp_path, instance, "127.0.0.1")[0].environment

    found = [seen("prefill", instance) for instance in range(4)]
    assert {item["VLLM_NIXL_SIDE_CHANNEL_HOST"] for item in found} == {"127.0.0.1"}
    assert [item["VLLM_NIXL_SIDE_CHANNEL_PORT"] for item in found] == ["5600", "5601", "5602", "5603"]
    assert "VLLM_NIXL_SIDE_CHANNEL_PORT" not in seen("decode", 0)


def test_a_master_that_does_not_resolve_is_one_line(tmp_path: Path) -> None:
    (found,) = servers(pool("vllm", "prefill"), tmp_path, 0, "no.such.host.invalid")
    assert "MASTER_ADDR: expected a host that resolves, found no.such.host.invalid" in found.said
    assert found.said.count("\n") == 1


@pytest.mark.parametrize("spelling", ["--kv-transfer-config", "--kv_transfer_config"])
def test_a_connector_of_the_users_own_goes_before(tmp_path: Path, spelling: str) -> None:
    given = '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
    config = pool("vllm", "decode", f"framework.args=['{spelling}={given}']")
    (found,) = servers(config, tmp_path)
    assert [word for word in found.words if "kv_connector" in word] == [f"{spelling}={given}"]
    assert not [name for name in found.environment if name.startswith("VLLM_NIXL")]


def test_vllm_decodes_without_context_parallelism() -> None:
    pools = "prefill: {parallel: tp8}, decode: {parallel: tp4_cp2}"
    latent = [
        "model.kv_lora_rank=512",
        "model.qk_nope_head_dim=64",
        "model.qk_rope_head_dim=64",
        "model.v_head_dim=128",
    ]
    given = [*ON, "framework=vllm", *latent]
    with pytest.raises(InvariantError, match=r"vllm-decode-context: .* raises NotImplementedError where a server"):
        compile_plan([*given, f"workload.pools={{{pools}}}"])
    other = "decode: {parallel: tp8}, prefill: {parallel: tp4_cp2}"
    compile_plan([*given, f"workload.pools={{{other}}}"])


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("prefill", {"cache_transceiver_config": {"backend": "DEFAULT", "max_tokens_in_buffer": 10240}, "disable_overlap_scheduler": True}),
        ("decode", {"cache_transceiver_config": {"backend": "DEFAULT", "max_tokens_in_buffer": 10240}}),
    ],
)  # fmt: skip
def test_tensorrt_llm_moves_caches_of_whole_prompts(role: str, expected: dict[str, Any]) -> None:
    plan = compile_plan([*ON, "framework=tensorrt_llm", f"workload.pools={{{SHARED}}}"]).parts[role]
    (file,) = adapter("tensorrt_llm").emission(plan.world).files
    found = yaml.safe_load(str(file.text))
    phases = ("cache_transceiver_config", "disable_overlap_scheduler")
    assert {name: found[name] for name in phases if name in found} == expected


def test_what_the_plan_says_of_phases_is_not_the_users() -> None:
    given = [*ON, "framework=sglang", f"workload.pools={{{SHARED}}}", "framework.args=['--disaggregation-mode=null']"]
    with pytest.raises(ConfigError, match=r"framework\.args sets --disaggregation-mode, and so does the plan"):
        compile_plan(given)


def test_the_servers_know_these_options() -> None:
    with zipfile.ZipFile(wheel("sglang", "0.5.23")) as found:
        text = found.read("sglang/srt/arg_groups/fields/disagg.py").decode()
    assert 'disaggregation_mode: A[\n        Literal["null", "prefill", "decode"]' in text
    assert re.search(r"disaggregation_bootstrap_port: A\[\n[^]]*\] = 8998", text)
    with zipfile.ZipFile(wheel("vllm", "0.33.0")) as found:
        roles = found.read("vllm/config/kv_transfer.py").decode()
        names = found.read("vllm/envs.py").decode()
        factory = found.read("vllm/distributed/kv_transfer/kv_connector/factory.py").decode()
    assert 'Literal["kv_producer", "kv_both"]' in roles
    assert 'Literal["kv_consumer", "kv_both"]' in roles
    assert "VLLM_NIXL_SIDE_CHANNEL_PORT: int = 5600" in names
    assert '"NixlConnector"' in factory
