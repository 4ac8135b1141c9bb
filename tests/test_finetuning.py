"""A model on images of another size."""

import copy

import pytest
import torch
import torch.nn.functional as F
from small_vit import compiled

from vit_course import ViT
from vit_course.experiments.rivals import GridPositions, convolutions
from vit_course.finetuning import freeze_backbone, replace_head, resize_model, resize_positions
from vit_course.hybrids import HybridEmbedding, RelativeAttention

SIZES = {"patch_size": 4, "num_classes": 5, "dim": 16, "depth": 1, "heads": 2, "mlp_dim": 16}


def test_positions_are_interpolated_on_their_grid_and_cls_is_kept():
    positions = torch.randn(1, 1 + 2 * 3, 8)
    resized = resize_positions(positions, (2, 3), (4, 5))
    grid = positions[:, 1:].reshape(1, 2, 3, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, (4, 5), mode="bicubic", align_corners=False).permute(0, 2, 3, 1).reshape(1, 20, 8)
    assert torch.equal(resized[:, :1], positions[:, :1])
    assert torch.allclose(resized[:, 1:], expected)
    assert torch.allclose(resize_positions(positions, (2, 3), (2, 3)), positions, atol=1e-6)


def test_a_wrong_number_of_positions_is_said():
    with pytest.raises(ValueError, match=r"grid of 2 × 2 patches have 5 positions, got 7"):
        resize_positions(torch.zeros(1, 7, 8), (2, 2), (4, 4))


@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
def test_a_resized_model_takes_the_new_images(positions):
    model = ViT(image_size=(8, 12), positions=positions, **SIZES)
    parameters = dict(model.named_parameters())
    assert resize_model(model, (16, 8)) is model
    assert model(torch.randn(2, 3, 16, 8)).shape == (2, 5)
    for name, parameter in model.named_parameters():
        assert (parameter is parameters[name]) is (name != "positions.positions")
    if positions == "sincos":
        assert torch.equal(
            model.positions.positions, ViT(image_size=(16, 8), positions="sincos", **SIZES).positions.positions
        )
    with pytest.raises(ValueError, match="do not tile"):
        resize_model(model, 18)


def properties(model):
    """What resizing has no business to change."""
    positions, buffers = model.positions.positions, model.positions._non_persistent_buffers_set
    return {
        "order": (list(model.state_dict()), [name for name, _ in model.named_parameters()]),
        "gradients": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "kind": (type(positions), positions.dtype, positions.device, positions.is_leaf, set(buffers)),
        "modules": [(name, id(module), module.training) for name, module in model.named_modules()],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_a_resized_model_keeps_its_properties(positions, frozen, training, dtype):
    model = ViT(image_size=(8, 12), positions=positions, **SIZES).to(dtype).train(training).requires_grad_(not frozen)
    model.head.requires_grad_(True)
    before = properties(model)
    resize_model(model, (16, 8))
    assert model.positions.positions.shape == (1, 9, 16)
    assert properties(model) == before


def test_a_hook_on_the_positions_stays_and_a_copy_is_left_alone():
    for positions in ("learned", "sincos"):
        model = ViT(image_size=(8, 12), positions=positions, **SIZES)
        called = []
        model.positions.register_forward_hook(lambda *_, called=called: called.append(1))
        copied = copy.deepcopy(model)
        resize_model(model, (16, 8))(torch.randn(1, 3, 16, 8))
        assert called == [1]
        assert copied(torch.randn(1, 3, 8, 12)).shape == (1, 5)


def test_a_compiled_model_is_resized():
    model = ViT(image_size=(8, 12), **SIZES).eval()
    fast = compiled(model)
    fast(torch.randn(2, 3, 8, 12))
    assert resize_model(fast, (16, 8)) is fast
    images = torch.randn(2, 3, 16, 8)
    assert torch.allclose(fast(images), model(images), atol=1e-6)


def test_a_model_that_hands_out_all_tokens():
    fixed = resize_model(ViT(image_size=(8, 12), positions="sincos", classification=False, **SIZES), (16, 8))
    assert fixed(torch.randn(2, 3, 16, 8)).shape == (2, 8, 16)
    learned = ViT(image_size=(8, 12), classification=False, **SIZES)
    with pytest.raises(ValueError, match="a CLS token and a grid of 2 × 3 patches have 7 positions, got 6"):
        resize_model(learned, (16, 8))
    assert learned(torch.randn(2, 3, 8, 12)).shape == (2, 6, 16)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "image_size is a whole number of 1 or more, got 0"),
        (-8, "1 or more, got -8"),
        (16.0, "1 or more, got 16.0"),
        ((8, 0), "1 or more, got 0"),
        ((8, 8, 8), r"one number or \(height, width\), got \(8, 8, 8\)"),
        ((8, 18), "4 × 4 pixels do not tile an image of 8 × 18"),
    ],
)
def test_a_size_that_is_none_is_refused_and_nothing_changes(size, said):
    model = ViT(image_size=(8, 12), **SIZES)
    before = model.positions.positions
    with pytest.raises(ValueError, match=said):
        resize_model(model, size)
    assert model.image_size == (8, 12) and model.positions.positions is before


@pytest.mark.parametrize("part", ["GridPositions", "RelativeAttention", "HybridEmbedding"])
def test_a_part_that_cannot_be_resized_is_refused_and_nothing_changes(part):
    model = ViT(image_size=(8, 12), **SIZES)
    if part == "GridPositions":
        model.positions = GridPositions(2, 3, 16)
    elif part == "RelativeAttention":
        model.encoder.blocks[0].attention = RelativeAttention(16, 2, 2, 3)
    else:
        model.embedding = HybridEmbedding(*convolutions(4), 16)
    assert resize_model(model, (8, 12)) is model
    with pytest.raises(ValueError, match=f"how to bring {part} to another size .* Build a model for the new size"):
        resize_model(model, (16, 8))
    assert model.image_size == (8, 12) and model(torch.randn(2, 3, 8, 12)).shape == (2, 5)


def test_resizing_to_the_same_size_changes_nothing():
    model = ViT(image_size=8, **SIZES)
    before = model.positions.positions.detach().clone()
    resize_model(model, 8)
    assert torch.equal(model.positions.positions, before)


def test_a_new_head_keeps_device_dtype_and_all_else():
    model = ViT(image_size=8, **SIZES).double()
    others = {name: value for name, value in model.named_parameters() if not name.startswith("head")}
    assert replace_head(model, 3) is model
    assert model.head.weight.dtype == torch.float64 and model.head.out_features == 3
    assert not model(torch.randn(2, 3, 8, 8).double()).any()
    assert all(value is others[name] for name, value in model.named_parameters() if not name.startswith("head"))
    with pytest.raises(ValueError, match="num_classes is a whole number of 1 or more, got 0"):
        replace_head(model, 0)


def test_a_frozen_backbone_leaves_the_head():
    model = freeze_backbone(ViT(image_size=8, **SIZES).eval())
    assert [name for name, value in model.named_parameters() if value.requires_grad] == ["head.weight", "head.bias"]
    assert not model.training
