"""No framework: the plan's own axes, in the order the user writes, and a command that knows what to do with a rank."""

from __future__ import annotations

from compiler.frameworks.adapter import Adapter

ADAPTER = Adapter()
