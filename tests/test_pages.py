"""Pages in a headless Chromium, opened from disk as a person does: what they ask for, hover, click, keyboard, print, and contrast.

Skipped where playwright is missing, or a Chromium: Debian's (`apt-get install chromium`), or another one in RANKPLAN_CHROMIUM. With
RANKPLAN_SHOTS, a folder, pictures of every page are left there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan, search
from compiler.diff import command as diff
from compiler.report import sections
from compiler.report.html import page
from compiler.report.verdict import answers
from tests.command import call
from tests.pooled_plans import ON, POOLS

FEW, MANY = 300_000, 1_500_000
"""Bytes of a page of up to 1,024 ranks, and of one of 16,384."""
CONTRAST = 4.5
"""The least of text (WCAG 2.2, AA)."""
TRAIN = [
    *("model=mixtral_8x7b", "parallel=tp2_cp2_pp4_adp8_ep4_etp1", "workload=train", "hardware=h100_80gb"),
    *("hardware.nodes=16", "workload.global_batch_size=128", "workload.recompute=full", "scheduler=[]"),
]
PLANS = {
    "plan": ["parallel=ep16_tp4_pp4_dp4"],
    "large": ["parallel=tp4_cp2_pp4_ep16_adp512", "hardware.nodes=2048", "workload.global_batch_size=2048"],
    "train": TRAIN,
    "pools": [*ON, POOLS],
}
SEARCH = [
    "parallel=auto",
    "framework=vllm",
    "model=qwen3_32b",
    "hardware=h200",
    "hardware.nodes=1",
    "search.name=found",
]
SWEEP = ["-m", "parallel=tp8_dp8,tp4_dp16,tp3", "model=llama3_1_8b", "hardware.nodes=8", "~expect", "scheduler=[]"]
CONTRASTS = """() => {
  const parts = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  let least = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title", "OPTION"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), inside = element.namespaceURI.endsWith("svg");
    const [a, b] = [light(parts(inside ? style.fill : style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < least[0]) least = [ratio, element.tagName + " " + element.textContent.trim().slice(0, 40)];
  }
  return least;
}"""
OUTSIDE = """() => {
  const right = document.documentElement.clientWidth;
  return Array.from(document.querySelectorAll("svg text")).filter((text) => {
    const box = text.getBoundingClientRect(), own = text.closest("svg").getBoundingClientRect();
    return box.left < own.left - 1 || box.right > own.right + 1 || box.right > right;
  }).map((text) => text.textContent);
}"""
OVERLAPPING = """() => Array.from(document.querySelectorAll("svg")).flatMap((svg) => {
  const boxes = Array.from(svg.querySelectorAll("text"), (text) => [text.getBoundingClientRect(), text.textContent]);
  return boxes.flatMap(([a, one], at) => boxes.slice(at + 1).filter(([b]) =>
    a.left + 1 < b.right && b.left + 1 < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom).map(([, two]) => one + " | " + two));
})"""
"""Texts that stand over each other."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    path = os.environ.get("RANKPLAN_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in RANKPLAN_CHROMIUM")
    with api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind."""
    place = tmp_path_factory.mktemp("pages")
    found = {name: place / f"{name}.html" for name in PLANS}
    for name, overrides in PLANS.items():
        plan = compile_plan(overrides)
        contents = plan.contents
        found[name].write_text(page(plan.name, answers(plan, contents), sections.of(plan, contents)), encoding="utf-8")
    runs = "degrees,tpot_s,tokens_per_s_per_gpu\ntp2,0.02,900\ntp4,0.03,1200\n"
    found["search"] = (
        search([*SEARCH, "search.tpot_s=0.05", f"search.measured='{runs}'"]).write(place)[1] / "report.html"
    )
    call(*SWEEP, "sweep=swept", f"out={place}", cwd=place)
    found["sweep"] = place / "sweeps" / "swept" / "report.html"
    found["diff"] = _compared(place)
    return found


def _compared(place: Path) -> Path:
    """A plan and one with ranks that move, and ranks that are new."""
    other = [*TRAIN, "parallel.adp=16", "hardware.nodes=32", "workload.recompute=selective"]
    sides = [compile_plan(overrides).write(place, name) for name, overrides in (("old", TRAIN), ("new", other))]
    file = place / "diff.html"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(diff, "say", lambda *lines: file.write_text("\n".join(lines), encoding="utf-8"))
        diff.run([*map(str, sides), "--html"])
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*PLANS, "search", "sweep", "diff"])
def test_a_page_opens_from_disk(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    file = pages[name]
    seen = browser.new_page(color_scheme=scheme, viewport={"width": 1180, "height": 1000})
    requests, said = list[str](), list[str]()
    seen.on("request", lambda request: requests.append(request.url))
    seen.on("console", lambda message: said.append(message.text))
    seen.on("pageerror", lambda error: said.append(str(error)))
    seen.goto(file.as_uri())
    assert requests == [file.as_uri()]
    assert file.stat().st_size < (MANY if name == "large" else FEW)
    for place in seen.query_selector_all("figure:has(svg.ranks)"):
        _used(seen, place)
    assert seen.evaluate(CONTRASTS)[0] >= CONTRAST, seen.evaluate(CONTRASTS)
    assert seen.evaluate(OUTSIDE) == []
    assert seen.evaluate(OVERLAPPING) == []
    if shots := os.environ.get("RANKPLAN_SHOTS"):
        seen.screenshot(path=Path(shots) / f"{name}-{scheme}.png", full_page=True)
    assert seen.pdf(format="A4").startswith(b"%PDF")
    assert said == []
    seen.close()


def _used(seen: Any, place: Any) -> None:
    """A grid by mouse and by keyboard."""
    cells, output = place.query_selector_all(".cells rect"), place.query_selector("output")
    cells[5].hover()
    assert output.inner_text().startswith("Rank ")
    assert place.query_selector(".cells .at")
    cells[7].click()
    kept = output.inner_text()
    assert kept.endswith("Kept.")
    cells[1].hover()
    assert output.inner_text() == kept
    seen.keyboard.press("Escape")
    assert output.inner_text() == "No rank is chosen."
    place.query_selector("svg.ranks").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
        seen.keyboard.press(key)
    assert output.inner_text().endswith("Kept.")
    kinds = place.query_selector("select")
    for index in range(len(kinds.query_selector_all("option"))):
        kinds.select_option(index=index)
        assert place.query_selector(".cells .at"), index


def test_it_is_read_without_scripts(browser: Any, pages: dict[str, Path]) -> None:
    seen = browser.new_context(java_script_enabled=False).new_page()
    seen.goto(pages["plan"].as_uri())
    assert seen.locator("svg.ranks .cells rect").count() == 1024
    assert not seen.locator("form").is_visible()
    assert seen.locator("h2").first.inner_text() == "What to look at"
