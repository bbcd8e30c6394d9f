"""The page of a plan: its numbers are those of plan.json, it needs nothing else, and whatever a plan is called stays text."""

from __future__ import annotations

import csv
import json
import re
import time
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from compiler import compile_plan
from compiler.diff import command as diff
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.blocks import Section, Table
from compiler.report.html import is_page, page, words
from compiler.report.verdict import Answer, answers
from compiler.sweep_summary import finish
from tests.command import call
from tests.pages import Page, found, numbers
from tests.pooled_plans import ON, POOLS

TRAIN = [
    *("model=mixtral_8x7b", "parallel=tp2_cp2_pp4_adp8_ep4_etp1", "workload=train", "hardware=h100_80gb"),
    *("hardware.nodes=16", "workload.global_batch_size=128", "workload.recompute=full", "scheduler=[]"),
]
LOADS = "layer,expert,load\n" + "".join(
    f"{layer},{expert},{1 + expert % 7}\n" for layer in (0, 1) for expert in range(128)
)
CASES = {
    "serve": ["scheduler=[]"],
    "train": TRAIN,
    "pools": [*ON, POOLS],
    "loads": [
        *("model=qwen3_30b_a3b", "parallel=tp1_adp8_ep8", "hardware=h100_80gb", "hardware.nodes=1", "framework=sglang"),
        *("scheduler=[]", "framework.args=[--ep-num-redundant-experts,8]", "experts.load=@"),
    ],
}


@cache
def plan(case: str) -> Plan:
    with TemporaryDirectory() as place:
        loads = Path(place) / "loads.csv"
        loads.write_text(LOADS)
        return compile_plan([item.replace("@", str(loads)) for item in CASES[case]])


def html(of: Plan) -> str:
    return page(of.name, answers(of, of.contents), sections.of(of, of.contents))


@pytest.mark.parametrize("case", CASES)
def test_every_number_is_one_of_the_plan(case: str, tmp_path: Path) -> None:
    folder = plan(case).write(tmp_path)
    for file in folder.rglob("report.html"):
        said = numbers(Page(file.read_text(encoding="utf-8")))
        assert len(said) > 15
        assert [pair for pair in set(said) if str(found(file.parent, pair[0])) != pair[1]] == []


@pytest.mark.parametrize(
    ("case", "figures"),
    [
        ("serve", ["1,024 ranks", "Memory of", "Where prefill", "Where decode", "Traffic from", "Traffic from"]),
        ("train", ["128 ranks", "Memory of", "Where a step", "One step"]),
        ("pools", ["Memory of", "Where prefill", "Where decode"]),
        ("loads", ["8 ranks", "Memory of", "Where prefill", "Where decode", "Load of the busiest"]),
    ],
)
def test_its_figures_have_words_for_who_cannot_see_them(case: str, figures: list[str]) -> None:
    read = Page(html(plan(case)))
    drawn = [element.attributes for element in read.of("svg")]
    assert [label["aria-label"].startswith(start) for label, start in zip(drawn, figures, strict=True)] == [True] * len(
        drawn
    )
    assert all(attributes["role"] == "img" for attributes in drawn)
    titles = [element.text.strip() for element in read.of("h2")]
    assert len(set(titles)) == len(titles)
    assert len(read.of("h1")) == 1
    anchors = [element.attributes["id"] for element in read.all if "id" in element.attributes]
    assert len(set(anchors)) == len(anchors)
    assert {f"#{anchor}" for anchor in anchors} >= {element.attributes["href"] for element in read.of("a")}


@pytest.mark.parametrize("case", ["train", "pools", "loads"])
def test_it_is_valid_html(case: str) -> None:
    html5lib = pytest.importorskip("html5lib")
    parser = html5lib.HTMLParser()
    parser.parse(html(plan(case)))
    assert parser.errors == []


def test_the_answer_checks_and_claims_stand_first() -> None:
    read = Page(html(plan("serve")))
    assert [element.text for element in read.of("dt")] == ["fits", "prefill", "decode", "look at", "claims"]
    assert [element.text.strip() for element in read.of("h2")][:2] == ["What to look at", "Claims"]


def test_it_asks_for_nothing_and_runs_only_its_own_script() -> None:
    text = html(plan("train"))
    policy = next(m.attributes["content"] for m in Page(text).of("meta") if "http-equiv" in m.attributes)
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = [f"'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" for part in inline]
        assert f"{rule} {' '.join(digests)}" in policy
    assert policy.startswith("default-src 'none'; ")
    for element in Page(text).all:
        assert not {"src", "style", "onclick", "xlink:href"} & set(element.attributes)
        assert element.attributes.get("href", "#").startswith("#")


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\u2028`b` **c** & <d>"]
)
def test_a_hostile_name_stays_text(name: str) -> None:
    table = Table((name,), ((name,),))
    text = page(name, [Answer(name, name)], [Section(name, (name, table))])
    read = Page(text)
    assert len(read.of("script")) == 1
    assert not read.of("img")
    assert read.of("h1")[0].text == name
    assert read.of("td")[0].text == re.sub(r"\*\*|`", "", name)
    assert words("a `b` **c**").text == "a <code>b</code> <strong>c</strong>"


def test_the_script_reads_groups_as_the_plan_has_them() -> None:
    """The closed forms on the page, expanded here as the script does it."""
    of = plan("train")
    options = {element.attributes["data-kind"]: element.attributes["value"] for element in Page(html(of)).of("option")}
    assert list(options) == list(of.groups)
    for kind, closed in options.items():
        members, bases = (
            [tuple(map(int, run.split(":"))) for run in part.split(",") if run] for part in closed.split("/")
        )
        expanded = [[base + member for member in _sums(members)] for base in _sums(bases)]
        assert expanded == of.groups[kind].tolist()


def _sums(runs: list[tuple[int, ...]]) -> list[int]:
    ranks = [0]
    for size, stride in runs:
        ranks = [rank + step * stride for step in range(size) for rank in ranks]
    return ranks


def large(ranks: int) -> list[str]:
    degrees = f"parallel=tp4_cp2_pp4_ep16_adp{ranks // 32}"
    return [degrees, f"hardware.nodes={ranks // 8}", f"workload.global_batch_size={ranks // 8}", "scheduler=[]"]


@pytest.mark.parametrize(("ranks", "kilobytes", "squares"), [(1024, 300, 1024), (16384, 1500, 2048)])
def test_it_stays_small(ranks: int, kilobytes: int, squares: int) -> None:
    of = compile_plan(large(ranks))
    start = time.process_time()
    text = html(of)
    spent = time.process_time() - start
    assert len(text.encode()) < kilobytes * 1000
    assert spent < (0.3 if ranks == 1024 else 1.0)
    cells = text.split('class="cells"')[1].split("</g>")[0]
    assert cells.count("<rect") == squares


def test_it_can_be_left_out(tmp_path: Path) -> None:
    assert not (compile_plan([*CASES["serve"], "report.html=false"]).write(tmp_path) / "report.html").exists()


def test_a_sweep_has_a_page_of_its_plans(tmp_path: Path) -> None:
    given = ["-m", "parallel=tp8_dp8,tp4_dp16,tp3", "model=llama3_1_8b", "hardware.nodes=8", "~expect", "scheduler=[]"]
    ran = call(*given, "workload.sequence_lengths=[1024]", "sweep=mine", "--json", cwd=tmp_path)
    folder = tmp_path / "out" / "sweeps" / "mine"
    read = Page((folder / "report.html").read_text(encoding="utf-8"))
    table = list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))
    said = [(*path.removeprefix("summary.csv#").split("."), value) for path, value in numbers(read)]
    assert len(said) > 10
    assert [cell for cell in said if table[int(cell[0])][cell[1]] != cell[2]] == []
    assert [element.text.strip() for element in read.of("h2")] == ["What failed", "Plans"]
    told = json.loads(ran.out)
    assert (ran.code, [job["status"] for job in told["jobs"]]) == (1, ["ok", "ok", "3"])
    assert told["best"][0].startswith("best by throughput: llama3_1_8b_tp")


@pytest.mark.parametrize(("wanted", "there", "written"), [(True, "", True), (False, "", False), (True, "mine", False)])
def test_a_sweeps_page_is_named_where_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: bool, there: str, written: bool
) -> None:
    """Not under report.html=false, and not where a file of somebody's own stays."""
    page = tmp_path / "report.html"
    if there:
        page.write_text(there)
    row = {
        "job": "",
        "overrides": "parallel=tp3",
        "status": "3",
        "message": "no",
        "folder": str(tmp_path),
        "page": wanted,
    }
    assert finish([row, row], as_json=False) == 1
    assert capsys.readouterr().out.endswith("summary.csv, to be seen in report.html\n" if written else "summary.csv\n")
    assert (page.exists() and is_page(page)) == written
    assert not there or page.read_text() == there


def test_a_comparison_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = plan("train").write(tmp_path, "old")
    new = compile_plan([*TRAIN, "workload.micro_batch_size=2", "parallel.tp=4", "parallel.adp=4"]).write(
        tmp_path, "new"
    )
    assert diff.run([str(old), str(new), "--html"]) == 1
    read = Page(capsys.readouterr().out)
    assert read.of("h1")[0].text == f"{old} \N{RIGHTWARDS ARROW} {new}"
    assert read.of("dt")[0].text == "reshard"
    assert "torch DCP" in read.of("li")[0].text
    said = numbers(read)
    assert len(said) == 11
    assert [pair for pair in said if str(found(tmp_path, pair[0])) != pair[1]] == []
    assert diff.run([str(old), str(old), "--html"]) == 0
    assert [element.text for element in Page(capsys.readouterr().out).of("dt")] == ["identical", "what differs"]
