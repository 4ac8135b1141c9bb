"""Trained weights: half-precision safetensors with a JSON card that says what they are and how they came about."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vit_course.embeddings import FixedPositions, LearnedPositions
from vit_course.paths import try_to_write, write_whole
from vit_course.vit import ViT

HERE = Path(__file__).parent


def names() -> list[str]:
    """The checkpoints that come with the course."""
    return sorted(path.stem for path in HERE.glob("*.safetensors"))


def load_checkpoint(name: str | Path) -> ViT:
    """A trained ViT, in eval mode. It takes images as `images.to_floats` makes them, in -1 … 1.

    Args:
        name: one of `names()`, or the path of a `.safetensors` file that `vit-course train` wrote.

    Raises:
        ValueError: there is no such checkpoint, the file is damaged, or its card is another model's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = weights_path(name)
    facts = card(path)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as weights ({error}). Fetch it again, or train it again.") from error
    try:
        model = ViT(**facts["configuration"])
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} and its card do not belong together: the weights are not those of the card's configuration. "
            "Fetch both again, or train again."
        ) from error
    return model.eval()


def before_training(name: str | Path) -> ViT:
    """The same ViT as its recipe and seed made it, so that what it has learned can be told from what it began with.

    Filters that began as noise stay mostly noise for long. Where w and w0 are the weights after and before training,
    what was learned is `w - (w * w0).sum() / (w0 * w0).sum() * w0`: weight decay has shrunk the start a little.

    Args:
        name: as in `load_checkpoint`.

    Returns:
        The model, in eval mode. Not there is what `Recipe.whiten` took from the images.

    Raises:
        ValueError: there is no such checkpoint, or its card holds no recipe that can be built.
    """
    from vit_course.training import Recipe

    facts = card(name)
    try:
        configuration = facts["configuration"]
        return Recipe(**facts["recipe"]).build(configuration["num_classes"], configuration["in_channels"]).eval()
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"the card of {name} holds no recipe that can be built: {error}.") from error


def card(name: str | Path) -> dict[str, Any]:
    """What a checkpoint is: configuration, classes, data, command, hardware, minutes, accuracy.

    Raises:
        ValueError: there is no such checkpoint, or its card is damaged.
    """
    path = weights_path(name).with_suffix(".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}, the card of these weights, cannot be read: {error}.") from error


def save_weights(model: ViT, path: Path, facts: dict[str, Any]) -> None:
    """Write a model's weights as float16 to `path` (.safetensors), and its card beside them (.json).

    Args:
        model: a `ViT`.
        path: ends in `.safetensors`.
        facts: for the card, besides the configuration, which is read off the model.

    Raises:
        ValueError: the model is none that `ViT(…)` builds, or the facts cannot be written as JSON.
        StorageError: the folder cannot be written, or the disk is full.
    """
    for file, content in _files(model, path, facts).items():
        write_whole(file, content)


def try_to_save(model: ViT, path: Path, facts: dict[str, Any]) -> None:
    """Do all that `save_weights` does, and leave everything as it was: to be done before the work, not after it.

    Args:
        model: with any weights.
        path, facts: as in `save_weights`; numbers that are not known yet may be any.

    Raises:
        ValueError, StorageError: as `save_weights`.
    """
    for file, content in _files(model, path, facts).items():
        try_to_write(file, content)


def _files(model: ViT, path: Path, facts: dict[str, Any]) -> dict[Path, bytes]:
    """The two files of a checkpoint, and what they hold."""
    from safetensors.torch import save

    weights = {
        name: weight.detach().cpu().to(torch.float16).contiguous() for name, weight in model.state_dict().items()
    }
    try:
        text = json.dumps({"configuration": configuration(model), **facts}, indent=2, ensure_ascii=False) + "\n"
        encoded = text.encode()
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise ValueError(
            f"the card {path.with_suffix('.json')} cannot hold {around!a}, which is no UTF-8. "
            "Rename the file or the folder that is called so."
        ) from error
    except TypeError as error:
        raise ValueError(f"the card {path.with_suffix('.json')} cannot be written: {error}.") from error
    return {path: save(weights), path.with_suffix(".json"): encoded}


def configuration(model: ViT) -> dict[str, Any]:
    """The arguments that build a `ViT` like this one.

    Raises:
        ValueError: there are none: a part of it is of another kind.
    """
    try:
        found = _configuration(model)
        with torch.device("meta"):
            built = ViT(**found)
        if _kinds_and_shapes(built) == _kinds_and_shapes(model):
            return found
    except (AttributeError, LookupError, TypeError, ValueError):
        pass
    raise ValueError(
        "these weights could not be loaded again: the model is none that ViT(…) builds. "
        "Keep its state_dict() with torch.save."
    )


def _kinds_and_shapes(model: nn.Module) -> tuple[list[type], dict[str, torch.Size]]:
    """What tells one architecture from another: a part of another kind may have weights of the same shapes."""
    return [*map(type, model.modules())], {name: weight.shape for name, weight in model.state_dict().items()}


def _configuration(model: ViT) -> dict[str, Any]:
    block, patch_size = model.encoder.blocks[0], model.embedding.patch_size
    kinds = {LearnedPositions: "learned", FixedPositions: "sincos", nn.Identity: "none"}
    return {
        "image_size": list(model.image_size),
        "patch_size": patch_size,
        "num_classes": model.head.out_features,
        "dim": model.head.in_features,
        "depth": len(model.encoder.blocks),
        "heads": block.attention.heads,
        "mlp_dim": block.mlp.fc1.out_features,
        "dim_head": block.attention.out.in_features // block.attention.heads,
        "in_channels": model.embedding.projection.in_features // patch_size**2,
        "pool": model.pool,
        "positions": kinds[type(model.positions)],
    }


def weights_path(name: str | Path) -> Path:
    """Where the weights lie; their card lies beside them, as `.json`.

    Raises:
        ValueError: there is no such checkpoint.
    """
    path = Path(name)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ValueError(f"there are no weights at {path}.")
        return path
    if str(name) not in names():
        raise ValueError(f"there is no checkpoint {str(name)!r}; there are {', '.join(names()) or 'none'}.")
    return HERE / f"{name}.safetensors"
