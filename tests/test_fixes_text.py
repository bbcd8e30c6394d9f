"""What an error says to write, as text: the changes in it, and what they leave of the overrides."""

from __future__ import annotations

import shlex

import pytest

from compiler.fixes import change, text
from tests.configs import composed


class TestText:
    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ("write a.b=1 c=[x, y], or d.e=null", [("a.b=1", "c=[x, y]"), ("d.e=null",)]),
            ("write workload.zero_stage=1 and workload.optimizer_offload=1", 2),
            ("write hardware.inventory=FILE, or framework.args=[--model,PATH]", []),
            ("write ep = tp*cp*adp with --flag=3", []),
            ("write workload.sequence_lengths=[8,16], multiples of 8", [("workload.sequence_lengths=[8,16]",)]),
        ],
    )
    def test_overrides_are_found_with_those_that_belong_together(self, said: str, found: object) -> None:
        named = text.named(said)
        assert named == found if isinstance(found, list) else [len(item) for item in named] == [found]

    def test_what_was_not_tried_has_no_key_and_value(self) -> None:
        said = "write hardware.nodes=4, --flag=x in framework.args=[a=b], or etp=1"
        assert "=" not in text.prose(said).replace("a=b", "")

    def test_what_is_to_be_left_out(self) -> None:
        assert list(text.left_out("leave --a and --b out, or leave workload.c out")) == [
            ("--a", "--b"),
            ("workload.c",),
        ]


class TestChange:
    @pytest.mark.parametrize("args", [["--a", "1", "x:y"], ["--json.a=1", "it's"], ["x=y", '{"a": [1]}'], []])
    def test_arguments_are_spelt_as_they_are_read(self, args: list[str]) -> None:
        from compiler.config.load import load_config

        assert load_config([f"framework.args={change.written(args)}"]).framework.args == args

    @pytest.mark.parametrize("value", [123456789.0, 0.1, 1e-7, 1e22, 3])
    def test_numbers_lose_nothing(self, value: float) -> None:
        assert change.read(change.written(value)) == value

    @pytest.mark.parametrize(
        "override",
        [
            *("parallel=ep8_tp8_dp16", "hardware.nodes=64", "workload.optimizer_offload=1"),
            *("launch.time_limit=00:04:00", "hardware.nodes=010", "graph=off", "graph=yes", "name=off"),
            *("hardware.nic.bandwidth=123456789.0", "framework.args=[010,off,1e3]", "workload.sequence_lengths=[16,8]"),
            *("name=null", "framework.version='0.10'"),
        ],
    )
    def test_laid_over_is_as_composed(self, override: str) -> None:
        from compiler.config.load import load_config

        found = change.applied(load_config([]), (override,), ())
        assert found == load_config([override])


@pytest.mark.parametrize("value", ["mlx5", "mlx5_0,mlx5_1", "^mlx5_3", "it's"])
def test_a_warning_s_override_is_one_word_of_a_shell(value: str) -> None:
    from compiler.invariants.launch import device_names

    config = composed(f'launch.environment.NCCL_IB_HCA="{value}"')
    (found,) = device_names(config)
    words = shlex.split(found.fix)
    after = composed(words[1])
    assert words[2:] == ["for", "exactly", "those"]
    assert after.launch.environment["NCCL_IB_HCA"] == ("^=" if value[0] == "^" else "=") + value.lstrip("^")
    assert next(iter(device_names(after))).status == "pass"
