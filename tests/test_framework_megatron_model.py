"""The model and its stages are written as Megatron's arguments."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.frameworks.megatron import patterns, pipeline
from tests.configs import changed, composed
from tests.megatron_configs import TRAIN, words


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"parallel.vpp": 2}, {"--num-virtual-stages-per-pipeline-rank": "2"}),
        ({"parallel.stages": [2, 5, 5, 4]}, {"--decoder-first-pipeline-num-layers": "2", "--decoder-last-pipeline-num-layers": "4"}),
        ({"parallel.stages": [4, 4, 4, 4]}, {}),
        ({"parallel.pp": 2, "parallel.stages": [7, 9]}, {"--decoder-first-pipeline-num-layers": "7"}),
        ({"parallel.stages": [3, 5, 4, 4]}, {"--pipeline-model-parallel-layout": "Et*3|t*5|t*4|t*4L"}),
        (
            {"parallel.pp": 2, "parallel.vpp": 2, "parallel.stages": [3, 5, 4, 4], "model.num_nextn_predict_layers": 1},
            {"--pipeline-model-parallel-layout": "Et*3|t*5|t*4|t*4m*1L"},
        ),
    ],
)  # fmt: skip
def test_stages_as_arguments(values: dict[str, Any], expected: dict[str, str]) -> None:
    assert {flag: value for flag, value in pipeline.options(changed(TRAIN, values))} == expected  # noqa: C416 - typed


@pytest.mark.parametrize(
    ("marks", "text"),
    [
        ([0] * 3 + [1] * 58, "([0]*3+[1]*58)"),
        ([1, 0] * 18, "([1,0])*18"),
        ([1], "([1]*1)"),
        ([1, 0], "([1]*1+[0]*1)"),
        ([1, 0, 0, 1, 0], "([1]*1+[0]*2+[1]*1+[0]*1)"),
    ],
)
def test_patterns_of_layers(marks: list[int], text: str) -> None:
    assert patterns.pattern(marks) == text
    assert eval(text) == marks  # which is how Megatron reads it


@pytest.mark.parametrize(
    ("name", "expected", "absent"),
    [
        ("llama3_1_8b", {"--swiglu": (), "--normalization": ("RMSNorm",), "--group-query-attention": (), "--num-query-groups": ("8",), "--untie-embeddings-and-output-weights": ()}, "--num-experts"),
        ("gpt3_175b", {"--ffn-hidden-size": ("49152",), "--kv-channels": ("128",)}, "--untie-embeddings-and-output-weights"),
        ("mixtral_8x7b", {"--num-experts": ("8",), "--moe-router-topk": ("2",), "--moe-ffn-hidden-size": ("14336",), "--moe-token-dispatcher-type": ("alltoall",)}, "--moe-layer-freq"),
        ("gpt_oss_120b", {"--window-size": ("127,0",), "--window-attn-skip-freq": ("([1,0])*18",), "--kv-channels": ("64",)}, "--mtp-num-layers"),
        (
            "deepseek_v3",
            {
                "--multi-latent-attention": (), "--q-lora-rank": ("1536",), "--kv-lora-rank": ("512",), "--qk-head-dim": ("128",),
                "--qk-pos-emb-head-dim": ("64",), "--v-head-dim": ("128",), "--mtp-num-layers": ("1",), "--moe-layer-freq": ("([0]*3+[1]*58)",),
                "--moe-shared-expert-intermediate-size": ("2048",), "--moe-router-num-groups": ("8",), "--moe-router-group-topk": ("4",),
            },
            "--group-query-attention",
        ),
    ],
)  # fmt: skip
def test_the_architecture_as_arguments(name: str, expected: dict[str, tuple[str, ...]], absent: str) -> None:
    config = composed("framework=megatron", "workload=train", f"model={name}", "parallel=adp1024")
    found = words(config)
    assert {flag: found.get(flag) for flag in expected} == expected
    assert absent not in found
