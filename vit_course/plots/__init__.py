"""Every figure the lessons show: what they share in `base`, then a file per lesson."""

from vit_course.plots.attention import against_width, costs, heads_on_picture, mean_offsets, qkv_rows, tables
from vit_course.plots.base import image_row, to_picture, vit_map
from vit_course.plots.cls_token import boards, learning, listening, sequence_with_cls, vectors
from vit_course.plots.encoder import activations, blocks_compared, by_depth, contributions
from vit_course.plots.growing import named
from vit_course.plots.hybrids import runs_against
from vit_course.plots.inside import (
    components,
    distances_by_depth,
    maps_on_pictures,
    seen_by_convolutions,
    when_masked,
    without_each_head,
)
from vit_course.plots.learned import calibration, confusion, effects, losses_of_runs, over_time
from vit_course.plots.patches import (
    cut_apart,
    found_again,
    six_axes,
    split_a_row,
    token_pictures,
    token_sources,
    tokens_and_cost,
    two_orders,
)
from vit_course.plots.positions import alike, similarity_tiles, waves
from vit_course.plots.projection import axis_orders, filters, long_axis, lost, rebuilt, responses
from vit_course.plots.relative import step_maps, step_numbers
from vit_course.plots.start import bracket_order, channels_first, number_origins
from vit_course.plots.training import training_curve
from vit_course.plots.whole import accuracies, logits_compared, parameter_shares

__all__ = [
    "accuracies",
    "activations",
    "against_width",
    "alike",
    "axis_orders",
    "blocks_compared",
    "boards",
    "bracket_order",
    "by_depth",
    "calibration",
    "channels_first",
    "components",
    "confusion",
    "contributions",
    "costs",
    "cut_apart",
    "distances_by_depth",
    "effects",
    "filters",
    "found_again",
    "heads_on_picture",
    "image_row",
    "learning",
    "listening",
    "logits_compared",
    "long_axis",
    "losses_of_runs",
    "lost",
    "maps_on_pictures",
    "mean_offsets",
    "named",
    "number_origins",
    "over_time",
    "parameter_shares",
    "qkv_rows",
    "rebuilt",
    "responses",
    "runs_against",
    "seen_by_convolutions",
    "sequence_with_cls",
    "similarity_tiles",
    "six_axes",
    "split_a_row",
    "step_maps",
    "step_numbers",
    "tables",
    "to_picture",
    "token_pictures",
    "token_sources",
    "tokens_and_cost",
    "training_curve",
    "two_orders",
    "vectors",
    "vit_map",
    "waves",
    "when_masked",
    "without_each_head",
]
