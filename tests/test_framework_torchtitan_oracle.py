"""Plans held against the real torchtitan: its meshes and communicators, stages, experts, parser and models."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.proof import Finding, NotInstalledError
from compiler.frameworks.torchtitan import layout, prove, stages
from compiler.layout.grid import row_major
from compiler.specs.config import Config
from compiler.world import World
from tests.configs import changed, composed
from tests.torchtitan_configs import BASE, REPLICATE, TITAN
from tests.torchtitan_plans import random_config, valid

MISSING = [name for name in ("torch", "spmd_types", "tyro", "torchtitan") if importlib.util.find_spec(name) is None]
oracle = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")
WHEEL = Path(os.environ.get("RANKPLAN_WHEELS", "wheels"), "torchtitan-0.3.0-py3-none-any.whl")


def different(findings: Iterator[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.equal]


@oracle
@pytest.mark.slow
def test_random_plans_are_what_torchtitan_builds() -> None:
    proved, shapes = 0, set()
    for seed in range(400):
        config = random_config(seed)
        if not valid(config):
            continue
        world = lay_out(config)
        found = list(prove.prove(world, None))
        assert not different(iter(found)), (seed, different(iter(found)))
        compared = {finding.what for finding in found}
        assert {f"groups {kind}" for kind in world.groups} <= compared
        proved += 1
        shapes.add((world.size, config.degrees.ep > 1, config.parallel.vpp, config.parallel.stages is None))
        if proved == 60:
            break
    assert proved == 60
    assert len(shapes) > 30


@oracle
def test_what_is_refused_for_its_meshes_is_what_torchtitan_cannot_build() -> None:
    from torchtitan.config.configs import ParallelismConfig
    from torchtitan.distributed import parallel_dims

    pick, seen = random.Random(5), set()
    for _ in range(40):
        tp, cp, adp, copies, ep = (pick.choice([1, 2, 3, 4]) for _ in range(5))
        values = {"parallel.tp": tp, "parallel.cp": cp, "parallel.adp": adp, "parallel.ep": ep, "parallel.pp": 1}
        args = {"parallel.dp": None, "framework.args": [REPLICATE, str(copies)]}
        config = changed(composed(*BASE), {**values, **args})
        with prove.fake_ranks(config.degrees.world_size), pytest.MonkeyPatch.context() as patch:
            patch.setattr(parallel_dims, "device_type", "cpu")
            try:
                degrees = ParallelismConfig(
                    data_parallel_replicate_degree=copies,
                    data_parallel_shard_degree=layout.sharded(config),
                    context_parallel_degree=cp,
                    tensor_parallel_degree=tp,
                    expert_parallel_degree=ep,
                )
                parallel_dims.ParallelDims.from_config(degrees, config.degrees.world_size).build_mesh()
                builds = True
            except (AssertionError, ValueError, RuntimeError):
                builds = False
        assert builds == layout.fits(config), (tp, cp, adp, copies, ep)
        seen.add(builds)
    assert seen == {True, False}


@oracle
def test_the_stage_rule_is_torchtitans() -> None:
    from torchtitan.distributed import pipeline_parallel

    for layers in range(1, 14):
        for parts in range(2, 9):
            for first, last in [(0, 0), (1, 1), (2, 0), (3, 1)]:
                try:
                    names = pipeline_parallel._generate_llm_fqn_per_model_part(parts, layers, first, last)
                except ValueError:
                    assert stages.split(layers, parts, first, last) is None
                    continue
                counts = [sum(name.startswith("layers.") for name in stage) for stage in names]
                assert stages.split(layers, parts, first, last) == counts
                if counts == stages.split(sum(counts), parts, first, last):
                    assert stages.modules(counts) == [",".join(stage) for stage in names]


@oracle
def test_the_strategy_is_proved_quickly_and_torch_is_left_alone() -> None:
    import torch.distributed as dist
    from torch.distributed import device_mesh
    from torchtitan.distributed import parallel_dims

    before = (device_mesh.new_group, parallel_dims.device_type, list(sys.path))
    start = time.perf_counter()
    found = list(prove.prove(lay_out(composed(*BASE, "parallel.etp=1")), None))
    assert time.perf_counter() - start < 15
    assert not different(iter(found))
    assert not dist.is_initialized()
    assert (device_mesh.new_group, parallel_dims.device_type, list(sys.path)) == before


@oracle
@pytest.mark.parametrize(
    "name", ["llama3_1_8b", "llama3_1_70b", "llama3_1_405b", "deepseek_v3", "qwen3_30b_a3b", "gpt_oss_120b"]
)
def test_a_known_model_is_the_one_that_torchtitan_builds(name: str) -> None:
    moe = composed(*BASE, f"model={name}").model.moe
    config = composed(*BASE, f"model={name}", f"parallel=tp2_adp8{'_ep4_etp1' if moe else ''}")
    found = list(prove.prove(lay_out(config), None))
    assert not different(iter(found))
    assert any(finding.what.startswith("config ") for finding in found)


@oracle
def test_every_row_of_the_table_names_a_model() -> None:
    from compiler.frameworks.torchtitan import tables

    base = composed(*BASE, "model=llama3_1_8b", "parallel=tp2_adp8")
    from compiler.frameworks.versions import version

    for row in version(base).facts["models"]:
        shape = {"layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads"}
        shape |= {"kv_heads": "num_key_value_heads", "vocab": "vocab_size", "experts": "num_experts"}
        shape |= {"ffn": "intermediate_size", "topk": "num_experts_per_tok"}
        values = {f"model.{key}": row.get(name, 0) for name, key in shape.items()}
        values |= {
            "model.moe_intermediate_size": row.get("expert"),
            "model.shared_expert_intermediate_size": row.get("shared"),
        }
        values["model.first_k_dense_replace"] = int("ffn" in row and "experts" in row)
        config = changed(base, values)
        findings = {finding.what: finding for finding in tables.model(lay_out(config))}
        assert findings[f"model {row['config']}"].equal, findings
        assert findings[f"config {row['config']}"].equal


@oracle
def test_a_wrong_layout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(config: Config) -> Any:
        degrees = config.degrees
        right = layout.grids(config)[1]
        return row_major([("cp", degrees.cp), ("tp", degrees.tp), ("dp", degrees.adp), ("pp", degrees.pp)]), right

    monkeypatch.setattr(type(TITAN), "grids", lambda self, config: swapped(config))
    world = lay_out(composed(*BASE, "model=llama3_1_8b", "parallel=tp4_cp2_adp2"))
    wrong = {finding.what for finding in different(prove.prove(world, None))}
    assert wrong == {"groups tp", "groups cp", "groups dp_cp", "groups tp_pp"}


@oracle
def test_a_wheel_will_do() -> None:
    if not WHEEL.exists():
        pytest.skip(f"no {WHEEL.name} in RANKPLAN_WHEELS")
    world: World = lay_out(composed(*BASE, "model=llama3_1_8b", "parallel=tp2_pp2_adp2"))
    before = sys.modules.get("torchtitan")
    assert not different(prove.prove(world, WHEEL))
    assert sys.modules.get("torchtitan") is before


@oracle
def test_a_process_that_uses_torch_distributed_is_left_alone() -> None:
    world = lay_out(composed(*BASE, "model=llama3_1_8b", "parallel=tp2_adp8"))
    with prove.fake_ranks(4), pytest.raises(ConfigError, match=r"torch.distributed is in use in this process"):
        list(prove.prove(world, None))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = lay_out(composed(*BASE, "model=llama3_1_8b", "parallel=tp2_adp8"))
    with monkeypatch.context() as patch:
        patch.setattr(prove, "find_spec", lambda name: None)
        with pytest.raises(
            NotInstalledError, match=r"torch, spmd_types, tyro cannot be imported here ; pip install torch"
        ):
            list(prove.prove(world, None))
        patch.setattr(prove, "find_spec", lambda name: name if name != "torchtitan" else None)
        with pytest.raises(NotInstalledError, match="torchtitan is not installed here"):
            list(prove.prove(world, None))
        with pytest.raises(NotInstalledError, match="holds no torchtitan ; name a torchtitan wheel"):
            list(prove.prove(world, tmp_path))
        (tmp_path / "no.whl").write_text("text")
        with pytest.raises(NotInstalledError, match="is no wheel"):
            list(prove.prove(world, tmp_path / "no.whl"))


@oracle
@pytest.mark.filterwarnings("default")  # the packages of its data pipeline deprecate parts of themselves
@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        (("model=llama3_1_8b", "parallel=tp4_pp2_cp2_adp4"), {"framework.args": ["--training.steps", "10"]}),
        (("model=deepseek_v3", "parallel=ep8_etp1_tp2_pp4_vpp2_adp8"), {"workload.recompute": "selective"}),
        (("model=qwen3_30b_a3b", "parallel=ep8_etp1_tp4_pp3_adp8"), {"parallel.stages": [15, 17, 16]}),
        (("model=gpt_oss_120b", "parallel=ep8_etp1_tp4_adp8"), {"workload.recompute": "full"}),
    ],
)
def test_the_whole_command_line_is_accepted(overrides: tuple[str, ...], values: dict[str, Any]) -> None:
    pytest.importorskip("torchtitan.trainer", reason="packages of torchtitan's data pipeline", exc_type=ImportError)
    from torchtitan.config import ConfigManager

    world = lay_out(changed(composed(*BASE, *overrides), values))
    read = ConfigManager().parse_args([str(word) for word in TITAN.emission(world).arguments])
    assert read.parallelism.tensor_parallel_degree == world.degrees.tp
    read.model_spec.model.update_from_config(config=read)  # refuses heads, tying and positions
