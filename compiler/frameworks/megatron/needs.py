"""What pretrain_gpt.py and Megatron's server want of their user; files below `megatron/` of Megatron-Core 0.19.2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.frameworks import told
from compiler.frameworks.megatron.emit import SERVER, TRAINER
from compiler.frameworks.needs import Need, missing, words
from compiler.specs.config import Config

_Given = Mapping[str, tuple[str, ...]]

ENDS = ("--train-iters", "--train-samples")
DATA = ("--data-path", "--mock-data", "--data-args-path", "--train-data-path", "--per-split-data-args-path")
SAVED = ("--save-interval", "--persistent-save-interval")
FILES: Mapping[str, tuple[str, ...]] = {
    "GPT2BPETokenizer": ("--vocab-file", "--merge-file"),
    **dict.fromkeys(("BertWordPieceLowerCase", "BertWordPieceCase"), ("--vocab-file",)),
    **dict.fromkeys(("HuggingFaceTokenizer", "TikTokenizer", "SFTTokenizer"), ("--tokenizer-model",)),
    **dict.fromkeys(("SentencePieceTokenizer", "GPTSentencePieceTokenizer", "Llama2Tokenizer"), ("--tokenizer-model",)),
}
"""What a type of tokenizer is read from (core/tokenizers/utils/build_tokenizer.py)."""


def needs(config: Config) -> Iterator[Need]:
    """What is missing."""
    train = config.workload.train
    said = words(config, TRAINER if train else SERVER.rsplit("/", 1)[-1])
    if said is None:
        return
    given = {item.name: item.values for item in told.words(said)}
    yield from missing([*_run(given)] if train else [], given)
    yield from missing(_tokenizer(given), given)
    yield from missing(_checkpoints(given) if train else [_WEIGHTS], given)


_WEIGHTS = Need("weights", ("--load", "--pretrained-checkpoint"), "--load DIR", "it answers with random ones")


def _run(given: _Given) -> Iterator[Need]:
    """training/training.py get_optimizer_param_scheduler, core/datasets/blended_megatron_dataset_builder.py."""
    if "--skip-train" not in given:
        yield Need("an end", ENDS, "--train-iters N", "it stops")
        yield Need("a learning rate", ("--lr",), "--lr RATE", "it stops")
    yield Need("data", DATA, "--data-path PREFIX, or --mock-data for random tokens", "it stops")


def _tokenizer(given: _Given) -> Iterator[Need]:
    """A checkpoint's arguments name its own."""
    if "--use-checkpoint-args" in given:
        return
    kinds = given.get("--tokenizer-type", ())
    yield Need("a tokenizer", ("--tokenizer-type",), "--tokenizer-type TYPE --tokenizer-model PATH", "it stops")
    for option in FILES.get(kinds[-1] if kinds else "", ()):
        yield Need(f"files of {kinds[-1]}", (option,), f"{option} PATH", "it stops")


def _checkpoints(given: _Given) -> Iterator[Need]:
    """validate_args of training/arguments.py wants both of a folder and how often; a run goes on from --load alone."""
    if "--save" not in given:
        whole = "--save DIR --save-interval STEPS --load DIR"
        yield Need("checkpoints", ("--save",), whole, "nothing is saved, and a restart begins again")
        return
    yield Need("how often to save", SAVED, "--save-interval STEPS", "it stops")
    yield Need("where to go on from", ("--load",), "--load DIR", "a restart begins again")
