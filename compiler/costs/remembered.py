"""What follows from a model alone is worked out once for all plans of a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from compiler.specs.model import Model

P = ParamSpec("P")
T = TypeVar("T")

MOST = 4096
"""Answers that are kept: a few for each split of layers into stages."""


def remembered(own: Callable[Concatenate[Model, P], T]) -> Callable[Concatenate[Model, P], T]:
    """The function, which answers at once what it was asked of the same model before. Models are frozen and have no hash: the last one is
    told by its identity; one that notes what is read (`searches.watched`) is always asked.
    """
    last: list[Model] = []
    known: dict[tuple[Any, ...], T] = {}

    @wraps(own)
    def asked(model: Model, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if type(model) is not Model:
            return own(model, *args, **kwargs)
        if not last or last[0] is not model or len(known) > MOST:
            last[:] = [model]
            known.clear()
        key = (*args, *kwargs.items())
        if key not in known:
            known[key] = own(model, *args, **kwargs)
        return known[key]

    return cast("Callable[Concatenate[Model, P], T]", asked)
