// A forward pass of `ViT` in the browser: no library, one matrix product in WebAssembly (matmul.wat) or, where that is
// not to be had, in JavaScript. It reads the checkpoints of the course as they are and computes what vit.py does;
// tests/test_explorer_engine.py compares the two.
//
// Linear layers keep their weights in panels of 8 columns, so that the product reads them in one stream.

// Assembled from matmul.wat by scripts/build_engine.py.
const MATMUL =
  "AGFzbQEAAAABDQFgCX9/f39/f39/fwACEgEGZW5naW5lBm1lbW9yeQIAAQMCAQAHCgEGbWF0bXVsAAAKwgMBvwMCCX8LewNAQQAhCQNAIAAgCSABbGohDSANIAFqIQ4gDiABaiEPIA8gAWohECAD/QAEACEVIAP9AAQQIRkgFSEWIBkhGiAVIRcgGSEbIBUhGCAZIRwgAiEMIAIgB0EFdGohCwNAIAz9AAQAIRMgDP0ABBAhFCAN/QkCACESIBUgEiAT/eYB/eQBIRUgGSASIBT95gH95AEhGSAO/QkCACESIBYgEiAT/eYB/eQBIRYgGiASIBT95gH95AEhGiAP/QkCACESIBcgEiAT/eYB/eQBIRcgGyASIBT95gH95AEhGyAQ/QkCACESIBggEiAT/eYB/eQBIRggHCASIBT95gH95AEhHCANQQRqIQ0gDkEEaiEOIA9BBGohDyAQQQRqIRAgDEEgaiEMIAwgC0kNAAsgBCAJIAVsaiERIBEgFf0LBAAgESAZ/QsEECARIAVqIREgESAW/QsEACARIBr9CwQQIBEgBWohESARIBf9CwQAIBEgG/0LBBAgESAFaiERIBEgGP0LBAAgESAc/QsEECAJQQRqIQkgCSAGSQ0ACyALIQIgA0EgaiEDIARBIGohBCAKQQhqIQogCiAISQ0ACws=";

const PANEL = 8; // columns that the product computes at a time
const STRIP = 4; // rows
const LAYER_NORM_EPS = 1e-6;

const padded = (count, to) => Math.ceil(count / to) * to;

// --- safetensors -----------------------------------------------------------------------------------------------------

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let table; // of all 65,536 half-precision numbers, made when the first is read

function fromHalves(bytes) {
  table ??= Float32Array.from({ length: 65536 }, (_, bits) => float16(bits));
  return Float32Array.from(new Uint16Array(bytes), (bits) => table[bits]);
}

function fromBrainFloats(bytes) {
  const bits = Uint32Array.from(new Uint16Array(bytes), (half) => half << 16);
  return new Float32Array(bits.buffer);
}

const READERS = {
  F16: [2, fromHalves],
  BF16: [2, fromBrainFloats],
  F32: [4, (bytes) => new Float32Array(bytes)],
  F64: [8, (bytes) => Float32Array.from(new Float64Array(bytes))],
};

/**
 * The tensors of a safetensors file: name → { shape, values }, as float32.
 * Throws an Error, with a sentence for the reader, where the file is cut short or is something else.
 */
export function readSafetensors(buffer) {
  const size = buffer.byteLength;
  const length = size >= 8 ? Number(new DataView(buffer).getBigUint64(0, true)) : Infinity;
  if (length > 100e6) throw new Error("These are no safetensors: the file does not begin with the length of a header.");
  if (8 + length > size) throw new Error(`These weights are cut short: the file has ${size} bytes. Fetch it again.`);
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw new Error("These are no safetensors: the header cannot be read.");
  }
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [bytes, read] = READERS[dtype] ?? [];
    if (!read) throw new Error(`The weights "${name}" are ${dtype}; this page reads ${Object.keys(READERS).join(", ")}.`);
    const [from, to] = offsets.map((offset) => 8 + length + offset);
    if (to > size) throw new Error(`These weights are cut short: "${name}" ends at ${to} of ${size} bytes. Fetch it again.`);
    if (to - from !== bytes * shape.reduce((a, b) => a * b, 1)) throw new Error(`The weights "${name}" are damaged.`);
    tensors.set(name, { shape, values: read(buffer.slice(from, to)) });
  }
  return tensors;
}

// --- memory and the product ------------------------------------------------------------------------------------------

/** As matmul.wat, on the same memory. Addresses and strides come in bytes. */
function plainProduct(memory) {
  return (a, aRow, b, bias, c, cRow, rows, inner, columns) => {
    const values = memory.values;
    [a, aRow, b, bias, c, cRow] = [a, aRow, b, bias, c, cRow].map((bytes) => bytes / 4);
    for (let left = 0; left < columns; left += PANEL, b += inner * PANEL, bias += PANEL) {
      for (let row = 0; row < rows; row++) {
        let s0 = values[bias], s1 = values[bias + 1], s2 = values[bias + 2], s3 = values[bias + 3];
        let s4 = values[bias + 4], s5 = values[bias + 5], s6 = values[bias + 6], s7 = values[bias + 7];
        for (let i = 0, p = b, from = a + row * aRow; i < inner; i++, p += PANEL) {
          const x = values[from + i];
          s0 += x * values[p]; s1 += x * values[p + 1]; s2 += x * values[p + 2]; s3 += x * values[p + 3];
          s4 += x * values[p + 4]; s5 += x * values[p + 5]; s6 += x * values[p + 6]; s7 += x * values[p + 7];
        }
        const to = c + row * cRow + left;
        values[to] = s0; values[to + 1] = s1; values[to + 2] = s2; values[to + 3] = s3;
        values[to + 4] = s4; values[to + 5] = s5; values[to + 6] = s6; values[to + 7] = s7;
      }
    }
  };
}

/** Room for `floats` numbers, and the product that works on it. */
function reserve(floats, simd) {
  const memory = { used: 0, simd: false };
  if (simd) {
    try {
      const bytes = Uint8Array.from(atob(MATMUL), (letter) => letter.charCodeAt(0));
      const wasm = new WebAssembly.Memory({ initial: Math.ceil(floats / 16384) });
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { engine: { memory: wasm } });
      Object.assign(memory, { values: new Float32Array(wasm.buffer), product: exports.matmul, simd: true });
      return memory;
    } catch {
      // No WebAssembly, none with SIMD, or not so much room at a stretch: JavaScript does it, slower.
    }
  }
  memory.values = new Float32Array(floats);
  memory.product = plainProduct(memory);
  return memory;
}

// --- the model -------------------------------------------------------------------------------------------------------

/** The sizes of a model from its card's configuration, the arguments of `ViT`. */
function sizes(configuration) {
  const { image_size: image, patch_size: patch, dim, depth, heads, mlp_dim: mlp } = configuration;
  const [height, width] = Array.isArray(image) ? image : [image, image];
  const facts = {
    height, width, patch, dim, depth, heads, mlp,
    channels: configuration.in_channels ?? 3,
    classes: configuration.num_classes,
    dimHead: configuration.dim_head ?? dim / heads,
    pool: configuration.pool ?? "cls",
    positions: configuration.positions ?? "learned",
    rows: height / patch,
    columns: width / patch,
  };
  for (const [name, value] of Object.entries(facts)) {
    if (typeof value !== "string" && !(Number.isInteger(value) && value > 0)) {
      throw new Error(`This card is no ViT's: from it, "${name}" would be ${value}.`);
    }
  }
  facts.patches = facts.rows * facts.columns;
  facts.tokens = 1 + facts.patches;
  facts.inner = facts.heads * facts.dimHead;
  return facts;
}

/** name → shape of every weight of such a model, as `ViT.state_dict()` has them. */
function shapes(of) {
  const linear = (name, outputs, inputs) => [[`${name}.weight`, [outputs, inputs]], [`${name}.bias`, [outputs]]];
  const norm = (name) => [[`${name}.weight`, [of.dim]], [`${name}.bias`, [of.dim]]];
  const all = [
    ["cls_token", [1, 1, of.dim]],
    ...linear("embedding.projection", of.dim, of.patch ** 2 * of.channels),
    ...norm("encoder.norm"),
    ...linear("head", of.classes, of.dim),
  ];
  if (of.positions === "learned") all.push(["positions.positions", [1, of.tokens, of.dim]]);
  for (let layer = 0; layer < of.depth; layer++) {
    const block = `encoder.blocks.${layer}`;
    all.push(...norm(`${block}.norm1`), ...linear(`${block}.attention.qkv`, 3 * of.inner, of.dim));
    all.push(...linear(`${block}.attention.out`, of.dim, of.inner), ...norm(`${block}.norm2`));
    all.push(...linear(`${block}.mlp.fc1`, of.mlp, of.dim), ...linear(`${block}.mlp.fc2`, of.dim, of.mlp));
  }
  return new Map(all);
}

/** Sines and cosines of row and column, zeros for CLS: as `sincos_positions` and `FixedPositions`. */
function sincos(of) {
  const table = new Float32Array(of.tokens * of.dim);
  const quarter = of.dim / 4;
  for (let token = 1; token < of.tokens; token++) {
    const place = [Math.floor((token - 1) / of.columns), (token - 1) % of.columns];
    for (let i = 0; i < quarter; i++) {
      const omega = 10000 ** (-i / quarter);
      place.forEach((at, axis) => {
        table[token * of.dim + 2 * axis * quarter + i] = Math.sin(at * omega);
        table[token * of.dim + (2 * axis + 1) * quarter + i] = Math.cos(at * omega);
      });
    }
  }
  return table;
}

/** The error function, to about 1e-7 (Press et al., Numerical Recipes, section 6.2). */
function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const sum =
    -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 +
    t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const tail = t * Math.exp(-x * x + sum);
  return x >= 0 ? 1 - tail : tail - 1;
}

/**
 * A model that is ready to run.
 *
 * card: what lies beside the weights as JSON; its `configuration` holds the arguments of `ViT`.
 * weights: an ArrayBuffer, the safetensors file.
 * simd: false takes plain JavaScript.
 *
 * Throws an Error, with a sentence for the reader, where the two do not belong together.
 */
export class Engine {
  constructor(card, weights, { simd = true } = {}) {
    const of = (this.sizes = sizes(card.configuration ?? {}));
    const tensors = readSafetensors(weights);
    for (const [name, shape] of shapes(of)) {
      const found = tensors.get(name);
      if (!found) throw new Error(`These weights are another model's than the card says: there is no "${name}".`);
      if (`${found.shape}` !== `${shape}`) {
        throw new Error(`These weights are another model's than the card says: "${name}" is ${found.shape.join(" × ")}, not ${shape.join(" × ")}.`);
      }
    }
    this.#reserve(simd);
    const values = (name) => tensors.get(name).values;
    const linear = (name, inputs, outputs) => this.#linear(values(`${name}.weight`), values(`${name}.bias`), inputs, outputs);
    const norm = (name) => ({ weight: values(`${name}.weight`), bias: values(`${name}.bias`) });
    this.projection = linear("embedding.projection", of.patch ** 2 * of.channels, of.dim);
    this.cls = values("cls_token");
    this.positions = { learned: () => values("positions.positions"), sincos: () => sincos(of) }[of.positions]?.();
    this.blocks = Array.from({ length: of.depth }, (_, layer) => {
      const block = `encoder.blocks.${layer}`;
      return {
        norm1: norm(`${block}.norm1`),
        qkv: linear(`${block}.attention.qkv`, of.dim, 3 * of.inner),
        out: linear(`${block}.attention.out`, of.inner, of.dim),
        norm2: norm(`${block}.norm2`),
        fc1: linear(`${block}.mlp.fc1`, of.dim, of.mlp),
        fc2: linear(`${block}.mlp.fc2`, of.mlp, of.dim),
      };
    });
    this.norm = norm("encoder.norm");
    this.head = { weight: values("head.weight"), bias: values("head.bias") };
  }

  get simd() {
    return this.memory.simd;
  }

  /**
   * Run the model on one picture.
   *
   * pixels: Float32Array, channels × height × width, from -1 to 1.
   * masked: patches, counted from 0 in reading order, to which no token may attend.
   * off: [layer, head] pairs, counted from 0, whose output is zeros.
   * temperature: what the scores are divided by before the softmax.
   * positions: what the patches' positions are multiplied by; CLS keeps its own.
   *
   * Returns logits (classes), attentions (for each layer heads × tokens × tokens), and lens: the logits that norm and
   * head read from the tokens before the first layer and after each; the last are the logits.
   */
  run(pixels, { masked = [], off = [], temperature = 1, positions = 1 } = {}) {
    const of = this.sizes;
    const open = new Uint8Array(of.tokens).fill(1);
    for (const patch of masked) open[1 + patch] = 0;
    this.#embed(pixels, positions);
    const attentions = [];
    const lens = [this.#read()];
    this.blocks.forEach((block, layer) => {
      const silent = new Set(off.filter(([at]) => at === layer).map(([, head]) => head));
      this.#normalise(block.norm1);
      attentions.push(this.#attend(block, open, silent, temperature));
      this.#normalise(block.norm2);
      this.#apply(block.fc1, this.normed, this.middle);
      this.#gelu();
      this.#apply(block.fc2, this.middle, this.result);
      this.#add();
      lens.push(this.#read());
    });
    return { logits: lens.at(-1), attentions, lens };
  }

  // Buffers have rows of whole panels, and as many as whole strips; what is beyond is never read as a result.
  #reserve(simd) {
    const of = this.sizes;
    const wide = (columns) => padded(columns, PANEL);
    const rows = padded(of.tokens, STRIP);
    const linears = [[of.patch ** 2 * of.channels, of.dim]];
    for (let layer = 0; layer < of.depth; layer++) {
      linears.push([of.dim, 3 * of.inner], [of.inner, of.dim], [of.dim, of.mlp], [of.mlp, of.dim]);
    }
    const buffers = {
      flat: of.patch ** 2 * of.channels, stream: of.dim, normed: of.dim, qkv: 3 * of.inner, mixed: of.inner,
      middle: of.mlp, result: of.dim, scores: of.tokens, single: of.dimHead,
    };
    const weights = linears.reduce((sum, [inputs, outputs]) => sum + (inputs + 1) * wide(outputs), 0);
    const room = Object.values(buffers).reduce((sum, columns) => sum + rows * wide(columns), 0);
    const packed = wide(of.tokens) * of.dimHead + of.tokens * wide(of.dimHead);
    const zeros = Math.max(wide(of.tokens), wide(of.dimHead));
    this.memory = reserve(weights + room + packed + zeros + 1024, simd);
    for (const [name, columns] of Object.entries(buffers)) {
      this[name] = { at: this.#take(rows * wide(columns)), row: wide(columns) };
    }
    this.keysPacked = this.#take(wide(of.tokens) * of.dimHead);
    this.valuesPacked = this.#take(of.tokens * wide(of.dimHead));
    this.zeros = this.#take(zeros);
  }

  #take(floats) {
    const at = this.memory.used;
    this.memory.used += padded(floats, 4);
    return at;
  }

  #linear(weight, bias, inputs, outputs) {
    const at = this.#take(inputs * padded(outputs, PANEL));
    const biasAt = this.#take(padded(outputs, PANEL));
    this.#pack(weight, 0, inputs, 1, inputs, outputs, at);
    this.memory.values.set(bias, biasAt);
    return { at, bias: biasAt, inputs, outputs };
  }

  // Number (i, j) of an inner × columns matrix, at from + j·perColumn + i·perRow, to its place in a panel.
  #pack(source, from, perColumn, perRow, inner, columns, to) {
    const values = this.memory.values;
    for (let j = 0; j < columns; j++) {
      let place = to + (j - (j % PANEL)) * inner + (j % PANEL);
      for (let i = 0, read = from + j * perColumn; i < inner; i++, read += perRow, place += PANEL) values[place] = source[read];
    }
  }

  #product(a, aRow, b, bias, c, cRow, rows, inner, columns) {
    this.memory.product(4 * a, 4 * aRow, 4 * b, 4 * bias, 4 * c, 4 * cRow, padded(rows, STRIP), inner, padded(columns, PANEL));
  }

  #apply({ at, bias, inputs, outputs }, from, to, rows = this.sizes.tokens) {
    this.#product(from.at, from.row, at, bias, to.at, to.row, rows, inputs, outputs);
  }

  // Patches in reading order, in each the rows of pixels, in each pixel its channels; then the projection.
  #embed(pixels, weight) {
    const of = this.sizes;
    const values = this.memory.values;
    const { at, row: stride } = this.flat;
    for (let patch = 0; patch < of.patches; patch++) {
      const top = Math.floor(patch / of.columns) * of.patch;
      const left = (patch % of.columns) * of.patch;
      let to = at + patch * stride;
      for (let y = top; y < top + of.patch; y++) {
        for (let x = left; x < left + of.patch; x++) {
          for (let channel = 0; channel < of.channels; channel++) values[to++] = pixels[(channel * of.height + y) * of.width + x];
        }
      }
    }
    this.#apply(this.projection, this.flat, this.result, of.patches);
    for (let token = 0; token < of.tokens; token++) {
      const to = this.stream.at + token * this.stream.row;
      const from = this.result.at + (token - 1) * this.result.row;
      for (let i = 0; i < of.dim; i++) {
        const position = this.positions ? this.positions[token * of.dim + i] : 0;
        values[to + i] = token === 0 ? this.cls[i] + position : values[from + i] + weight * position;
      }
    }
  }

  #normaliseToken(token, { weight, bias }, to) {
    const values = this.memory.values;
    const dim = this.sizes.dim;
    const from = this.stream.at + token * this.stream.row;
    let mean = 0;
    for (let i = 0; i < dim; i++) mean += values[from + i];
    mean /= dim;
    let variance = 0;
    for (let i = 0; i < dim; i++) variance += (values[from + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / dim + LAYER_NORM_EPS);
    for (let i = 0; i < dim; i++) values[to + i] = (values[from + i] - mean) * scale * weight[i] + bias[i];
  }

  #normalise(norm) {
    for (let token = 0; token < this.sizes.tokens; token++) {
      this.#normaliseToken(token, norm, this.normed.at + token * this.normed.row);
    }
  }

  #attend(block, open, silent, temperature) {
    const of = this.sizes;
    const values = this.memory.values;
    const { tokens, dimHead } = of;
    const attention = new Float32Array(of.heads * tokens * tokens);
    const scale = dimHead ** -0.5 / temperature;
    this.#apply(block.qkv, this.normed, this.qkv);
    const { at, row } = this.qkv;
    for (let head = 0; head < of.heads; head++) {
      const [q, k, v] = [0, 1, 2].map((which) => at + which * of.inner + head * dimHead);
      this.#pack(values, k, row, 1, dimHead, tokens, this.keysPacked);
      this.#product(q, row, this.keysPacked, this.zeros, this.scores.at, this.scores.row, tokens, dimHead, tokens);
      for (let query = 0; query < tokens; query++) {
        this.#softmaxRow(this.scores.at + query * this.scores.row, open, scale);
        const from = this.scores.at + query * this.scores.row;
        attention.set(values.subarray(from, from + tokens), (head * tokens + query) * tokens);
      }
      this.#pack(values, v, 1, row, tokens, dimHead, this.valuesPacked);
      this.#product(this.scores.at, this.scores.row, this.valuesPacked, this.zeros, this.single.at, this.single.row, tokens, tokens, dimHead);
      for (let token = 0; token < tokens; token++) {
        const to = this.mixed.at + token * this.mixed.row + head * dimHead;
        const from = this.single.at + token * this.single.row;
        if (silent.has(head)) values.fill(0, to, to + dimHead);
        else values.copyWithin(to, from, from + dimHead);
      }
    }
    this.#apply(block.out, this.mixed, this.result);
    this.#add();
    return attention;
  }

  #softmaxRow(at, open, scale) {
    const values = this.memory.values;
    const tokens = open.length;
    let largest = -Infinity;
    for (let key = 0; key < tokens; key++) if (open[key] && values[at + key] * scale > largest) largest = values[at + key] * scale;
    let sum = 0;
    for (let key = 0; key < tokens; key++) {
      const weight = open[key] ? Math.exp(values[at + key] * scale - largest) : 0;
      values[at + key] = weight;
      sum += weight;
    }
    for (let key = 0; key < tokens; key++) values[at + key] /= sum;
  }

  #gelu() {
    const values = this.memory.values;
    const { at, row } = this.middle;
    for (let token = 0; token < this.sizes.tokens; token++) {
      for (let i = at + token * row, end = i + this.sizes.mlp; i < end; i++) values[i] *= 0.5 * (1 + erf(values[i] * Math.SQRT1_2));
    }
  }

  #add() {
    const values = this.memory.values;
    for (let token = 0; token < this.sizes.tokens; token++) {
      const to = this.stream.at + token * this.stream.row;
      const from = this.result.at + token * this.result.row;
      for (let i = 0; i < this.sizes.dim; i++) values[to + i] += values[from + i];
    }
  }

  // What the last norm, the pooling and the head make of the tokens as they are now.
  #read() {
    const of = this.sizes;
    const values = this.memory.values;
    const pooled = new Float64Array(of.dim);
    const read = of.pool === "mean" ? Array.from({ length: of.patches }, (_, patch) => 1 + patch) : [0];
    for (const token of read) {
      this.#normaliseToken(token, this.norm, this.normed.at);
      for (let i = 0; i < of.dim; i++) pooled[i] += values[this.normed.at + i] / read.length;
    }
    return Float32Array.from({ length: of.classes }, (_, index) => {
      let sum = this.head.bias[index];
      for (let i = 0; i < of.dim; i++) sum += this.head.weight[index * of.dim + i] * pooled[i];
      return sum;
    });
  }
}
