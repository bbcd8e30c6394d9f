"""What Python and a notebook show of a plan, and the example of docs/, run cell by cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from compiler import compile_plan
from compiler.errors import ConfigError
from compiler.plan import Plan
from tests.command import ROOT
from tests.pages import Page, found, numbers
from tests.pooled_plans import ON, POOLS

NOTEBOOK = ROOT / "docs" / "example.ipynb"


def test_a_plan_says_in_a_line_what_it_is(strategy: Plan) -> None:
    said = repr(strategy)
    assert said.startswith(
        "<Plan moe_30b_ep16_tp4_pp4_dp4: fits: yes: 5.994 GB of 64 GB on the fullest rank (9.4%); prefill: TTFT "
    )
    assert "\n" not in said
    assert len(said) < 300
    assert repr(compile_plan([*ON, POOLS])).startswith(
        "<Plan qwen3_30b_a3b_prefill_tp4_x4_decode_ep8: prefill fits: yes"
    )


def test_a_notebook_shows_the_first_screen(strategy: Plan, strategy_folder: Path) -> None:
    read = Page(strategy._repr_html_())
    assert read.of("h1")[0].text == strategy.name
    assert [term.text for term in read.of("dt")][:2] == ["fits", "prefill"]
    assert all(str(found(strategy_folder, path)) == value for path, value in numbers(read))


def test_figures_are_svg_that_stands_alone(strategy: Plan) -> None:
    for name in ("ranks", "memory", "prefill", "decode"):
        figure = strategy.figure(name)
        root = ET.fromstring(figure._repr_svg_())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root[0].tag.endswith("style")
        assert len(root.findall(".//{*}rect")) > 4
        assert repr(figure).startswith(f"Svg({name}, ")
    with pytest.raises(ConfigError, match="has no figure 'memry' ; did you mean memory"):
        strategy.figure("memry")


def test_a_rank_map_is_a_table_of_pandas(strategy: Plan) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(strategy.rank_map)
    assert frame.shape == (1024, len(strategy.rank_map))
    assert list(frame.columns) == list(strategy.rank_map)
    assert frame.iloc[777].to_dict() == {name: column[777] for name, column in strategy.rank_map.items()}


def test_a_rank_map_is_a_mapping_and_does_not_change(strategy: Plan) -> None:
    ranks = strategy.rank_map
    assert dict(ranks).keys() == ranks.keys() == {**ranks}.keys()
    assert np.array_equal(dict(ranks)["pp"], ranks["pp"])
    assert ("pp" in ranks, "pq" in ranks, ranks.get("pq"), len(ranks)) == (True, False, None, 16)
    assert repr(ranks).startswith("RankMap(1,024 ranks: rank, slot, ")
    with pytest.raises(TypeError, match="does not change: pp"):
        ranks["pp"] = ranks["tp"]
    with pytest.raises(KeyError):
        ranks["pq"]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "it is kept without outputs"
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert list(Path("out").iterdir())
    assert len(names["frame"]) == 64
