"""A model on images of another size."""

import pytest
import torch
import torch.nn.functional as F

from vit_course import ViT
from vit_course.finetuning import resize_model, resize_positions

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


def test_resizing_to_the_same_size_changes_nothing():
    model = ViT(image_size=8, **SIZES)
    before = model.positions.positions.detach().clone()
    resize_model(model, 8)
    assert torch.equal(model.positions.positions, before)
