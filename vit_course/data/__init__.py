"""Images to learn from, behind one door: `load_images`."""

from vit_course.data.loading import CIFAR10_CLASSES, ImageSet, load_images
from vit_course.data.splitting import learn_and_test, split_images

__all__ = ["CIFAR10_CLASSES", "ImageSet", "learn_and_test", "load_images", "split_images"]
