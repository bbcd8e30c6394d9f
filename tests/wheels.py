"""Wheels of frameworks, which oracles read but nobody installs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def wheel(package: str, version: str) -> Path:
    """The wheel in the folder that RANKPLAN_WHEELS names; skips the test where it is missing."""
    folder = Path(os.environ.get("RANKPLAN_WHEELS", "wheels"))
    found = sorted(folder.glob(f"{package}-{version}-*.whl"))
    if not found:
        pytest.skip(f"no wheel of {package} {version} in RANKPLAN_WHEELS: pip download --no-deps {package}=={version}")
    return found[0]
