"""`traffic.npz`: who sends how much to whom, and what goes over every link, by phase; whole bytes.

`<phase>.ranks` and `<phase>.leaves` are sparse matrices in the form of scipy (`scipy.sparse.csr_matrix((data, indices, indptr), shape)`),
rows send and columns receive. `<phase>.kinds` names the rows of `<phase>.<link>.out` and `.in`, bytes out of and into each link.
The archive holds no times and is not compressed, so that the same plan gives the same bytes wherever it is written.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.layout.grid import Ranks
from compiler.traffic.pairs import pairs
from compiler.traffic.places import Places
from compiler.traffic.streams import Stream, streams
from compiler.traffic.totals import Traffic

RANK_LIMIT = 65536
"""Ranks of a plan that has such a file; the totals of `plan.json` are those of any."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def archive(found: Traffic) -> bytes:
    """The file."""
    arrays = dict(_arrays(found))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, values in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(values), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), part.getvalue())
    return content.getvalue()


def _arrays(found: Traffic) -> Iterator[tuple[str, NDArray[Any]]]:
    for phase in streams(found.places.world):
        carried = [item for item in found.carried if item.phase == phase]
        yield f"{phase}.kinds", np.array([item.kind for item in carried], dtype="U16")
        for link in found.links:
            both = [link.carried(item.crossing) for item in carried]
            for way, end in (("out", 0), ("in", 1)):
                rows = [ends[end] for ends in both]
                yield f"{phase}.{link.kind}.{way}", _whole(np.reshape(rows, (len(rows), len(link.bandwidth))))
        for name, matrix in found.matrices.get(phase, {}).items():
            yield from ((f"{phase}.{name}.{key}", values) for key, values in matrix.items())


def between_leaves(found: Traffic) -> Iterator[tuple[str, list[tuple[int, int, int]]]]:
    """Of each phase the leaves that send, those that receive, and the bytes, as the file has them; what is nothing is left out."""
    for phase, matrices in found.matrices.items():
        part = matrices["leaves"]
        row = np.repeat(np.arange(len(part["indptr"]) - 1), np.diff(part["indptr"]))
        yield phase, list(zip(row.tolist(), part["indices"].tolist(), part["data"].tolist(), strict=True))


def matrices(each: tuple[Stream, ...], places: Places) -> dict[str, dict[str, NDArray[Any]]]:
    """Of ranks and of leaves."""
    count = len(places.world.slots.leaf_names)
    made = [part for stream in each for part in pairs(stream, places.table(stream.kind), places.stage, places.domain)]
    source, target, sent = (np.concatenate(parts) for parts in zip(*made, strict=True))
    ranks = _summed(source * places.ranks + target, sent)
    source, target = np.divmod(ranks[0], places.ranks)
    leaves = _summed(places.leaf[source] * count + places.leaf[target], ranks[1])
    return {"ranks": sparse(*ranks, places.ranks), "leaves": sparse(*leaves, count)}


def _summed(key: Ranks, sent: Array) -> tuple[Ranks, Array]:
    """Bytes of each different key, ascending."""
    keys, inverse = np.unique(key, return_inverse=True)
    return keys, array(np.bincount(inverse.ravel(), weights=sent))


def sparse(keys: Ranks, sent: Array, size: int) -> dict[str, NDArray[Any]]:
    """A square matrix by rows; `keys` are row * size + column, ascending."""
    kept = sent > 0
    row, column = np.divmod(keys[kept], size)
    return {
        "data": _whole(sent[kept]),
        "indices": column.astype(np.int32),
        "indptr": np.append(0, np.cumsum(np.bincount(row, minlength=size))).astype(np.int32),
        "shape": np.array([size, size], dtype=np.int64),
    }


def _whole(sent: Array) -> NDArray[np.int64]:
    return np.rint(sent).astype(np.int64)
