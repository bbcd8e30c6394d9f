"""Plans held against vLLM's own code, out of its wheel."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.commands import prove as command
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.proof import NotInstalledError
from compiler.frameworks.vllm.arguments import decode_context, redundant
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.wheels import wheel

BASE = composed("framework=vllm")
DENSE = composed("framework=vllm", "model=llama3_1_8b", "parallel=tp8")
NO_KERNEL = {"vllm-decode-context-heads", "vllm-prefill-context-attention"}
"""Rules about attention, which groups do not ask for."""

STRATEGY = {"parallel.dp": None, "parallel.adp": 4, "parallel.etp": 1, "framework.instances": 16}


@pytest.fixture(scope="module")
def source() -> Source:
    pytest.importorskip("torch")
    return Source("vllm", wheel("vllm", "0.33.0"))


def split(layers: int, parts: int, chance: random.Random) -> list[int]:
    cuts = sorted(chance.sample(range(1, layers), parts - 1))
    return [after - first for first, after in zip([0, *cuts], [*cuts, layers], strict=True)]


def plan(seed: int) -> Config:
    """A random plan that vLLM can express: dense, experts whole or cut; uneven stages, EPLB, DCP and round robin."""
    chance = random.Random(seed)
    dense = chance.random() < 0.2
    tp, cp, pp = (chance.choice(sizes) for sizes in ((1, 2, 4, 8), (1, 1, 2, 4), (1, 2, 3, 4)))
    adp = 1 if dense else chance.choice((1, 2, 3, 4, 8))
    width, replica = tp * cp * adp, tp * cp * pp
    whole = chance.random() < 0.7
    layers = chance.randrange(pp, 20)
    gpus = replica * chance.choice([size for size in (1, 2, 4) if adp % size == 0])
    if adp > 1 or chance.random() < 0.5:
        gpus = chance.choice([gpus, *(replica // size for size in (2, 4) if replica % size == 0)])
    args = ["org/model"] * chance.randrange(2)
    if chance.random() < 0.4:
        sizes = [size for size in range(1, tp + 1) if tp % size == 0] if cp == 1 else [1, cp, tp * cp]
        args += ["-dcp", str(chance.choice(sizes))]
    layout = chance.choice((None, "linear", "round_robin", "round_robin"))
    if not dense and whole and width > 1:
        args += chance.choice(
            ([], [], ["--enable-eplb"], ["--enable-eplb", f'--eplb-config={{"num_redundant_experts": {2 * width}}}'])
        )
        args += chance.choice(([], ["--all2all-backend=deepep_low_latency"]))
    return changed(
        DENSE if dense else BASE,
        {
            "parallel.tp": tp,
            "parallel.cp": cp,
            "parallel.pp": pp,
            "parallel.dp": None,
            "parallel.adp": adp,
            "parallel.ep": width if whole and not dense else 1,
            "parallel.etp": None if dense else 1 if whole else width,
            "parallel.stages": split(layers, pp, chance) if chance.random() < 0.3 else None,
            "model.num_hidden_layers": layers,
            "model.num_experts": 0 if dense else width * chance.choice((1, 2, 3)),
            "model.n_group": chance.choice((1, 4, 4)),
            "model.num_key_value_heads": 1,
            "model.num_attention_heads": 64,
            "hardware.nodes": max(-(-width * pp // gpus), 1),
            "hardware.node.gpus": gpus,
            "framework.args": args,
            "framework.expert_layout": None if dense else layout,
            "workload.prefill_chunk": 4096 if seed % 3 == 0 else None,
            "workload.draft_tokens": 2 * (seed % 4 == 0),
            "workload.kv_cache_precision": "fp8" if seed % 3 == 1 else None,
            "model.num_nextn_predict_layers": 1,
            "model.model_type": None,
            "workload.low_latency_dispatch": (
                whole
                and not dense
                and adp > 1
                and seed % 2 == 0
                and args[-1:] != ["--all2all-backend=deepep_low_latency"]
            ),
        },
    )


@pytest.mark.parametrize("seed", range(120))
def test_random_plans_are_what_vllm_builds(seed: int, source: Source) -> None:
    from compiler.frameworks.vllm.prove import findings

    config = plan(seed)
    refused = [item for item in adapter("vllm").declared(config) if item.status == "fail"]
    assert {item.id for item in refused} <= NO_KERNEL
    found = list(findings(lay_out(config), source))
    assert [finding for finding in found if not finding.equal] == []
    assert len(found) >= 10


def test_random_plans_reach_every_branch() -> None:
    plans = [plan(seed) for seed in range(120)]
    worlds = [lay_out(config) for config in plans]
    assert {world.config.model.moe for world in worlds} == {True, False}
    assert any("vllm.eplb" in world.kinds for world in worlds)
    assert any(redundant(config) for config in plans)
    assert any(1 < config.parallel.cp < decode_context(config) for config in plans)
    assert any(config.parallel.stages for config in plans)
    assert any(config.workload.prefill_chunk and config.workload.draft_tokens for config in plans)
    assert any(config.workload.low_latency_dispatch for config in plans)
    assert any(";" in world.experts.label(0, 0) for world in worlds)
    assert any(world.degrees.etp > world.degrees.tp for world in worlds)
    assert max(world.size for world in worlds) >= 256


def test_the_strategy_proves_from_its_folder(
    tmp_path: Path, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    from compiler.render.folder import write_plan

    path = write_plan(compile_config(changed(BASE, STRATEGY)), tmp_path)
    assert command.run([str(path), "--wheel", str(source.root)]) == 0
    printed = capsys.readouterr().out
    assert "equal   groups vllm.ep: 4 groups of 16" in printed
    assert "equal   nodes and GPUs: 64 ranks" in printed


@pytest.mark.parametrize(("key", "what"), [("dp", "groups dp"), ("tp", "groups tp"), ("vllm.ep", "groups vllm.ep")])
def test_a_wrong_group_is_found(key: str, what: str, source: Source) -> None:
    from dataclasses import replace

    from compiler.frameworks.vllm.prove import findings

    world = lay_out(changed(BASE, STRATEGY))
    kinds = {**world.kinds, key: world.kinds["pp" if key != "vllm.ep" else "cp"]}
    different = [item.what for item in findings(replace(world, kinds=kinds), source) if not item.equal]
    assert different == [what]


def refusal(run: Any, *arguments: object) -> str | None:
    try:
        run(*arguments)
    except (ValueError, AssertionError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("cp", [1, 2, 4])
@pytest.mark.parametrize("tp", [1, 2, 4, 6, 8])
def test_we_refuse_the_decode_context_that_vllm_refuses(tp: int, cp: int, source: Source) -> None:
    """`ParallelConfig._validate_parallel_config` and `ModelConfig.verify_with_parallel_config`, for every DCP up to tp*cp."""
    heads, kv = 48, 2
    validate = source.lift("config/parallel.py", "ParallelConfig._validate_parallel_config", logger=Silent())
    verify = source.lift("config/model.py", "ModelConfig.verify_with_parallel_config")
    model = SimpleNamespace(
        model_arch_config=SimpleNamespace(total_num_attention_heads=heads),
        use_mla=False,
        get_total_num_kv_heads=lambda: kv,
        multimodal_config=None,
    )
    for dcp in range(1, tp * cp + 1):
        parallel = SimpleNamespace(
            _api_process_rank=0,
            _api_process_count=1,
            enable_fault_tolerance=False,
            all2all_backend="allgather_reducescatter",
            data_parallel_size_local=1,
            data_parallel_size=1,
            data_parallel_external_lb=False,
            numa_bind=False,
            numa_bind_nodes=None,
            numa_bind_cpus=None,
            enable_eplb=False,
            eplb_config=SimpleNamespace(num_redundant_experts=0),
            tensor_parallel_size=tp,
            prefill_context_parallel_size=cp,
            decode_context_parallel_size=dcp,
            pipeline_parallel_size=1,
            enable_hc_sp=False,
            enable_expert_parallel=False,
        )
        theirs = refusal(validate._validate_parallel_config, parallel) or refusal(
            verify.verify_with_parallel_config, model, parallel
        )
        config = changed(
            DENSE,
            {
                "parallel.tp": tp,
                "parallel.cp": cp,
                "model.num_attention_heads": heads,
                "model.num_key_value_heads": kv,
                "framework.args": [f"--decode-context-parallel-size={dcp}"],
            },
        )
        ours = [item for item in adapter("vllm").declared(config) if item.status == "fail" and "decode" in item.id]
        assert bool(ours) == (theirs is not None), (tp, cp, dcp, theirs)


@pytest.mark.parametrize("layers", range(5, 23))
def test_uneven_layers_follow_vllm(layers: int, source: Source) -> None:
    indices = source.lift(
        "distributed/utils.py", "get_pp_indices", envs=SimpleNamespace(VLLM_PP_LAYER_PARTITION=None), logger=Silent()
    )
    for pp in range(1, 6):
        if layers % pp:
            config = changed(BASE, {"parallel.pp": pp, "model.num_hidden_layers": layers})
            spans = [indices.get_pp_indices(layers, stage, pp) for stage in range(pp)]
            assert adapter("vllm").uneven_stages(config, pp) == [after - first for first, after in spans]


def test_a_missing_wheel_is_said(tmp_path: Path) -> None:
    from compiler.frameworks.vllm.prove import prove

    world = lay_out(changed(BASE, STRATEGY))
    with pytest.raises(
        NotInstalledError, match=r"neither a wheel nor a folder .* ; run `pip download --no-deps vllm==0.33.0`"
    ):
        list(prove(world, tmp_path))
