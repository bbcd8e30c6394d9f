"""Options of Megatron's are the plan's or the user's, and never both's."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.megatron import emit, options
from tests.configs import changed
from tests.megatron_configs import DENSE, TRAIN, args, words


def test_what_nobody_states_is_the_users_to_say() -> None:
    given = args("--position-embedding-type", "none", "--quick-geglu", "--distributed-timeout-minutes", "60", "--normalization=LayerNorm")  # fmt: skip
    found = words(changed(DENSE, given))
    assert found["--position-embedding-type"] == ("none",)
    assert found["--distributed-timeout-minutes"] == ("60",)
    assert found["--normalization"] == ("LayerNorm",)
    assert "--swiglu" not in found
    assert words(DENSE)["--distributed-timeout-minutes"] == ("30",)


@pytest.mark.parametrize("flag", sorted(options.OWNED))
def test_what_the_plan_decides_is_not(flag: str) -> None:
    with pytest.raises(
        ConfigError, match=f"framework.args sets {flag}, and so does the plan ; leave it out, and write"
    ):
        list(adapter("megatron").declared(changed(TRAIN, args(flag, "2"))))


ASKED = [
    ({"workload.optimizer_offload": 0.5}, "--optimizer-cpu-offload", (), "workload.optimizer_offload"),
    ({"workload.optimizer_offload": 0.5}, "--optimizer-offload-fraction", ("0.3",), "workload.optimizer_offload"),
    ({"workload.activation_offload": 0.5}, "--cpu-offloading-num-layers", ("3",), "workload.activation_offload"),
    ({"workload.fused_attention": False}, "--attention-backend", ("flash",), "workload.fused_attention"),
]


@pytest.mark.parametrize(("values", "flag", "given", "key"), ASKED)
def test_the_user_decides_what_the_workload_leaves_open(
    values: dict[str, Any], flag: str, given: tuple[str, ...], key: str
) -> None:
    config = changed(TRAIN, args(flag, *given))
    assert words(config)[flag] == given
    assert list(adapter("megatron").declared(config))
    with pytest.raises(
        ConfigError, match=f"framework.args sets {flag}, and so does the plan ; leave it out, and write {key}(=0.3)?$"
    ):
        list(adapter("megatron").declared(changed(config, values)))


def test_everything_sure_that_is_emitted_is_owned() -> None:
    free = {"--expert-tensor-parallel-size", "--disable-bias-linear", "--overlap-grad-reduce", "--overlap-param-gather"}
    open_ = {flag for flag, *_ in emit.defaults(TRAIN)} | {"--nccl-communicator-config-path"}
    assert set(words(TRAIN)) - open_ - free <= set(options.OWNED)


@pytest.mark.parametrize("words_", [("--num-distributed-optimizer-instances", "two"), ("--make-vocab-size-divisible-by=0",)])  # fmt: skip
def test_numbers_that_are_none(words_: tuple[str, ...]) -> None:
    config = changed(TRAIN, args(*words_))
    with pytest.raises(ConfigError, match="is not made of numbers above 0"):
        options.number(config, words_[0].partition("=")[0], 1)
