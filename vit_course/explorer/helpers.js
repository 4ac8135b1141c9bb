// Small things that the screen is made of: elements, numbers in words, and pictures as bytes (channels, height, width).

/** An element with attributes, listeners (on…) and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function percent(share) {
  if (share > 0 && share < 0.005) return "<1%";
  if (share < 1 && share > 0.995) return ">99%";
  return `${Math.round(100 * share)}%`;
}

/** Scores to probabilities. */
export function softmax(scores) {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Float32Array.from(scores, (score) => Math.exp(score - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

export const largestAt = (values) => values.reduce((best, value, at) => (value > values[best] ? at : best), 0);

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The numbers 0 … count - 1 in random order. */
export function shuffledOrder(count, seed) {
  const random = randomNumbers(seed);
  const order = Array.from({ length: count }, (_, at) => at);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** Every pixel from where `from(row, column)` says. */
function moved(pixels, { channels, height, width }, from) {
  const result = new Uint8Array(pixels.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [y, x] = from(row, column);
      for (let channel = 0; channel < channels; channel++) {
        result[(channel * height + row) * width + column] = pixels[(channel * height + y) * width + x];
      }
    }
  }
  return result;
}

/** Left and right changed. */
export const mirrored = (pixels, sizes) => moved(pixels, sizes, (row, column) => [row, sizes.width - 1 - column]);

/** Patches in another order: place i shows patch order[i]. */
export function rearranged(pixels, sizes, order) {
  const high = sizes.height / sizes.rows;
  const wide = sizes.width / sizes.columns;
  return moved(pixels, sizes, (row, column) => {
    const patch = order[Math.floor(row / high) * sizes.columns + Math.floor(column / wide)];
    return [Math.floor(patch / sizes.columns) * high + (row % high), (patch % sizes.columns) * wide + (column % wide)];
  });
}

/**
 * A picture file as pixels of the model's size: the middle of it, shrunk by halves so that nothing is skipped.
 * Returns the picture and a sentence that says what was done; throws an Error with a sentence for other files.
 */
export async function readPicture(file, sizes) {
  const { channels, height, width } = sizes;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || "This"} is no picture that this browser can read. PNG, JPEG, WebP and GIF are.`);
  }
  const scale = Math.min(image.width / width, image.height / height);
  let [w, h] = [width * scale, height * scale];
  let from = image;
  let cut = [(image.width - w) / 2, (image.height - h) / 2, w, h];
  for (let last = false; !last; ) {
    last = w < 2 * width;
    [w, h] = last ? [width, height] : [w / 2, h / 2];
    const canvas = element("canvas", { width: Math.round(w), height: Math.round(h) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(from, ...cut, 0, 0, canvas.width, canvas.height);
    [from, cut] = [canvas, [0, 0, canvas.width, canvas.height]];
  }
  const { data } = from.getContext("2d").getImageData(0, 0, width, height);
  const pixels = new Uint8Array(channels * height * width);
  for (let at = 0; at < height * width; at++) {
    const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
    if (channels === 1) pixels[at] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else [red, green, blue].forEach((value, channel) => (pixels[channel * height * width + at] = value));
  }
  const square = image.width * height === image.height * width;
  const done = `${square ? "" : "cut to its middle and "}brought to ${width} × ${height} pixels`;
  return { name: file.name || "your picture", pixels, note: `Your picture, ${image.width} × ${image.height} pixels, was ${done}.` };
}
