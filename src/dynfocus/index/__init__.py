"""The question-independent half of a video: written once, checked, asked often."""

from dynfocus.errors import UnusableEntryWarning
from dynfocus.index.entries import EntryFacts, EntryKey, Sampling
from dynfocus.index.feature_files import load_features, save_features
from dynfocus.index.layout import IndexLayout, check_storage
from dynfocus.index.packing import pack_features, unpack_features
from dynfocus.index.pictures import Pictures
from dynfocus.index.store import IndexStore, StoredEntry, default_folder
from dynfocus.index.video_index import VideoIndex

__all__ = [
    "EntryFacts",
    "EntryKey",
    "IndexLayout",
    "IndexStore",
    "Pictures",
    "Sampling",
    "StoredEntry",
    "UnusableEntryWarning",
    "VideoIndex",
    "check_storage",
    "default_folder",
    "load_features",
    "pack_features",
    "save_features",
    "unpack_features",
]
