// From a screen's state and the model's last results to what is seen and what a screen reader says.

import { element, largestAt, percent, softmax } from "./helpers.js";
import { paint } from "./maps.js";

const MOST_BARS = 10;

export function draw(screen) {
  const pixels = screen.pixels();
  drawPicture(screen, pixels);
  drawHeads(screen, pixels);
  drawReadings(screen);
  drawBars(screen);
  drawControls(screen);
}

// As in the lessons: layers are counted from 1; heads, rows and columns from 0.
const placed = ({ sizes: { columns } }, patch) => `row ${Math.floor(patch / columns)}, column ${patch % columns}`;

/** What the asking token gives to every token in a head; null before the first results. */
const row = ({ results, sizes }, layer, head) => results?.rows[layer * sizes.heads + head] ?? null;

/** The picture alone: all that changes when a head is pointed at. */
export function drawPicture(screen, pixels = screen.pixels()) {
  const { sizes, state, shown } = screen;
  const weights = shown && row(screen, ...shown);
  paint(screen.canvas, pixels, sizes, weights?.slice(1), state.masked);
  screen.root.style.setProperty("--asking-row", Math.floor((state.asking - 1) / sizes.columns));
  screen.root.style.setProperty("--asking-column", (state.asking - 1) % sizes.columns);
  screen.root.toggleAttribute("data-asking", state.asking > 0);
  screen.cells.forEach((cell, patch) => {
    const [hidden, asks] = [state.masked.has(patch), state.asking === 1 + patch];
    cell.classList.toggle("masked", hidden);
    cell.setAttribute("aria-pressed", asks);
    const gets = weights && !hidden ? `, gets ${percent(weights[1 + patch])}` : "";
    cell.setAttribute("aria-label", placed(screen, patch) + (hidden ? ", hidden" : "") + gets);
    cell.firstChild.textContent = weights && !hidden ? Math.round(100 * weights[1 + patch]) : "";
  });
  const who = state.asking ? `the patch in ${placed(screen, state.asking - 1)}` : "CLS";
  const what = shown ? `Layer ${shown[0] + 1}, head ${shown[1]}: where ${who} looks` : `Asking: ${who}`;
  const hidden = state.masked.size ? `. Hidden: ${state.masked.size} of ${screen.patches} patches` : "";
  screen.caption.textContent = `${what}${weights ? `, ${percent(weights[0])} at CLS` : ""}${hidden}.`;
}

function drawHeads(screen, pixels) {
  const { sizes, state } = screen;
  for (const { button, canvas, layer, head } of screen.tiles) {
    const weights = row(screen, layer, head);
    const off = state.off.some(([l, h]) => l === layer && h === head);
    paint(canvas, pixels, sizes, weights?.slice(1), state.masked);
    button.setAttribute("aria-checked", !off);
    let said = `Layer ${layer + 1}, head ${head}`;
    if (weights) {
      const most = largestAt(weights.slice(1));
      said += `: at most ${percent(weights[1 + most])}, to ${placed(screen, most)}; ${percent(weights[0])} to CLS`;
      button.lastChild.textContent = `${percent(weights[1 + most])} · CLS ${percent(weights[0])}`;
    }
    button.setAttribute("aria-label", said);
  }
}

function drawReadings(screen) {
  const { results, classes } = screen;
  const final = results && largestAt(results.probabilities);
  screen.readings.forEach((reading, layer) => {
    const [name, bar, number] = reading.children;
    const read = results && softmax(results.lens[layer]);
    const best = read && largestAt(read);
    name.textContent = read ? classes[best] : "";
    number.textContent = read ? percent(read[best]) : "";
    bar.style.setProperty("--share", read ? read[best] : 0);
    reading.classList.toggle("final", Boolean(read) && best === final);
  });
}

function drawBars(screen) {
  const { results, before, classes } = screen;
  if (!results || !before) return;
  const [now, was] = [results.probabilities, before.probabilities];
  let shown = [...classes.keys()];
  if (shown.length > MOST_BARS) {
    const most = (at) => Math.max(now[at], was[at]);
    shown = shown.sort((a, b) => most(b) - most(a)).slice(0, MOST_BARS);
  }
  const best = largestAt(now);
  while (screen.bars.children.length < shown.length) {
    const parts = [element("span", {}), element("i", { "aria-hidden": "true" }), element("b", {}), element("small", {})];
    screen.bars.append(element("li", {}, ...parts));
  }
  shown.forEach((at, index) => {
    const line = screen.bars.children[index];
    const [name, bar, number, ago] = line.children;
    name.textContent = classes[at];
    number.textContent = percent(now[at]);
    ago.textContent = `before ${percent(was[at])}`;
    bar.style.setProperty("--now", now[at]);
    bar.style.setProperty("--was", was[at]);
    line.classList.toggle("best", at === best);
    line.classList.toggle("never", was[at] < 0.005);
  });
  const [then, today] = [largestAt(was), best].map((at) => classes[at]);
  const changed = then === today ? `${today}, as before` : `${then} before, ${today} now`;
  screen.legend.textContent = `The bar is now, the line is the picture as it was: ${changed}.`;
}

function drawControls(screen) {
  Object.values(screen.sliders).forEach((update) => update());
  screen.shuffle.setAttribute("aria-pressed", Boolean(screen.state.order));
  screen.mirror.setAttribute("aria-pressed", screen.state.mirror);
}
