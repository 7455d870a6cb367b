"""The dynamic cooperative network: tensors in, tensors out (Eq. 1-13)."""

from dynfocus.focus.clustering import (
    ClusterResult,
    dpc_knn,
    merge_clusters,
    merge_weights,
)
from dynfocus.focus.cooperative import (
    ClockEncoding,
    CooperativeEncoding,
)
from dynfocus.focus.events import EventPrototypes, EventSelection, TimePrototypes
from dynfocus.focus.features import VideoFeatures, uniform_indices
from dynfocus.focus.official import kmeans
from dynfocus.focus.relevance import RelevanceEncoding
from dynfocus.focus.settings import FocusSettings, QuestionSettings
from dynfocus.focus.spatial import SpatialPrototypes
from dynfocus.focus.thinning import thin_frames
from dynfocus.focus.tokens import (
    CountedBudget,
    FocusBudget,
    HostBudget,
    TokenBudget,
    TokenPlan,
    TokenSpan,
    VideoTokens,
)
from dynfocus.focus.topk import hard_topk, perturbed_topk

__all__ = [
    "ClockEncoding",
    "ClusterResult",
    "CooperativeEncoding",
    "CountedBudget",
    "EventPrototypes",
    "EventSelection",
    "FocusBudget",
    "FocusSettings",
    "HostBudget",
    "QuestionSettings",
    "RelevanceEncoding",
    "SpatialPrototypes",
    "TimePrototypes",
    "TokenBudget",
    "TokenPlan",
    "TokenSpan",
    "VideoFeatures",
    "VideoTokens",
    "dpc_knn",
    "hard_topk",
    "kmeans",
    "merge_clusters",
    "merge_weights",
    "perturbed_topk",
    "thin_frames",
    "uniform_indices",
]
