"""What a program still wants of its user is said, with what happens without it, and no longer once it is given."""

from __future__ import annotations

import re

import pytest

from compiler import invariants
from compiler.config.load import load_config
from compiler.frameworks import lifted
from compiler.frameworks.adapter import adapter
from compiler.frameworks.known import table
from compiler.frameworks.megatron import needs as megatron
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.markdown import markdown
from tests.wheels import wheel

COMMON = (
    "workload=train",
    "scheduler=[]",
    "model=llama3_1_8b",
    "hardware=h100_80gb",
    "hardware.nodes=2",
    "parallel=tp2_adp8",
)
SAVED = "--save,/c,--save-interval,100,--load,/c"
MEGATRON = (
    f"--train-iters,10,--lr,1e-4,--data-path,/d,--tokenizer-type,GPT2BPETokenizer,--vocab-file,v,--merge-file,m,{SAVED}"
)
TITAN = "--hf-assets-path=/t,--dataloader.dataset=c4,--training.steps=9,--checkpoint.enable"
MAXTEXT = "tokenizer_path=/t,dataset_type=hf,steps=9,base_output_directory=/o,run_name=r"


def _report(plan: Plan) -> str:
    return markdown(plan.name, sections.of(plan, plan.to_dict()))


CASES = [
    # framework, overrides, what is missing
    ("megatron", "", ["an end", "a learning rate", "data", "a tokenizer", "checkpoints"]),
    ("megatron", MEGATRON, []),
    ("megatron", MEGATRON.replace("--train-iters", "--train-samples").replace("--data-path,/d", "--mock-data"), []),
    ("megatron", MEGATRON.replace(",--vocab-file,v", ""), ["files of GPT2BPETokenizer"]),
    ("megatron", MEGATRON.replace("--save-interval,100,--load,/c", ""), ["how often to save", "where to go on from"]),
    ("megatron", f"--skip-train,--mock-data,--use-checkpoint-args,{SAVED}", []),
    ("torchtitan", "", ["a tokenizer", "data", "an end", "checkpoints"]),
    ("torchtitan", TITAN, []),
    ("torchtitan", "--module=mine,--config=my_8b", []),
    ("maxtext", "", ["a tokenizer", "data", "an end", "a folder for checkpoints", "a name"]),
    ("maxtext", MAXTEXT, []),
]  # fmt: skip


def missing(*overrides: str) -> list[str]:
    config = load_config([*COMMON, *overrides])
    return [need.what for need in adapter(config.framework.name).needs(config)]


def args(words: str) -> str:
    return "framework.args=[" + ",".join(f'"{word}"' for word in words.split(",") if word) + "]"


@pytest.mark.parametrize(("framework", "words", "wanted"), CASES)
def test_what_is_missing(framework: str, words: str, wanted: list[str]) -> None:
    assert missing(f"framework={framework}", args(words)) == wanted


def test_the_warning_says_what_happens() -> None:
    checks = invariants.declared(load_config([*COMMON, "framework=megatron", args(SAVED)]))
    [found] = [item for item in checks if item.id == "launch-inputs"]
    assert found.status == "warn"
    assert found.message.startswith(
        "megatron is not told all that it needs: without an end (--train-iters N), a learning "
    )
    assert found.message.endswith("a tokenizer (--tokenizer-type TYPE --tokenizer-model PATH) it stops")
    assert found.fix == "add them to framework.args"


def test_a_command_of_ones_own_may_bring_it() -> None:
    framework = "framework=megatron"
    assert missing(framework, "launch.command=[bash,train.sh]") == []
    own = f"launch.command=[python3,/opt/Megatron-LM/pretrain_gpt.py,{MEGATRON.replace('--lr,1e-4,', '')}]"
    assert missing(framework, own) == ["a learning rate"]
    assert missing("framework=maxtext", "launch.command=[python3,-m,maxtext.trainers.pre_train.train,mine.yml]") == []


def test_variables_are_keys_of_maxtext() -> None:
    assert "an end" not in missing("framework=maxtext", "launch.environment.M_STEPS=10")


def test_servers_of_megatron_want_weights() -> None:
    assert missing("framework=megatron", "workload=serve") == ["a tokenizer", "weights"]


def test_the_report_lists_them() -> None:
    plan = compile_config(load_config([*COMMON, "framework=megatron"]))
    assert "| data | `--data-path PREFIX, or --mock-data for random tokens` | it stops |" in _report(plan)
    plan = compile_config(load_config([*COMMON, "framework=megatron", args(MEGATRON)]))
    assert "still needs" not in _report(plan)


@pytest.mark.parametrize("framework", ["megatron", "torchtitan", "maxtext"])
def test_the_parser_has_what_is_asked_for(framework: str) -> None:
    options = table(framework, "0").options
    config = load_config([*COMMON, f"framework={framework}", args("--save,/c" if framework == "megatron" else "")])
    words = {word for need in adapter(framework).needs(config) for word in (*need.options, *re.findall(r"--[\w.-]+|\w+(?==)", need.written))}  # fmt: skip
    assert {word for word in words if not word.startswith("--dataloader.")} <= options.keys()


def test_tokenizers_are_megatrons() -> None:
    source = lifted.Source("megatron", wheel("megatron_core", "0.19.2"))
    found = set(re.findall(r"'(\w+Tokenizer\w*|\w+Case)'", source.text("core/tokenizers/utils/build_tokenizer.py")))
    assert set(megatron.FILES) <= found


def test_megatron_refuses_to_save_without_a_number_of_steps() -> None:
    source = lifted.Source("megatron", wheel("megatron_core", "0.19.2"))
    assert re.search(
        r"if args\.save is not None:\s+assert args\.save_interval is not None", source.text("training/arguments.py")
    )
