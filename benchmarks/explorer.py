"""What the explorer's five experiments come to on many images, for the sentences that it shows after them.

python benchmarks/explorer.py                 # the "cifar10" checkpoint on 1,000 test images; about ten minutes
python benchmarks/explorer.py --write         # and keeps the numbers in vit_course/explorer/measured.json
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

import vit_course.explorer
from vit_course import load_images
from vit_course.checkpoints import load_checkpoint
from vit_course.explorer.intervening import Intervention, run
from vit_course.images import to_floats
from vit_course.patches import patchify, unpatchify

MEASURED = Path(vit_course.explorer.__file__).parent / "measured.json"
TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
HIDDEN = (8, 16, 32)
BATCH = 100


class Measured:
    """A model and images, and shares of these that come out right."""

    def __init__(self, model: torch.nn.Module, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels
        self.generator = torch.Generator().manual_seed(0)

    def answers(self, images: Tensor | None = None, masked: Tensor | None = None, **change) -> Tensor:
        images, found = self.images if images is None else images, []
        for start in range(0, len(images), BATCH):
            here = slice(start, start + BATCH)
            hidden = () if masked is None else masked[here]
            found.append(run(self.model, images[here], Intervention(masked=hidden, **change)).logits.argmax(dim=1))
        return torch.cat(found)

    def right(self, *arguments, **change) -> float:
        return round((self.answers(*arguments, **change) == self.labels).float().mean().item(), 4)

    def shuffled(self) -> Tensor:
        """The patches of each image in another order."""
        size = self.model.embedding.patch_size
        patches = patchify(self.images, size)
        order = torch.rand(patches.shape[:2], generator=self.generator).argsort(dim=1)
        return unpatchify(patches.gather(1, order[..., None].expand_as(patches)), size, *self.images.shape[-2:])

    def shuffling(self) -> dict:
        shuffled = self.shuffled()
        without = self.answers(positions=0.0)
        return {
            "as it is": self.right(),
            "mirrored": self.right(self.images.flip(3)),
            "shuffled": self.right(shuffled),
            "no positions": round((without == self.labels).float().mean().item(), 4),
            "same answer when shuffled without positions": round(
                (self.answers(shuffled, positions=0.0) == without).float().mean().item(), 4
            ),
        }

    def heads(self) -> list[list[float]]:
        """Right with one head off: a row for each layer."""
        blocks = self.model.encoder.blocks
        heads = blocks[0].attention.heads
        return [[self.right(off=[(layer, head)]) for head in range(heads)] for layer in range(len(blocks))]

    def temperature(self) -> dict:
        return {f"{one:g}": self.right(temperature=one) for one in TEMPERATURES}

    def masking(self) -> dict:
        """Hide the patches that CLS attends to most in the last layer, on average of its heads; the least; any."""
        looked = torch.cat(
            [run(self.model, batch).attentions[-1][:, :, 0, 1:].mean(dim=1) for batch in self.images.split(BATCH)]
        )
        orders = {
            "most attended": looked.argsort(dim=1, descending=True),
            "at random": torch.rand(looked.shape, generator=self.generator).argsort(dim=1),
            "least attended": looked.argsort(dim=1),
        }
        found = {name: {} for name in orders}
        for name, order in orders.items():
            for count in HIDDEN:
                masked = torch.zeros_like(looked, dtype=torch.bool).scatter(1, order[:, :count], True)
                found[name][str(count)] = self.right(masked=masked)
        return found

    def lens(self) -> dict:
        """Right when norm and head read the tokens before the first layer and after each; and where answers settle."""
        read = torch.cat([run(self.model, batch).lens.argmax(dim=2) for batch in self.images.split(BATCH)])
        final = read == read[:, -1:]
        settled = final.flip(1).cumprod(dim=1).sum(dim=1)  # how many of the last readings agree with the answer
        layers = read.shape[1]
        return {
            "right": [round(one, 4) for one in (read == self.labels[:, None]).float().mean(dim=0).tolist()],
            "settled after layer": torch.bincount(layers - settled, minlength=layers).tolist(),
        }


def measure(name: str, data: str, count: int) -> dict:
    model, given = load_checkpoint(name), load_images(data, "test", limit=count)
    if given.name != data:
        raise SystemExit(f"These are numbers for {data}, and there are no such images here: set VIT_COURSE_DATA.")
    measured = Measured(model, to_floats(given.images), given.labels)
    return {
        "images": len(given.images),
        "source": given.source,
        "shuffle": measured.shuffling(),
        "heads": measured.heads(),
        "temperature": measured.temperature(),
        "mask": measured.masking(),
        "lens": measured.lens(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="how many test images (default: 1,000)")
    parser.add_argument("--write", action="store_true", help="keep the numbers for the explorer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure("cifar10", "cifar10", options.images)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    if options.write:
        MEASURED.write_text(json.dumps({"cifar10": found}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
