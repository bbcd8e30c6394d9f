"""Megatron itself, from its wheels, agrees with what a plan says of it."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.commands import prove as command
from compiler.errors import ConfigError
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron.installed import megatron
from compiler.frameworks.megatron.prove import findings, prove
from compiler.frameworks.proof import Finding, NotInstalledError
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.megatron_configs import TRAIN
from tests.megatron_plans import NEWEST, OLDEST, newest_megatron, plans, refusals, wheel

UNTRAINED = {"deepseek_v4_flash", "deepseek_v4_pro"}
"""Compressed attention, which Megatron does not build, with scaled positions, beside which it predicts no further tokens."""

MODELS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "conf" / "model").glob("*.yaml") if path.stem not in UNTRAINED
)
FITTING = {
    "deepseek_v3_2": "parallel=ep4_etp1_tp4_adp4",
    "glm_4_5": "parallel=ep4_etp1_tp4_adp4",
    "glm_4_7": "parallel=ep4_etp1_tp4_adp4",
    "glm_5": "parallel=ep4_etp1_tp4_adp4",
    "gpt_oss_20b": "parallel=ep4_etp1_tp4_adp4",
    "kimi_k2_5": "parallel=ep4_etp1_tp4_adp4",
    "llama4_maverick": "parallel=ep4_etp1_tp4_adp4",
    "llama4_scout": "parallel=ep4_etp1_tp4_adp4",
    "minimax_m2_5": "parallel=ep4_etp1_tp4_adp4",
    "nemotron_3_nano": "parallel=ep4_etp1_tp2_adp4",
    "nemotron_3_super": "parallel=ep4_etp1_tp2_adp4",
    "qwen3_32b": "parallel=tp4_pp2_dp2",
    "qwen3_5_397b_a17b": "parallel=ep4_etp1_tp2_adp4",
    "qwen3_next_80b_a3b": "parallel=ep4_etp1_tp2_adp4",
    "deepseek_v3": "parallel=deepseek_v3_2048",
    "kimi_k2": "parallel=ep64_pp4_adp64",
    "llama3_1_405b": "parallel=llama3_405b_16384",
    "llama3_1_70b": "parallel=tp8_pp4_adp32",
    "llama3_1_8b": "parallel=tp4_cp2_adp16",
    "gpt3_175b": "parallel=tp8_pp8_vpp2_adp16",
    "gpt_oss_120b": "parallel=ep32_etp1_tp4_pp4_adp32",
    "mixtral_8x7b": "parallel=ep4_tp4_pp2_dp2",
    "mixtral_8x22b": "parallel=ep8_etp1_tp2_pp4_vpp2_adp32",
    "moe_30b": "parallel=ep16_tp4_pp4_dp4",
    "qwen3_235b_a22b": "parallel=ep8_etp1_tp4_pp2_adp32",
    "qwen3_30b_a3b": "parallel=ep8_etp1_tp4_cp2_adp8",
}
STAGES = {"kimi_k2": [16, 15, 15, 15]}


@pytest.fixture(scope="module")
def newest() -> Iterator[None]:
    with newest_megatron():
        yield


def differing(config: Config) -> list[Finding]:
    return [finding for finding in findings(lay_out(config)) if not finding.equal]


def test_random_plans_are_what_the_newest_builds(newest: None) -> None:
    for config in plans(250, seed=19):
        assert differing(config) == [], (config.parallel, config.framework.args, config.model)


def test_random_plans_are_what_the_oldest_builds() -> None:
    with megatron(wheel(OLDEST)):
        for config in plans(200, seed=16, framework__version="0.16.1"):
            assert differing(config) == [], (config.parallel, config.framework.args)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_plan_that_it_takes(newest: None, model: str) -> None:
    config = composed("framework=megatron", "workload=train", f"model={model}", FITTING[model])
    config = changed(
        config,
        {
            "workload.global_batch_size": config.degrees.adp * config.degrees.pp,
            "hardware.nodes": config.degrees.world_size,
            "hardware.node.gpus": 1,
            "parallel.stages": STAGES.get(model, config.parallel.stages),
        },
    )
    assert refusals(config) == []
    assert differing(config) == []


def test_the_strategy_is_proved_in_seconds() -> None:
    plan = compile_config(composed("framework=megatron", "workload=train"))
    path, started = wheel(NEWEST), time.process_time()
    found = list(prove(plan.world, path))
    assert time.process_time() - started < 15
    assert len(found) > 30
    assert [finding for finding in found if not finding.equal] == []


def test_the_command_proves_a_folder_and_sees_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = composed("framework=megatron", "workload=train", "parallel=ep2_tp2_pp2_dp2", "hardware.nodes=2")
    folder = compile_config(changed(config, {"workload.global_batch_size": 16})).write(tmp_path)
    assert command.run([str(folder), "--wheel", str(wheel(NEWEST))]) == 0
    assert "groups megatron.embd" in capsys.readouterr().out
    assert command.run([str(folder), "--wheel", str(wheel(OLDEST))]) == 1
    found = capsys.readouterr().out
    assert "DIFFERS version: plan 0.19.2 | found 0.16.1" in found
    assert found.splitlines()[-1] == (
        "the plan is for release 0.19.2 and 0.16.1 is what was found: differences may be the release's ; name a wheel of 0.19.2 "
        "with --wheel, or compile with framework.version=0.16.1"
    )
    older = compile_config(changed(config, {"workload.global_batch_size": 16, "framework.version": "0.16.1"}))
    assert command.run([str(older.write(tmp_path)), "--wheel", str(wheel(OLDEST))]) == 0


def test_a_wrong_table_is_found(newest: None) -> None:
    world = lay_out(changed(TRAIN, {"parallel.order": "tp-cp-ep-dp-pp"}))
    broken = replace(world, kinds={**world.kinds, "tp": world.kinds["ep"]})
    assert [finding.what for finding in findings(broken) if not finding.equal] == ["groups tp"]


def test_sources_that_are_no_wheel(tmp_path: Path) -> None:
    world = lay_out(TRAIN)
    file = tmp_path / "x.whl"
    file.write_bytes(b"no zip")
    for source in (tmp_path, file):
        with pytest.raises(ConfigError, match="name a wheel of megatron-core"):
            list(prove(world, source))


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "megatron" / "core").mkdir(parents=True)
    pytest.importorskip("torch")
    with pytest.raises(NotInstalledError, match=r"parallel_state.* ; pip install megatron-core"):
        list(prove(lay_out(TRAIN), tmp_path))


def test_the_installed_package_is_proved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(wheel(OLDEST)) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith("megatron/")])
    monkeypatch.syspath_prepend(tmp_path)
    world = lay_out(changed(TRAIN, {"framework.version": "0.16.1", "parallel.ep": 4, "parallel.dp": 2}))
    assert [finding for finding in prove(world, None) if not finding.equal] == []
