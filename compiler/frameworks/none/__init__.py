"""No framework: the plan's own axes, in the order the user writes, and a command that knows what to do with a rank."""

from __future__ import annotations

from compiler.frameworks.adapter import Adapter, Empty
from compiler.specs.config import Config


class NoFramework(Adapter):
    """The plan's own rules; what computes is not known."""

    empty_stages = Empty.ENDS

    def widens(self, config: Config, precision: str) -> bool:
        return True


ADAPTER = NoFramework()
