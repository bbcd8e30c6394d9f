"""Pages of plans in a headless Chromium, as a person uses them: what they ask for, hover, click, keyboard, print, and contrast.

    python -m benchmarks.pages [--chromium PATH] [--shots FOLDER]

Needs playwright and html5lib, and a Chromium: playwright's own, or another one by its path.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler import compile_plan
from compiler.report import sections
from compiler.report.html import page
from compiler.report.verdict import answers

LIMITS = {"few": 300_000, "many": 1_500_000}
"""Bytes of the page of 1,024 and of 16,384 ranks."""
CPU_S, CONTRAST = 0.3, 4.5
"""Seconds that a page of 1,024 ranks takes, and the least contrast of text (WCAG 2.2, AA)."""
TRAIN = [
    *("model=mixtral_8x7b", "parallel=tp2_cp2_pp4_adp8_ep4_etp1", "workload=train", "hardware=h100_80gb"),
    *("hardware.nodes=16", "workload.global_batch_size=128", "workload.recompute=full"),
]
POOLS = [
    *("model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=3"),
    "workload.pools={prefill: {parallel: tp4, instances: 4}, decode: {parallel: ep8}}",
]
PLANS = {
    "few": ["parallel=ep16_tp4_pp4_dp4"],
    "many": ["parallel=tp4_cp2_pp4_ep16_adp512", "hardware.nodes=2048", "workload.global_batch_size=2048"],
    "train": TRAIN,
    "pools": POOLS,
}

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


def main() -> int:
    """Print every figure; 1 where one is over its limit or something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--chromium", help="a Chromium to take in the place of playwright's own")
    parser.add_argument("--shots", type=Path, help="a folder for pictures of every page")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        bad = [text for name in PLANS for text in _tried(browser, name, Path(place), args.shots)]
        browser.close()
    print("wrong: " + "; ".join(bad) if bad else "every page is as it should be")
    return 1 if bad else 0


def _tried(browser: Any, name: str, place: Path, shots: Path | None) -> Iterator[str]:
    """What is wrong with a plan's page."""
    plan = compile_plan(PLANS[name])
    contents = plan.contents
    start = time.process_time()
    text = page(plan.name, answers(plan, contents), sections.of(plan, contents))
    spent, size = time.process_time() - start, len(text.encode())
    path = place / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    print(f"{name}: {size / 1000:.0f} kB, {spent:.3f} s CPU")
    if size > LIMITS.get(name, LIMITS["few"]) or (name == "few" and spent > CPU_S):
        yield f"{name} is too large or too slow"
    yield from (f"{name}: {error}" for error in _invalid(text))
    for scheme in ("light", "dark"):
        yield from (f"{name}, {scheme}: {found}" for found in _seen(browser, path, scheme, shots))


def _invalid(text: str) -> Iterator[str]:
    """What an HTML parser finds amiss."""
    import html5lib

    parser = html5lib.HTMLParser()
    parser.parse(text)
    yield from (f"{position}: {code}" for position, code, _ in parser.errors[:5])


def _seen(browser: Any, path: Path, scheme: str, shots: Path | None) -> Iterator[str]:
    seen = browser.new_page(color_scheme=scheme, viewport={"width": 1180, "height": 1000})
    requests, said = list[str](), list[str]()
    seen.on("request", lambda request: requests.append(request.url))
    seen.on("console", lambda message: said.append(message.text))
    seen.on("pageerror", lambda error: said.append(str(error)))
    seen.goto(path.as_uri())
    if requests != [path.as_uri()]:
        yield f"it asks for {requests[1:]}"
    if seen.query_selector("svg.ranks"):
        yield from _used(seen)
    ratio, where = seen.evaluate(CONTRASTS)
    print(f"  {scheme}: {len(requests) - 1} requests, least contrast {ratio:.2f}")
    if ratio < CONTRAST:
        yield f"contrast {ratio:.2f} of {where}"
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
        seen.screenshot(path=shots / f"{path.stem}-{scheme}.png", full_page=True)
    printed = seen.pdf(format="A4")
    if not printed.startswith(b"%PDF"):
        yield "it does not print"
    if said:
        yield f"the console says {said}"
    seen.close()


def _used(seen: Any) -> Iterator[str]:
    """The grid by mouse and by keyboard."""
    cells, output = seen.locator("svg.ranks .cells rect"), seen.locator("output")
    cells.nth(5).hover()
    if not output.inner_text().startswith("Rank ") or not seen.locator(".cells .on, .cells .at").count():
        yield "hover lights nothing"
    cells.nth(7).click()
    kept = output.inner_text()
    cells.nth(1).hover()
    if not kept.endswith("Kept.") or output.inner_text() != kept:
        yield "a click does not keep a rank"
    seen.keyboard.press("Escape")
    if output.inner_text() != "No rank is chosen.":
        yield "Escape does not let go"
    seen.locator("svg.ranks").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
        seen.keyboard.press(key)
    if not output.inner_text().endswith("Kept."):
        yield "the keyboard keeps no rank"
    for index in range(seen.locator("select option").count()):
        seen.locator("select").select_option(index=index)
        if not seen.locator(".cells .at").count():
            yield f"kind {index} of groups lights nothing"


if __name__ == "__main__":
    sys.exit(main())
