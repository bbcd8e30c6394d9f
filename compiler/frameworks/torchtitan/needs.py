"""What torchtitan wants of its user: a registered configuration has defaults for all of it, which few users mean."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.frameworks import told
from compiler.frameworks.needs import Need, missing, words
from compiler.frameworks.torchtitan.arguments import known_model, spelling
from compiler.specs.config import Config

NEEDS = (
    Need(
        "a tokenizer", ("--hf_assets_path",), "--hf_assets_path DIR", "it stops where ./assets/hf has none of the model"
    ),
    Need(
        "data",
        ("--dataloader.dataset_path", "--dataloader.dataset"),
        "--dataloader.dataset_path PATH",
        "it reads C4 from Hugging Face",
    ),
    Need("an end", ("--training.steps",), "--training.steps N", "it takes the steps of the registered configuration"),
    Need(
        "checkpoints", ("--checkpoint.enable",), "--checkpoint.enable", "nothing is saved, and a restart begins again"
    ),
)
"""Defaults of torchtitan 0.3 models/*/config_registry.py, components/tokenizer.py and components/checkpoint.py."""


def needs(config: Config) -> Iterator[Need]:
    """What is missing; a configuration that the user names has what they wrote into it."""
    said = words(config, "torchtitan.train", "torchtitan/train.py", "run_train.sh")
    if said is None or known_model(config) is None:
        return
    given = {spelling(f"--{item.name.removeprefix('--')}") for item in told.words(said)}
    yield from missing(NEEDS, given)
