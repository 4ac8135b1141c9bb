"""What the lessons prove by training, and by comparing."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_vit import randomised
from torchvision.models import VisionTransformer
from torchvision.transforms import functional

from vit_course import ViT, convert_torchvision_weights, position_similarity, sincos_positions
from vit_course.experiments import (
    DeepReader,
    attention_cost,
    learn_deep,
    learn_where,
    named_by_torchvision,
    prepared,
    share_explained,
    tokens_with_a_dot,
)
from vit_course.images import to_floats
from vit_course.training.reporting import Report


def test_a_vit_without_positions_stays_at_chance_and_one_with_them_does_not():
    without, learned, fixed = (
        learn_where(positions, report=Report()).accuracy for positions in ("none", "learned", "sincos")
    )
    assert abs(without - 0.5) < 0.01  # exactly one of two twins, but for rounding
    assert learned > 0.75 and fixed > 0.75


def test_attention_written_out_keeps_the_table_of_pairs_and_fused_attention_does_not():
    tokens, heads, dim_head = [64, 128, 256], 2, 16
    written, fused = attention_cost(tokens, heads, dim_head).values()
    for count, kept in zip(tokens, written.kept, strict=True):
        # The weights; queries and keys, also scaled; values: float32.
        assert kept >= 4 * heads * (count**2 + 3 * count * dim_head)
    assert written.kept[2] / written.kept[1] > 2.5
    assert fused.kept[2] / fused.kept[1] == pytest.approx(2, rel=0.05)
    assert all(seconds > 0 for cost in (written, fused) for seconds in cost.seconds)


def test_what_depends_on_the_distance_alone_is_explained_by_it():
    places = torch.arange(12)
    rows, columns = ((axis[:, None] - axis).abs() for axis in (places // 4, places % 4))
    assert share_explained((-rows).exp(), rows) == pytest.approx(1)
    assert share_explained((-rows).exp(), columns) < 0.5
    both = 1 / (1 + rows + columns**2)
    assert share_explained(both, rows, columns) == pytest.approx(1)
    assert max(share_explained(both, rows), share_explained(both, columns)) < 0.9


def test_of_random_positions_next_to_nothing_is_explained_and_of_the_formula_all():
    places = torch.arange(64)
    apart = [(axis[:, None] - axis).abs() for axis in (places // 8, places % 8)]
    torch.manual_seed(0)
    chance = 62 / (64 * 63 / 2 - 1)  # kinds of pairs, of all pairs
    assert share_explained(position_similarity(torch.randn(64, 192)), *apart) == pytest.approx(chance, abs=0.015)
    assert share_explained(position_similarity(sincos_positions(8, 8, 192)), *apart) == pytest.approx(1)


def test_a_deep_pre_norm_stack_learns_at_a_rate_at_which_a_post_norm_stack_does_not():
    pre, post = (learn_deep(norm, 16, steps=100, batch_size=32, lr=2e-3, every=100)[-1] for norm in ("pre", "post"))
    assert pre > 0.6 and post < 0.4


def test_both_kinds_begin_with_the_same_weights_and_leave_the_notebook_as_it_was():
    for norm in ("pre", "post"):
        torch.manual_seed(1)
        weights = DeepReader(norm, 2).blocks.state_dict()
        before = weights if norm == "pre" else before
        assert all(torch.equal(weights[name], before[name]) for name in before)
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert len(learn_deep("pre", 1, steps=4, batch_size=8, every=2)) == 3
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_the_puzzle_has_one_dot_and_four_tiles_of_each_colour():
    tokens, labels = tokens_with_a_dot(50, seed=3)
    assert tokens[..., 4].sum(dim=1).tolist() == [1] * 50
    assert torch.equal(tokens[..., :4].sum(dim=1), torch.full((50, 4), 4.0))
    dotted = tokens[torch.arange(50), tokens[..., 4].argmax(dim=1)]
    assert torch.equal(dotted[:, :4].argmax(dim=1), labels)


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
