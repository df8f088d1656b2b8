// Links the charts of the explorer: one group is chosen at a time, and every chart shows its share
// among the chosen customers beside its share among all. SPEC and DATA stand before this.

const views = new Map();
const program = new Map();
let chosen = null;

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function sizeOf(dimension, place) {
  return dimension.sizes[place];
}

// The customers of each group among those chosen; null where they may not be shown.
function counts(dimension) {
  if (!chosen || chosen.key === dimension.key) return dimension.sizes;
  return DATA.pairs[chosen.key][dimension.key][chosen.place];
}

function rowsOf(dimension) {
  const numbers = counts(dimension);
  const own = chosen && chosen.key === dimension.key;
  const total = chosen && !own ? chosen.size : DATA.customers;
  const rows = dimension.groups.flatMap((label, place) => {
    if (dimension.sizes[place] === 0) return [];
    const number = numbers[place];
    const all = dimension.sizes[place];
    const share = number === null ? null : number / total;
    const whole = all === null ? null : all / DATA.customers;
    const said =
      number === null
        ? "too few to show"
        : `${number.toLocaleString("en")} customers, ${percent(share)} of those chosen`;
    return [{
      place, label, number, share: share ?? 0, whole: whole ?? 0, marked: whole !== null,
      faded: Boolean(own) && chosen.place !== place, says: `${label}: ${said}`,
    }];
  });
  const reach = Math.max(...rows.map((row) => Math.max(row.share, row.whole)), 1e-9);
  return rows.map((row) => ({ ...row, reach }));
}

function compiled(height) {
  if (!program.has(height)) {
    const spec = { ...SPEC, height };
    program.set(height, parse(compile(spec).spec, null, { ast: true }));
  }
  return program.get(height);
}

async function draw(dimension) {
  const rows = rowsOf(dimension);
  const place = document.getElementById(`chart-${dimension.key}`);
  const view = new View(compiled(20 * rows.length), {
    container: place, expr: expressionInterpreter, renderer: "svg", hover: true,
  });
  view.addEventListener("click", (_, item) => {
    const group = item && item.datum && item.datum.place;
    if (group !== undefined) choose(dimension, group);
  });
  views.set(dimension.key, view);
  await view.data("rows", rows).runAsync();
}

function cell(row, text, kind = "td") {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  made.append(text);
  row.append(made);
}

function numbersOf(dimension) {
  const body = document.querySelector(`#table-${dimension.key} tbody`);
  const focused = body.contains(document.activeElement) && document.activeElement.dataset.place;
  body.replaceChildren(...rowsOf(dimension).map((each) => {
    const row = document.createElement("tr");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.place = each.place;
    button.textContent = each.label;
    button.disabled = sizeOf(dimension, each.place) === null;
    const own = chosen && chosen.key === dimension.key && chosen.place === each.place;
    button.setAttribute("aria-pressed", String(Boolean(own)));
    button.addEventListener("click", () => choose(dimension, each.place));
    cell(row, button, "th");
    cell(row, each.number === null ? "too few to show" : each.number.toLocaleString("en"));
    cell(row, each.number === null ? "–" : percent(each.share));
    cell(row, each.marked ? percent(each.whole) : "–");
    return row;
  }));
  if (focused) {
    const again = body.querySelector(`button[data-place="${focused}"]`);
    if (again) again.focus();
  }
}

function said() {
  const whole = DATA.customers.toLocaleString("en");
  document.getElementById("clear").hidden = !chosen;
  document.getElementById("chosen").textContent = chosen
    ? `${chosen.size.toLocaleString("en")} of ${whole} customers. ${chosen.says}.`
    : `All ${whole} customers.`;
  const means = chosen ? chosen.means : DATA.all;
  document.querySelector("#averages tbody").replaceChildren(...DATA.averages.map((label, i) => {
    const row = document.createElement("tr");
    cell(row, label, "th");
    cell(row, means[i]);
    cell(row, DATA.all[i]);
    return row;
  }));
}

async function show() {
  said();
  for (const dimension of DATA.dimensions) {
    numbersOf(dimension);
    await views.get(dimension.key).data("rows", rowsOf(dimension)).runAsync();
  }
}

function choose(dimension, place) {
  const again = chosen && chosen.key === dimension.key && chosen.place === place;
  const size = sizeOf(dimension, place);
  if (!again && size === null) return;
  chosen = again ? null : {
    key: dimension.key, place, size, means: dimension.means[place],
    says: `${dimension.label}: ${dimension.groups[place]}`,
  };
  show();
}

document.getElementById("clear").addEventListener("click", () => { chosen = null; show(); });
for (const dimension of DATA.dimensions) {
  numbersOf(dimension);
  await draw(dimension);
}
said();
document.documentElement.dataset.drawn = "yes";
