"""The program that stands before prefill and decode and gives each request to a server of both."""

from __future__ import annotations

from compiler.frameworks.emission import Computed
from compiler.frozen import dataclass

PORT = 8000
"""Where it answers."""


@dataclass(frozen=True)
class Router:
    """`command` is a line of shell with places for both pools: {prefill} and {decode}, what stands for their servers, joined by
    `joint`, and {prefills} and {decodes}, how many there are. A server of a pool is `prefill` or `decode`, with places for its
    {url}, for its {address} without a scheme, and for {port}, a second one by which a server of decode finds one of prefill.
    """

    command: str
    prefill: str
    decode: str
    joint: str = " "
    second: Computed | None = None

    def server(self, role: str, scheme: str, address: str, before: int = 0) -> str:
        """One server; `before` are instances before this one on its node."""
        port = self.second.port + self.second.times * before if self.second else ""
        item = self.prefill if role == "prefill" else self.decode
        return item.format(url=f"{scheme}://{address}", address=address, port=port).strip()
