"""What proves something and takes more than a few lines, for the lessons to call: a file for each of them."""

from vit_course.experiments.attention import Cost, attention_cost
from vit_course.experiments.encoder import DeepReader, PostNormBlock, learn_deep, tokens_with_a_dot
from vit_course.experiments.finetuning import (
    balanced,
    best_decay,
    by_start,
    features,
    learn_from,
    linear_probe,
    shipped_table,
)
from vit_course.experiments.inside import (
    accuracy_with_hidden,
    accuracy_without_heads,
    cost_of_each_patch,
    gradient_times_token,
    learn_kernels,
    spearman,
)
from vit_course.experiments.photos import PhotoReport, learn_photos, report_on, wilson
from vit_course.experiments.positions import learn_where, share_explained
from vit_course.experiments.published import enlarged, expect_our_images, fine_tune_published
from vit_course.experiments.training import ILLNESSES, SmallCNN, run_with
from vit_course.experiments.whole import named_by_torchvision, prepared

__all__ = [
    "ILLNESSES",
    "Cost",
    "DeepReader",
    "PhotoReport",
    "PostNormBlock",
    "SmallCNN",
    "accuracy_with_hidden",
    "accuracy_without_heads",
    "attention_cost",
    "balanced",
    "best_decay",
    "by_start",
    "cost_of_each_patch",
    "enlarged",
    "expect_our_images",
    "features",
    "fine_tune_published",
    "gradient_times_token",
    "learn_deep",
    "learn_from",
    "learn_kernels",
    "learn_photos",
    "learn_where",
    "linear_probe",
    "named_by_torchvision",
    "prepared",
    "report_on",
    "run_with",
    "share_explained",
    "shipped_table",
    "spearman",
    "tokens_with_a_dot",
    "wilson",
]
