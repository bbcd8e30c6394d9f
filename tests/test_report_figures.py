"""Figures on pages of sweeps and searches: scales, limits, whiskers and fronts."""

from __future__ import annotations

from compiler.report.draw import svg
from compiler.report.figures import Heat, Point, Points
from compiler.report.told import Number
from tests.pages import Page, numbers


def test_a_matrix_is_on_a_logarithmic_scale() -> None:
    cells = tuple((row, row, Number("bytes", 10.0**row, f"x.{row}")) for row in range(9))
    heat = Heat(
        name="h", title="H", about="A", labels=tuple(map(str, range(9))), rows="from", columns="to", cells=cells
    )
    read = Page(svg(heat))
    drawn = [element.attributes["class"] for element in read.of("rect") if "data-plan" in element.attributes]
    assert drawn == ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s7"]
    assert [element.text for element in read.of("title")][8] == "8 to 8: 100 MB"


def test_points_have_limits_whiskers_and_a_front() -> None:
    at = [Number("step", value, f"x.{value}") for value in (1.0, 2.0)]
    points = (
        Point("a", at[0], at[1], (Number("low", 1.8), Number("high", 2.4, "x.high")), front=True),
        Point("run", at[1], at[0], measured=True),
    )
    figure = Points(name="p", title="P", about="A", x="step", y="rate", points=points, limits=(("limit", "x", 1.5),))
    read = Page(svg(figure))
    assert [element.text for element in read.of("title")] == ["run: step 2, rate 1", "a: step 1, rate 2 (1.8 to 2.4)"]
    assert "limit 1.5" in [element.text for element in read.of("text")]
    assert len([element for element in read.of("path") if element.attributes.get("class") == "whisker"]) == 1
    assert numbers(read) == [("x.2.0", "2.0"), ("x.1.0", "1.0"), ("x.1.0", "1.0"), ("x.2.0", "2.0"), ("x.high", "2.4")]
