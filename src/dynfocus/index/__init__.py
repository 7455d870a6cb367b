"""The store of encoded videos: written once, checked, found by what decided it."""

from dynfocus.cache import default_folder
from dynfocus.index.entries import EntryFacts, EntryKey, Sampling
from dynfocus.index.layout import IndexLayout, pack_features, unpack_features
from dynfocus.index.store import UNBOUNDED, IndexStore, StoredEntry
from dynfocus.index.video_index import Pictures, VideoGroup, VideoIndex

__all__ = [
    "EntryFacts",
    "EntryKey",
    "IndexLayout",
    "IndexStore",
    "Pictures",
    "Sampling",
    "StoredEntry",
    "UNBOUNDED",
    "VideoGroup",
    "VideoIndex",
    "default_folder",
    "pack_features",
    "unpack_features",
]
