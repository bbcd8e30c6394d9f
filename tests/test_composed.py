"""What is composed again is what was composed first, and nobody's change of it is seen by the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from compiler.config import composed
from compiler.config.compose import compose
from compiler.errors import ConfigError

GIVEN = [
    ["parallel=ep16_tp4_pp4_dp4"],
    ["parallel=tp4_dp2", "model=llama3_1_8b", "workload.micro_batch_size=2", "launch.environment.A=1"],
    ["framework=[vllm,sglang]", "parallel=auto", "search.ttft_s=1"],
    ["scheduler=[slurm,jobset]", "scheduler.slurm.partition=p", "~expect"],
    ["workload=serve", "workload={global_batch_size:8}", "hardware.nodes=4"],
]


@pytest.mark.parametrize("given", GIVEN, ids=" ".join)
def test_again_is_the_same(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "_KEPT", {})
    first = compose(given)
    text, types = OmegaConf.to_yaml(first), {key: OmegaConf.get_type(first, str(key)) for key in first}
    for _ in range(3):
        again = compose(given)
        assert OmegaConf.to_yaml(again) == text
        assert {key: OmegaConf.get_type(again, str(key)) for key in again} == types
        with pytest.raises(ConfigError, match="nodez"):
            compose([*given, "hardware.nodez=1"])
        OmegaConf.set_struct(again, value=False)
        again.hardware.nodes = 77


def test_values_are_those_of_each_time() -> None:
    for nodes in (2, 4, 8, 4):
        assert compose(["hardware=h200", f"hardware.nodes={nodes}"]).hardware.nodes == nodes
        assert compose([f"hardware.nodes={nodes}", "hardware=h200"]).hardware.nodes == nodes


def test_degrees_are_those_of_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["tp4_cp2_pp4_dp4", "ep8_etp1_adp16", "dp8", "deepseek_v3_2048", "tp2_pp3_vpp2_dp4", "ep8_dp2"]
    told = [["parallel.tp=8"], []]
    alone = []
    for name in names:
        monkeypatch.setattr(composed, "_KEPT", {})
        alone += [OmegaConf.to_yaml(compose([f"parallel={name}", *more])) for more in told]
    for _ in range(3):
        assert [OmegaConf.to_yaml(compose([f"parallel={name}", *more])) for name in names for more in told] == alone
    for refused in ("parallel=tp0", "~parallel=tp4", "+parallel=tp4", "++parallel=tp4"):
        with pytest.raises(ConfigError):
            compose([refused])


def test_a_users_file_is_read_each_time(tmp_path: Path) -> None:
    (tmp_path / "workload").mkdir()
    for batch in (16, 32, 64):
        (tmp_path / "workload/mine.yaml").write_text(f"defaults: [train]\nglobal_batch_size: {batch}\n")
        assert compose(["workload=mine"], str(tmp_path)).workload.global_batch_size == batch


def test_no_more_is_kept_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "_KEPT", {})
    monkeypatch.setattr(composed, "MOST", 3)
    for size in (1, 2, 4, 8, 16, 32):
        compose([f"parallel=tp{size}"])
        assert len(composed._KEPT) <= 3
