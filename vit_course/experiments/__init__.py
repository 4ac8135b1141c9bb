"""What proves something and takes more than a few lines, for the lessons to call: a file for each of them."""

from vit_course.experiments.attention import Cost, attention_cost
from vit_course.experiments.encoder import DeepReader, PostNormBlock, learn_deep, tokens_with_a_dot
from vit_course.experiments.inside import (
    accuracy_with_hidden,
    accuracy_without_heads,
    cost_of_each_patch,
    gradient_times_token,
    learn_kernels,
    spearman,
)
from vit_course.experiments.positions import learn_where, share_explained
from vit_course.experiments.training import ILLNESSES, SmallCNN, run_with
from vit_course.experiments.whole import named_by_torchvision, prepared

__all__ = [
    "ILLNESSES",
    "Cost",
    "DeepReader",
    "PostNormBlock",
    "SmallCNN",
    "accuracy_with_hidden",
    "accuracy_without_heads",
    "attention_cost",
    "cost_of_each_patch",
    "gradient_times_token",
    "learn_deep",
    "learn_kernels",
    "learn_where",
    "named_by_torchvision",
    "prepared",
    "run_with",
    "share_explained",
    "spearman",
    "tokens_with_a_dot",
]
