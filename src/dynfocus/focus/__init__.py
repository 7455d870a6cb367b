"""DynFocus's dynamic cooperative network (Eq. 1-13), and SlowFocus's: tensors in and out.

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
from dynfocus.focus.mixing import MixingAttention, TemporalTable
from dynfocus.focus.network import FocusNetwork
from dynfocus.focus.official import kmeans
from dynfocus.focus.settings import FocusSettings, QuestionSettings
from dynfocus.focus.slow_network import SlowFocusNetwork, SlowFocusSettings
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
    "MixingAttention",
    "QuestionSettings",
    "SlowFocusNetwork",
    "SlowFocusSettings",
    "SpatialPrototypes",
    "TemporalTable",
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
    "share_budget",
    "uniform_indices",
]
