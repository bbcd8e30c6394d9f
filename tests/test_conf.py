"""The files under conf/: typed, in range, named like their file, and honest about where each number comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compiler.claims.judge import holds
from compiler.config.families.table import FAMILIES
from compiler.config.schema import writable
from compiler.render.assets import folder
from compiler.specs.config import Framework
from compiler.specs.degrees import Parallel, looks_like_degrees, parse, resolve
from compiler.specs.expect import Expect
from compiler.specs.hardware import Hardware
from compiler.specs.launch import Launch
from compiler.specs.model import Model
from compiler.specs.ranges import problems
from compiler.specs.site import Site
from compiler.specs.workload import Workload

CONF = folder("conf")
SPECS: dict[str, type] = {
    "hardware": Hardware,
    "model": Model,
    "parallel": Parallel,
    "workload": Workload,
    "framework": Framework,
    "site": Site,
    "launch": Launch,
    "expect": Expect,
}
FILES = [(group, path) for group in SPECS for path in sorted((CONF / group).glob("*.yaml"))]
HARDWARE = [path for group, path in FILES if group == "hardware"]
PLAN_KEYS = {"world_size", "degrees", "params", "memory", "facts"}


def load(group: str, path: Path) -> Any:
    """A file of `group` as its frozen dataclass; an unknown key or a wrong type is an error."""
    return OmegaConf.to_object(OmegaConf.merge(writable(SPECS[group]), OmegaConf.load(path)))


def value_at(spec: Any, path: str) -> Any:
    for part in path.split("."):
        spec = getattr(spec, part)
    return spec


def numbers(text: str) -> list[tuple[str, str]]:
    """(dotted key, line) of every number in a file of nested mappings."""
    parents: list[tuple[int, str]] = []
    found = []
    for line in text.splitlines():
        match = re.match(r"( *)([a-z_0-9]+):(.*)", line)
        if match is None:
            continue
        depth = len(match[1])
        parents = [*(parent for parent in parents if parent[0] < depth), (depth, match[2])]
        if re.match(r" -?[0-9.]+(e[0-9-]+)?( |$)", match[3]):
            found.append((".".join(key for _, key in parents), line))
    return found


@pytest.mark.parametrize(("group", "path"), FILES, ids=lambda part: getattr(part, "stem", part))
class TestEveryFile:
    def test_loads_and_is_in_range(self, group: str, path: Path) -> None:
        assert list(problems(load(group, path))) == []

    def test_is_named_like_its_file(self, group: str, path: Path) -> None:
        name = "model" if group == "expect" else "name"
        assert getattr(load(group, path), name, path.stem) == path.stem

    def test_has_no_defaults_list(self, group: str, path: Path) -> None:
        assert "defaults" not in OmegaConf.load(path)

    def test_says_where_it_comes_from(self, group: str, path: Path) -> None:
        assert path.read_text().startswith("# "), f"{group}/{path.name} needs a comment on top"

    def test_what_it_assumes_exists(self, group: str, path: Path) -> None:
        spec = load(group, path)
        assumed = getattr(spec, "assumed", [])
        assert len(set(assumed)) == len(assumed)
        for key in assumed:
            assert value_at(spec, key) is not None, f"{group}/{path.name} assumes {key} and gives no value"


def test_every_group_has_a_file() -> None:
    assert {group for group, _ in FILES} == set(SPECS)


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text((CONF / "hardware" / "h100_80gb.yaml").read_text().replace("memory_bytes", "memory_byte"))
    with pytest.raises(OmegaConfBaseException, match="memory_byte"):
        load("hardware", path)


@pytest.mark.parametrize("path", HARDWARE, ids=lambda path: path.stem)
def test_every_hardware_number_has_a_source(path: Path) -> None:
    spec = load("hardware", path)
    given = numbers(path.read_text())
    assert len(given) >= 14
    for key, line in given:
        assert value_at(spec, key) == float(line.split()[1])
        assert "  # " in line or key in spec.assumed, f"{path.name}: {key} has neither a source nor an entry in assumed"


@pytest.mark.parametrize("path", HARDWARE, ids=lambda path: path.stem)
def test_hardware_is_plausible(path: Path) -> None:
    spec = load("hardware", path)
    peaks = spec.gpu.peak_flops
    order = [peaks.fp32, peaks.tf32, peaks.bf16, peaks.fp8, peaks.fp4]
    known = [peak for peak in order if peak is not None]
    assert known == sorted(known), "a narrower precision is not slower; is a sparse peak among them?"
    assert peaks.bf16 == peaks.fp16
    assert spec.gpus == 1024
    assert spec.nvlink.bandwidth > spec.nic.bandwidth
    assert spec.nvlink.latency < spec.nic.latency


def test_the_strategy_is_what_its_document_says() -> None:
    hardware = load("hardware", CONF / "hardware" / "generic_64gb.yaml")
    model = load("model", CONF / "model" / "moe_30b.yaml")
    serve = load("workload", CONF / "workload" / "serve.yaml")
    gpu = hardware.gpu
    assert (hardware.gpus, gpu.memory_bytes) == (1024, 64e9)
    assert gpu.peak_flops.fp16 * gpu.compute_efficiency == pytest.approx(240e12)
    assert gpu.memory_bandwidth * gpu.memory_efficiency == pytest.approx(1.44e12)
    assert (model.num_hidden_layers, model.hidden_size, model.num_experts, model.expert_size) == (16, 1024, 64, 2048)
    assert model.num_attention_heads * model.head_size == model.hidden_size
    assert (model.declared.params, model.declared.dense_params, model.declared.moe_params) == (30e9, 4e9, 26e9)
    assert model.moe_layers == (True,) * 16
    assert (serve.global_batch_size, min(serve.sequence_lengths), serve.longest) == (128, 128, 10240)
    assert (model.precision, serve.precision) == ("fp16", None)


@pytest.mark.parametrize(
    ("preset", "model", "world"),
    [
        ("deepseek_v3_2048", "deepseek_v3", 2048),
        ("deepseek_v3_prefill_32", "deepseek_v3", 32),
        ("llama3_405b_16384", "llama3_1_405b", 16384),
    ],
)
def test_presets_fit_their_model(preset: str, model: str, world: int) -> None:
    parallel = load("parallel", CONF / "parallel" / f"{preset}.yaml")
    given = load("model", CONF / "model" / f"{model}.yaml")
    degrees = resolve(parallel, given.moe)
    assert degrees.world_size == world
    assert degrees.factors
    assert given.num_experts % degrees.ep == 0
    assert not looks_like_degrees(preset)
    if parallel.stages is not None:
        assert (len(parallel.stages), sum(parallel.stages)) == (degrees.pp, given.num_hidden_layers)


@pytest.mark.parametrize("path", [path for group, path in FILES if group == "expect"], ids=lambda path: path.stem)
def test_claims_are_well_formed(path: Path) -> None:
    expect = load("expect", path)
    assert (CONF / "model" / f"{expect.model}.yaml").is_file()
    assert len({claim.id for claim in expect.claims}) == len(expect.claims)
    for claim in expect.claims:
        assert re.fullmatch(r"[a-z0-9-]+", claim.id)
        assert isinstance(claim.claimed, (int, float))
        assert claim.reason.endswith(".")
        for metric in [claim.metric, *re.findall(r"\{([^}]*)\}", claim.reason)]:
            assert metric.split(".")[0] in PLAN_KEYS, f"{claim.id}: {metric} is not in plan.json"
        if claim.degrees is not None:
            written: dict[str, Any] = dict(parse(claim.degrees))
            assert resolve(Parallel(**written), moe=True).name == claim.degrees, "a claim names degrees canonically"


STRATEGY = {
    # id: (computed for the strategy, a value of another plan with which the verdict turns)
    "gpu-count": (1024, 512),
    "effective-compute": (240e12, 593.6e12),
    "effective-bandwidth": (1.44e12, 2.68e12),
    "weights-total": (60e9, 30e9),
    "params-per-expert": (406_250_000, 203_125_000),
    "experts-per-gpu": (4, 8),
    "tp-cut": (4.0, 1.18),
    "layers-per-stage": (4, 8),
    "sequences-per-replica": (32, 16),
    "dp-replicas": (0, 2),
    "memory-constraint": (4.9e9, 64e9),
    "dp-capacity": (4, 2),
    "decode-intensity": (0.006, 1.2),
    "decode-tp": (0.107, 0.3),
    "params-total": (4_428_694_528, 30.5e9),
    "dense-params": (67_108_864, 4e9),
    "moe-params": (4_294_967_296, 26e9),
    "gpu-holds-1gb": (64e9, 1e9),
    "gpu-holds-arithmetic": (62.5e6, 1e9),
    "ep-communication": (2.0, 1.0),
    "moe-params-per-gpu": (101_562_500, 1_625_000_000),
    "pp-decode-bubbles": (2, 0),
    "dp-ranks-independent": (16, 1),
    "params-per-gpu": (351_562_500, 29_296_875),
    "bytes-per-gpu": (703_125_000, 58_593_750),
    "all-to-all-once": (2, 1),
    "tp-carries-gradients": (0, 1e6),
    "experts-in-parallel": (64, 16),
    "faster-routing": (64, 4),
    "prefill-intensity": (0.384, 1.5),
    "utilisation": (0.2, 0.62),
    "decode-communication": (3.4, 0.9),
}
TRUE = tuple(STRATEGY)[:14]


@pytest.mark.parametrize("name", STRATEGY)
def test_a_claim_about_the_strategy_can_hold_and_fail(name: str) -> None:
    claims = {claim.id: claim for claim in load("expect", CONF / "expect" / "moe_30b.yaml").claims}
    assert set(claims) == set(STRATEGY)
    computed, other = STRATEGY[name]
    assert holds(claims[name], computed) is (name in TRUE)
    assert holds(claims[name], other) is (name not in TRUE)


NAMELESS = {"gpt3_175b", "moe_30b"}
"""Models that no checkpoint of a server is of."""


@pytest.mark.parametrize("path", [path for group, path in FILES if group == "model"], ids=lambda path: path.stem)
def test_servers_are_told_of_which_family_a_model_is(path: Path) -> None:
    """Both servers choose rules, caches and what they are held against by it."""
    model = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(model, dict)
    named = [key for key in ("model_type", "architectures") if model.get(key)]
    assert named == ([] if path.stem in NAMELESS else ["model_type", "architectures"])
    assert path.stem in NAMELESS or model["model_type"] in FAMILIES
