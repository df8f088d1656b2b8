// Draws the charts of a page, and lets all of them follow a selection.
//
// The server counts: a selection is an address, and the page at that address holds its counts. So
// every link works without this script; with it, only what changes is replaced.

import { View, compile, expressionInterpreter, parse } from "./vega.min.js";

const drawn = new Map();
const compiled = new Map();

function specification(page, id) {
  const holder = page.getElementById(`spec-${id}`);
  return holder && JSON.parse(holder.textContent);
}

async function draw(place) {
  const id = place.dataset.chart;
  const spec = specification(document, id);
  const rows = spec.datasets.rows;
  const view = new View(program({ ...spec, datasets: { rows: [] } }), {
    container: place,
    expr: expressionInterpreter,
    renderer: "svg",
    hover: true,
  });
  view.addEventListener("click", (_, item) => choose(id, item));
  drawn.set(id, view);
  await view.data("rows", rows).runAsync();
}

// Charts that differ in their rows alone are compiled once.
function program(spec) {
  const key = JSON.stringify(spec);
  if (!compiled.has(key)) {
    // The interpreter needs no eval, which the page's security policy forbids.
    compiled.set(key, parse(compile(spec).spec, null, { ast: true }));
  }
  return compiled.get(key);
}

function choose(id, item) {
  const group = item && item.datum && item.datum.group;
  const table = document.getElementById(`table-${id}`);
  if (group === undefined || !table) return;
  const link = [...table.querySelectorAll("a[data-group]")].find(
    (each) => each.dataset.group === group,
  );
  if (link) follow(link.href, true);
}

let asked = 0;

async function follow(address, remember) {
  asked += 1;
  const turn = asked;
  document.body.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    const text = await answer.text();
    if (turn !== asked) return;
    if (!answer.ok || answer.redirected) {
      location.assign(address);
      return;
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    if (remember) history.pushState(null, "", address);
    replace(page);
    await redraw(page);
  } finally {
    if (turn === asked) document.body.removeAttribute("aria-busy");
  }
}

function replace(page) {
  const focused = document.activeElement && document.activeElement.dataset.group;
  const within = document.activeElement && document.activeElement.closest("[data-live]");
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) old.replaceChildren(...document.adoptNode(fresh).childNodes);
  }
  if (focused !== undefined && within) {
    const again = [...within.querySelectorAll("a[data-group]")].find(
      (each) => each.dataset.group === focused,
    );
    if (again) again.focus();
  }
}

async function redraw(page) {
  for (const [id, view] of drawn) {
    const spec = specification(page, id);
    if (spec) await view.data("rows", spec.datasets.rows).runAsync();
  }
}

document.addEventListener("click", (event) => {
  const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey);
  const link = plain && event.target.closest("a[data-select]");
  if (!link) return;
  event.preventDefault();
  follow(link.href, true);
});
addEventListener("popstate", () => follow(location.href, false));

for (const place of document.querySelectorAll("[data-chart]")) await draw(place);
document.documentElement.dataset.drawn = "yes";
