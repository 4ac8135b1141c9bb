// Five experiments: a question, a prediction to make first, and what is then to be seen, on the picture that is shown
// and, for weights that were measured (measured.json, by benchmarks/explorer.py), on many.
//
// An experiment's `run` gets { sizes, pixels, look, say, measured }: `look` runs the model, `say` words an answer. It
// returns what to set on the screen, and what was seen.

import { largestAt, percent, rearranged, shuffledOrder } from "./helpers.js";

const MOST_HEADS = 48; // with more, layers are switched off in their stead
const HIDDEN = 0.25; // share of the patches
const SEED = 7;

const share = (value) => `${(100 * value).toFixed(1)}%`;
const onMany = ({ images }) => `On ${images.toLocaleString("en")} CIFAR-10 test images`;

const shuffling = {
  title: "Shuffle, and positions",
  question:
    "The patches change places at random. Once the model keeps its positions, once they weigh 0. When does the shuffle " +
    "change what it says?",
  choices: ["With positions and without", "With positions only", "Without positions only"],
  async run({ sizes, pixels, look, say, measured }) {
    const order = shuffledOrder(sizes.rows * sizes.columns, SEED);
    const mixed = rearranged(pixels, sizes, order);
    const [plain, shuffled] = [await look({}), await look({ pixels: mixed })];
    const [bare, both] = [await look({ positions: 0 }), await look({ pixels: mixed, positions: 0 })];
    const apart = Math.max(...bare.probabilities.map((value, at) => Math.abs(value - both.probabilities[at])));
    const seen = [
      `With positions: ${say(plain)} in order, ${say(shuffled)} shuffled.`,
      `Without: ${say(bare)} in order, ${say(both)} shuffled` +
        (apart < 1e-3 ? ". The two are the same, up to rounding: without positions, a picture is a bag of patches." : "."),
    ];
    if (measured) {
      const of = measured.shuffle;
      seen.push(
        `${onMany(measured)}: ${share(of["as it is"])} right as they are, ${share(of.shuffled)} shuffled. With positions ` +
          `of weight 0 ${share(of["no positions"])}, and the shuffle leaves ` +
          `${share(of["same answer when shuffled without positions"])} of those answers as they were. (Trained without ` +
          "positions, a model would do better than one that loses them.)",
      );
    }
    return { set: { order }, seen };
  },
};

const oneHead = {
  title: "The head that matters",
  question: "One head is switched off, then the next, and so on. Where is the one that is missed most?",
  choices: ["In the first layers", "In the middle", "In the last layers", "None is missed much"],
  async run({ sizes, look, say, measured, progress }) {
    const { depth, heads } = sizes;
    const whole = depth * heads > MOST_HEADS;
    const layers = Array.from({ length: depth }, (_, layer) => layer);
    const all = (layer) => Array.from({ length: heads }, (_, head) => [layer, head]);
    const groups = whole ? layers.map(all) : layers.flatMap((layer) => all(layer).map((one) => [one]));
    const plain = await look({});
    const best = largestAt(plain.probabilities);
    const found = [];
    for (const [at, off] of groups.entries()) {
      progress(`${at + 1} of ${groups.length}`);
      found.push(await look({ off }));
    }
    const name = (at) => (whole ? `layer ${at + 1}` : `head ${at % heads} of layer ${Math.floor(at / heads) + 1}`);
    const missed = largestAt(found.map((one) => plain.probabilities[best] - one.probabilities[best]));
    const changed = found.filter((one) => largestAt(one.probabilities) !== best).length;
    const seen = [
      `Here, most missed is ${name(missed)}: ${say(plain)} becomes ${say(found[missed])}.`,
      `Of all ${groups.length}, one at a time, ${changed || "none"} ${changed === 1 ? "changes" : "change"} the answer.`,
    ];
    if (measured) {
      const rights = measured.heads.flat();
      const lost = rights.map((right) => measured.shuffle["as it is"] - right);
      const [most, least] = [largestAt(lost), largestAt(lost.map((one) => -one))];
      seen.push(
        `${onMany(measured)}, ${share(measured.shuffle["as it is"])} right with all heads: without ` +
          `${name(most)} ${share(rights[most])}, without ${name(least)} ${share(rights[least])}.`,
      );
    }
    return { set: { off: groups[missed] }, seen };
  },
};

const temperature = {
  title: "Temperature",
  question:
    "Scores are divided by a temperature before the softmax. At 4 attention is flat, at 0.25 sharp. The model was " +
    "trained at 1. Which of the two does more harm?",
  choices: ["4: attention spread out", "0.25: attention on few patches", "About the same"],
  async run({ look, say, measured }) {
    const [plain, flat, sharp] = [await look({}), await look({ temperature: 4 }), await look({ temperature: 0.25 })];
    const seen = [`At 1 ${say(plain)}; at 4 ${say(flat)}; at 0.25 ${say(sharp)}.`];
    if (measured) {
      const of = Object.entries(measured.temperature).map(([at, right]) => `${share(right)} at ${at}`);
      seen.push(`${onMany(measured)}, right: ${of.join(", ")}.`);
    }
    return { set: { temperature: 4 }, seen };
  },
};

const masking = {
  title: "Hide what it looks at",
  question:
    "A quarter of the patches is hidden from all tokens: those that CLS attends to most in the last layer (the mean of " +
    "its heads), or a quarter at random. Which costs more?",
  choices: ["The most attended", "Those at random", "About the same"],
  async run({ sizes, look, say, measured }) {
    const patches = sizes.rows * sizes.columns;
    const count = Math.round(HIDDEN * patches);
    const plain = await look({ asking: 0 });
    const last = plain.rows.slice((sizes.depth - 1) * sizes.heads);
    const mean = Array.from({ length: patches }, (_, patch) => last.reduce((sum, row) => sum + row[1 + patch], 0));
    const most = [...mean.keys()].sort((a, b) => mean[b] - mean[a]).slice(0, count);
    const any = shuffledOrder(patches, SEED).slice(0, count);
    const [without, random] = [await look({ masked: most }), await look({ masked: any })];
    const part = most.reduce((sum, patch) => sum + mean[patch], 0) / mean.reduce((a, b) => a + b, 0);
    const seen = [
      `The ${count} most attended had ${percent(part)} of the attention that CLS gives to patches there.`,
      `All there: ${say(plain)}. Without them: ${say(without)}. Without ${count} at random: ${say(random)}.`,
    ];
    if (measured) {
      const { "most attended": top, "at random": drawn, "least attended": least } = measured.mask;
      const rows = Object.keys(top).map(
        (hidden) => `${hidden} hidden: ${share(top[hidden])}, ${share(drawn[hidden])}, ${share(least[hidden])}`,
      );
      const inverse = Object.keys(top).every((hidden) => least[hidden] < top[hidden]);
      seen.push(
        `${onMany(measured)}, right without the most attended, without as many at random, without the least attended: ` +
          `${rows.join("; ")}.` + (inverse ? " The least attended are missed most: attention is not importance." : ""),
      );
    }
    return { set: { masked: new Set(most), asking: 0 }, seen };
  },
};

const lens = {
  title: "When is the class there?",
  question:
    "The last norm and the head can read the tokens after every layer, not only after the last. From which layer on " +
    "do they say what the model says in the end?",
  choices: ["From the first third on", "From the middle on", "Only at the end"],
  async run({ sizes, look, say, measured }) {
    const plain = await look({});
    const read = plain.lens.map(largestAt);
    let settled = sizes.depth;
    while (settled > 0 && read[settled - 1] === read[sizes.depth]) settled--;
    const where = settled ? `layer ${settled}` : "the start, before any layer,";
    const seen = [`Here it is ${say(plain)}, and ${where} is where the reading becomes that and stays so.`];
    if (measured) {
      const rights = measured.lens.right.map((right, layer) => `${layer}: ${share(right)}`);
      const counts = measured.lens["settled after layer"];
      const late = counts.slice(-2).reduce((a, b) => a + b, 0) / measured.images;
      seen.push(
        `${onMany(measured)}, right when read after layer ${rights.join(", ")} (0: before the first). For ` +
          `${share(late)} of them the answer settles only in the last two layers.`,
      );
    }
    return { set: {}, seen };
  },
};

export const EXPERIMENTS = [shuffling, oneHead, temperature, masking, lens];
