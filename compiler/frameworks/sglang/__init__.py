"""SGLang: a stage of one width, cut for attention into tp, cp and dp, and for experts into tp, ep and dp."""

from __future__ import annotations

from compiler.frameworks.sglang.layout import SglangAdapter

ADAPTER = SglangAdapter()
