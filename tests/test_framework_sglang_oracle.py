"""Plans held against SGLang's own code, out of its wheel."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from compiler.commands import prove as command
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.proof import NotInstalledError
from compiler.frameworks.sglang.resolver import ask
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.wheels import wheel

BASE = composed("framework=sglang")
DENSE = composed("framework=sglang", "model=llama3_1_8b", "parallel=tp8")
STRATEGY = {"parallel.dp": None, "parallel.adp": 16, "framework.instances": 4}


@pytest.fixture(scope="module")
def source() -> Source:
    pytest.importorskip("torch")
    return Source("sglang", wheel("sglang", "0.5.23"))


def split(layers: int, parts: int, chance: random.Random) -> list[int]:
    cuts = sorted(chance.sample(range(1, layers), parts - 1))
    return [after - first for first, after in zip([0, *cuts], [*cuts, layers], strict=True)]


def plan(seed: int) -> Config:
    """A random plan that SGLang can express: dense or MoE, with copies of experts, DCP, redundant slots, uneven stages."""
    chance = random.Random(seed)
    dense = chance.random() < 0.2
    tp, cp, pp = (chance.choice(sizes) for sizes in ((1, 2, 3, 4, 8), (1, 1, 2, 4), (1, 2, 3, 4)))
    adp = 1 if dense else chance.choice((1, 2, 3, 4, 8))
    width = tp * cp * adp
    copies = cp if cp > 1 and not dense and chance.random() < 0.5 else 1
    pp = 1 if copies > 1 else pp
    ep = 1 if dense else chance.choice([size for size in range(1, width + 1) if width % size == 0])
    if copies > 1:
        ep = chance.choice((1, width // copies))
    layers = chance.randrange(pp, 20)
    gpus = chance.choice(
        [width * size for size in (1, 2) if pp % size == 0] + [width // size for size in (2, 4) if width % size == 0]
    )
    args = ["--model-path=/models/x"] * chance.randrange(2)
    args += ["--cp-strategy=interleave"] if cp > 1 else ["--dcp-size", str(chance.choice((1, tp)))]
    if not dense and chance.random() < 0.4:
        args += ["--ep-num-redundant-experts", str(ep * chance.randrange(3))]
    if ep == width > 1 and copies == 1 and chance.random() < 0.5:
        args += ["--moe-a2a-backend=mooncake"]
        args += [f"--shared-experts-tp-size={tp // 2}"] if tp % 2 == 0 and tp > 2 else []
    return changed(
        DENSE if dense else BASE,
        {
            "parallel.tp": tp,
            "parallel.cp": cp,
            "parallel.pp": pp,
            "parallel.dp": None,
            "parallel.adp": adp,
            "parallel.ep": ep,
            "parallel.etp": None if dense else width // ep // copies,
            "parallel.stages": split(layers, pp, chance) if chance.random() < 0.3 else None,
            "model.num_hidden_layers": layers,
            "model.num_experts": 0 if dense else ep * chance.choice((1, 2, 3)),
            "model.intermediate_size": width * 64 if dense else 0,
            "hardware.nodes": -(-width * pp // gpus),
            "hardware.node.gpus": gpus,
            "framework.args": args,
            "workload.prefill_chunk": 4096 if seed % 3 == 0 else None,
            "workload.draft_tokens": 2 * (seed % 4 == 0 and pp == 1),
            "workload.kv_cache_precision": ("fp8", None, "bf16")[seed % 3],
            "model.num_nextn_predict_layers": 1,
            "workload.low_latency_dispatch": (
                not dense and ep == width <= 160 and tp * adp > 2 and "--moe-a2a-backend=mooncake" not in args
            ),
        },
    )


@pytest.mark.parametrize("seed", range(120))
def test_random_plans_are_what_sglang_builds(seed: int, source: Source) -> None:
    from compiler.frameworks.sglang.prove import laid_out

    config = plan(seed)
    assert [item for item in adapter("sglang").declared(config) if item.status == "fail"] == []
    findings = list(laid_out(lay_out(config), source))
    assert [finding for finding in findings if not finding.equal] == []
    assert len(findings) >= 13


def test_random_plans_reach_every_branch() -> None:
    worlds = [lay_out(plan(seed)) for seed in range(120)]
    kinds = {kind for world in worlds for kind in world.kinds}
    assert {"sglang.dcp", "sglang.shared_experts_tp", "sglang.moe_tp", "sglang.moe_dp"} <= kinds
    assert any(world.degrees.edp > 1 and world.config.model.moe for world in worlds)
    assert any(world.degrees.cp > world.degrees.edp for world in worlds)
    assert any(1 < world.degrees.etp < world.degrees.tp * world.degrees.adp for world in worlds)
    assert any(sum(world.experts.counts) > world.config.model.num_experts for world in worlds)
    assert any(world.config.parallel.stages for world in worlds)
    assert any(world.config.workload.prefill_chunk and world.config.workload.draft_tokens for world in worlds)
    assert any(world.config.workload.low_latency_dispatch for world in worlds)
    assert max(world.size for world in worlds) >= 256


def test_the_strategy_proves_from_its_folder(
    tmp_path: Path, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    from compiler.render.folder import write_plan

    for name in ask.NEEDED:
        pytest.importorskip(name)
    path = write_plan(compile_config(changed(BASE, STRATEGY)), tmp_path)
    assert command.run([str(path), "--wheel", str(source.root)]) == 0
    printed = capsys.readouterr().out
    assert "equal   groups sglang.tp: 4 groups of 64" in printed
    assert "equal   nodes and GPUs: 256 ranks on 32 nodes" in printed
    assert "equal   resolved degrees: tp_size=64 pp_size=4 dp_size=1 attn_dp_size=16 attn_cp_size=1" in printed


@pytest.mark.parametrize("kind", ["ep", "etp", "sglang.tp", "tp"])
def test_a_wrong_group_is_found(kind: str, source: Source) -> None:
    from compiler.frameworks.sglang.prove import laid_out

    world = lay_out(changed(BASE, STRATEGY))
    wrong = replace(world, kinds={**world.kinds, kind: world.kinds["pp"]})
    assert [item.what for item in laid_out(wrong, source) if not item.equal] == [f"groups {kind}"]


def accepted(source: Source, config: Config) -> bool:
    """Whether SGLang's own checks of context and data parallelism, and of widths, take the flags that we write."""
    degrees = config.degrees
    cfg = SimpleNamespace(
        tp_size=degrees.tp * degrees.cp * degrees.adp,
        pp_size=degrees.pp,
        ep_size=degrees.ep,
        attn_cp_size=degrees.cp,
        attn_dp_size=degrees.adp,
        moe_dp_size=degrees.edp,
        enable_prefill_cp=degrees.cp > 1,
        cp_strategy="interleave",
        enable_aiter_allreduce_fusion=False,
        model_path="x",
    )
    handle = source.lift(
        "srt/arg_groups/parallel_hook.py",
        "handle_context_parallelism",
        resolving_view=lambda _: cfg,
        resolved_view=lambda _: cfg,
        run_hook=Silent(),
        validate_prefill_cp_platform=Silent(),
        parse_connector_type=lambda _: "instance",
        ConnectorType=SimpleNamespace(INSTANCE="instance"),
        imports={"sglang.srt.layers.cp.base": {"init_cp_strategy": Silent()}},
    )
    try:
        handle.handle_context_parallelism(None)
    except (AssertionError, ValueError):
        return False
    return bool(cfg.tp_size == cfg.ep_size * cfg.moe_dp_size * (cfg.tp_size // cfg.ep_size // cfg.moe_dp_size))


def test_we_refuse_the_degrees_that_sglang_refuses(source: Source) -> None:
    """Every small set of degrees whose grids cover the same ranks."""
    seen = []
    for tp, cp, adp, pp, ep, etp in product((1, 2, 4), (1, 2, 4), (1, 2), (1, 2), (1, 2, 4, 8), (1, 2, 4)):
        values = {"tp": tp, "cp": cp, "adp": adp, "pp": pp, "ep": ep, "etp": etp, "dp": None}
        config = changed(BASE, {f"parallel.{key}": value for key, value in values.items()})
        if config.degrees.factors:
            ids = {item.id for item in adapter("sglang").declared(config) if item.status == "fail"}
            assert ("sglang-expert-data-parallel" not in ids) == accepted(source, config), values
            seen.append("sglang-expert-data-parallel" in ids)
    assert len(seen) > 100
    assert {True, False} == set(seen)


@pytest.mark.parametrize("layers", range(5, 23))
def test_uneven_layers_follow_sglang(layers: int, source: Source) -> None:
    os = SimpleNamespace(getenv=lambda *_: None)
    indices = source.lift("srt/distributed/utils.py", "get_pp_indices", os=os).get_pp_indices
    for pp in range(1, 6):
        if layers % pp:
            config = changed(BASE, {"parallel.pp": pp, "model.num_hidden_layers": layers})
            spans = [indices(layers, stage, pp) for stage in range(pp)]
            assert adapter("sglang").uneven_stages(config, pp) == [after - first for first, after in spans]


def test_a_missing_wheel_is_said(tmp_path: Path) -> None:
    from compiler.frameworks.sglang.prove import prove

    world = lay_out(changed(BASE, STRATEGY))
    with pytest.raises(NotInstalledError, match=r"neither a wheel .* ; run `pip download --no-deps sglang==0.5.23`"):
        list(prove(world, tmp_path))


@pytest.mark.parametrize("seed", range(12))
def test_an_older_version_is_asked_in_its_own_words(seed: int) -> None:
    from compiler.frameworks.sglang.prove import laid_out

    pytest.importorskip("torch")
    world = lay_out(changed(plan(seed), {"framework.version": "0.5.21"}))
    findings = list(laid_out(world, Source("sglang", wheel("sglang", "0.5.21"))))
    assert [finding for finding in findings if not finding.equal] == []
    assert findings[0].what == "version"
