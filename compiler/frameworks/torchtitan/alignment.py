"""Sizes that torchao's FP8 products take under torchtitan."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, rule
from compiler.frameworks import multiples
from compiler.frameworks.versions import version
from compiler.specs.config import Config

SOURCE = "torchtitan 0.3 components/quantization, torchao"


@rule
def declared(config: Config) -> Iterator[Check]:
    """Layers of other widths are left as they are; tokens of experts are padded by the converter itself."""
    precision = config.workload.precision
    table = version(config).facts["products"].get(precision)
    if table is not None and config.workload.train:
        yield from multiples.rows(config, SOURCE, precision, table, scattered=False)
        yield from multiples.widths(config, SOURCE, precision, table["width"], multiples.sides(config), kept=True)
