"""Folders of plain files that ship with the package."""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """`conf` or `templates`: inside the package where it is installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_assets" / name
    return installed if installed.is_dir() else package.parent / name
