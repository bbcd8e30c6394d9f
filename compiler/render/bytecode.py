"""Compiled templates are kept where Python keeps compiled modules, so that a second run need not compile them again."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

from jinja2 import BytecodeCache, Environment  # noqa: TID253 - the engine imports this module when it needs jinja2
from jinja2.bccache import Bucket  # noqa: TID253 - same


class Beside(BytecodeCache):
    """`__pycache__/` beside a template, or below PYTHONPYCACHEPREFIX. jinja2 takes what was made of the same text by the same release
    alone; where nothing can be written, or Python is told to write nothing, templates are compiled each time.
    """

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        if filename is not None:  # what escapes its values is another program
            key = self.get_cache_key(name, filename)
            self.files[key] = Path(cache_from_source(f"{filename}{'.html' * bool(environment.autoescape)}"))
        return super().get_bucket(environment, name, filename, source)

    def load_bytecode(self, bucket: Bucket) -> None:
        path = self.files.get(bucket.key)
        if path is not None:
            with (
                suppress(OSError, EOFError, ValueError, TypeError),
                path.open("rb") as file,
            ):  # what marshal says of a broken one
                bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        path = self.files.get(bucket.key)
        if path is None or sys.dont_write_bytecode:
            return
        writing = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing.open("wb") as file:
                bucket.write_bytecode(file)
            writing.replace(path)  # in one step: others may read it
