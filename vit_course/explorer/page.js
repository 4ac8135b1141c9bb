// The web page's shell: the weights, inside the page or beside it, run by the engine in the browser.

import { Engine } from "./engine.js";
import { Screen } from "./screen.js";
import { followTheme } from "./theme.js";

/** Bytes that stand in the page as base64. */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function weights(file) {
  const inside = document.getElementById("weights");
  if (inside) return bytes(inside.textContent.trim()).buffer;
  try {
    const answer = await fetch(file);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return await answer.arrayBuffer();
  } catch {
    throw new Error(
      `The weights could not be read from ${file}. Opened by a double click, a page may not read files beside it: open ` +
        "explorer.html, which holds them, or put the folder on a web server.",
    );
  }
}

async function main() {
  const root = document.querySelector("main");
  followTheme(root);
  try {
    const { card, pictures, ...given } = JSON.parse(document.getElementById("given").textContent);
    const began = performance.now();
    const engine = new Engine(card, await weights(root.dataset.weights));
    const { sizes } = engine;
    const run = (pixels, change, asking) => {
      const { logits, attentions, lens } = engine.run(Float32Array.from(pixels, (byte) => byte / 127.5 - 1), change);
      const rows = attentions.flatMap((layer) =>
        Array.from({ length: sizes.heads }, (_, head) => {
          const from = (head * sizes.tokens + asking) * sizes.tokens;
          return layer.slice(from, from + sizes.tokens);
        }));
      return { logits, rows, lens };
    };
    const shown = pictures.map(({ name, pixels }) => ({ name, pixels: bytes(pixels) }));
    root.screen = new Screen(root, { ...given, sizes, classes: card.classes, pictures: shown, run, keys: document });
    root.dataset.ready = Math.round(performance.now() - began); // milliseconds
    root.dataset.simd = engine.simd;
  } catch (error) {
    root.textContent = error.message;
    root.dataset.failed = "";
  }
}

main();
