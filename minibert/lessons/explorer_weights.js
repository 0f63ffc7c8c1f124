// What the page draws for a pair of tokens, and in which colour. `data`, `view` and `state` are those of explorer.js.

const byteAt = (layer, head, from, to) => view.bytes[
  ((layer * view.heads + head) * view.rows.length + view.row.get(from)) * view.columns.length + view.column.get(to)];
const weight = (from, to, [layer, head] = shownHead()) => data.levels[byteAt(layer, head, from, to)];
const isHidden = (from, to) => view.hidden !== null && view.hidden[view.row.get(from)][view.column.get(to)] === "1";
const pair = (other) => (looks() ? [state.word, other] : [other, state.word]);
const digits = (value) => value.toFixed(2).replace(/^0/, "");

// What is drawn for a pair: its weight, or the length of the vector that is added, and how strong its colour is, 0 to 1.
const added = () => state.weighted && view.parts !== null;
const norm = (to, [layer, head]) => view.parts.norms[
  (layer * view.heads + head) * view.columns.length + view.column.get(to)];
const value = (from, to, which = shownHead()) => (
  added() ? fineWeight(from, to, which) * norm(to, which) : weight(from, to, which));
function largest([layer, head]) {
  if (!added()) return 1;
  view.tops ??= [];
  return view.tops[layer * view.heads + head] ??= view.columns.reduce((most, to) => (
    view.rows.reduce((high, from) => Math.max(high, value(from, to, [layer, head])), most)), 0) || 1;
}
const strength = (from, to, which = shownHead()) => value(from, to, which) / largest(which);
const glance = (other, which = shownHead()) => strength(...pair(other), which);
function shownNumber(...where) {
  const found = value(...where);
  return added() ? plainNumber(found, found < 10 ? 2 : found < 100 ? 1 : 0).replace(/^0\./, ".") : digits(found);
}
const percent = (share) => `${(100 * share).toFixed(1)}%`;

const STOPS = ["#FFFFFF", "#56B4E9", "#0072B2", "#00314D"]; // white to blue, in equal steps
const NUMBERED = 0.05; // weights from here on have a number and a line
const CHOSEN = "#D55E00", INK = "#222222";
const DAY = { stops: STOPS, chosen: CHOSEN, ink: INK, line: "#E6E6E6", masked: "#B4B4B4", turns: 0.6, on: ["#000", "#fff"] };
const NIGHT = { stops: ["#14171B", "#2468A6", "#66B8EE", "#E6F5FF"], chosen: "#FF9A4D", ink: "#DFE3E8", line: "#2A3037",
  masked: "#5A636D", turns: 0.4, on: ["#fff", "#000"] }; // dark to light; turns: where the ink on a colour changes
let shades = DAY;

function rgb(value) {
  const { stops } = shades;
  const at = Math.min(value * (stops.length - 1), stops.length - 1.000001);
  const channel = (stop, shift) => (parseInt(stops[stop].slice(1), 16) >> shift) & 255;
  const low = Math.floor(at);
  return [16, 8, 0].map((shift) =>
    Math.round(channel(low, shift) + (at - low) * (channel(low + 1, shift) - channel(low, shift))));
}
let COLOURS = []; // 256 colours, from 0 to 1
const colour = (value) => `rgb(${rgb(value)})`;
const inkOn = (value) => shades.on[value > shades.turns ? 1 : 0];

// Take the colours of the day or of the night.
function takeColours() {
  theme.show();
  find("theme").textContent = theme.night() ? "Light" : "Dark";
  shades = theme.night() ? NIGHT : DAY;
  COLOURS = Array.from({ length: 256 }, (_, step) => rgb(step / 255));
  find("scale").style.background = `linear-gradient(to right, ${shades.stops})`;
}

function recolour() {
  takeColours();
  drawThumbnails();
  draw();
}
