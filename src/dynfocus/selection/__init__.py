"""Which frames of a video matter: by their look alone, or for a question."""

from dynfocus.selection.dual_encoder import DualEncoder
from dynfocus.selection.image_features import fit_size, image_features

__all__ = ["DualEncoder", "fit_size", "image_features"]
