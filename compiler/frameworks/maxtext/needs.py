"""What MaxText wants of its user: configs/base.yml trains on random tokens, into a folder of its own for every start."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.frameworks.needs import Need, missing, words
from compiler.frameworks.versions import version
from compiler.specs.config import Config

TOKENIZER = Need("a tokenizer", ("tokenizer_path", "model_name"), "tokenizer_path=PATH", "it takes that of Llama 2")
TRAINING = (
    Need("data", ("dataset_type",), "dataset_type=grain grain_train_files=FILES", "it trains on random tokens"),
    Need("an end", ("steps", "learning_rate_schedule_steps"), "steps=N", "it takes 150,001 steps"),
    Need(
        "a folder for checkpoints",
        ("base_output_directory",),
        "base_output_directory=DIR",
        "it is ./maxtext_output, which few nodes share",
    ),
    Need("a name", ("run_name",), "run_name=NAME", "the time of its start is its name, and a restart begins again"),
)
DECODING = (Need("weights", ("load_parameters_path",), "load_parameters_path=DIR", "it answers with random ones"),)
"""Defaults of maxtext/configs/base.yml, configs/types.py and configs/pyconfig.py of 0.2.5, which also reads M_<KEY>."""


def needs(config: Config) -> Iterator[Need]:
    """What is missing; a file of the user's own in the place of base.yml may say all of it."""
    train = config.workload.train
    said = words(config, str(version(config).facts["train" if train else "decode"]))
    if said is None or any(word.endswith(".yml") and not word.endswith("base.yml") for word in said):
        return
    variables = {**config.site.environment, **config.launch.environment}
    given = {word.partition("=")[0] for word in said} | {key[2:].lower() for key in variables if key.startswith("M_")}
    yield from missing((TOKENIZER, *(TRAINING if train else DECODING)), given)
