"""The reference model: equal to the real ones, and what a user may do with it."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_vit import SMALL, images, randomised, relative, small
from torch import nn
from torchvision.models import VisionTransformer, vit_b_16

from vit_course import (
    Encoder,
    MultiHeadSelfAttention,
    ViT,
    count_parameters,
    patchify,
    scaled_dot_product_attention,
    unpatchify,
)
from vit_course.embeddings import LearnedPositions, sincos_positions
from vit_course.inspection import recorded_attention
from vit_course.vit import PRESETS, convert_timm_weights, convert_torchvision_weights, load_pretrained, vit

# -- equal to the others


def differences(ours, theirs, convert, x):
    """Their weights in ours: the relative differences of the logits and of the gradients, largest first.

    Relative: the largest |a - b| of a tensor over its largest |b|. The loss weighs the logits at random, so that the
    gradient of every parameter is far from zero, but for the bias of the keys: it changes no attention weight.
    """
    ours.load_state_dict(convert(theirs.state_dict()))
    direction = torch.randn(len(x), ours.head.out_features, generator=torch.Generator().manual_seed(2))
    logits = []
    for model in (ours, theirs):
        logits.append(model(x))
        (logits[-1] * direction).sum().backward()
    found = {"logits": relative(*logits)}
    expected = convert({name: parameter.grad for name, parameter in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        one, other = parameter.grad, expected[name]
        if name.endswith("qkv.bias"):
            one, other = (gradient.unflatten(0, (3, -1))[[0, 2]] for gradient in (one, other))
        found[name] = relative(one, other)
    return sorted(found.items(), key=lambda item: item[1], reverse=True)


def test_equals_torchvision_in_logits_and_gradients():
    theirs = VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=10
    )
    ours = ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=3, heads=4, mlp_dim=48).eval()
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = differences(ours, randomised(theirs).eval(), convert_torchvision_weights, x)
    assert found[0][1] < 1e-5, found[0]


def test_vit_b_16_equals_torchvision_in_logits_and_gradients():
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    found = differences(vit("B").eval(), randomised(vit_b_16(weights=None)).eval(), convert_torchvision_weights, x)
    assert found[0][1] < 1e-5, found[0]


def test_vit_b_16_equals_timm_in_logits_and_gradients():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    theirs = timm.create_model("vit_base_patch16_224", pretrained=False)
    found = differences(vit("B").eval(), randomised(theirs).eval(), convert_timm_weights, x)
    assert found[0][1] < 1e-5, found[0]


def test_equals_timm():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
    theirs = randomised(timm.models.vision_transformer.VisionTransformer(**options)).eval()
    ours = ViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=2, heads=4, mlp_dim=128).eval()
    ours.load_state_dict(convert_timm_weights(theirs.state_dict()))
    x = torch.randn(2, 3, 32, 32)
    assert relative(ours(x), theirs(x)) < 1e-5


def test_other_weights_are_refused():
    for convert in (convert_torchvision_weights, convert_timm_weights):
        with pytest.raises(ValueError, match="no state dict of a ViT"):
            convert(small().state_dict())


def test_attention_equals_pytorchs_two():
    layer = randomised(MultiHeadSelfAttention(24, 3))
    x = torch.randn(2, 5, 24)
    mask = torch.rand(5, 5) > 0.5
    mask[range(5), range(5)] = True
    theirs = nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(layer.qkv.weight)
        theirs.in_proj_bias.copy_(layer.qkv.bias)
        theirs.out_proj.load_state_dict(layer.out.state_dict())
    for allowed in (None, mask):
        forbidden = None if allowed is None else ~allowed  # nn.MultiheadAttention means the opposite
        expected, weights = theirs(x, x, x, attn_mask=forbidden, average_attn_weights=False)
        assert torch.allclose(layer(x, allowed), expected, atol=1e-6)
        assert torch.allclose(layer.weights(x, allowed), weights, atol=1e-6)
        q, k, v = layer.project(x)
        written_out, _ = scaled_dot_product_attention(q, k, v, allowed)
        assert torch.allclose(written_out, F.scaled_dot_product_attention(q, k, v, attn_mask=allowed), atol=1e-6)


def test_dim_head_is_free_and_heads_must_divide_otherwise():
    layer = MultiHeadSelfAttention(10, 3, dim_head=4)
    assert layer.qkv.weight.shape == (36, 10)
    assert layer(torch.randn(2, 5, 10)).shape == (2, 5, 10)
    with pytest.raises(ValueError, match="dim=10 is not divisible by heads=3"):
        MultiHeadSelfAttention(10, 3)


# -- parameters


@pytest.mark.parametrize(
    ("preset", "patch_size", "count"), [("B", 16, 86_567_656), ("L", 16, 304_326_632), ("H", 14, 632_045_800)]
)
def test_published_sizes(preset, patch_size, count):
    with torch.device("meta"):
        model = vit(preset, patch_size=patch_size)
    sizes = {key: value for key, value in PRESETS[preset].items() if key != "heads"}
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert count_parameters(image_size=224, patch_size=patch_size, num_classes=1000, **sizes) == count


@pytest.mark.parametrize("preset", PRESETS)
def test_formula_agrees_with_the_module(preset):
    with torch.device("meta"):
        model = vit(preset, patch_size=8, image_size=(32, 48), num_classes=11, in_channels=1)
    sizes = {key: value for key, value in PRESETS[preset].items() if key != "heads"}
    counted = count_parameters(image_size=(32, 48), patch_size=8, num_classes=11, in_channels=1, **sizes)
    assert counted == sum(parameter.numel() for parameter in model.parameters())


def test_unknown_preset_is_named():
    with pytest.raises(ValueError, match="'XL'; there are Ti"):
        vit("XL")


def test_names_that_learners_and_checkpoints_rely_on():
    names = set(dict(small().named_parameters()))
    assert {
        "embedding.projection.weight",
        "cls_token",
        "positions.positions",
        "encoder.norm.bias",
        "head.weight",
    } <= names
    block = {name.removeprefix("encoder.blocks.1.") for name in names if name.startswith("encoder.blocks.1.")}
    modules = ("norm1", "attention.qkv", "attention.out", "norm2", "mlp.fc1", "mlp.fc2")
    assert block == {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}


def test_positions_begin_small():
    positions = LearnedPositions(200, 100).positions
    assert positions.shape == (1, 200, 100)
    assert abs(positions.std().item() - 0.02) < 0.001


# -- options


def test_tokens_without_classification():
    model = small(classification=False)
    assert model(images()).shape == (2, 6, 24)
    assert not hasattr(model, "cls_token") and not hasattr(model, "head")


@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
@pytest.mark.parametrize("classification", [True, False])
def test_positions(positions, classification):
    model = small(positions=positions, classification=classification)
    swapped = images().clone()
    swapped[:, :, :4, :4], swapped[:, :, 4:, 4:8] = images()[:, :, 4:, 4:8], images()[:, :, :4, :4]
    before, after = model(images()), model(swapped)
    if not classification:  # without positions the tokens move along
        order = [4, 1, 2, 3, 0, 5]
        before = before[:, order]
    assert torch.allclose(before, after, atol=1e-5) == (positions == "none")


def test_pool_mean_reads_the_patches():
    model = small(pool="mean")
    tokens = []
    model.encoder.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    logits = model(images())
    assert torch.allclose(logits, model.head(tokens[0][:, 1:].mean(dim=1)))


def test_custom_encoder_gets_tokens_and_mask():
    class Nothing(nn.Module):
        def forward(self, tokens, mask=None):
            self.seen = tokens.shape, mask
            return tokens

    model = small(encoder=Nothing())
    mask = torch.ones(7, 7, dtype=torch.bool)
    model(images(), mask)
    assert model.encoder.seen == ((2, 7, 24), mask)


def test_mask_shuts_tokens_out():
    model = small()
    mask = torch.ones(7, 7, dtype=torch.bool)
    mask[:, 6] = False
    mask[6, 6] = True  # every query may attend to at least one key
    other = images().clone()
    other[:, :, 4:, 8:] = 5.0  # the last patch
    assert torch.allclose(model(images(), mask), model(other, mask), atol=1e-6)
    assert not torch.allclose(model(images()), model(other), atol=1e-3)


def test_dropout_acts_only_while_training():
    model = small(dropout=0.5)
    assert torch.equal(model(images()), model(images()))
    model.train()
    assert not torch.equal(model(images()), model(images()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": (8, 13)}, "8 × 13"),
        ({"pool": "max"}, "'max'"),
        ({"positions": "relative"}, "'relative'"),
        ({"heads": 5}, "dim=24 is not divisible by heads=5"),
        ({"dim": 26, "heads": 2, "positions": "sincos"}, "divisible by 4, got 26"),
        ({"image_size": 0}, "image_size is a whole number of 1 or more, got 0"),
        ({"image_size": (8, 0)}, "image_size is .* got 0"),
        ({"image_size": (-8, 12)}, "image_size is .* got -8"),
        ({"image_size": 8.0}, r"image_size is .* got 8\.0"),
        ({"image_size": True}, "image_size is .* got True"),
        ({"image_size": "8"}, "image_size is .* got '8'"),
        ({"image_size": None}, "image_size is .* got None"),
        ({"image_size": (8, 12, 3)}, r"one number or \(height, width\), got \(8, 12, 3\)"),
        ({"image_size": (8,)}, r"one number or \(height, width\), got \(8,\)"),
        ({"patch_size": 0}, "patch_size is .* got 0"),
        ({"patch_size": 4.0}, r"patch_size is .* got 4\.0"),
        ({"patch_size": "4"}, "patch_size is .* got '4'"),
        ({"patch_size": 16}, "16 × 16 pixels do not tile an image of 8 × 12"),
        ({"in_channels": 0}, "in_channels is .* got 0"),
        ({"dim": 0}, "dim is .* got 0"),
        ({"dim": 24.0}, r"dim is .* got 24\.0"),
        ({"depth": 0}, "depth is .* got 0"),
        ({"depth": -1}, "depth is .* got -1"),
        ({"heads": 0}, "heads is .* got 0"),
        ({"mlp_dim": 0}, "mlp_dim is .* got 0"),
        ({"num_classes": 0}, "num_classes is .* got 0"),
        ({"dim_head": 0}, "dim_head is .* got 0"),
        ({"dropout": 1.5}, "dropout is a share from 0 to 1, got 1.5"),
        ({"dropout": float("nan")}, "dropout is a share from 0 to 1, got nan"),
    ],
)
def test_what_does_not_fit_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        small(**options)


def test_what_is_not_used_is_not_looked_at():
    assert small(num_classes=0, classification=False)(images()).shape == (2, 6, 24)
    assert small(depth=0, heads=0, mlp_dim=0, encoder=Encoder(1, 24, 2, 8))(images()).shape == (2, 7)


def test_sizes_may_be_numpys_and_lists():
    model = ViT(image_size=[np.int64(8), np.int64(12)], **{name: np.int64(size) for name, size in SMALL.items()})
    assert model(images()).shape == (2, 7)
    assert [type(side) for side in model.image_size] == [int, int]


@pytest.mark.parametrize(
    "wrong",
    [{"image_size": 0}, {"image_size": 8.0}, {"image_size": (8, 8, 3)}, {"image_size": 10}, {"patch_size": 4.0}]
    + [{name: 0} for name in ("patch_size", "num_classes", "dim", "depth", "mlp_dim", "in_channels")],
    ids=str,
)
def test_parameters_of_what_cannot_be_built_are_not_counted(wrong):
    sizes = {"image_size": 8, "patch_size": 4, "num_classes": 7, "dim": 24, "depth": 2, "mlp_dim": 40}
    with pytest.raises(ValueError, match=r"whole number|one number|do not tile"):
        count_parameters(**sizes | wrong)
    preset = {"patch_size": 4, "image_size": 8, "dim": 24, "heads": 3, "depth": 1, "mlp_dim": 40}
    with pytest.raises(ValueError, match=r"whole number|one number|do not tile"):
        vit("Ti", **preset | wrong)


def test_an_option_goes_before_the_presets():
    assert len(vit("Ti", depth=2, image_size=32).encoder.blocks) == 2
    assert PRESETS["Ti"]["depth"] == 12


def test_images_of_another_size_are_named():
    with pytest.raises(ValueError, match=r"\(8, 12\) pixels, got \(12, 8\)"):
        small()(images().transpose(2, 3))


def test_sincos_by_its_definition():
    height, width, dim = 3, 5, 16
    positions = sincos_positions(height, width, dim).reshape(height, width, dim)
    for row in range(height):
        for column in range(width):
            for i in range(4):
                omega = 10000 ** (-i / 4)
                expected = torch.tensor([row * omega, row * omega, column * omega, column * omega])
                expected = torch.tensor([expected[0].sin(), expected[1].cos(), expected[2].sin(), expected[3].cos()])
                assert torch.allclose(positions[row, column, [i, 4 + i, 8 + i, 12 + i]], expected, atol=1e-6)


# -- looking inside


def test_recorded_attention_is_that_of_the_fast_path():
    model = small()
    with recorded_attention(model) as attentions:
        logits = model(images())
        model(images(seed=2))  # a second pass begins anew
        assert len(attentions) == 2
        model(images())
    assert torch.equal(logits, model(images()))
    assert [one.shape for one in attentions] == [(2, 3, 7, 7)] * 2
    tokens = model.encoder.blocks[0].norm1(
        model.positions(torch.cat([model.cls_token.expand(2, -1, -1), model.embedding(images())], dim=1))
    )
    layer = model.encoder.blocks[0].attention
    _, _, v = layer.project(tokens)
    by_weights = layer.out((attentions[0] @ v).transpose(1, 2).flatten(2))
    assert torch.allclose(by_weights, layer(tokens), atol=1e-6)


def test_nothing_to_record_is_said():
    with pytest.raises(ValueError, match="no attention to record"), recorded_attention(nn.Linear(2, 2)):
        pass


# -- what a user may do


def test_images_of_a_batch_do_not_affect_each_other():
    model, batch = small(), images(5)
    assert torch.allclose(model(batch)[3:4], model(batch[3:4]), atol=1e-6)


def test_without_positions_the_order_of_the_patches_does_not_matter():
    """Tokens come out in the order in which their patches went in, otherwise unchanged; with positions they do not."""
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    shuffled = unpatchify(patchify(images(), 4)[:, order], 4, 8, 12)
    for positions, same in (("none", True), ("learned", False), ("sincos", False)):
        model = small(positions=positions, classification=False)
        assert torch.allclose(model(shuffled), model(images())[:, order], atol=1e-5) is same
        scores = small(positions=positions)
        assert torch.allclose(scores(shuffled), scores(images()), atol=1e-5) is same


def test_gradients_reach_every_parameter():
    model = small(pool="mean")
    (model(images()) * torch.randn(2, 7)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype):
    model = small().to(dtype)
    logits = model(images().to(dtype))
    assert logits.dtype == dtype
    assert torch.allclose(logits.float(), small()(images()), atol=1e-5 if dtype == torch.float64 else 0.1)


def test_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = small()(images())
    assert logits.dtype == torch.bfloat16
    assert torch.allclose(logits.float(), small()(images()), atol=0.1)


def test_state_dict_pickle_and_copy():
    model = small()
    other = ViT(image_size=(8, 12), **SMALL).eval()
    other.load_state_dict(model.state_dict())
    for one in (other, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(one(images()), model(images()))


def test_pretrained_weights_come_through_torchvision(monkeypatch):
    theirs = randomised(vit_b_16(weights=None)).eval()
    asked = []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda url, **_: asked.append(url) or theirs.state_dict()
    )
    model = load_pretrained("vit_b_16")
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert relative(model(x), theirs(x)) < 1e-5
    assert asked[0].endswith(".pth") and "vit_b_16" in asked[0]
    assert not model.training
    with pytest.raises(ValueError, match="no 'vit_x_16'"):
        load_pretrained("vit_x_16")


@pytest.mark.parametrize("depth", [1, 4])
def test_encoder_blocks_have_weights_of_their_own(depth):
    encoder = Encoder(depth, 8, 2, 16)
    assert len({id(parameter) for parameter in encoder.parameters()}) == 12 * depth + 2


def test_patches_are_those_of_patchify():
    model = small()
    assert torch.equal(model.embedding(images()), model.embedding.projection(patchify(images(), 4)))
