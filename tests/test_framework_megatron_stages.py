"""Stages as Megatron's arguments say them: layouts, odd ends, embedding and loss counted as layers, and stages without a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from compiler.errors import CompilerError, InvariantError
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import layout_string
from compiler.frameworks.megatron.installed import megatron
from compiler.frameworks.megatron.prove import findings
from compiler.frameworks.stage_rule import stage_layers
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.costed import cost
from tests.megatron_configs import args, checks, words
from tests.megatron_plans import OLDEST, newest_megatron, refusals, wheel

DENSE = composed("framework=megatron", "workload=train", "model=llama3_1_8b", "parallel=tp4_pp4_vpp2_adp2")
DENSE = changed(
    DENSE,
    {
        "hardware.nodes": 4,
        "workload.global_batch_size": 32,
        "workload.schedule": "interleaved",
        "model.num_hidden_layers": 14,
        "model.declared.params": None,
    },
)
MTP = composed(
    "framework=megatron",
    "workload=train",
    "model=deepseek_v3",
    "hardware=h200",
    "parallel=tp2_pp8_vpp4_adp64_ep64_etp1",
)
MTP = changed(MTP, {"hardware.nodes": 128, "workload.global_batch_size": 8192, "workload.schedule": "interleaved"})
LAYOUT = "--pipeline-model-parallel-layout"
FIRST, LAST = "--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers"
BOTH = ("--account-for-embedding-in-pipeline-split", "--account-for-loss-in-pipeline-split")
ONE_CHUNK = {"parallel.vpp": 1, "workload.schedule": "1f1b"}

SAID: list[tuple[Config, dict[str, Any], list[int]]] = [
    (MTP, args(LAYOUT, "Et|(tt|)*30mL"), [1, *[2] * 30, 0]),
    (MTP, args(LAYOUT, "Et*3|(tt|)*29m|L"), [3, *[2] * 29, 0, 0]),
    (MTP, args(f"{LAYOUT}=E|t*3,|(tt|)*28ttm|L"), [0, 3, *[2] * 29, 0]),
    (DENSE, args(*BOTH), [1, *[2] * 6, 1]),
    (DENSE, {**args(*BOTH), "model.num_hidden_layers": 6}, [0, *[1] * 6, 0]),
    (DENSE, {**args(BOTH[0]), "model.num_hidden_layers": 7}, [0, *[1] * 7]),
    (DENSE, args(FIRST, "2", LAST, "4"), [1, 2, 2, 2, 1, 2, 2, 2]),
    (DENSE, args(LAYOUT, "Ettt|ttt|tt|tt||t|t|ttL"), [3, 3, 2, 2, 0, 1, 1, 2]),
    (DENSE, {**args(FIRST, "5"), **ONE_CHUNK}, [5, 3, 3, 3]),
    (DENSE, {"parallel.stages": [0, 3, 3, 3, 3, 2, 0, 0]}, [0, 3, 3, 3, 3, 2, 0, 0]),
    (DENSE, {"parallel.stages": [0, 7, 7, 0], **ONE_CHUNK}, [0, 7, 7, 0]),
]


@pytest.fixture(scope="module")
def imported(request: pytest.FixtureRequest) -> Iterator[None]:
    """A Megatron, once for all tests that are asked of it: pytest has them one after the other."""
    with newest_megatron() if request.param == "newest" else megatron(wheel(OLDEST)):
        yield


NEWEST_ONE = pytest.mark.parametrize("imported", ["newest"], indirect=True)
OLDEST_ONE = pytest.mark.parametrize("imported", ["oldest"], indirect=True)


@NEWEST_ONE
@pytest.mark.parametrize(("base", "change", "layers"), SAID)
def test_stages_are_those_that_megatron_builds(
    base: Config, change: dict[str, Any], layers: list[int], imported: None
) -> None:
    config = changed(base, change)
    assert list(stage_layers(config) or ()) == layers
    assert compile_config(config).world.stages.counts == tuple(
        tuple(layers[at :: config.degrees.pp]) for at in range(config.degrees.pp)
    )
    assert refusals(config) == []
    assert [found for found in findings(lay_out(config)) if not found.equal] == []


@OLDEST_ONE
@pytest.mark.parametrize(("base", "change", "layers"), SAID)
def test_the_oldest_builds_them_too(base: Config, change: dict[str, Any], layers: list[int], imported: None) -> None:
    config = changed(base, {**change, "framework.version": "0.16.1"})
    assert [found for found in findings(lay_out(config)) if not found.equal] == []


def test_stages_of_arguments_are_emitted_once() -> None:
    emitted = words(changed(MTP, args(LAYOUT, "Et|(tt|)*30mL")))
    assert emitted[LAYOUT] == ("Et|(tt|)*30mL",)
    assert "--num-virtual-stages-per-pipeline-rank" not in emitted
    assert words(changed(DENSE, args(*BOTH)))["--num-virtual-stages-per-pipeline-rank"] == ("2",)


WRONG = [
    ("Et|(tt|)*30mX", "holds X ; write stages split by"),
    ("E(t|)*99999999L", "comes to more than 16384 letters"),
    ("t|(tt|)*30mL", "E comes first and L last, once each"),
    ("Et|(tt|)*30L", "it holds 0 MTP layers and the model has 1"),
    ("Et|(tt|)*29m|ttL", "decoder layers come before MTP layers"),
    ("Ettt|(tt|)*21m||||||||tttttttttttttttttL", "MTP layers are in the last virtual stage"),
    ("Et*15|(tt|)*23m|||||||L", "MTP layers are not on the first pipeline rank"),
    ("Et|(tt|)*14m*1L", "16 chunks hold 29 of 61 layers"),
]


@pytest.mark.parametrize(("layout", "message"), WRONG)
def test_a_wrong_layout_is_refused(layout: str, message: str) -> None:
    with pytest.raises(CompilerError) as error:
        compile_config(changed(MTP, args(LAYOUT, layout)))
    assert message in str(error.value)


def test_layers_that_the_arguments_do_not_divide_are_refused() -> None:
    with pytest.raises(InvariantError, match=r"14 layers over 8 chunks is 1.75 each"):
        compile_config(changed(DENSE, args(BOTH[0])))


UNEVEN = [
    ((FIRST, "100"), "write {FIRST}=29, or leave {FIRST} out"),
    ((FIRST, "31"), "{FIRST}=29"),
    ((FIRST, "6"), "{FIRST}=5"),
    ((FIRST, "32"), "{FIRST}=29"),
    ((LAST, "100"), "{LAST}=29"),
    ((FIRST, "3", LAST, "40"), "write {LAST}=27, or leave {FIRST} and {LAST} out"),
    ((BOTH[0],), "leave {BOTH[0]} out"),
    (BOTH, "leave {BOTH[0]} and {BOTH[1]} out"),
]


@NEWEST_ONE
@pytest.mark.parametrize(("said", "fix"), UNEVEN)
def test_ends_that_leave_no_even_rest_are_refused(said: tuple[str, ...], fix: str, imported: None) -> None:
    """With what fits; Megatron refuses them too."""
    base = changed(DENSE, {"model.num_hidden_layers": 32, **ONE_CHUNK})
    found = checks(changed(base, args(*said)))["megatron-stage-ends"]
    assert found.status == "fail"
    assert ("may be 2, 5, 8, 11, ..., 29" in found.message) == (len(said) == 2 and said != BOTH)
    assert fix.format(FIRST=FIRST, LAST=LAST, BOTH=BOTH) in found.fix
    assert refusals(changed(base, args(*said)))


def test_stages_are_said_in_one_way() -> None:
    assert "and so does the plan" in _refused(
        changed(MTP, {**args(LAYOUT, "Et|(tt|)*30mL"), "parallel.stages": [1, *[2] * 30, 0]})
    )
    assert checks(changed(DENSE, args(FIRST, "2", *BOTH)))["megatron-stage-arguments"].status == "fail"


def _refused(config: Config) -> str:
    with pytest.raises(CompilerError) as error:
        compile_config(config)
    return str(error.value)


def test_a_layout_of_as_many_chunks_as_other_degrees_says_which() -> None:
    said = _refused(changed(MTP, {**args(LAYOUT, "Et|(tt|)*30mL"), "parallel.vpp": 2}))
    assert "write parallel.vpp=4" in said


def test_mtp_layers_and_their_embedding_lie_where_the_layout_puts_them() -> None:
    """Their head runs with the loss, on the last stage."""
    at_end = _held(changed(MTP, args(LAYOUT, "Et*3|(tt|)*29|mL")))
    apart = _held(changed(MTP, args(LAYOUT, "Et*3|(tt|)*29m|L")))
    model = MTP.model
    moved = at_end - apart
    assert np.flatnonzero(moved).tolist() == [6, 7]
    assert moved[6] == pytest.approx(-moved[7])
    assert moved[7] > model.vocab_size * model.hidden_size / 2
    world = lay_out(changed(MTP, args(LAYOUT, "Et*3|(tt|)*29m|L")))
    assert world.groups["megatron.embd"][0].tolist() == [0, 6 * 128]


def _held(config: Config) -> Any:
    return cost(lay_out(config)).held.total


def test_an_end_without_layers_holds_its_table_alone() -> None:
    found = cost(lay_out(changed(DENSE, {"parallel.stages": [0, 7, 7, 0], **ONE_CHUNK})))
    model = DENSE.model
    table = 128512 * model.hidden_size / 4
    assert found.held.total[[0, 3]].tolist() == [table, table + model.hidden_size]
    assert found.memory.activations_bytes[0] < found.memory.activations_bytes[1] / 5


def test_a_chunk_without_layers_keeps_no_activations() -> None:
    """Of the micro-batches in flight, those in the first chunk of the first rank cost nothing."""
    even = cost(lay_out(changed(DENSE, {"model.num_hidden_layers": 16})))
    less = cost(lay_out(changed(DENSE, {"model.num_hidden_layers": 15, "parallel.stages": [1, *[2] * 7]})))
    none = cost(lay_out(changed(DENSE, {"parallel.stages": [0, *[2] * 7]})))
    kept = [float(found.memory.activations_bytes[0]) for found in (even, less, none)]
    assert kept[0] > kept[1] > kept[2]
    assert none.memory.activations_bytes[1] == even.memory.activations_bytes[1]


def test_micro_batches_go_through_chunks_in_groups_of_the_users_size() -> None:
    group = "--microbatch-group-size-per-virtual-pipeline-stage"
    config = changed(DENSE, {"model.num_hidden_layers": 16, "workload.global_batch_size": 10, **args(group, "5")})
    five = compile_config(config).costs
    assert "rounds of pp=4, and there are 5" in _refused(changed(config, args()))
    assert "rounds of 6, and there are 9" in _refused(
        changed(config, {"workload.global_batch_size": 18, **args(group, "6")})
    )
    assert compile_config(changed(config, {"workload.global_batch_size": 20, **args(group, "6")}))
    four = compile_config(changed(config, {"workload.global_batch_size": 40, **args()})).costs
    assert five.memory.activations_bytes[0] <= four.memory.activations_bytes[0]
    ten = compile_config(changed(config, {"workload.global_batch_size": 40, **args(group, "10")})).costs
    assert ten.memory.activations_bytes[0] > 1.5 * four.memory.activations_bytes[0]


def test_what_we_write_is_what_megatron_reads() -> None:
    counts = [0, 2, 1, 0, 3, 0]
    parts = layout_string.parts(layout_string.written(counts, 2))
    assert [part.count("t") for part in parts] == counts
    assert (parts[0], parts[-1]) == ("E", "mmL")
