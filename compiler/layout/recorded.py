"""Loads of experts as servers record them -> the table of `layer,expert,load`.

SGLang writes `logical_count` [passes, layers, experts] or [layers, experts] with torch.save (`eplb/expert_distribution.py`, 0.5),
and takes the same as JSON; an npz holds one such array. Layers count from the model's first, dense ones too, of which nothing is
counted: they are left out. Passes are added up.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.errors import ConfigError
from compiler.inputs import json_object

KEYS = ("logical_count", "load", "loads", "expert_count")
"""Names of the array that are known; any, where there is one array."""
MOST_BYTES = 2**26
"""Of a record: 500 passes of 61 layers of 256 experts, in 8 bytes each."""
INSTEAD = "name a CSV file of layer,expert,load, or SGLang's or your own logical_count as .json, .npz or .pt"

UNPACKED_BYTES = 4 * MOST_BYTES
"""Of an archive: a load of 8 bytes for each of 2^25 experts and layers."""

MOST_LOAD = 1e30
"""Tokens of an expert; more are no count, and sums of them no number."""


def table(what: str, data: bytes) -> str | None:
    """The table that a record stands for; None for what is none and may be the table itself. Raises ConfigError."""
    if data[:4] == b"PK\x03\x04":
        counts = _zip(what, data)
    elif data.lstrip()[:1] == b"{":
        found = json_object.read(what, data.decode("utf-8", "replace"), INSTEAD, checked=False)
        counts = _array(what, _named(what, found))
    else:
        return None
    return _text(what, counts)


def _zip(what: str, data: bytes) -> NDArray[np.float64]:
    """Of numpy's or torch's: both are archives."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            size = sum(info.file_size for info in archive.infolist())
        found = None
        if size <= UNPACKED_BYTES and any(name.endswith(".npy") for name in names):
            with np.load(io.BytesIO(data), allow_pickle=False) as archived:
                found = dict(archived)
    except Exception as error:  # zlib, tokenize and numpy each raise their own of a malformed file
        raise ConfigError.of(f"{what} is no archive of arrays: {type(error).__name__}", INSTEAD) from error
    if size > UNPACKED_BYTES:
        raise ConfigError.of(f"{what} unpacks to {size:,} bytes, of which {UNPACKED_BYTES:,} are read", INSTEAD)
    if found is not None:
        return _array(what, _named(what, found))
    return _array(what, _named(what, _torch(what, data)))


def _torch(what: str, data: bytes) -> dict[str, Any]:
    """What torch.save wrote; nothing in it is run."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError.of(
            f"{what} was written by torch, which is not installed", "write it as .npz or .json"
        ) from error
    try:
        found = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises whatever a malformed file leads it to
        raise ConfigError.of(f"{what} is nothing that torch reads: {type(error).__name__}", INSTEAD) from error
    return found if isinstance(found, dict) else {"load": found}


def _named(what: str, found: dict[str, Any]) -> Any:
    for key in KEYS:
        if key in found:
            return found[key]
    if len(found) != 1:
        raise ConfigError.of(f"{what} holds none of {', '.join(KEYS)}", INSTEAD)
    return next(iter(found.values()))


def _array(what: str, given: Any) -> NDArray[np.float64]:
    """[layers, experts], passes added up."""
    try:
        raw = np.asarray(given)
        kind = raw.dtype.kind
        found = raw.astype(np.float64) if kind in "biufO" else np.empty(0)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError.of(f"{what} holds no array of numbers: {error}", INSTEAD) from error
    if kind not in "biufO":
        raise ConfigError.of(f"{what} holds no array of numbers, but of {raw.dtype}", INSTEAD)
    if found.size and not (np.abs(found) <= MOST_LOAD).all():
        raise ConfigError.of(f"{what} holds loads above {MOST_LOAD:g}, or no numbers", INSTEAD)
    if found.ndim == 3:
        found = found.sum(axis=0)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise ConfigError.of(
            f"{what} holds an array of shape {found.shape}, which is no load of each expert of each layer",
            "write finite numbers of 0 or more, [layers, experts] or [passes, layers, experts]",
        )
    return found


def _text(what: str, counts: NDArray[np.float64]) -> str:
    layers = np.flatnonzero(counts.sum(axis=1) > 0).tolist()
    if not layers:
        raise ConfigError.of(f"{what}: no expert of any layer got a token", "record while the server answers")
    rows = (f"{layer},{expert},{load:.17g}" for layer in layers for expert, load in enumerate(counts[layer].tolist()))
    return "\n".join(["layer,expert,load", *rows]) + "\n"
