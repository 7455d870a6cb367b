"""The question-independent half of a video: written once, checked, asked often."""

from dynfocus.index.feature_files import load_features, save_features
from dynfocus.index.features import VideoFeatures
from dynfocus.index.video_index import VideoIndex

__all__ = ["VideoFeatures", "VideoIndex", "load_features", "save_features"]
