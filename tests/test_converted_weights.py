"""Weights of torchvision and timm: which fit, and how those that do not are refused."""

import re
from pathlib import Path

import pytest
import torch
from einops import rearrange
from small_vit import randomised, relative, small
from torch import nn
from torchvision.models import VisionTransformer, vit_b_32, vit_h_14, vit_l_16, vit_l_32
from torchvision.models.vision_transformer import ConvStemConfig

from vit_course import ViT
from vit_course.vit import convert_timm_weights, convert_torchvision_weights, vit


@pytest.mark.parametrize("model", [vit_b_32, vit_l_16, vit_l_32, vit_h_14])
def test_torchvisions_other_sizes_fit(model):
    with torch.device("meta"):
        theirs = model(num_classes=7)
        found = re.fullmatch(r"vit_([blh])_(\d+)", model.__name__)
        ours = vit(found[1].upper(), patch_size=int(found[2]), num_classes=7)
        ours.load_state_dict(convert_torchvision_weights(theirs.state_dict()))


def torchvisions(**options):
    sizes = {"image_size": 16, "patch_size": 8, "num_layers": 2, "num_heads": 4, "hidden_dim": 32, "mlp_dim": 48}
    return VisionTransformer(**sizes, num_classes=5, **options).eval()


def test_a_torchvision_head_may_be_replaced_or_missing():
    ours = ViT(image_size=16, patch_size=8, num_classes=7, dim=32, depth=2, heads=4, mlp_dim=48).eval()
    theirs, x = torchvisions(), torch.randn(2, 3, 16, 16)
    theirs.heads = nn.Linear(32, 7)
    ours.load_state_dict(convert_torchvision_weights(randomised(theirs).state_dict()))
    assert relative(ours(x), theirs(x)) < 1e-5
    theirs.heads = nn.Identity()
    found = ours.load_state_dict(convert_torchvision_weights(theirs.state_dict()), strict=False)
    assert found.missing_keys == ["head.weight", "head.bias"] and not found.unexpected_keys


def timms(weights):
    """Our weights under timm's names: what timm would hand out, without timm."""
    renamed = {}
    for name, value in weights.items():
        for ours, theirs in (
            ("positions.positions", "pos_embed"),
            ("embedding.projection", "patch_embed.proj"),
            ("encoder.", ""),
            ("attention.qkv", "attn.qkv"),
            ("attention.out", "attn.proj"),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = value
    kernel = "patch_embed.proj.weight"
    return renamed | {kernel: rearrange(renamed[kernel], "d (p1 p2 c) -> d c p1 p2", p1=4, p2=4)}


def test_timms_names_and_back():
    weights = small().state_dict()
    state = torch.get_rng_state()
    back = convert_timm_weights(timms(weights))
    assert torch.equal(torch.get_rng_state(), state)
    assert list(back) == list(weights) and all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("added", "left_out", "said"),
    [
        (["blocks.1.ls1.gamma"], "", "place there: 'blocks.1.ls1.gamma'. Missing: none."),
        (["blocks.0.attn.q_norm.weight"], "", "place there: 'blocks.0.attn.q_norm.weight'."),
        (["reg_token"], "", "place there: 'reg_token'."),
        (
            ["dist_token", "head_dist.weight", "head_dist.bias"],
            "",
            "'dist_token', 'head_dist.weight', 'head_dist.bias'.",
        ),
        (["fc_norm.weight", "fc_norm.bias"], r"^norm\.", "Missing: 'encoder.norm.weight', 'encoder.norm.bias'."),
        (["pre_logits.fc.weight"], "", "'pre_logits.fc.weight'"),
        (
            ["blocks.0.mlp.fc1_g.weight", "blocks.0.mlp.fc1_x.weight"],
            r"blocks\.0\.mlp\.fc1",
            "'blocks.0.mlp.fc1_x.weight'",
        ),
        (["rope.periods"], "pos_embed", "'rope.periods'. Missing: 'positions.positions'."),
        ([], "cls_token", "place there: none. Missing: 'cls_token'."),
        ([], r"qkv\.bias", "Missing: 'encoder.blocks.0.attention.qkv.bias', 'encoder.blocks.1.attention.qkv.bias'."),
        ([], r"blocks\.0\.", "'encoder.blocks.0.norm1.weight'"),  # the file of half a model
        ([f"extra.{i}" for i in range(9)], "", "'extra.3' and 5 more."),
    ],
)
def test_other_kinds_of_vit_are_refused_by_the_names_that_have_no_place(added, left_out, said):
    weights = timms(small().state_dict())
    weights = {name: value for name, value in weights.items() if not left_out or not re.search(left_out, name)}
    with pytest.raises(ValueError, match=f"no state dict of a ViT from timm that `ViT` can take.*{re.escape(said)}"):
        convert_timm_weights(weights | dict.fromkeys(added, torch.zeros(1)))


@pytest.mark.parametrize(
    "options",
    [
        {"qk_norm": True},
        {"init_values": 1e-5},
        {"reg_tokens": 4},
        {"class_token": False, "global_pool": "avg"},
        {"global_pool": "avg"},
        {"global_pool": "map"},
        {"qkv_bias": False},
        {"proj_bias": False},
        {"pre_norm": True},
        {"pos_embed": "none"},
        {"final_norm": False},
    ],
    ids=str,
)
def test_timms_other_kinds_are_refused(options):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
    with pytest.raises(ValueError, match="from timm that `ViT` can take"):
        convert_timm_weights(timm.models.vision_transformer.VisionTransformer(**sizes, **options).state_dict())


def test_torchvisions_other_kinds_are_refused():
    with pytest.raises(ValueError, match=r"place there: 'heads\.pre_logits\.weight', 'heads\.pre_logits\.bias'"):
        convert_torchvision_weights(torchvisions(representation_size=8).state_dict())
    stem = [ConvStemConfig(8, 3, 2), ConvStemConfig(8, 3, 2)]
    with pytest.raises(ValueError, match=r"It has 'class_token', 'conv_proj\.conv_bn_relu_0\.0\.weight'"):
        convert_torchvision_weights(torchvisions(conv_stem_configs=stem).state_dict())
    with pytest.raises(ValueError, match=r"no 'conv_proj\.weight'\. It has none"):
        convert_torchvision_weights({})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "backbone."])
@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_wrapped_weights_are_refused_with_the_line_that_unwraps_them(prefix, key):
    plain = torchvisions().state_dict()
    state_dict = {prefix + name: value for name, value in plain.items()}
    if key:
        state_dict = {"epoch": 3, "optimizer": {"state": {}}, key: state_dict}
    for _ in range(2 if key else 1):
        with pytest.raises(ValueError, match="Give") as error:
            convert_torchvision_weights(state_dict)
        line = re.search(r"Give (.*)\.$", str(error.value))[1]
        state_dict = eval(line, {"state_dict": state_dict})
    assert convert_torchvision_weights(state_dict).keys() == convert_torchvision_weights(plain).keys()


def test_what_is_no_state_dict_is_told_what_to_give():
    for convert in (convert_torchvision_weights, convert_timm_weights):
        for wrong in (torchvisions(), "vit.pth", Path("vit.pth"), None, list(torchvisions().state_dict())):
            with pytest.raises(ValueError, match=rf"it is a {type(wrong).__name__}. Give model.state_dict\(\)"):
                convert(wrong)
        with pytest.raises(ValueError, match="its names are those of `ViT` already"):
            convert(small().state_dict())
    with pytest.raises(ValueError, match="Take convert_timm_weights"):
        convert_torchvision_weights(timms(small().state_dict()))
    with pytest.raises(ValueError, match="Take convert_torchvision_weights"):
        convert_timm_weights(torchvisions().state_dict())
