"""A timeline: a lane a stage, what is idle hatched. Of a long step the beginning and the end are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from compiler.report.draw.scale import WIDTH, Scale, color, legend, said
from compiler.report.figures import Lanes, Piece
from compiler.report.told import marks

LANE, TOP, LEFT = 22, 8, 64
MOST = 1600
"""Pieces that are drawn."""
NAMED = 500
"""Pieces that say what they are."""
KINDS = {
    "F": "forward",
    "B": "backward",
    "FB": "forward beside backward",
    "I": "backward: inputs",
    "W": "backward: weights",
    "R": "more of the same",
}
"""Of pieces, in the order of the legend."""


class Window(NamedTuple):
    """A part of the step: the scale's values are its beginning and end, its positions are where they are drawn."""

    scale: Scale

    def holds(self, piece: Piece) -> bool:
        return piece.end_s > self.scale.low and piece.start_s < self.scale.high

    def box(self, start: float, end: float) -> tuple[float, float]:
        """Start and width, cut at the window's ends."""
        first, last = (self.scale(min(max(value, self.scale.low), self.scale.high)) for value in (start, end))
        return first, round(last - first, 2)


def drawn(figure: Lanes) -> dict[str, Any]:
    """Where everything is."""
    end = figure.whole.value or figure.pipeline_s
    cut = _cut([pieces for _, pieces in figure.lanes])
    windows = _windows(end, cut)
    pieces = [list(_pieces(own, windows)) for _, own in figure.lanes]
    kinds = list(dict.fromkeys(piece.kind for _, own in figure.lanes for piece in own))
    names = [KINDS[kind] for kind in KINDS if kind in kinds]
    tail = list(_tail(figure, windows[-1], len(names)))
    bottom = TOP + LANE * len(figure.lanes)
    keys = [(color(index), name) for index, name in enumerate(names)]
    keys += [(part["color"], part["name"]) for part in tail]
    placed, height = legend(keys, bottom + 34)
    shown = sum(map(len, pieces))
    return {
        "height": height,
        "bottom": bottom,
        "lanes": [
            {
                "label": label,
                "y": TOP + LANE * index,
                "idle": [window.box(0, figure.pipeline_s) for window in windows],
                "pieces": [(*box, color(names.index(KINDS[kind])), said) for box, kind, said in own],
            }
            for index, ((label, _), own) in enumerate(zip(figure.lanes, pieces, strict=True))
        ],
        "named": shown <= NAMED,
        "tail": tail,
        "ticks": [tick for window in windows for tick in window.scale.ticks("seconds")],
        "cut": None
        if cut is None
        else {"x": windows[0].scale.end, "said": f"{said(cut[1] - cut[0], 'seconds')} not drawn"},
        "legend": placed,
        "whole": said(figure.whole.value, "seconds"),
        "marks": marks(figure.whole.of),
    }


def _cut(lanes: Sequence[Sequence[Piece]]) -> tuple[float, float] | None:
    """What is left out of the middle, where there is too much to draw."""
    if sum(map(len, lanes)) <= MOST:
        return None
    each = max(2, MOST // (2 * len(lanes)))
    start = min(lane[min(each, len(lane)) - 1].end_s for lane in lanes)
    end = max(lane[-min(each, len(lane))].start_s for lane in lanes)
    return (start, end) if end > start else None


def _windows(end: float, cut: tuple[float, float] | None) -> list[Window]:
    right = WIDTH - 8
    if cut is None:
        return [Window(Scale(0, end, LEFT, right))]
    first, last = cut[0], end - cut[1]
    middle = LEFT + (right - LEFT - 30) * first / (first + last)
    return [Window(Scale(0, cut[0], LEFT, middle)), Window(Scale(cut[1], end, middle + 30, right))]


def _pieces(own: Sequence[Piece], windows: Sequence[Window]) -> Iterator[tuple[tuple[float, float], str, str]]:
    for window in windows:
        for piece in own:
            if window.holds(piece):
                about = f"{KINDS[piece.kind]}, {piece.label}: {said(piece.start_s, 'seconds')} to {said(piece.end_s, 'seconds')}"
                yield window.box(piece.start_s, piece.end_s), piece.kind, about


def _tail(figure: Lanes, window: Window, kinds: int) -> Iterator[dict[str, Any]]:
    at = figure.pipeline_s
    for index, part in enumerate(figure.tail):
        if part.value:
            x, width = window.box(at, at + part.value)
            about = f"{part.name}: {said(part.value, 'seconds')}"
            yield {
                "x": x,
                "width": width,
                "color": color(kinds + index),
                "name": part.name,
                "said": about,
                "marks": marks(part.of),
            }
            at += part.value
