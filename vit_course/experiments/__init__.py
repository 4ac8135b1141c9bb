"""What proves something and takes more than a few lines, for the lessons to call: a file for each of them."""

from vit_course.experiments.attention import Cost, attention_cost
from vit_course.experiments.encoder import DeepReader, PostNormBlock, learn_deep, tokens_with_a_dot
from vit_course.experiments.positions import learn_where, share_explained
from vit_course.experiments.whole import named_by_torchvision, prepared

__all__ = [
    "Cost",
    "DeepReader",
    "PostNormBlock",
    "attention_cost",
    "learn_deep",
    "learn_where",
    "named_by_torchvision",
    "prepared",
    "share_explained",
    "tokens_with_a_dot",
]
