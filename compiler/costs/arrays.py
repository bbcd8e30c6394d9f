"""Arrays of costs: always floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def array(value: Any) -> Array:
    """A float array, so that products of large counts cannot wrap around."""
    return np.asarray(value, dtype=np.float64)


def ceil_div(amount: Array | float, parts: Array | float) -> Array:
    """The largest share of `amount` things dealt out to `parts`."""
    return np.ceil(array(amount) / parts)
