const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data").textContent);

// An item is a token on the page. In a view some items look (they have a row in the maps), some are looked at (they
// have a column), most are both.
const views = data.views.map((view) => {
  const items = view.words.flatMap((words, group) => words.tokens.map((token, i) => (
    { token, group, special: words.texts[i] === null, order: words.order[i], next: words.next[i],
      guesses: words.guesses?.[i] })));
  const placed = (list) => new Map(list.map((item, at) => [item, at]));
  return { ...view, items, everyone: [...items.keys()], row: placed(view.rows), column: placed(view.columns),
    bytes: bytesOf(view.weights), parts: partsOf(view.parts) }; // bytes: (L, H, Q, T)
});
let view = views[0];

// What is shown. Numbers count from 0 here, and from 1 where a reader sees them.
// weighted: each weight times the length of what it adds. pair: the two tokens whose score is shown, null for the framed
// word and its strongest. sorted: the bars of the pair.
const state = { layer: data.start[0] - 1, head: data.start[1] - 1, word: 0, from: true, places: view.everyone,
  weighted: false, pair: null, sorted: false };

const shownHead = () => [state.layer, state.head];
let held = null; // the layer and the head that are kept for comparison

// The framed word looks, or is looked at: as chosen, if it can do both.
const looks = () => view.row.has(state.word) && (state.from || !view.column.has(state.word));
const rowsShown = () => state.places.filter((item) => view.row.has(item));
const columnsShown = () => state.places.filter((item) => view.column.has(item));
const others = () => (looks() ? columnsShown() : rowsShown());

// ------------------------------------------------------------------------------- what is made once for each view

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

let words = [], thumbnails = [], rightToLeft = false;

function makeWords() {
  words = view.items.map(({ token, order, next, guesses }) => {
    const box = make("b", { dir: "auto" });
    box.textContent = token;
    const above = order !== undefined ? [make("sub", { title: "its number in the order" }, `${order + 1}`)]
      : next !== undefined ? [make("sub", { title: "what is written next" }, "→\u00a0", make("bdi", {}, next))] : [];
    return make("button", { type: "button", class: "word", role: "radio" }, ...above, box,
      make("small", { "aria-hidden": "true" }), ...(guesses ? [listOf(guesses)] : []));
  });
  find("words").replaceChildren(...words);
  view.words.forEach(({ name, texts }, group) => {
    const first = view.items.findIndex((item) => item.group === group);
    if (name) words[first].before(make("span", {}, name));
    const second = texts.indexOf(1); // the second text begins on a new line
    if (second >= 0) words[first + second].before(make("i"));
  });
  // A text runs in the direction of its first letter; words in other scripts keep their own direction.
  const written = view.items.filter(({ special }) => !special).map(({ token }) => token).join("");
  const firstLetter = written.match(/\p{L}/u);
  rightToLeft = firstLetter !== null && /[\u0590-\u08FF\uFB1D-\uFEFC]/.test(firstLetter[0]);
  find("words").dir = rightToLeft ? "rtl" : "ltr";
  words.forEach((word, i) => {
    word.addEventListener("pointerenter", () => chooseWord(i));
    word.addEventListener("click", () => chooseWord(i));
  });
}

// Guessed words with their probabilities, a line for each.
function listOf(guesses) {
  return make("span", { class: "guesses" }, ...guesses.flatMap(([word, share]) => {
    const bar = make("span", { class: "share" });
    bar.style.backgroundSize = `${100 * share}% 100%`;
    return [make("bdi", {}, word), bar, make("span", { class: "number" }, percent(share))];
  }));
}

function makeHeads() {
  const { layers, heads } = view;
  thumbnails = [];
  find("heads").style.gridTemplateColumns = `auto repeat(${heads}, minmax(22px, 1fr))`;
  find("heads").style.maxWidth = `${4 + heads * 3.2}rem`;
  const heading = make("div", { role: "row" }, make("span", { role: "columnheader" }, "head"));
  for (let head = 0; head < heads; head++) heading.append(make("span", { role: "columnheader" }, `${head + 1}`));
  find("heads").replaceChildren(heading);
  for (let layer = 0; layer < layers; layer++) {
    const label = make("span", { role: "rowheader" }, make("span", { class: "wide" }, "layer\u00a0"), `${layer + 1}`);
    const row = make("div", { role: "row" }, label);
    for (let head = 0; head < heads; head++) {
      const name = `layer ${layer + 1}, head ${head + 1}`;
      const cell = make("div", { role: "gridcell", class: "head", "aria-label": name, title: name }, make("canvas"));
      thumbnails.push(cell);
      row.append(cell);
    }
    find("heads").append(row);
  }
  thumbnails.forEach((cell, number) => cell.addEventListener("click", () => chooseHead(number)));
}

function describe() {
  find("note").textContent = view.note;
  find("guessed").textContent = view.words.map(({ guessed }) => guessed).find(Boolean) ?? "";
  const order = view.everyone.filter((item) => view.items[item].order !== undefined);
  order.sort((a, b) => view.items[a].order - view.items[b].order);
  find("order").replaceChildren(...order.flatMap((item, at) => [
    at === 0 ? "The order: " : " · ", make("bdi", {}, view.items[item].token)]));
  find("masked").hidden = view.hidden === null;
  const special = view.items.filter((item) => item.special);
  find("special").textContent = [...new Set(special.map(({ token }) => token))].join(" and ") || "the special tokens";
  find("without").disabled = special.length === 0 || special.length === view.items.length;
}

// ------------------------------------------------------------------------------------------ drawing

// One head as a picture, a dot for each weight. With room for only `most` dots a side, each dot shows the largest of
// its weights, so that a thin line does not fade.
function paint(canvas, layer, head, most) {
  const [rows, columns] = [rowsShown(), columnsShown()];
  const [high, wide] = [rows, columns].map((list) => Math.min(most, list.length));
  Object.assign(canvas, { width: Math.max(wide, 1), height: Math.max(high, 1) });
  if (!high || !wide) return;
  const peaks = new Float32Array(high * wide);
  rows.forEach((from, row) => columns.forEach((to, column) => {
    const at = Math.floor(row * high / rows.length) * wide + Math.floor(column * wide / columns.length);
    peaks[at] = Math.max(peaks[at], strength(from, to, [layer, head]));
  }));
  const image = new ImageData(wide, high);
  peaks.forEach((peak, at) => image.data.set([...COLOURS[Math.round(255 * peak)], 255], 4 * at));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const drawThumbnails = () => thumbnails.forEach((cell, number) =>
  paint(cell.firstChild, Math.floor(number / view.heads), number % view.heads, 36));

function drawWords() {
  const seen = new Set(others());
  words.forEach((word, i) => {
    const value = seen.has(i) ? glance(i) : 0; // how strong
    const [box, number] = [word.querySelector("b"), word.querySelector("small")];
    word.hidden = !state.places.includes(i);
    word.toggleAttribute("data-hidden", seen.has(i) && isHidden(...pair(i)));
    word.setAttribute("aria-checked", i === state.word);
    word.tabIndex = i === state.word ? 0 : -1;
    box.style.background = colour(value);
    box.style.color = inkOn(value);
    number.textContent = value >= NUMBERED ? shownNumber(...pair(i)) : "";
  });
  drawArcs();
}

// Lines from the framed word to the others, thicker for larger weights. In one text they pass behind the words, above
// their tops; between two they go straight from the one to the other.
function drawArcs() {
  const svg = find("arcs");
  const frame = svg.getBoundingClientRect();
  const spot = (i, below) => {
    const box = (below ? words[i].querySelector("small") : words[i].firstChild).getBoundingClientRect();
    return [(box.left + box.right) / 2 - frame.left, (below ? box.bottom : box.top) - frame.top];
  };
  const group = (i) => view.items[i].group;
  svg.replaceChildren(...others().filter((i) => i !== state.word && glance(i) >= NUMBERED).map((i) => {
    const [x, y] = spot(state.word, group(state.word) < group(i));
    const [toX, toY] = spot(i, group(i) < group(state.word));
    const rise = group(i) === group(state.word) ? [-1, -1].map((up) => up * Math.min(44, 14 + Math.abs(toX - x) / 8))
      : [(toY - y) / 2, (y - toY) / 2];
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", `M${x},${y} C${x},${y + rise[0]} ${toX},${toY + rise[1]} ${toX},${toY}`);
    path.style.strokeWidth = `${Math.max(1, 9 * glance(i))}px`;
    return path;
  }));
}

const plain = make("canvas"); // the map before it is enlarged

function drawMap(name = "map", which = shownHead()) {
  const [rows, columns] = [rowsShown(), columnsShown()];
  const canvas = find(name), pen = canvas.getContext("2d");
  const font = (bold) => `${bold ? "bold " : ""}12px system-ui, sans-serif`;
  pen.font = font(true);
  const token = (i) => view.items[i].token;
  const room = (list) => Math.ceil(8 + Math.min(96, Math.max(0, ...list.map((i) => pen.measureText(token(i)).width))));
  const label = room(rows), above = room(columns);
  const high = Math.ceil(0.87 * above) + 8, over = 0.5 * above; // column labels are turned by 60 degrees
  const cell = Math.max(13, Math.min(32, Math.floor((canvas.parentElement.clientWidth - 8 - label - over) / columns.length)));
  const across = cell * columns.length, down = cell * rows.length;
  const dots = window.devicePixelRatio || 1;
  const [width, height] = [label + across + over, high + down + 2];
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  [canvas.width, canvas.height] = [width * dots, height * dots];
  pen.scale(dots, dots);
  pen.textBaseline = "middle";
  Object.assign(drawMap, { label, high, cell }); // for the pointer; both maps are laid out alike

  paint(plain, ...which, Infinity);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(plain, label, high, across, down);
  pen.fillStyle = shades.line;
  for (let at = 0; at <= across; at += cell) pen.fillRect(label + at, high, 1, down);
  for (let at = 0; at <= down; at += cell) pen.fillRect(label, high + at, across, 1);
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  rows.forEach((from, row) => columns.forEach((to, column) => {
    const [x, y] = [label + column * cell, high + row * cell];
    if (isHidden(from, to)) return hatch(pen, x, y, cell);
    const value = strength(from, to, which);
    pen.fillStyle = inkOn(value);
    if (cell >= 24 && value >= 0.2) pen.fillText(shownNumber(from, to, which), x + cell / 2, y + cell / 2 + 1, cell - 2);
  }));
  const alongRows = looks();
  const chosen = (alongRows ? rows : columns).indexOf(state.word);
  rows.forEach((item, at) => {
    pen.fillStyle = shades.ink;
    pen.font = font(at === chosen && alongRows);
    pen.textAlign = "right";
    pen.fillText(token(item), label - 6, high + (at + 0.5) * cell + 1, label - 8);
  });
  columns.forEach((item, at) => {
    pen.fillStyle = shades.ink;
    pen.font = font(at === chosen && !alongRows);
    pen.save();
    pen.translate(label + (at + 0.5) * cell, high - 5);
    pen.rotate(-Math.PI / 3);
    pen.textAlign = "left";
    pen.fillText(token(item), 0, 0, above - 8);
    pen.restore();
  });
  pen.strokeStyle = shades.chosen;
  pen.lineWidth = 3;
  if (alongRows) pen.strokeRect(label, high + chosen * cell, across, cell);
  else pen.strokeRect(label + chosen * cell, high, cell, down);
  const explainedPair = view.parts === null ? null : pairShown();
  const [row, column] = explainedPair ? [rows.indexOf(explainedPair[0]), columns.indexOf(explainedPair[1])] : [-1, -1];
  if (row >= 0 && column >= 0) {
    pen.strokeStyle = shades.ink;
    pen.lineWidth = 2;
    pen.strokeRect(label + column * cell, high + row * cell, cell, cell);
  }
  keepInView(canvas.parentElement, (alongRows ? high : label) + chosen * cell, cell);
}

function hatch(pen, x, y, cell) {
  pen.save();
  pen.beginPath();
  pen.rect(x + 1, y + 1, cell - 1, cell - 1);
  pen.clip();
  pen.beginPath();
  for (let at = 4; at < 2 * cell; at += 5) {
    pen.moveTo(x, y + at);
    pen.lineTo(x + at, y);
  }
  pen.strokeStyle = shades.masked;
  pen.lineWidth = 0.7;
  pen.stroke();
  pen.restore();
}

// The map of a long text scrolls in its box: bring the framed row or column into view.
function keepInView(box, from, length) {
  const [near, room] = looks() ? ["scrollTop", "clientHeight"] : ["scrollLeft", "clientWidth"];
  if (from < box[near] || from + length > box[near] + box[room]) box[near] = from - box[room] / 2;
}

function say() {
  sayOf(find("which"), find("said"), shownHead());
  if (held) sayOf(find("kept"), find("heard"), held);
}

// A token in a sentence, isolated from it, because its direction may be different.
const quoted = (i) => ["‘", make("bdi", {}, view.items[i].token), "’"];

// What a framed word does that looks, or is looked at: most with one, then with another, or with none.
const PHRASES = {
  raw: [["looks most at ", ", then ", "looks at nothing that is shown."],
    ["is looked at most by ", ", then by ", "is looked at by nothing that is shown."]],
  added: [["takes most from ", ", then from ", "takes nothing from what is shown."],
    ["gives most to ", ", then to ", "gives nothing to what is shown."]],
};

// What a head does with the framed word, as a heading and a sentence.
function sayOf(heading, place, which) {
  const { word } = state, from = looks(), [most, then, none] = PHRASES[added() ? "added" : "raw"][from ? 0 : 1];
  const seen = (i) => [...(i === word ? ["itself"] : quoted(i)), ` (${shownNumber(...pair(i), which)})`];
  const allowed = others().filter((i) => !isHidden(...pair(i)));
  const [first, second] = allowed.sort((a, b) => glance(b, which) - glance(a, which));
  const where = `ayer ${which[0] + 1}, head ${which[1] + 1}`;
  heading.textContent = `L${where}`;
  place.replaceChildren(`In l${where}, `, from ? view.looking : "", ...quoted(word), " ", ...(first === undefined ? [none]
    : [most, ...seen(first), ...(second === undefined ? [] : [then, ...seen(second)]), "."]));
}

function draw() {
  thumbnails.forEach((cell, number) => {
    const chosen = number === state.layer * view.heads + state.head;
    cell.setAttribute("aria-selected", chosen);
    cell.tabIndex = chosen ? 0 : -1;
  });
  document.querySelector(`[name=direction][value=${looks() ? "from" : "to"}]`).checked = true;
  document.querySelector(`[name=kind][value=${added() ? "added" : "raw"}]`).checked = true;
  find("explained").hidden = !added();
  find("unit").textContent = added() ? "length" : "weight";
  find("top").textContent = added() ? plainNumber(largest(shownHead()), 2) : "1";
  drawWords();
  find("beside").hidden = held === null;
  drawMap();
  if (held) drawMap("other", held);
  drawPair();
  say();
  find("link").setAttribute("href", address());
}

// The state as the end of the page's address: with it, the same page opens where it was left.
function address() {
  const shown = { view: views.indexOf(view) + 1, layer: state.layer + 1, head: state.head + 1, word: state.word + 1 };
  return `#${new URLSearchParams({ ...shown, ...(state.from ? {} : { direction: "to" }),
    ...(added() ? { weighted: 1 } : {}), ...pairWritten(), ...(state.sorted ? { sorted: 1 } : {}),
    ...(theme.linked ? { theme: theme.linked } : {}) })}`;
}

// Go where an address leads; what it does not say, or what does not exist here, stays as it is.
function goTo(text) {
  const given = new URLSearchParams(text.replace(/^#/, ""));
  const number = (name, count) => {
    const value = /^\d{1,4}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : 0;
    return value >= 1 && value <= count ? value - 1 : undefined;
  };
  const chosen = number("view", views.length) ?? views.indexOf(view);
  if (views[chosen] !== view) {
    document.getElementsByName("view")[chosen].checked = true;
    show(chosen);
  }
  if (given.has("layer")) {
    state.from = given.get("direction") !== "to";
    [state.weighted, state.sorted] = ["weighted", "sorted"].map((name) => given.get(name) === "1");
    state.pair = pairRead(given.get("pair"));
  }
  state.layer = number("layer", view.layers) ?? state.layer;
  state.head = number("head", view.heads) ?? state.head;
  const word = number("word", view.items.length);
  state.word = state.places.includes(word) ? word : state.word;
  theme.follow(text);
  recolour();
}

// ------------------------------------------------------------------------------------------ choosing

function choose(changes) {
  if (Object.entries(changes).every(([name, value]) => state[name] === value)) return;
  Object.assign(state, changes);
  draw();
}
const chooseWord = (word) => choose({ word });
const chooseHead = (number) => choose({ layer: Math.floor(number / view.heads), head: number % view.heads });

// The arrow keys move inside a group; Tab reaches only its chosen member.
function onArrows(group, members, current, columns, chooseMember, mirrored = () => false) {
  group.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const list = members(), at = list.indexOf(current()), step = mirrored() ? -1 : 1, wide = columns();
    const rest = at % wide;
    const to = { ArrowRight: at + step, ArrowLeft: at - step, ArrowDown: at + wide, ArrowUp: at - wide,
      Home: at - rest, End: at - rest + wide - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault(); // the page does not scroll
    if (to < 0 || to >= list.length) return;
    chooseMember(list[to]);
  });
}
onArrows(find("words"), () => state.places, () => state.word, () => state.places.length,
  (word) => { chooseWord(word); words[word].focus(); }, () => rightToLeft);
onArrows(find("heads"), () => [...thumbnails.keys()], () => state.layer * view.heads + state.head, () => view.heads,
  (number) => { chooseHead(number); thumbnails[number].focus(); });

// The token of the row and that of the column at a place of the map.
function pointedAt({ offsetX, offsetY }) {
  const { label, high, cell } = drawMap;
  return [rowsShown()[Math.floor((offsetY - high) / cell)], columnsShown()[Math.floor((offsetX - label) / cell)]];
}
for (const name of ["map", "other"]) find(name).addEventListener("pointermove", (event) => {
  const [from, to] = pointedAt(event), word = looks() ? from : to;
  if (word !== undefined) chooseWord(word);
});
for (const name of ["map", "other"]) find(name).addEventListener("click", (event) => {
  const [from, to] = pointedAt(event);
  if (from === undefined || to === undefined || view.parts === null) return;
  choose({ pair: [from, to], word: looks() ? from : to });
  find("bars").scrollIntoView({ block: "nearest" });
});
watchPairs();

for (const button of document.getElementsByName("kind")) {
  button.addEventListener("change", () => { choose({ weighted: button.value === "added" }); drawThumbnails(); });
}
find("theme").hidden = false;
find("theme").addEventListener("click", () => {
  theme.chosen = theme.linked = theme.night() ? "day" : "night";
  theme.keep();
  recolour();
});
theme.system.addEventListener("change", recolour);
addEventListener("message", ({ source, data: sent }) => { // from the site, when the explorer is in a lesson's page
  if (source !== parent || !["day", "night"].includes(sent?.minibertTheme)) return;
  theme.chosen = sent.minibertTheme;
  recolour();
});
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => { theme.printing = printing; recolour(); });
}

for (const button of document.getElementsByName("direction")) {
  button.addEventListener("change", () => {
    state.from = button.value === "from";
    // A word that can only look, or only be looked at, gives its frame to the one it is most connected with.
    if (looks() !== state.from) {
      const allowed = others().filter((i) => (state.from ? view.row : view.column).has(i));
      if (allowed.length) state.word = allowed.reduce((best, i) => (glance(i) > glance(best) ? i : best));
    }
    draw();
  });
}

find("hold").addEventListener("click", () => { held = shownHead(); draw(); });
find("drop").addEventListener("click", () => { held = null; draw(); find("hold").focus(); });

function leaveOut() {
  const places = find("without").checked && !find("without").disabled
    ? view.everyone.filter((i) => !view.items[i].special) : view.everyone;
  find("hiding").hidden = places === view.everyone;
  choose({ places, word: places.includes(state.word) ? state.word : places[0] });
  drawThumbnails();
}
find("without").addEventListener("change", leaveOut);

// ------------------------------------------------------------------------------------------ the start

// Show a view, from the same word as before, or from a mask, or from the word that looks most at another one.
function show(number, word) {
  view = views[number];
  held = null; // another view may have no such head
  state.layer = Math.min(state.layer, view.layers - 1);
  state.head = Math.min(state.head, view.heads - 1);
  state.places = view.everyone;
  state.pair = null;
  find("kinds").hidden = find("clickable").hidden = view.parts === null;
  const real = (list) => list.filter((item) => !view.items[item].special);
  let most = 0;
  const mask = view.rows.find((item) => view.items[item].guesses);
  state.word = word ?? mask ?? real(view.rows)[0] ?? view.rows[0];
  if (word === undefined && mask === undefined) {
    for (const from of real(view.rows)) {
      for (const to of real(view.columns)) {
        if (from !== to && weight(from, to) > most) [most, state.word] = [weight(from, to), from];
      }
    }
  }
  makeWords();
  makeHeads();
  makePairs();
  describe();
  leaveOut();
  draw();
}
find("choice").hidden = views.length === 1;
find("views").append(...views.map(({ name }, number) => {
  const button = make("input", { type: "radio", name: "view", value: number });
  button.checked = number === 0; // some browsers remember what was checked
  button.addEventListener("change", () => {
    const token = view.items[state.word];
    const same = views[number].items.length === view.items.length && views[number].row.has(state.word)
      && views[number].items[state.word].token === token.token;
    show(number, same ? state.word : undefined);
  });
  return make("label", {}, button, ` ${name}`);
}));
find("without").checked = false;
takeColours();
show(0);
goTo(location.hash);
addEventListener("hashchange", () => goTo(location.hash));
// Another sentence is shown in the same layer and head.
document.querySelector("form")?.addEventListener("submit", (event) => {
  event.target.setAttribute("action", address().replace(/&(word=\d+|pair=\d+-\d+)/g, ""));
});
let width = 0;
new ResizeObserver(() => requestAnimationFrame(() => { // in the next frame, because drawing changes sizes too
  if (width !== document.body.clientWidth) {
    width = document.body.clientWidth;
    draw();
  }
})).observe(document.body);
