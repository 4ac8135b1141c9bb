"""Images to learn from, behind one door: `load_images`."""

from vit_course.data.loading import CIFAR10_CLASSES, ImageSet, load_images

__all__ = ["CIFAR10_CLASSES", "ImageSet", "load_images"]
