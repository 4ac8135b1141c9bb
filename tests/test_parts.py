"""Parts of one's own in the course's ViT, with the weights it has."""

import inspect

import pytest
import torch
from einops import rearrange
from torch import nn

from vit_course import ViT, load_images
from vit_course.attention import MultiHeadSelfAttention, scaled_dot_product_attention
from vit_course.checkpoints import load_checkpoint
from vit_course.embeddings import LearnedPositions, PatchEmbedding, pool, prepend_cls_token
from vit_course.encoder import Encoder, EncoderBlock, FeedForward, layer_norm
from vit_course.images import to_floats
from vit_course.parts import NAMES, with_parts
from vit_course.patches import ARTICLE_PATTERN, patchify

PARTS = {
    "patchify": patchify,
    "PatchEmbedding": PatchEmbedding,
    "prepend_cls_token": prepend_cls_token,
    "pool": pool,
    "LearnedPositions": LearnedPositions,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "MultiHeadSelfAttention": MultiHeadSelfAttention,
    "layer_norm": layer_norm,
    "FeedForward": FeedForward,
    "EncoderBlock": EncoderBlock,
    "Encoder": Encoder,
    "ViT": ViT,
}
TO_ROUNDING = {"layer_norm", "scaled_dot_product_attention"}  # written out; ours are PyTorch's fused ones


@pytest.fixture(scope="module")
def model():
    return load_checkpoint("cifar10")


@pytest.fixture(scope="module")
def images():
    return to_floats(load_images("shapes", "test", limit=6).images)


def same_code(part):
    """The same, but not the course's own object."""
    space = dict(vars(inspect.getmodule(part)))
    exec(inspect.getsource(part), space)
    return space[part.__name__]


def test_every_part_is_tried():
    assert PARTS.keys() == set(NAMES)


@pytest.mark.parametrize("names", [[], *([name] for name in PARTS), [*PARTS], [*PARTS][:-1], [*PARTS][:-2]], ids=str)
def test_right_parts_change_nothing(model, images, names):
    assembled = with_parts(model, **{name: same_code(PARTS[name]) for name in names})
    assert assembled is not model and not assembled.training
    with torch.no_grad():
        if TO_ROUNDING & {*names}:
            assert torch.allclose(assembled(images), model(images), rtol=1e-4, atol=1e-4)
        else:
            assert torch.equal(assembled(images), model(images))


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_really_used(model, images, name):
    called = []

    def noted(*arguments, **named):
        called.append(name)
        return PARTS[name](*arguments, **named)

    with torch.no_grad():
        with_parts(model, **{name: noted})(images)
    assert called


def test_a_wrong_part_shows(model, images):
    def published(images, size):
        return rearrange(images, ARTICLE_PATTERN, patch_x=size, patch_y=size)

    with torch.no_grad():
        assert not torch.allclose(with_parts(model, patchify=published)(images), model(images), atol=0.1)
        before = model(images)
    assert torch.equal(before, model(images)), "the model itself is as it was"


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
def test_models_of_every_kind(pooling, positions):
    """A whole `ViT` of the exercise has learned positions and a CLS token; all other parts go everywhere."""
    torch.manual_seed(0)
    sizes = {"image_size": (8, 12), "patch_size": 4, "num_classes": 5, "dim": 16, "depth": 1, "heads": 2, "mlp_dim": 8}
    model = ViT(**sizes, in_channels=1, pool=pooling, positions=positions)
    parts = dict(PARTS)
    whole = parts.pop("ViT")
    if positions != "learned" or pooling != "cls":
        with pytest.raises(ValueError, match="has learned positions and a CLS token"):
            with_parts(model, ViT=whole)
    else:
        assert with_parts(model, ViT=whole).image_size == (8, 12)
    if positions != "learned":
        with pytest.raises(ValueError, match="no learned positions"):
            with_parts(model, **parts)
        del parts["LearnedPositions"]
    images = torch.rand(3, 1, 8, 12)
    assembled = with_parts(model, **parts)
    assert assembled.training
    assert torch.equal(assembled(images), model(images))


def test_what_is_no_part_or_does_not_fit_is_said(model):
    with pytest.raises(ValueError, match="no part 'patchfy'; there are patchify"):
        with_parts(model, patchfy=patchify)

    class Other(nn.Module):
        def __init__(self, *arguments):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    with pytest.raises(ValueError, match=r"Other does not take the model's weights: .*projection.* and it has .*layer"):
        with_parts(model, PatchEmbedding=Other)


def test_a_vit_that_does_not_take_the_weights_is_named(model):
    class Mine(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.head = nn.Linear(options["dim"], options["num_classes"])

    with pytest.raises(ValueError, match=r"^Mine does not take the model's weights"):
        with_parts(model, ViT=Mine)


def test_a_mask_reaches_attention_written_out(images):
    torch.manual_seed(0)
    sizes = {"image_size": 32, "patch_size": 16, "num_classes": 3, "dim": 8, "depth": 2, "heads": 2, "mlp_dim": 8}
    model = ViT(**sizes)
    assembled = with_parts(model, scaled_dot_product_attention=scaled_dot_product_attention)
    mask = torch.eye(5, dtype=torch.bool)
    assert torch.allclose(assembled(images, mask), model(images, mask), atol=1e-5)
    assert not torch.allclose(assembled(images, mask), model(images), atol=1e-3)
