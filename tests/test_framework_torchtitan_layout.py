"""How torchtitan lays ranks out, splits layers into stages, and leaves the vocabulary as it is."""

from __future__ import annotations

import pytest

from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.torchtitan import layout, stages
from compiler.passes import compile_config
from tests.configs import changed, composed
from tests.torchtitan_configs import LLAMA, QWEN, REPLICATE, emitted


def test_replicas_of_the_arguments_shape_the_grid() -> None:
    config = changed(composed(*QWEN), {"framework.args": [REPLICATE, "2"]})
    world = lay_out(config)
    assert (layout.sharded(config), layout.expert_shards(config)) == (4, 2)
    assert world.groups["torchtitan.dp_replicate"][0].tolist() == [0, 16]
    assert world.groups["torchtitan.efsdp"].tolist()[:2] == [[0, 8], [1, 9]]
    assert world.groups["edp"].tolist()[0] == [0, 8, 16, 24]
    assert emitted(config).count(REPLICATE) == 1


@pytest.mark.parametrize(
    ("layers", "parts", "first", "last", "expected"),
    [
        (32, 3, 1, 1, [11, 11, 10]),
        (61, 4, 1, 1, [15, 16, 16, 14]),
        (10, 4, 0, 0, [3, 3, 2, 2]),
        (9, 2, 3, 1, [4, 5]),
        (3, 4, 1, 1, [1, 1, 1, 0]),
        (2, 8, 1, 1, None),
        (8, 3, 4, 1, [1, 4, 3]),
        (4, 3, 3, 1, None),
        (4, 1, 1, 1, None),
    ],
)
def test_the_first_and_last_stage_hold_less(
    layers: int, parts: int, first: int, last: int, expected: list[int] | None
) -> None:
    assert stages.split(layers, parts, first, last) == expected


def test_stages_that_the_rule_does_not_give_are_named() -> None:
    config = changed(composed(*QWEN), {"parallel.pp": 3, "parallel.stages": [15, 17, 16]})
    arguments = emitted(config)
    at = arguments.index("--parallelism.module_fqns_per_model_part")
    assert arguments[at + 1].startswith("tok_embeddings,layers.0,layers.1,")
    assert arguments[at + 3].endswith("layers.46,layers.47,norm,lm_head")
    assert arguments[at + 4] == "--parallelism.pipeline_parallel_schedule=1F1B"


def test_a_stage_is_uneven_by_its_rule_with_a_warning() -> None:
    plan = compile_config(changed(composed(*LLAMA), {"parallel.pp": 3, "hardware.nodes": 12}))
    assert plan.world.stages.labels == ("0-10", "11-21", "22-31")
    assert "stages-uneven" in {check.id for check in plan.checks if check.status == "warn"}


def test_no_rows_are_added_to_the_vocabulary() -> None:
    assert lay_out(changed(composed(*LLAMA), {"model.vocab_size": 128255})).traits.padded_vocab_size == 128255
