"""What the lessons prove by training, and by comparing."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_vit import randomised
from torchvision.models import VisionTransformer
from torchvision.transforms import functional

from vit_course import ViT, convert_torchvision_weights
from vit_course.experiments import named_by_torchvision, prepared
from vit_course.images import to_floats


def test_pictures_are_prepared_rightly_and_otherwise():
    images = torch.randint(0, 256, (3, 3, 8, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ways = prepared(images)
    right = to_floats(images)
    assert torch.equal(next(iter(ways.values())), right)
    assert all(inputs.shape == images.shape and inputs.dtype == torch.float32 for inputs in ways.values())
    others = list(ways.values())[1:]
    assert not any(torch.allclose(inputs, right, atol=0.01) for inputs in others)
    assert torch.allclose(ways["0 … 1"] * 2 - 1, right, atol=1e-6) and ways["0 … 255"].max() > 200
    assert torch.equal(ways["BGR for RGB"][:, 0], right[:, 2])
    assert torch.equal(ways["upside down"][:, :, 0], right[:, :, -1])
    assert torch.equal(ways["mirrored"][..., 0], right[..., -1])
    mean = ways["ImageNet mean, std"][:, 1] * 0.224 + 0.456
    assert torch.allclose(mean, images[:, 1] / 255, atol=1e-6)


@pytest.mark.parametrize("heads", [2, 4])
def test_a_photograph_is_named_as_torchvision_names_it(tmp_path, heads):
    """A local stand-in for the download: a small torchvision model with weights of its own."""
    sizes = {"image_size": 24, "patch_size": 8, "num_layers": 2, "hidden_dim": 32, "mlp_dim": 48, "num_classes": 6}
    theirs = randomised(VisionTransformer(num_heads=4, **sizes)).eval()
    colours = torch.randint(0, 256, (3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    functional.to_pil_image(colours).save(tmp_path / "photo.png")

    def transform(image):
        assert isinstance(image, Image.Image) and image.mode == "RGB"
        return functional.pil_to_tensor(image.resize((24, 24))).float() / 127.5 - 1

    weights = SimpleNamespace(
        get_state_dict=lambda progress: theirs.state_dict(),
        transforms=lambda: transform,
        meta={"categories": [*"abcdef"]},
    )
    named = named_by_torchvision(
        ViT, convert_torchvision_weights, tmp_path / "photo.png", heads=heads, weights=weights, top=3
    )
    with torch.no_grad(), Image.open(tmp_path / "photo.png") as photo:
        likely = theirs(transform(photo)[None]).softmax(dim=-1)[0].topk(3)
    alike = [share for _, share in named] == pytest.approx(likely.values.tolist(), abs=1e-5)
    assert len(named) == 3 and alike is (heads == 4), "another number of heads gives other answers"
    if alike:
        assert [name for name, _ in named] == ["abcdef"[index] for index in likely.indices]
