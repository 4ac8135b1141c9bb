// For tests/test_explorer_engine.py: runs the engine on what stands in a folder, and writes what it says.
//     node run_engine.mjs ENGINE FOLDER       FOLDER holds card.json, model.safetensors, pixels.bin and cases.json
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [engineFile, folder] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(engineFile));
const bytes = (name) => {
  const read = readFileSync(join(folder, name));
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength);
};
const json = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));

try {
  const facts = [];
  for (const simd of [true, false]) {
    const engine = new Engine(json("card.json"), bytes("model.safetensors"), { simd });
    const out = [];
    let milliseconds = Infinity;
    for (const change of json("cases.json")) {
      const before = performance.now();
      const { logits, attentions, lens } = engine.run(new Float32Array(bytes("pixels.bin")), change);
      milliseconds = Math.min(milliseconds, performance.now() - before);
      out.push(...logits, ...attentions.flatMap((layer) => [...layer]), ...lens.flatMap((layer) => [...layer]));
    }
    writeFileSync(join(folder, simd ? "simd.bin" : "plain.bin"), Buffer.from(new Float32Array(out).buffer));
    facts.push({ simd: engine.simd, milliseconds });
  }
  console.log(JSON.stringify(facts));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
