"""The dynamic cooperative network: tensors in, tensors out (Eq. 1-13).

What is ours stands in `dynfocus.focus.question`, which is imported where it is asked for:
everything here works without it.
"""

from dynfocus.focus.clustering import (
    ClusterResult,
    dpc_knn,
    merge_clusters,
    merge_weights,
)
from dynfocus.focus.cooperative import CooperativeEncoding
from dynfocus.focus.events import EventBatch, EventPrototypes, EventSelection
from dynfocus.focus.features import FrameEncoding, VideoFeatures, uniform_indices
from dynfocus.focus.network import FocusNetwork
from dynfocus.focus.official import kmeans
from dynfocus.focus.settings import FocusSettings, QuestionSettings
from dynfocus.focus.spatial import SpatialPrototypes
from dynfocus.focus.tokens import (
    CountedBudget,
    FocusBudget,
    HostBudget,
    TokenBudget,
    TokenPlan,
    TokenSpan,
    VideoTokens,
    share_budget,
)
from dynfocus.focus.topk import hard_topk, perturbed_topk
from dynfocus.focus.two_passes import FrameShare, TwoPassBudget

__all__ = [
    "share_budget",
    "ClusterResult",
    "CooperativeEncoding",
    "CountedBudget",
    "EventBatch",
    "EventPrototypes",
    "EventSelection",
    "FocusBudget",
    "FocusNetwork",
    "FocusSettings",
    "FrameEncoding",
    "FrameShare",
    "HostBudget",
    "QuestionSettings",
    "SpatialPrototypes",
    "TokenBudget",
    "TokenPlan",
    "TokenSpan",
    "TwoPassBudget",
    "VideoFeatures",
    "VideoTokens",
    "dpc_knn",
    "hard_topk",
    "kmeans",
    "merge_clusters",
    "merge_weights",
    "perturbed_topk",
    "uniform_indices",
]
