"""Slots to hosts: blocks of slots that talk to each other, whole within one NVLink domain, leaf or pod, as far as they fit.

Blocks are nested: those of the first size are made of those of the next. Each goes whole into the smallest part of the network
that holds it, the fullest of those that do; what fits nowhere is cut into its own blocks, as many as fit beside each other. So as
many blocks of every size stay whole as there is room for. Standard library only, Python 3.6 syntax.
"""

from typing import Dict, List, Optional, Sequence, Tuple

Path = Tuple[str, ...]  # where a host hangs, from the core to its NVLink domain


class Part:
    """A part of the network: parts below it, or hosts."""

    def __init__(self, depth: int, above: Optional["Part"] = None) -> None:
        self.depth, self.above = depth, above
        self.below: Dict[str, "Part"] = {}
        self.hosts: List[str] = []
        self.known: Dict[int, List["Part"]] = {}
        self.free = 0

    def add(self, host: str, path: Path) -> None:
        self.free += 1
        if self.depth == len(path):
            self.hosts.append(host)
        else:
            self.below.setdefault(path[self.depth], Part(self.depth + 1, self)).add(host, path)

    def parts(self, depth: int) -> List["Part"]:
        """Parts of a depth within this one, in order."""
        if depth == self.depth:
            return [self]
        if depth not in self.known:
            self.known[depth] = [part for below in self.below.values() for part in below.parts(depth)]
        return self.known[depth]


class Packing:
    """Hosts that are still free, and those that slots have got; `sizes` end with 1."""

    def __init__(self, places: Sequence[Tuple[str, Path]], sizes: Sequence[int]) -> None:
        self.root, self.depth, self.sizes = Part(0), len(places[0][1]), sizes
        for host, path in places:
            self.root.add(host, path)
        self.taken: List[str] = []
        self.homes = [self.home(size) for size in sizes]

    def home(self, size: int) -> int:
        """The depth of the smallest parts of which some hold a whole block."""
        for depth in range(self.depth, 0, -1):
            if any(part.free >= size for part in self.root.parts(depth)):
                return depth
        return 0

    def place(self, at: int, scope: Part) -> None:
        """A block of the size number `at` within a part that has room for it."""
        for depth in range(max(self.homes[at], scope.depth), scope.depth, -1):
            found = self.tightest(scope.parts(depth), at)
            if found is not None:
                self.fill(at, found)
                return
        self.fill(at, scope)

    def tightest(self, parts: List[Part], at: int) -> Optional[Part]:
        """Of those with room for a block the one with the least, before it those that hold its own blocks whole."""
        size, inner = self.sizes[at], min(at + 1, len(self.sizes) - 1)
        fitting = [part for part in parts if part.free >= size]
        if not fitting:
            return None
        return min(fitting, key=lambda part: (self.whole(part, inner) * self.sizes[inner] < size, part.free))

    def whole(self, part: Part, at: int) -> int:
        """Blocks of a size that a part holds whole where they belong."""
        depth = max(self.homes[at], part.depth)
        return sum(below.free // self.sizes[at] for below in part.parts(depth))

    def fill(self, at: int, part: Part) -> None:
        """A block into a part of which no smaller one holds it."""
        size = self.sizes[at]
        if part.depth == self.depth:
            self.take(part, size)
        elif at + 1 == len(self.sizes):
            self.place(at, part)
        else:
            self.spread(at + 1, size // self.sizes[at + 1], part)

    def spread(self, at: int, count: int, part: Part) -> None:
        """So many blocks over the parts below, on few of them; those that none holds are cut in their turn."""
        while count:
            room = [(self.whole(below, at), below) for below in part.below.values()]
            most, below = chosen(room, count)
            if not most:
                break
            for _ in range(min(most, count)):
                self.place(at, below)
                count -= 1
        for _ in range(count):
            self.place(at, part)

    def take(self, part: Part, count: int) -> None:
        """The next hosts of a part without parts."""
        self.taken += part.hosts[:count]
        del part.hosts[:count]
        above: Optional[Part] = part
        while above is not None:
            above.free -= count
            above = above.above


def chosen(room: List[Tuple[int, Part]], count: int) -> Tuple[int, Part]:
    """Where to begin with `count` blocks: the part with the least room for all; else the smaller of two that hold them together
    and leave the least; else the largest.
    """
    enough = [pair for pair in room if pair[0] >= count]
    if enough:
        return min(enough, key=lambda pair: (pair[0], pair[1].free))
    first: Dict[int, List[Part]] = {}
    for fitting, below in room:
        if fitting:
            first.setdefault(fitting, []).append(below)
    pairs = [
        (one + two, one)
        for one in first
        for two in first
        if one + two >= count and (one < two or (one == two and len(first[one]) > 1))
    ]
    most = min(pairs)[1] if pairs else max(fitting for fitting, _ in room)
    return next(pair for pair in room if pair[0] == most)


def pack(places: Sequence[Tuple[str, Path]], sizes: Sequence[int], count: int) -> List[str]:
    """The host of each of `count` slots, blocks of the first size one after the other. `places`: hosts in their order with where
    they hang, of one depth; at least `count`. What is left of the last block is placed by blocks of the other sizes.
    """
    packing = Packing(places, [*sizes, 1])
    for at, size in enumerate(packing.sizes):
        for _ in range((count - len(packing.taken)) // size):
            packing.place(at, packing.root)
    return packing.taken
