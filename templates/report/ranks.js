"use strict";
for (const place of document.querySelectorAll("figure")) (function () {
  const figure = place.querySelector("svg.ranks");
  if (!figure) return;
  const form = place.querySelector("form.scripted"), output = place.querySelector("output.scripted");
  const select = form.querySelector("select");
  form.hidden = output.hidden = false;
  const cells = Array.from(figure.querySelectorAll(".cells rect"));
  const each = Number(figure.dataset.each), tiles = figure.dataset.tiles === "1", first = Number(figure.dataset.first);
  const runs = (text) => text ? text.split(",").map((run) => run.split(":").map(Number)) : [];
  const kinds = Array.from(select.options, (option) => {
    const [members, bases] = option.value.split("/").map(runs);
    return { name: option.dataset.kind, members, bases };
  });
  const grids = figure.dataset.axes.split("/").map((grid) => grid.split(",").map((axis) => axis.split(":")));
  const cellOf = (rank) => tiles ? Math.floor(rank / each) : rank;

  // A rank as digits of the runs' strides, the largest first; null where the runs do not reach it.
  function digits(rank, all) {
    const order = all.map((_, index) => index).filter((index) => all[index][0] > 1).sort((a, b) => all[b][1] - all[a][1]);
    const found = all.map(() => 0);
    for (const index of order) {
      found[index] = Math.min(Math.floor(rank / all[index][1]), all[index][0] - 1);
      rank -= found[index] * all[index][1];
    }
    return rank === 0 ? found : null;
  }
  function groupOf(rank, kind) {
    const found = digits(rank, kind.members.concat(kind.bases));
    if (!found) return null;
    let index = 0, weight = 1, base = 0;
    kind.bases.forEach(([size, stride], at) => {
      const digit = found[kind.members.length + at];
      index += digit * weight; weight *= size; base += digit * stride;
    });
    let ranks = [base];
    for (const [size, stride] of kind.members) {
      const more = [];
      for (let step = 0; step < size; step++) for (const rank of ranks) more.push(rank + step * stride);
      ranks = more;
    }
    return { index, ranks };
  }
  function coordinates(rank) {
    const seen = new Map();
    for (const grid of grids) {
      const own = new Map();
      for (const [name, size, stride] of grid) {
        const was = own.get(name) || [0, 1];
        own.set(name, [was[0] + Math.floor(rank / stride) % size * was[1], was[1] * Number(size)]);
      }
      own.forEach((value, name) => { if (!seen.has(name)) seen.set(name, value[0]); });
    }
    return Array.from(seen, ([name, value]) => name + " " + value).join(", ");
  }

  let kept = null, shown = null;
  function show(rank) {
    shown = rank;
    for (const cell of figure.querySelectorAll(".on, .at")) cell.classList.remove("on", "at");
    figure.classList.toggle("lit", rank !== null);
    if (rank === null) { output.textContent = "No rank is chosen."; return; }
    const kind = kinds[select.selectedIndex], own = groupOf(rank, kind);
    if (own) for (const member of own.ranks) cells[cellOf(member)].classList.add("on");
    cells[cellOf(rank)].classList.add("at");
    const groups = kinds.map((one) => [one.name, groupOf(rank, one)]).filter((pair) => pair[1]);
    const of = own ? kind.name + "/" + own.index + " has " + own.ranks.length + " ranks" : "it is in no group of " + kind.name;
    output.textContent = "Rank " + rank + " on slot " + (first + Math.floor(rank / each)) + ": " + coordinates(rank) + ". " + of +
      ". Groups: " + groups.map((pair) => pair[0] + "/" + pair[1].index).join(" ") + (rank === kept ? ". Kept." : "");
  }
  const rankOf = (cell) => { const at = cells.indexOf(cell); return at < 0 ? null : tiles ? at * each : at; };
  const keep = (rank) => { kept = rank === kept ? null : rank; show(rank); };
  const letGo = () => { kept = null; show(null); };
  figure.addEventListener("pointerover", (event) => { const rank = rankOf(event.target); if (rank !== null && kept === null) show(rank); });
  figure.addEventListener("pointerleave", () => { if (kept === null) show(null); });
  figure.addEventListener("click", (event) => { const rank = rankOf(event.target); if (rank !== null) keep(rank); });
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: tiles ? 1 : each, ArrowUp: tiles ? -1 : -each }[event.key];
    if (step) {
      const at = shown === null ? 0 : Math.max(0, Math.min(cells.length - 1, cellOf(shown) + step));
      kept = null;
      show(tiles ? at * each : at);
    } else if (event.key === "Enter" || event.key === " ") { if (shown !== null) keep(shown); } else if (event.key === "Escape") letGo();
    else return;
    event.preventDefault();
  });
  select.addEventListener("change", () => show(shown));
  form.querySelector("button").addEventListener("click", letGo);
})();
