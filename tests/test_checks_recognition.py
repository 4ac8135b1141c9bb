"""Mistakes as a learner writes them, from the beginning, are recognised; not only as the catalogue makes them."""

import dataclasses

import pytest
import torch
from torch import nn

from vit_course import Encoder, LearnedPositions, PatchEmbedding, layer_norm, prepend_cls_token, sincos_positions
from vit_course.checks import evaluate, exercises
from vit_course.checks.exercise import Observed


def vit_with(make, answer=lambda m, tokens, mask: m.head(m.encoder(tokens, mask)[:, 0])):
    """A ViT with the encoder that `make(depth, dim, heads, mlp_dim)` gives, made once, in its place."""

    class ViT(nn.Module):
        def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3):
            super().__init__()
            self.embedding = PatchEmbedding(patch_size, in_channels, dim)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.positions = LearnedPositions(1 + (image_size // patch_size) ** 2, dim)
            self.encoder = make(depth, dim, heads, mlp_dim)
            self.head = nn.Linear(dim, num_classes)

        def forward(self, images, mask=None):
            tokens = self.positions(prepend_cls_token(self.embedding(images), self.cls_token))
            return answer(self, tokens, mask)

    return ViT


def last_norm_with_default_eps(depth, dim, heads, mlp_dim):
    encoder = Encoder(depth, dim, heads, mlp_dim)
    encoder.norm = nn.LayerNorm(dim)
    return encoder


@pytest.mark.parametrize(
    ("make", "slug"),
    [
        (lambda depth, dim, heads, mlp_dim: Encoder(depth, dim, heads, 4 * dim), "mlp-dim-ignored"),
        (lambda depth, dim, heads, mlp_dim: Encoder(6, dim, heads, mlp_dim), "depth-ignored"),
        (lambda depth, dim, heads, mlp_dim: Encoder(dim, depth, heads, mlp_dim), "encoder-arguments-swapped"),
        (lambda depth, dim, heads, mlp_dim: Encoder(depth, dim, mlp_dim, heads), "encoder-arguments-swapped"),
        (last_norm_with_default_eps, "eps-1e-5"),
    ],
)
def test_a_wrong_encoder_is_named_whatever_was_drawn_before_it(make, slug):
    """Wrong sizes leave parameters that no case fills: they must not hold whatever the random state gives."""
    assert evaluate("ViT", vit_with(make)).mistake == slug


def test_an_encoder_that_is_made_and_not_used_is_named():
    unused = vit_with(Encoder, lambda m, tokens, mask: m.head(tokens[:, 0]))
    assert evaluate("ViT", unused).mistake == "encoder-not-used"


def test_where_every_case_stops_over_sizes_the_order_of_arguments_is_asked_for():
    report = evaluate("ViT", vit_with(lambda depth, dim, heads, mlp_dim: Encoder(depth, heads, dim, mlp_dim)))
    assert report.status == "error" and "`Encoder(depth, dim, heads, mlp_dim)`" in report.message


@pytest.mark.parametrize("cast", [lambda x, w, b: (x.float(), w.float(), b.float()), lambda x, w, b: (x, w, b)])
def test_a_norm_in_float32_has_lost_its_dtype_and_not_its_gradient(cast):
    def in_float32(x, weight, bias, eps=1e-6):
        return layer_norm(*cast(x, weight, bias), eps).float()

    assert evaluate("layer_norm", in_float32).mistake == "loses-dtype"


def test_a_single_place_keeps_both_axes():
    assert not evaluate("sincos_positions", lambda *sizes: sincos_positions(*sizes).squeeze()).passed


class Hybrid(nn.Module):
    def __init__(self, backbone, channels, dim):
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(channels, dim)

    def forward(self, images):
        return self.projection(self.backbone(images).flatten(2).mT)


def test_a_backbone_taken_apart_is_no_longer_the_one_handed_in():
    class Apart(Hybrid):
        def __init__(self, backbone, channels, dim):
            super().__init__(nn.Sequential(*backbone.children()) or backbone, channels, dim)

    report = evaluate("HybridEmbedding", Apart)  # right where there is nothing to take apart
    assert not report.passed and "expected backbone 'what was handed in', yours is 'a copy of it'" in report.message


def test_any_other_backbone_and_any_other_name_are_recognised():
    class Other(Hybrid):
        def __init__(self, backbone, channels, dim):
            super().__init__(
                nn.Sequential(nn.Conv2d(3, 32, 7, 2), nn.ReLU(), nn.LazyConv2d(channels, 3)), channels, dim
            )

    class Named(nn.Module):
        def __init__(self, backbone, channels, dim):
            super().__init__()
            self.parts = nn.ModuleDict({"whatever": backbone, "projection": nn.Linear(channels, dim)})

    assert evaluate("HybridEmbedding", Other).mistake == "backbone-made-inside"
    assert evaluate("HybridEmbedding", Named).mistake == "backbone-called-otherwise"


def test_a_backbone_as_a_hidden_attribute_or_under_two_names():
    class Hidden(Hybrid):
        def __init__(self, backbone, channels, dim):
            super().__init__(nn.Identity(), channels, dim)
            del self.backbone
            self.__dict__["backbone"] = backbone

    class Twice(Hybrid):
        def __init__(self, backbone, channels, dim):
            super().__init__(backbone, channels, dim)
            self.also = backbone

    assert evaluate("HybridEmbedding", Hidden).mistake == "backbone-not-registered"
    assert evaluate("HybridEmbedding", Twice).passed


def test_a_layer_put_into_the_backbone_is_a_change_of_it():
    """Its forward cannot work; that is told, and nothing of the check stops on the way."""

    class Into(nn.Module):
        def __init__(self, backbone, channels, dim):
            super().__init__()
            self.backbone = backbone
            backbone.projection = nn.Linear(channels, dim)

        def forward(self, images):
            return self.projection(self.backbone(images).flatten(2).mT)

    report = evaluate("HybridEmbedding", Into)
    assert report.status == "error" and "no attribute 'projection'" in report.message


def test_what_an_observer_stumbles_over_does_not_count_as_untried():
    exercise = exercises()["pool"]
    stumbling = dataclasses.replace(exercise, observe=lambda *_: [][0])
    with pytest.raises(IndexError):
        list(Observed(stumbling, exercise.reference, exercise.cases(0)))


def test_a_hybrid_that_is_wrong_on_one_kind_of_map_only_does_not_pass():
    def forward_of(change):
        return type("Wrong", (Hybrid,), {"forward": lambda self, images: change(self.backbone(images), self)})

    for change in (
        lambda f, m: m.projection(f.flatten(2).mT if f.shape[2] <= f.shape[3] else f.mT.flatten(2).mT),
        lambda f, m: m.projection((f.detach() if f.shape[0] == 1 else f).flatten(2).mT),
        lambda f, m: m.projection(f.flatten(2).mT.float().to(f.dtype)),
        lambda f, m: m.projection(f.flatten(2).mT) if m.training else m.projection(f.mT.flatten(2).mT),
    ):
        assert not evaluate("HybridEmbedding", forward_of(change)).passed


def test_the_other_formulas_for_steps_are_told_from_the_right_one():
    def pairs(height, width):
        place = torch.arange(height * width)
        return place[:, None] // width - place // width, place[:, None] % width - place % width

    def rows_of_swin_without_its_factor(height, width):
        down, across = pairs(height, width)
        return (down + height - 1) + (across + width - 1)

    def in_place_of_the_sign(height, width):
        down, across = pairs(height, width)
        return down.abs() * (2 * width - 1) + across.abs()

    def right_but_for_rows(height, width):
        down, across = pairs(height, width)
        return (down + height - 1) * (2 * width - 1) + across + width - 1 + (height > 1) * (height == 1)

    named = {"factor-forgotten": rows_of_swin_without_its_factor, "absolute": in_place_of_the_sign}
    for slug, wrong in named.items():
        assert evaluate("relative_position_index", wrong).mistake == slug
    assert evaluate("relative_position_index", right_but_for_rows).passed
