"""How far fixes are searched: numbers of tries, not seconds, so that the same mistake gives the same text everywhere."""

from __future__ import annotations

from dataclasses import dataclass  # noqa: TID251 - what changes while it works is not frozen

DEPTH = 4
"""Overrides, or sets of them, that may have to go together."""

FOUND = 16
"""Degrees of one search that are tried."""

WIDTH = 8
"""Problems of a trial that are mended in their turn."""

SHOWN = 3
"""Alternatives of a line."""

WEIGHED = 5
"""Those that compile, of which the ones with fewest warnings are shown; where a trial is dear, no more than are shown."""

DEAR = 60.0
"""A trial that takes this much of the budget, a fifth of a second."""

LONGER = 2
"""Overrides that an alternative may have more than the shortest."""

LOOKS = 300
"""Degrees that a search looks at."""

RANKS = 1000
"""Ranks that cost as much to lay out as the rest of a trial does."""


@dataclass
class Budget:
    """What may be tried for one compile, or for a whole sweep: 1 is a look at the declared rules, about 3 ms."""

    left: float = 800.0
