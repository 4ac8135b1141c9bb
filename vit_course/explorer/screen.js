// The explorer's one screen, for the web page and for the notebook. It knows pictures and what is changed, and draws
// what a model says; the model is somebody else's: `run` is handed in.

import { element, largestAt, mirrored, percent, readPicture, rearranged, shuffledOrder, softmax } from "./helpers.js";
import { EXPERIMENTS } from "./experiments.js";
import { draw, drawPicture } from "./draw.js";
import { paint, pictureCanvas } from "./maps.js";

const SHUFFLE = 7; // the seed of the first shuffle
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const unchanged = () => ({
  asking: 0, // a token: 0 is CLS, 1 + i is patch i
  masked: new Set(),
  off: [], // [layer, head] pairs
  temperature: 1,
  positions: 1,
  order: null,
  mirror: false,
});

/**
 * Build the screen in `root`.
 *
 * given.sizes: height, width, channels of a picture; rows, columns of patches; depth, heads.
 * given.classes: their names.
 * given.pictures: [{ name, pixels }], pixels a Uint8Array, channels × height × width.
 * given.run: async (pixels, { masked, off, temperature, positions }, asking) → { logits, rows, lens }: rows holds for
 *     each layer, and in it each head, how much the token `asking` gives to every token; lens the logits that are read
 *     before the first layer and after each. It may throw an Error with a sentence.
 * given.measured: the experiments' numbers on many pictures, or null.
 * given.title, given.note: what model this is.
 * given.keys: where Escape is heard; `root` where not given.
 */
export class Screen {
  constructor(root, given) {
    Object.assign(this, given, { root, state: unchanged(), at: 0, results: null, before: null, shown: null });
    this.patches = this.sizes.rows * this.sizes.columns;
    this.clickHides = false;
    this.shuffles = 0;
    root.classList.add("vit-explorer");
    root.style.setProperty("--rows", this.sizes.rows);
    root.style.setProperty("--columns", this.sizes.columns);
    root.style.setProperty("--heads", this.sizes.heads);
    root.replaceChildren(this.#head(), this.#gallery(), this.#middle(), this.#guide(), this.#help());
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => this.#dropped(event));
    (this.keys ?? root).addEventListener("keydown", (event) => event.key === "Escape" && this.change({ asking: 0 }));
    this.choose(0);
  }

  // --- state ---------------------------------------------------------------------------------------------------------

  /** Change something and run the model again. */
  change(what) {
    Object.assign(this.state, what);
    this.draw();
    this.#wanted();
  }

  reset() {
    this.change(unchanged());
    this.say("Everything as it was.");
  }

  choose(at) {
    this.at = at;
    this.before = null;
    this.state = { ...this.state, masked: new Set(), asking: 0 };
    this.gallery.querySelectorAll("button").forEach((button, index) => button.setAttribute("aria-pressed", index === at));
    this.change({});
  }

  /** What the model gets: the picture, mirrored and shuffled as asked for. */
  pixels() {
    const { order, mirror } = this.state;
    let pixels = this.pictures[this.at].pixels;
    if (mirror) pixels = mirrored(pixels, this.sizes);
    return order ? rearranged(pixels, this.sizes, order) : pixels;
  }

  // One run at a time, always of the newest state: a slider that is dragged never builds up a queue.
  async #wanted() {
    this.stale = true;
    if (this.running) return;
    this.running = true;
    this.root.setAttribute("aria-busy", "true");
    try {
      while (this.stale) {
        await new Promise((done) => setTimeout(done));
        this.stale = false;
        const [at, state] = [this.at, this.state];
        this.before ??= await this.look({}, at);
        const results = await this.look({ ...state, masked: [...state.masked], pixels: this.pixels() }, at);
        if (at !== this.at) continue;
        this.results = results;
        this.draw();
      }
    } catch (error) {
      this.results = null;
      this.draw();
      this.say(error.message, true);
    } finally {
      this.running = false;
      this.root.setAttribute("aria-busy", "false");
    }
  }

  /** Run the model on a picture, changed in nothing but what is given. */
  async look({ pixels, asking = 0, masked = [], off = [], temperature = 1, positions = 1 }, at = this.at) {
    const change = { masked, off, temperature, positions };
    const { logits, rows, lens } = await this.run(pixels ?? this.pictures[at].pixels, change, asking);
    return { probabilities: softmax(logits), rows, lens };
  }

  worded({ probabilities }) {
    const best = largestAt(probabilities);
    return `${this.classes[best]} ${percent(probabilities[best])}`;
  }

  say(sentence, failed = false) {
    this.status.textContent = sentence;
    this.status.classList.toggle("failed", failed);
  }

  // --- the parts of the screen ---------------------------------------------------------------------------------------

  #head() {
    const press = (event) => {
      const on = this.root.toggleAttribute("data-numbers");
      event.target.setAttribute("aria-pressed", on);
    };
    this.status = element("p", { class: "status", role: "status" });
    return element("header", {},
      element("div", {}, element("h2", {}, this.title), element("p", { class: "quiet" }, this.note)),
      element("div", { class: "buttons" },
        element("button", { type: "button", "aria-pressed": "false", onclick: press }, "Numbers"),
        element("button", { type: "button", onclick: () => this.reset() }, "Reset")),
      this.status);
  }

  #gallery() {
    this.gallery = element("div", { class: "gallery", role: "group", "aria-label": "Pictures" });
    this.pictures.forEach((picture, at) => this.gallery.append(this.#thumbnail(picture, at)));
    const pick = element("input", { type: "file", accept: "image/*", onchange: (event) => this.#own(event.target.files[0]) });
    this.gallery.append(element("label", { class: "own" }, pick, element("span", {}, "Your own"), element("small", {}, "or drop it")));
    return this.gallery;
  }

  #thumbnail(picture, at) {
    const canvas = pictureCanvas(this.sizes, true);
    paint(canvas, picture.pixels, this.sizes);
    const button = element("button", { type: "button", "aria-label": picture.name, title: picture.name, onclick: () => this.choose(at) });
    button.append(canvas);
    return button;
  }

  async #own(file) {
    if (!file) return;
    try {
      const picture = await readPicture(file, this.sizes);
      this.gallery.lastChild.before(this.#thumbnail(picture, this.pictures.push(picture) - 1));
      this.choose(this.pictures.length - 1);
      this.say(picture.note);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  #dropped(event) {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) this.#own(file);
    else this.say("That was no file. Save the picture, and drop the file here.", true);
  }

  #middle() {
    return element("div", { class: "middle" }, this.#picture(), this.#heads(), this.#answer());
  }

  #section(title, ...children) {
    const heading = element("h3", {}, title);
    return element("section", {}, heading, ...children);
  }

  #picture() {
    this.canvas = pictureCanvas(this.sizes);
    this.cells = Array.from({ length: this.patches }, (_, patch) =>
      element("button", { type: "button", tabindex: patch ? -1 : 0, onclick: (event) => this.#patchClicked(patch, event) }, element("span", {})));
    const grid = element("div", { class: "cells", role: "group", "aria-label": "Patches of the picture" }, ...this.cells);
    grid.addEventListener("keydown", (event) => this.#patchKey(event));
    this.caption = element("p", { class: "quiet caption" });
    const mode = (label, hides) => {
      const input = element("input", { type: "radio", name: this.name("click"), checked: !hides, onchange: () => (this.clickHides = hides) });
      return element("label", {}, input, label);
    };
    const modes = element("fieldset", { class: "modes" }, element("legend", {}, "A click"), mode("asks", false), mode("hides", true));
    return this.#section("The picture", element("div", { class: "board" }, this.canvas, grid), this.caption, modes, this.#controls());
  }

  /** A name that no other explorer on the page has. */
  name(part) {
    this.id ??= Math.random().toString(36).slice(2);
    return `${part}-${this.id}`;
  }

  #controls() {
    this.sliders = {};
    const slider = (key, label, attributes, toValue, fromValue) => {
      const id = this.name(key); // an `output` inside a label would take the label from the slider
      const output = element("output", { for: id });
      const input = element("input", { id, type: "range", ...attributes, oninput: () => this.change({ [key]: fromValue(Number(input.value)) }) });
      this.sliders[key] = () => {
        const value = this.state[key];
        input.value = toValue(value);
        output.textContent = value.toFixed(2).replace(/\.?0+$/, "");
        input.setAttribute("aria-valuetext", output.textContent);
      };
      return element("div", { class: "slider" }, element("label", { for: id }, label), output, input);
    };
    this.shuffle = element("button", { type: "button", onclick: () => this.#shuffle() }, "Shuffle patches");
    this.mirror = element("button", { type: "button", onclick: () => this.change({ mirror: !this.state.mirror }) }, "Mirror");
    return element("div", { class: "controls" },
      slider("positions", "Positions weigh", { min: 0, max: 2, step: 0.05 }, (value) => value, (value) => value),
      slider("temperature", "Temperature", { min: -3, max: 3, step: 0.25 }, Math.log2, (value) => 2 ** value),
      element("div", { class: "buttons" }, this.shuffle, this.mirror));
  }

  #shuffle() {
    this.change({ order: this.state.order ? null : shuffledOrder(this.patches, SHUFFLE + this.shuffles++) });
  }

  #heads() {
    const { depth, heads } = this.sizes;
    const grid = element("div", { class: "heads", role: "group", "aria-label": "All heads, a row for each layer" });
    grid.append(element("span", {}), ...Array.from({ length: heads }, (_, head) => element("span", { class: "quiet over" }, `head ${head}`)));
    grid.append(element("span", { class: "quiet over last" }, "read as"));
    this.readings = [];
    this.tiles = [];
    for (let layer = -1; layer < depth; layer++) {
      const reading = element("div", { class: "reading" }, element("b", {}), element("i", {}), element("small", {}));
      this.readings.push(reading);
      if (layer < 0) {
        grid.append(element("span", { class: "quiet before" }, "before layer 1"), reading);
        continue;
      }
      grid.append(element("span", { class: "quiet layer" }, element("small", {}, "layer "), `${layer + 1}`));
      for (let head = 0; head < heads; head++) grid.append(this.#tile(layer, head));
      grid.append(reading);
    }
    grid.addEventListener("keydown", (event) => this.#headKey(event));
    const say = "A click switches a head off; pointed at, it shows on the picture. At the right, the class that the last norm and the head of the model read there.";
    return this.#section("Where each head looks", grid, element("p", { class: "quiet" }, say));
  }

  #tile(layer, head) {
    const canvas = pictureCanvas(this.sizes, true);
    const point = (shown) => () => {
      this.shown = shown;
      drawPicture(this);
    };
    const button = element("button", {
      type: "button", role: "switch", class: "tile", tabindex: this.tiles.length ? -1 : 0, onclick: () => this.#toggle(layer, head),
      onmouseenter: point([layer, head]), onfocus: point([layer, head]), onmouseleave: point(null), onblur: point(null),
    });
    button.append(element("span", { class: "map" }, canvas), element("small", {}));
    this.tiles.push({ button, canvas, layer, head });
    return button;
  }

  #answer() {
    this.bars = element("ol", { class: "bars" });
    this.legend = element("p", { class: "quiet", role: "status" });
    return this.#section("What it says", this.bars, this.legend);
  }

  #guide() {
    const choices = EXPERIMENTS.map((experiment, index) =>
      element("button", { type: "button", "aria-pressed": "false", onclick: () => this.#open(index) }, `${index + 1}. ${experiment.title}`));
    this.tabs = element("div", { class: "tabs", role: "group", "aria-label": "Experiments" }, ...choices);
    this.panel = element("div", { class: "panel" }, element("p", { class: "quiet" }, "Choose one. It asks for a prediction first."));
    return element("section", { class: "guide" }, element("h3", {}, "Five experiments"), this.tabs, this.panel);
  }

  #open(index) {
    const experiment = EXPERIMENTS[index];
    this.tabs.childNodes.forEach((tab, at) => tab.setAttribute("aria-pressed", at === index));
    const seen = element("div", { class: "seen", role: "status" });
    const go = element("button", { type: "button", class: "go", disabled: true }, "See what happens");
    const options = experiment.choices.map((choice) =>
      element("label", {}, element("input", { type: "radio", name: this.name("prediction"), value: choice, onchange: () => (go.disabled = false) }), choice));
    const asked = element("fieldset", {}, element("legend", {}, "Your prediction"), ...options);
    go.addEventListener("click", async () => {
      go.disabled = true;
      const predicted = asked.querySelector("input:checked").value;
      try {
        this.change(unchanged());
        const { set, seen: sentences } = await experiment.run({
          sizes: this.sizes,
          pixels: this.pictures[this.at].pixels,
          look: (what) => this.look(what),
          say: (found) => this.worded(found),
          progress: (how) => (seen.textContent = `Looking: ${how} …`),
          measured: this.measured,
        });
        this.change(set);
        seen.replaceChildren(element("p", { class: "quiet" }, `You said: ${predicted}.`), ...sentences.map((one) => element("p", {}, one)));
      } catch (error) {
        this.say(error.message, true);
      }
      go.disabled = false;
    });
    this.panel.replaceChildren(element("p", {}, experiment.question), asked, go, seen);
  }

  #help() {
    const keys = [
      ["Tab", "to the pictures, the patches, the heads, the sliders"],
      ["Arrows", "from patch to patch, from head to head"],
      ["Enter", "on a patch: where does it look?"],
      ["Space, or Shift and a click", "on a patch: hide it from all tokens, or show it again"],
      ["Escape", "ask CLS again, the token that the class is read from"],
      ["Enter or Space", "on a head: off, and on again"],
    ];
    const list = element("dl", {}, ...keys.flatMap(([key, what]) => [element("dt", {}, key), element("dd", {}, what)]));
    return element("details", { class: "help" }, element("summary", {}, "Keys"), list);
  }

  // --- clicks and keys -----------------------------------------------------------------------------------------------

  #patchClicked(patch, event) {
    this.#focus(this.cells, patch);
    if (event.shiftKey || this.clickHides) this.#hide(patch);
    else this.#ask(patch);
  }

  #ask(patch) {
    this.change({ asking: this.state.asking === 1 + patch ? 0 : 1 + patch });
  }

  #hide(patch) {
    const masked = new Set(this.state.masked);
    if (!masked.delete(patch)) masked.add(patch);
    this.change({ masked });
  }

  #toggle(layer, head) {
    const others = this.state.off.filter(([l, h]) => l !== layer || h !== head);
    this.change({ off: others.length < this.state.off.length ? others : [...others, [layer, head]] });
  }

  #patchKey(event) {
    const patch = this.cells.indexOf(event.target);
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault(); // no click follows
      if (event.key === " ") this.#hide(patch);
      else this.#ask(patch);
    }
    this.#arrow(event, this.cells, patch, this.sizes.rows, this.sizes.columns);
  }

  #headKey(event) {
    const buttons = this.tiles.map(({ button }) => button);
    this.#arrow(event, buttons, buttons.indexOf(event.target), this.sizes.depth, this.sizes.heads);
  }

  #arrow(event, buttons, at, rows, columns) {
    const step = ARROWS[event.key];
    if (!step || at < 0) return;
    event.preventDefault();
    const row = Math.min(Math.max(Math.floor(at / columns) + step[0], 0), rows - 1);
    const column = Math.min(Math.max((at % columns) + step[1], 0), columns - 1);
    this.#focus(buttons, row * columns + column).focus();
  }

  /** Of a group, Tab reaches one button: this. */
  #focus(buttons, at) {
    buttons.forEach((button, index) => (button.tabIndex = index === at ? 0 : -1));
    return buttons[at];
  }

  draw() {
    draw(this);
  }
}
