// Pictures, and attention over them, painted on canvases: a pixel of the picture is a pixel of the canvas.

import { element } from "./helpers.js";

const WARM = [230, 159, 0]; // Okabe and Ito's orange: seen with every common kind of colour blindness
const GREY = [128, 128, 128];
const LARGEST_SMALL = 64; // pixels of a small map, whatever the picture has

/** A canvas for pictures of these sizes. */
export function pictureCanvas({ height, width }, small = false) {
  const scale = small ? Math.min(1, LARGEST_SMALL / Math.max(height, width)) : 1;
  return element("canvas", { width: Math.round(width * scale), height: Math.round(height * scale), "aria-hidden": "true" });
}

/**
 * Paint a picture, and over it what each patch gets.
 *
 * weights: one for each patch, or null for the bare picture. The largest is full colour.
 * masked: patches that are hidden.
 */
export function paint(canvas, pixels, sizes, weights = null, masked = new Set()) {
  const { channels, height, width, rows, columns } = sizes;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const largest = weights ? Math.max(...weights, 1e-9) : 1;
  for (let y = 0, to = 0; y < canvas.height; y++) {
    const row = Math.floor((y * height) / canvas.height);
    const down = Math.floor((row * rows) / height);
    for (let x = 0; x < canvas.width; x++, to += 4) {
      const column = Math.floor((x * width) / canvas.width);
      const patch = down * columns + Math.floor((column * columns) / width);
      const at = row * width + column;
      let colour = channels === 1 ? [pixels[at], pixels[at], pixels[at]] : [0, 1, 2].map((channel) => pixels[channel * height * width + at]);
      if (masked.has(patch)) colour = GREY;
      else if (weights) colour = lit(colour, weights[patch] / largest);
      image.data.set(colour, to);
      image.data[to + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Dark and without colour where there is no attention, warm where there is much. */
function lit([red, green, blue], share) {
  const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
  const strength = share ** 0.8;
  return WARM.map((warm) => (1 - strength) * (12 + 0.42 * grey) + strength * warm * (0.55 + (0.55 * grey) / 255));
}
