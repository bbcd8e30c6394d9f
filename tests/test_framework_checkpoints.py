"""What checkpoints survive, by the frameworks' own code."""

from __future__ import annotations

import ast
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.frameworks.adapter import names
from compiler.frameworks.checkpoints import CHANGES, Run, checkpoints
from tests.wheels import wheel

DP = Run({"workload.distributed_optimizer": True, "workload.zero_stage": 1}, {})


@pytest.mark.parametrize("name", names())
def test_rules_are_of_known_changes_and_of_all_of_them_where_it_trains(name: str) -> None:
    found = checkpoints(name)
    assert {word for rule in found.rules for word in rule.of} <= set(CHANGES)
    assert all(rule.resumes in ("always", "never") if rule.resumes else rule.format for rule in found.rules)
    if found.rules:
        assert [word for word in CHANGES if found.rule(word, DP) is None] == []


def functions(source: str, *wanted: str) -> dict[str, Any]:
    """Functions of a module, without its imports."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    scope: dict[str, Any] = {"mpu": SimpleNamespace(get_data_parallel_group=lambda **_: None)}
    exec(compile(tree, "module", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def source() -> dict[str, str]:
    """Megatron's, by the file's name."""
    with zipfile.ZipFile(wheel("megatron_core", "0.19.2")) as found:
        files = ("megatron/training/checkpointing.py", "megatron/core/optimizer/distrib_optimizer.py")
        return {file.rpartition("/")[2]: found.read(file).decode() for file in files}


class TestMegatron:
    def test_the_flag_decides_how_the_optimizer_is_saved(self, source: dict[str, str]) -> None:
        build = functions(source["checkpointing.py"], "_build_sharded_state_dict_metadata")[
            "_build_sharded_state_dict_metadata"
        ]
        rule = checkpoints("megatron").rule("tp", DP)
        assert rule is not None
        flag = rule.saved_with[0].lstrip("-").replace("-", "_")
        for given, kind in ((False, "dp_reshardable"), (True, rule.format)):
            args = SimpleNamespace(
                use_distributed_optimizer=True,
                ckpt_format="torch_dist",
                distrib_optim_fully_reshardable_mem_efficient=False,
                **{flag: given},
            )
            assert build(args)["distrib_optim_sharding_type"] == kind

    def test_a_load_with_another_tensor_or_pipeline_size_wants_these_formats(self, source: dict[str, str]) -> None:
        tree = ast.parse(source["distrib_optimizer.py"])
        formats = next(
            ast.literal_eval(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "checkpoint_fully_reshardable_formats"
            if node.value is not None
        )
        mine = {rule.format for rule in checkpoints("megatron").rules if "tp" in rule.of and rule.format}
        assert mine - {"torch_dist"} <= formats
        assert "dp_reshardable" not in formats
        refused = next(
            node
            for node in ast.walk(ast.parse(source["checkpointing.py"]))
            if isinstance(node, ast.If) and "checkpoint_fully_reshardable_formats" in ast.unparse(node.test)
        )
        assert "ckpt_tp_pp != run_tp_pp" in ast.unparse(refused.test)
        assert isinstance(refused.body[0], ast.Raise)


class TestTorchtitan:
    def test_the_data_loader_refuses_another_number_of_ranks(self) -> None:
        loader = pytest.importorskip("torchtitan.components.dataloader")

        class Loader(loader.ParallelAwareDataloader):  # type: ignore[misc,name-defined]
            def __init__(self, dp_world_size: int) -> None:
                self.dp_world_size, self.dp_rank, self._rank_id = dp_world_size, 0, "dp_rank_0"

        with pytest.raises(AssertionError, match="dataloader resharding is not supported"):
            Loader(4).load_state_dict({"dp_rank_0": b"", "world_size": 8})

    def test_it_can_be_left_out_of_a_load(self) -> None:
        base = pytest.importorskip("torchtitan.components.checkpointer.base")
        rule = checkpoints("torchtitan").rule("dp", DP)
        assert rule is not None
        assert dict(rule.told) == {"--checkpoint.exclude_from_loading": base.DATALOADER}
        assert "exclude_from_loading" in base.BaseCheckpointManager.Config.__dataclass_fields__


class TestDeepSpeed:
    @pytest.mark.parametrize("universal", [False, True])
    def test_zero_refuses_another_number_of_ranks_unless_it_is_universal(self, universal: bool) -> None:
        engine = pytest.importorskip("deepspeed.runtime.engine")
        stub = SimpleNamespace(
            _config=SimpleNamespace(zero_config=SimpleNamespace(pipeline_loading_checkpoint=False)),
            load_universal_checkpoint=lambda: universal,
            seq_dp_world_size=16,
            loaded_checkpoint_dp_world_size=8,
            _get_zero_param_shapes=dict,
            zero_load_from_fp32_weights=lambda: True,
            optimizer=SimpleNamespace(load_state_dict=lambda **_: None),
            global_rank=0,
        )
        if universal:
            assert engine.DeepSpeedEngine._load_zero_checkpoint(stub, "folder", "tag")
        else:
            with pytest.raises(
                engine.ZeRORuntimeException, match="used a DP world size of 8 but the current world size is 16"
            ):
                engine.DeepSpeedEngine._load_zero_checkpoint(stub, "folder", "tag")


def test_a_stage_of_maxtext_s_pipeline_is_an_axis_of_its_arrays() -> None:
    with zipfile.ZipFile(wheel("maxtext", "0.2.5")) as found:
        source = found.read("maxtext/layers/pipeline.py").decode()
    assert "a leaf of shape [num_repeats, stages, mlp, embed]" in source
