"""Options that a framework's parser does not know: an error, or a warning where its parser is not at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler import invariants
from compiler.config.load import load_config
from compiler.fixes import change
from compiler.frameworks import lifted
from compiler.frameworks.sglang import prove as sglang
from compiler.frameworks.vllm import prove as vllm
from tests.megatron_plans import newest_megatron
from tests.pasted import refused
from tests.test_framework_told import args
from tests.wheels import wheel

TRAIN = ("workload=train", "scheduler=[]")
FOLDER = Path(vllm.__file__).parents[1]

UNKNOWN = [
    # framework, arguments, which of them it does not know, what it may have meant
    ("megatron", "--moe-permut-fusion", "--moe-permut-fusion", "--moe-permute-fusion"),
    ("megatron", "--qk-layernorm,--qk_layernorm", "--qk_layernorm", "--qk-layernorm"),
    ("torchtitan", "--compile.enabled", "--compile.enabled", "--compile.enable"),
    ("maxtext", "remat_polici=full", "remat_polici", "remat_policy"),
    ("vllm", "--enable-prefix-cachin", "--enable-prefix-cachin", "--enable-prefix-caching"),
    ("sglang", "--moe-runner-backen2", "--moe-runner-backen2", "--moe-runner-backend"),
]
KNOWN = [
    ("megatron", "--moe-permute-fusion,--seed=3"),
    ("torchtitan", "--compile.enable,--optimizer.lr=1e-3,--metrics.no_enable_wandb"),
    ("maxtext", "steps=30"),
    ("vllm", "--enable_prefix_caching,--no-enable-prefix-caching,-O3,--compilation-config.level=3"),
    ("sglang", "--moe-runner-backend=triton,--moe-runner-back=triton"),
]


def said(framework: str, *overrides: str) -> list[tuple[str, str, str]]:
    kind = () if framework in ("vllm", "sglang") else TRAIN
    config = load_config([*kind, "scheduler=[]", f"framework={framework}", *overrides])
    return [(item.status, item.message, item.fix) for item in invariants.declared(config) if item.id == "framework-arguments" and item.status != "pass"]  # fmt: skip


@pytest.mark.parametrize(("framework", "arguments", "option", "meant"), UNKNOWN)
def test_an_option_that_nobody_knows_is_refused(framework: str, arguments: str, option: str, meant: str) -> None:
    [(status, message, fix)] = said(framework, args(arguments))
    assert status == "fail"
    assert message.startswith(f"framework.args sets {option}, which {framework} ")
    assert fix == f"{meant} may be meant: write it in its place, or leave {option} out"


MENDED = [
    ("megatron", ["--seed=1", "--recompute-module", "moe_act"], "['--seed=1',--recompute-modules,moe_act]"),
    ("megatron", ["--moe-permut-fusion"], "[--moe-permute-fusion]"),
    ("vllm", ["/w", "--max-num-seq=8"], "[/w,'--max-num-seqs=8']"),
    ("maxtext", ["gradient_clipping_treshold=1.0"], "['gradient_clipping_threshold=1.0']"),
]
SMALL = ("model=llama3_1_8b", "hardware.nodes=1", "parallel=tp8", "scheduler=[]")


@pytest.mark.parametrize(("framework", "given", "mended"), MENDED)
def test_a_misspelt_option_is_mended_with_its_values(framework: str, given: list[str], mended: str) -> None:
    kind = () if framework == "vllm" else TRAIN[:1]
    [line] = refused([*SMALL, *kind, f"framework={framework}", f"framework.args={change.written(given)}"])
    assert f" may be meant: write framework.args={mended} or " in line


@pytest.mark.parametrize(("framework", "arguments"), KNOWN)
def test_options_that_it_knows(framework: str, arguments: str) -> None:
    assert said(framework, args(arguments)) == []


@pytest.mark.parametrize("other", ["framework.version=0.18.1", "launch.command=[python3,pretrain_mine.py]"])
def test_a_parser_that_is_not_at_hand_is_warned_of(other: str) -> None:
    [(status, message, _)] = said("megatron", "framework.args=[--my-own-option]", other)
    assert (status, message) == (
        "warn",
        "framework.args sets --my-own-option, which megatron 0.19.2 does not know",
    )


def table(framework: str, release: str) -> set[str]:
    return set((FOLDER / framework / "parser" / f"{release}.txt").read_text(encoding="utf-8").split())


def test_megatrons_own_parser_has_these_options() -> None:
    with newest_megatron():
        from compiler.frameworks.megatron.installed import module

        arguments = module("megatron.training.arguments")
        parser = arguments.add_megatron_arguments(arguments.argparse.ArgumentParser(allow_abbrev=False))
        assert table("megatron", "0.19.2") == {name for name in parser._option_string_actions if name != "-h"} | {"-h"}


@pytest.mark.parametrize("release", ["0.5.21", "0.5.23"])
def test_sglangs_own_fields_have_these_options(release: str) -> None:
    source = lifted.Source("sglang", wheel("sglang", release))
    found = {name for path in source.names("srt/arg_groups/fields") for name in sglang._options(source.tree(path))}
    assert table("sglang", release) <= found


def test_vllms_own_parsers_have_these_options() -> None:
    source = lifted.Source("vllm", wheel("vllm", "0.33.0"))
    paths = [path for path in vllm.PARSERS if source.holds(path)]
    assert table("vllm", "0.33.0") <= {name for path in paths for name in vllm._options(source.tree(path))}
