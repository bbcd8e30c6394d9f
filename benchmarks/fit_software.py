"""Fit `conf/calibration/training.yaml` and `serving.yaml` from the training and serving rows.

python -m benchmarks.fit_software --rows FOLDER [training] [serving]
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import accuracy, fits
from benchmarks.fits import Samples

OUT = Path("conf/calibration")
HEAD = "# Fitted by benchmarks/fit_software.py. `shared` constants, and factors of each level's keys; {unit}.\n"


def provenance(samples: Samples, said: Any) -> dict[str, Any]:
    """Rows and residuals (standard deviation of logarithms) by family and source."""
    found: dict[str, Any] = {}
    off = np.log(said) - np.log([record.measured for record in samples.records])
    names = [f"{record.family}/{record.source}" for record in samples.records]
    for name in sorted(set(names)):
        mine = [i for i, other in enumerate(names) if other == name]
        ids = [samples.records[i].id for i in mine]
        found[name] = {
            "rows": len(ids),
            "first": ids[0],
            "last": ids[-1],
            "sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            "spread": round(float(np.sqrt(np.mean(off[mine] ** 2))), 4),
        }
    return found


def write(name: str, samples: Samples) -> None:
    samples = fits.learnt(samples)
    constants = fits.fitted(samples)
    said = fits.said(samples, constants)
    content = {
        "constants": fits.table(samples.scheme, constants),
        "rows": provenance(samples, said),
    }
    text = yaml.safe_dump(content, sort_keys=False, width=160, default_flow_style=None)
    (OUT / f"{name}.yaml").write_text(HEAD.format(unit="seconds where a name ends in _s") + text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("what", nargs="*", default=["training", "serving"])
    args = parser.parse_args(arguments)
    records = accuracy.load(args.rows)
    for name, samples in (("training", fits.steps), ("serving", fits.requests)):
        if name in args.what:
            write(name, samples(records))


if __name__ == "__main__":
    main()
