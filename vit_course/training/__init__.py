"""Training, behind one door. Its pieces are in `steps`, what decides a run in `recipes`, the run itself in `loop`."""

from vit_course.training.guards import TrainingError
from vit_course.training.loop import Trained, train
from vit_course.training.recipes import RECIPES, Recipe
from vit_course.training.steps import accuracy, evaluate, mixup, random_crop_flip, train_step, warmup_cosine

__all__ = [
    "RECIPES",
    "Recipe",
    "Trained",
    "TrainingError",
    "accuracy",
    "evaluate",
    "mixup",
    "random_crop_flip",
    "train",
    "train_step",
    "warmup_cosine",
]
