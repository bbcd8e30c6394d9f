"""What must not enter a file: a kept set of shapes and names of secrets, and how a text is searched for them.

`shapes` are secrets that show by themselves, `names` say which variables and options hold one, `commands` are programs that
take one as an argument; `search` looks for all of them. A leaf: it knows nothing of the rest.
"""

from __future__ import annotations

from compiler.secrets.search import Found, first, named, redacted, shaped

__all__ = ["Found", "first", "named", "redacted", "shaped"]
