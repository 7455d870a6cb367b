"""The dynamic cooperative network: tensors in, tensors out (Eq. 1-13)."""

from dynfocus.focus.centroids import kmeans
from dynfocus.focus.clustering import ClusterResult, dpc_knn, merge_clusters
from dynfocus.focus.cooperative import (
    ClockEncoding,
    CooperativeEncoding,
)
from dynfocus.focus.events import EventPrototypes, EventSelection, TimePrototypes
from dynfocus.focus.features import VideoFeatures, uniform_indices
from dynfocus.focus.relevance import RelevanceEncoding
from dynfocus.focus.settings import FocusSettings
from dynfocus.focus.spatial import SpatialPrototypes
from dynfocus.focus.thinning import thin_frames
from dynfocus.focus.tokens import (
    TokenPlan,
    TokenSpan,
    VideoTokens,
    num_video_tokens,
    plan_budget,
)
from dynfocus.focus.topk import hard_topk, perturbed_topk

__all__ = [
    "ClockEncoding",
    "ClusterResult",
    "CooperativeEncoding",
    "EventPrototypes",
    "EventSelection",
    "FocusSettings",
    "RelevanceEncoding",
    "SpatialPrototypes",
    "TimePrototypes",
    "TokenPlan",
    "TokenSpan",
    "VideoFeatures",
    "VideoTokens",
    "dpc_knn",
    "hard_topk",
    "kmeans",
    "merge_clusters",
    "num_video_tokens",
    "perturbed_topk",
    "plan_budget",
    "thin_frames",
    "uniform_indices",
]
