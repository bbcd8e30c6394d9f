"""Megatron itself, from its wheels, agrees with what a plan says of it."""

from __future__ import annotations

import contextlib
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from compiler.commands import prove as command
from compiler.errors import ConfigError
from compiler.frameworks.megatron import recorded
from compiler.frameworks.megatron.installed import megatron, module
from compiler.frameworks.megatron.prove import findings, prove
from compiler.frameworks.proof import Finding, NotInstalledError
from compiler.passes import compile_config, lay_out
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.megatron_configs import TRAIN
from tests.megatron_plans import NEWEST, OLDEST, plans, refusals, verdict, wheel

MODELS = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "model").glob("*.yaml"))
FITTING = {
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
    """Megatron 0.19.2, imported once; its parser, which takes longest to build, is built once."""
    with megatron(wheel(NEWEST)), _one_parser():
        yield


@contextlib.contextmanager
def _one_parser() -> Iterator[None]:
    arguments = module("megatron.training.arguments")
    parser = arguments.add_megatron_arguments(arguments.argparse.ArgumentParser(allow_abbrev=False))
    with mock.patch.object(arguments, "add_megatron_arguments", return_value=parser):
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
    assert "DIFFERS version: plan 0.19.2 | found 0.16.1" in capsys.readouterr().out


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


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # our rule, what breaks it, where and how Megatron refuses
    ("megatron-mapping", {"parallel.order": "tp-cp-ep-pp-dp", "parallel.etp": 1}, "groups: When not using pp-last"),
    (
        "megatron-optimizer-instances",
        {"framework.args": ["--num-distributed-optimizer-instances", "3"]},
        "groups: Data parallel size",
    ),
    (
        "megatron-optimizer-instances",
        {"framework.args": ["--num-distributed-optimizer-instances", "8"]},
        "groups: Expert data parallel size",
    ),
    (
        "megatron-hierarchical-cp",
        {"parallel.cp": 2, "parallel.dp": 2, "framework.args": ["--hierarchical-context-parallel-sizes", "2", "2"]},
        "arguments: AssertionError",
    ),
    (
        "megatron-cp-comm-type",
        {"parallel.cp": 2, "parallel.dp": 2, "framework.args": ["--cp-comm-type", "a2a+p2p"]},
        "arguments: --hierarchical-context-parallel-sizes must be set",
    ),
    (
        "megatron-max-connections",
        {"launch.environment": {"CUDA_DEVICE_MAX_CONNECTIONS": "8"}},
        "arguments: Using tensor model parallelism",
    ),
    (
        "megatron-checkpoint-format",
        {"framework.args": ["--ckpt-format", "torch_dcp"]},
        "arguments: --ckpt-format torch_dcp",
    ),
    (
        "megatron-checkpoint-format",
        {"workload.zero_stage": 3, "framework.args": ["--ckpt-format", "torch_dist"]},
        "arguments: Megatron-FSDP requires the `fsdp_dtensor`",
    ),
    (
        "megatron-optimizer",
        {"workload.zero_stage": 3, "framework.args": ["--optimizer", "muon"]},
        "arguments: Megatron-FSDP does not support the muon",
    ),
    (
        "megatron-positions",
        {"framework.args": ["--max-position-embeddings", "64"]},
        "arguments: max_position_embeddings (64)",
    ),
    (
        "megatron-eval-batch",
        {"framework.args": ["--eval-global-batch-size", "100"]},
        "arguments: eval_global_batch_size (100)",
    ),
    (
        "megatron-no-overlap-p2p-communication",
        {"parallel.pp": 2, "parallel.vpp": 2, "framework.args": ["--no-overlap-p2p-communication"]},
        "arguments: When interleaved schedule is used and p2p",
    ),
    (
        "megatron-tp-comm-overlap",
        {"workload.sequence_parallel": False, "framework.args": ["--tp-comm-overlap"]},
        "arguments: Tensor parallel communication/GEMM overlap",
    ),
    (
        "megatron-defer-embedding-wgrad-compute",
        {"parallel.pp": 1, "framework.args": ["--defer-embedding-wgrad-compute"]},
        "configuration: Cannot defer embedding wgrad",
    ),
    (
        "megatron-overlap-moe-expert-parallel-comm",
        {"framework.args": ["--overlap-moe-expert-parallel-comm"]},
        "configuration: ",
    ),
    (
        "megatron-transformer-impl",
        {"framework.args": ["--transformer-impl", "inference_optimized"]},
        "configuration: Inference-optimized MoE layers does not support expert tensor",
    ),
    (
        "attention-heads",
        {"parallel.tp": 32, "parallel.ep": 2, "parallel.etp": 1},
        "configuration: num_attention_heads (16)",
    ),
    ("kv-heads", {"model.num_key_value_heads": 6}, "configuration: num_query_groups (6)"),
    ("experts", {"model.num_experts": 60}, "arguments: Number of experts should be a multiple"),
    ("batch", {"workload.global_batch_size": 1000}, "arguments: eval_global_batch_size (1000)"),
    (
        "sequence-length",
        {"parallel.cp": 3, "parallel.dp": 3, "workload.global_batch_size": 960},
        "arguments: seq-length should be a multiple of 2",
    ),
    ("expert-groups", {"model.n_group": 3}, "configuration: num_moe_experts (64) should be divisible"),
    (
        "megatron-unplanned",
        {"framework.args": ["--hybrid-context-parallel"]},
        "arguments: Hybrid context parallelism not",
    ),
]


@pytest.mark.parametrize(("rule", "values", "how"), REFUSED, ids=[f"{row[0]}-{i}" for i, row in enumerate(REFUSED)])
def test_what_a_rule_refuses_megatron_refuses(newest: None, rule: str, values: dict[str, Any], how: str) -> None:
    config = changed(TRAIN, values)
    assert rule in refusals(config)
    said = _verdict(config)
    assert said.startswith(how), said


def _verdict(config: Config) -> str:
    """Megatron's, with the environment that the launch would have."""
    with mock.patch.object(recorded, "_text", lambda emission: {**emission.environment, **config.launch.environment}):
        return verdict(config)


def test_experts_that_fill_no_world(newest: None) -> None:
    config = changed(TRAIN, {"parallel.dp": None, "parallel.adp": 10})
    assert "expert-grid" in refusals(config)
    given = {**recorded.planned_settings(TRAIN), "expert_model_parallel_size": 16}
    world = SimpleNamespace(size=160, config=TRAIN)
    made: Any = recorded.groups(world, given)  # type: ignore[arg-type]  # only its size and configuration are read
    assert "not divisible by expert_tensor_model_pipeline_parallel size (256)" in made.reason


def test_layers_that_do_not_divide(newest: None) -> None:
    assert "layers-to-stages" in refusals(changed(TRAIN, {"model.num_hidden_layers": 18}))
    build = module("megatron.core.transformer.transformer_block").get_num_layers_to_build
    spec = mock.Mock(num_layers=18, pipeline_model_parallel_size=4, pipeline_model_parallel_layout=None)
    spec.configure_mock(num_layers_in_first_pipeline_stage=None, num_layers_in_last_pipeline_stage=None)
    spec.configure_mock(account_for_embedding_in_pipeline_split=False, account_for_loss_in_pipeline_split=False)
    with pytest.raises(AssertionError):
        build(spec, None, 0)


def test_experts_without_sequence_parallelism_stop_in_forward(newest: None) -> None:
    config = changed(TRAIN, {"workload.sequence_parallel": False})
    assert "megatron-moe-sequence-parallel" in refusals(config)
    assert _verdict(config) == "", "nothing before the first step says so"
    layer = SimpleNamespace(
        training=True, attn_tp_group=SimpleNamespace(size=lambda: 4), config=SimpleNamespace(sequence_parallel=False)
    )
    with pytest.raises(ValueError, match="sequence parallelism"):
        module("megatron.core.transformer.moe.moe_layer").MoELayer.forward(layer, None)


def test_sequences_that_do_not_scatter_stop_in_forward(newest: None) -> None:
    import torch

    config = changed(TRAIN, {"workload.sequence_length": 4098})
    assert "megatron-sequence-length" in refusals(config)
    assert _verdict(config) == ""
    group = SimpleNamespace(size=lambda: 4, rank=lambda: 0)
    with pytest.raises(AssertionError, match="divisible by tensor parallel size"):
        module("megatron.core.tensor_parallel.mappings")._split_along_first_dim(torch.zeros(4098), group)


@pytest.mark.parametrize(("batch", "group"), [(6 * 64, None), (5 * 64, 4), (8 * 64, 2)])
def test_micro_batches_that_do_not_interleave_stop_in_the_first_step(
    newest: None, batch: int, group: int | None
) -> None:
    words = [] if group is None else ["--microbatch-group-size-per-virtual-pipeline-stage", str(group)]
    config = changed(TRAIN, {"parallel.vpp": 2, "workload.global_batch_size": batch, "framework.args": words})
    assert "megatron-interleaving" in refusals(config)
    assert _verdict(config) == ""
    with pytest.raises((ValueError, RuntimeError), match=r"micro-?batches"):
        _first_step(batch // 64, group or 4)


def _first_step(count: int, group: int) -> None:
    """As far as the interleaved schedule looks at its numbers."""
    import torch

    four = SimpleNamespace(size=lambda: 4, rank=lambda: 0)
    unset = dict.fromkeys(("finalize_model_grads_func", "timers", "no_sync_func", "grad_sync_func", "param_sync_func"))
    spec = SimpleNamespace(microbatch_group_size_per_vp_stage=group, overlap_p2p_comm=False, **unset)
    schedules, zeros = module("megatron.core.pipeline_parallel.schedules"), torch.zeros
    with (
        mock.patch.multiple(schedules, get_model_config=lambda _: spec, get_model_type=lambda _: None),
        mock.patch.object(torch, "zeros", lambda *size, **_: zeros(*size)),
    ):
        schedules.forward_backward_pipelining_with_interleaving(
            forward_step_func=None,
            data_iterator=[None, None],
            model=[torch.nn.Module(), torch.nn.Module()],
            num_microbatches=count,
            seq_length=64,
            micro_batch_size=1,
            p2p_communicator=SimpleNamespace(config=spec, pp_group=four),
            pg_collection=SimpleNamespace(tp=four, cp=four),
        )


def test_unknown_communicators_are_ignored_without_a_word(newest: None) -> None:
    import torch.distributed as dist

    options = module("megatron.core.parallel_state").get_nccl_options
    with mock.patch.object(dist, "ProcessGroupNCCL", mock.MagicMock(), create=True):
        assert options("dp_cp", {"dp-cp": {"max_ctas": 4}}) is None
        with pytest.raises(RuntimeError, match="net_name"):
            options("dp_cp", {"dp_cp": {"net_name": "efa"}})


def test_the_installed_package_is_proved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(wheel(OLDEST)) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith("megatron/")])
    monkeypatch.syspath_prepend(tmp_path)
    world = lay_out(changed(TRAIN, {"framework.version": "0.16.1", "parallel.ep": 4, "parallel.dp": 2}))
    assert [finding for finding in prove(world, None) if not finding.equal] == []
