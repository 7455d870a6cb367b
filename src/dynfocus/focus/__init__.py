"""DynFocus's dynamic cooperative network (Eq. 1-13), and SlowFocus's: tensors in and out.

What is ours stands in `dynfocus.focus.question`, which is imported where it is asked for:
everything here works without it.
"""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked

if TYPE_CHECKING:
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
    from dynfocus.focus.two_passes import ROD_SCALE, FrameShare, TwoPassBudget

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
    "ROD_SCALE",
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

_HOMES = {
    "ClusterResult": "clustering",
    "CooperativeEncoding": "cooperative",
    "CountedBudget": "tokens",
    "EventBatch": "events",
    "EventPrototypes": "events",
    "EventSelection": "events",
    "FocusBudget": "tokens",
    "FocusNetwork": "network",
    "FocusSettings": "settings",
    "FrameEncoding": "features",
    "FrameShare": "two_passes",
    "HostBudget": "tokens",
    "MixingAttention": "mixing",
    "QuestionSettings": "settings",
    "ROD_SCALE": "two_passes",
    "SlowFocusNetwork": "slow_network",
    "SlowFocusSettings": "slow_network",
    "SpatialPrototypes": "spatial",
    "TemporalTable": "mixing",
    "TokenBudget": "tokens",
    "TokenPlan": "tokens",
    "TokenSpan": "tokens",
    "TwoPassBudget": "two_passes",
    "VideoFeatures": "features",
    "VideoTokens": "tokens",
    "dpc_knn": "clustering",
    "hard_topk": "topk",
    "kmeans": "official",
    "merge_clusters": "clustering",
    "merge_weights": "clustering",
    "perturbed_topk": "topk",
    "share_budget": "tokens",
    "uniform_indices": "features",
}
"""The module that each name stands in; it is imported when the name is asked for."""

__getattr__ = import_when_asked(__name__, _HOMES)
