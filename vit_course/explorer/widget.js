// The notebook's shell: the model runs in the kernel. What goes back and forth is never kept in the notebook.

import { element } from "./helpers.js";
import { Screen } from "./screen.js";
import { followTheme } from "./theme.js";

const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const bytes = (view) => new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** `length` numbers at a time. */
function pieces(values, length) {
  return Array.from({ length: values.length / length }, (_, at) => values.slice(at * length, (at + 1) * length));
}

/** Questions to the kernel, each with its answer: { content, buffers }. */
function asker(model) {
  const waiting = new Map();
  let asked = 0;
  const answered = (content, buffers) => {
    const { resolve, reject } = waiting.get(content.id) ?? {};
    waiting.delete(content.id);
    if (content.error) reject?.(new Error(content.error));
    else resolve?.({ content, buffers });
  };
  model.on("msg:custom", answered);
  // Several views of one widget ask the same model: each knows its own questions.
  const name = Math.random().toString(36).slice(2);
  const ask = (question, buffers = []) =>
    new Promise((resolve, reject) => {
      const id = `${name}-${asked++}`;
      waiting.set(id, { resolve, reject });
      model.send({ ...question, id }, undefined, buffers);
    });
  return { ask, end: () => model.off("msg:custom", answered) };
}

function render({ model, el }) {
  // JupyterLab's own keys (A, B, D D, arrows …) stay quiet inside.
  const root = element("div", { "data-lm-suppress-shortcuts": "true" });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.textContent = "Waiting for the kernel. If nothing comes, run the cell again.";
  el.append(root);
  const endTheme = followTheme(root);
  const { ask, end } = asker(model);
  const run = async (pixels, change, asking) => {
    const { content, buffers } = await ask({ do: "run", change, asking }, [pixels.slice().buffer]);
    const [logits, rows, lens] = buffers.map(floats);
    return { logits, rows: pieces(rows, content.tokens), lens: pieces(lens, content.classes) };
  };
  ask({ do: "begin" }).then(
    ({ content, buffers }) => {
      const pictures = content.names.map((name, at) => ({ name, pixels: bytes(buffers[at]) }));
      root.screen = new Screen(root, { ...content.given, pictures, run });
      root.dataset.ready = "";
    },
    (error) => (root.textContent = error.message),
  );
  return () => {
    endTheme();
    end();
  };
}

export default { render };
