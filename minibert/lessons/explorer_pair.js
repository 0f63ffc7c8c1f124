// How the score of one pair of tokens comes about: products of numbers, their sum, the scale, the softmax of the row.
// `view`, `state`, `find`, `make` and the like are those of explorer.js, which comes last.

// ------------------------------------------------------------------------------------------ numbers

const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// What explorer_page.py has packed: whole numbers, and for each vector what they are multiplied by.
const unpacked = (packed) => packed && {
  numbers: new Int16Array(bytesOf(packed.numbers).buffer), scales: new Float32Array(bytesOf(packed.scales).buffer) };

function partsOf(parts) {
  if (parts === null) return null;
  const vectors = parts.vectors && Object.fromEntries(
    Object.entries(parts.vectors).map(([name, packed]) => [name, unpacked(packed)]));
  return { ...parts, vectors, norms: new Float32Array(bytesOf(parts.norms).buffer) };
}

function vectorOf({ numbers, scales }, at, size) {
  return Array.from(numbers.subarray(at * size, (at + 1) * size), (number) => number * scales[at]);
}

// So many decimals, or as many digits where these would show less; a true minus, and powers of ten as they are written.
function plainNumber(value, decimals = 3) {
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size >= 1e5 || size < 5e-4 ? size.toExponential(decimals).replace(/e\+?(.*)/, (_, power) => (
    `·10${[...power].map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign])).join("")}`))
    : size < 5 * 10 ** -decimals ? size.toPrecision(2) : size.toFixed(decimals);
  return value < 0 ? `−${text}` : text;
}

// ------------------------------------------------------------------------------------------ one pair

// The pair that is explained: the chosen one, or the framed word and the word that it is most connected with.
function pairShown() {
  if (state.pair) return state.pair;
  const allowed = others().filter((i) => !isHidden(...pair(i)));
  return allowed.length ? pair(allowed.reduce((best, i) => (glance(i) > glance(best) ? i : best))) : null;
}

const sum = (list) => list.reduce((total, number) => total + number, 0);

// One head: the scores of all pairs as a list of (Q · T), and the weights that the softmax makes of them. They are finer
// than the weights that the page is given in bytes.
function scored(first) {
  view.scored ??= [];
  return (view.scored[first] ??= (() => {
    const { vectors, size } = view.parts, { rows, columns } = view;
    const keys = columns.map((_, column) => vectorOf(vectors.keys, first * columns.length + column, size));
    const scores = [], weights = [];
    rows.forEach((from, row) => {
      const query = vectorOf(vectors.queries, first * rows.length + row, size);
      const bias = vectors.bias && vectorOf(vectors.bias, first * rows.length + row, columns.length);
      const own = keys.map((key, column) => {
        let total = 0;
        for (let d = 0; d < size; d++) total += query[d] * key[d];
        return total / Math.sqrt(size) + (bias ? bias[column] : 0);
      });
      const seen = columns.map((to) => !isHidden(from, to)), most = Math.max(...own.filter((_, column) => seen[column]));
      const powers = own.map((score, column) => (seen[column] ? Math.exp(score - most) : 0));
      const whole = sum(powers) || 1;
      scores.push(...own);
      weights.push(...powers.map((power) => power / whole));
    });
    return { scores, weights };
  })());
}

// As fine as the page has it.
function fineWeight(from, to, [layer, head]) {
  if (view.parts === null || view.parts.vectors === null) return weight(from, to, [layer, head]);
  const at = view.row.get(from) * view.columns.length + view.column.get(to);
  return scored(layer * view.heads + head).weights[at];
}

// Everything on the way from a query and a key to the weight.
function explain([from, to], [layer, head] = shownHead()) {
  const { vectors, size } = view.parts, first = layer * view.heads + head;
  const row = view.row.get(from), column = view.column.get(to), wide = view.columns.length;
  const query = vectorOf(vectors.queries, first * view.rows.length + row, size);
  const key = vectorOf(vectors.keys, first * wide + column, size);
  const products = query.map((number, d) => number * key[d]);
  const scores = scored(first).scores.slice(row * wide, (row + 1) * wide);
  const powers = scores.filter((_, other) => !isHidden(from, view.columns[other])).map(Math.exp);
  return {
    query, key, products, up: sum(products.filter((one) => one > 0)), down: sum(products.filter((one) => one < 0)),
    dot: sum(products), size, scaled: sum(products) / Math.sqrt(size), score: scores[column],
    bias: vectors.bias && scores[column] - sum(products) / Math.sqrt(size), hidden: isHidden(from, to),
    seen: powers.length, share: Math.exp(scores[column]), whole: sum(powers),
    weight: fineWeight(from, to, [layer, head]), norm: norm(to, [layer, head]),
  };
}

// ------------------------------------------------------------------------------------------ drawing

let explained = null, lit = 0; // what is shown; the dimension whose numbers are shown

function makePairs() {
  const option = (item) => make("option", { value: item }, `${item + 1}: ${view.items[item].token}`);
  find("asking").replaceChildren(...view.rows.map(option));
  find("asked").replaceChildren(...view.columns.map(option));
}

function drawPair() {
  const chosen = view.parts === null ? null : pairShown();
  find("pairs").hidden = chosen === null;
  if (chosen === null) return;
  const [from, to] = chosen, whole = view.parts.vectors !== null;
  [find("asking").value, find("asked").value] = chosen;
  find("sorted").checked = state.sorted;
  find("follow").hidden = state.pair === null;
  find("pair").replaceChildren(`Layer ${state.layer + 1}, head ${state.head + 1}: how much `, view.looking,
    ...quoted(from), " looks at ", ...(from === to ? ["itself"] : quoted(to)));
  find("lacking").hidden = whole;
  find("score").hidden = !whole;
  if (!whole) return;
  explained = explain(chosen);
  drawBars();
  drawSteps(from, to);
  find("rows").replaceChildren(...inOrder().map((d) => make("tr", {}, make("th", { scope: "row" }, `${d + 1}`),
    ...[explained.query[d], explained.key[d], explained.products[d]].map((number) => make("td", {}, plainNumber(number))))));
}

// The dimensions from left to right.
function inOrder() {
  const all = [...explained.products.keys()];
  return state.sorted ? all.sort((a, b) => explained.products[b] - explained.products[a]) : all;
}

function drawBars() {
  const { products, up, down } = explained, svg = find("bars");
  const draw = (tag, attributes) => {
    const shape = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    return shape;
  };
  const high = Math.max(0, ...products), deep = Math.min(0, ...products), unit = 100 / (high - deep || 1);
  svg.setAttribute("viewBox", `0 0 ${10 * products.length} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-label", `${products.length} products: the positive ones sum to ${plainNumber(up)}, ` +
    `the negative ones to ${plainNumber(down)}`);
  svg.replaceChildren(...inOrder().map((d, at) => draw("rect", { class: products[d] > 0 ? "up" : "down", "data-d": d,
    x: 10 * at + 1, width: 8, y: unit * (high - Math.max(0, products[d])), height: unit * Math.abs(products[d]),
    "vector-effect": "non-scaling-stroke" })),
    draw("line", { x1: 0, x2: 10 * products.length, y1: unit * high, y2: unit * high, "vector-effect": "non-scaling-stroke" }));
  light(products.reduce((best, one, d) => (Math.abs(one) > Math.abs(products[best]) ? d : best), 0));
}

// Show the numbers of one dimension.
function light(dimension) {
  lit = dimension;
  for (const bar of find("bars").querySelectorAll("rect")) bar.classList.toggle("lit", bar.dataset.d === `${lit}`);
  const [query, key, product] = [explained.query, explained.key, explained.products].map((list) => plainNumber(list[lit]));
  find("one").textContent = `Dimension ${lit + 1}: ${query} × ${key} = ${product}`;
}

function drawSteps(from, to) {
  const { up, down, dot, size, scaled, bias, score, seen, hidden, weight, share, whole, norm } = explained;
  const bold = (text, kind) => make("span", kind ? { class: kind } : {}, make("b", {}, text));
  const root = (size ** 0.5).toFixed(3);
  const power = make("sup", {}, plainNumber(score));
  const fraction = Number.isFinite(whole) && whole > 0
    ? ["e", power, ` / ${plainNumber(whole)} = ${plainNumber(share)} / ${plainNumber(whole)} = `]
    : ["e", power, " divided by the sum of all of these: "];
  const steps = [
    ["The sum q · k: ", bold(plainNumber(up), "up"), " − ", bold(plainNumber(Math.abs(down)), "down"), " = ", bold(plainNumber(dot))],
    [`Divided by √${size} = ${root}: `, bold(plainNumber(scaled))],
    ...(bias === null ? [] : [[`Plus ${plainNumber(bias)}${view.parts.from && ` for ${view.parts.from}`}: `, bold(plainNumber(score))]]),
    hidden ? ["A mask hides this pair: the softmax leaves the score out, and the weight is ", bold("0")]
      : [`Softmax over the ${seen} tokens of the row: `, ...fraction, bold(plainNumber(weight)), ", the weight"],
    [`Times ${plainNumber(norm)}, the length of what `, ...quoted(to), " adds at a weight of 1: ", bold(plainNumber(weight * norm)),
      ", the length of what is really added"],
  ];
  find("steps").replaceChildren(...steps.map((step) => make("li", {}, ...step)));
}

// ------------------------------------------------------------------------------------------ choosing

function watchPairs() {
  for (const name of ["asking", "asked"]) find(name).addEventListener("change", () => {
    choose({ pair: [Number(find("asking").value), Number(find("asked").value)] });
  });
  find("sorted").addEventListener("change", () => choose({ sorted: find("sorted").checked }));
  find("follow").addEventListener("click", () => { choose({ pair: null }); find("asking").focus(); });
  for (const event of ["pointermove", "pointerdown"]) find("bars").addEventListener(event, ({ clientX }) => {
    const { left, width } = find("bars").getBoundingClientRect(), list = inOrder();
    const at = Math.floor((clientX - left) / width * list.length);
    if (at in list) light(list[at]);
  });
}

// In a link: the places of the two tokens, counted from 1.
const pairWritten = () => (state.pair ? { pair: state.pair.map((item) => item + 1).join("-") } : {});
function pairRead(text) {
  const found = /^(\d{1,4})-(\d{1,4})$/.exec(text ?? "");
  const [from, to] = found ? [found[1] - 1, found[2] - 1] : [];
  return found && view.parts !== null && view.row.has(from) && view.column.has(to) ? [from, to] : null;
}
