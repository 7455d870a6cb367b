"""The settings of the dynamic cooperative network and its two presets."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from dynfocus.focus.clustering import MergeWeight
from dynfocus.focus.official import Clustering
from dynfocus.focus.topk import TopkGradient

ScorePooling = Literal["norm_max", "channel_max"]
ScoreNetwork = Literal["mlp", "global"]
ScoreConditioning = Literal["none", "question"]
RodsOrder = Literal["context_first", "content_first"]
TimeEncoding = Literal["none", "clock"]
RelevanceEncoding = Literal["none", "question"]
VisitEncoding = Literal["none", "count"]
EventFrame = Literal["center", "relevant"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "temporal_clustering": get_args(Clustering),
    "spatial_clustering": get_args(Clustering),
    "event_merge": get_args(MergeWeight),
    "score_pooling": get_args(ScorePooling),
    "score_network": get_args(ScoreNetwork),
    "score_conditioning": get_args(ScoreConditioning),
    "topk_gradient": get_args(TopkGradient),
    "spatial_merge": get_args(MergeWeight),
    "rods_order": get_args(RodsOrder),
    "time_encoding": get_args(TimeEncoding),
    "relevance_encoding": get_args(RelevanceEncoding),
    "visit_encoding": get_args(VisitEncoding),
    "event_frame": get_args(EventFrame),
}
_COUNTS = (
    "num_event_tokens",
    "num_prototypes",
    "num_temporal_neighbors",
    "num_noise_samples",
)
_COUNT_TUPLES = ("num_spatial_prototypes", "num_spatial_neighbors")
_SWITCHES = ("spatial_gate", "cones_with_rods")


@dataclass(frozen=True, kw_only=True)
class FocusSettings:
    """Every choice of the dynamic cooperative network.

    ``FocusSettings()`` and ``FocusSettings.paper()`` are the paper;
    ``FocusSettings.official()`` is the published code.
    """

    num_event_tokens: int = 16
    """Tokens of a pooled frame, a square number; ``P`` in the paper."""

    temporal_clustering: Clustering = "dpc"
    """How frames become event prototypes: the paper's T-DPC, k-means, or k-means
    weighted by importance (Table 11)."""

    num_prototypes: int = 25
    """Event prototypes of a video with at least as many frames; ``L``."""

    selection_ratio: float = 0.8
    """Kept prototypes over prototypes; ``K / L`` in the paper."""

    num_temporal_neighbors: int = 5
    """Neighbours of a frame in its density; ``C`` of Eq. 1 (not published)."""

    event_merge: MergeWeight = "importance"
    """Weights of the frames merged into a prototype (Eq. 5)."""

    score_pooling: ScorePooling = "norm_max"
    """``norm_max``: the token of the largest norm, then the mean (Eq. 6);
    ``channel_max``: the mean, then the maximum of each channel."""

    score_network: ScoreNetwork = "mlp"
    """``mlp``: a three-layer perceptron on each prototype; ``global``: the
    published network, half of whose channels are averaged over prototypes."""

    score_conditioning: ScoreConditioning = "none"
    """``none``: scores are visual, as in the paper; ``question``: the score
    network also reads the question (not in the paper)."""

    num_noise_samples: int = 500
    """Gaussian samples of the perturbed top-k; ``n`` of Eq. 8."""

    noise_sigma: float = 0.1
    """Scale of these samples; ``sigma`` of Eq. 8."""

    topk_gradient: TopkGradient = "exact"
    """``exact``: Eq. 9; ``diagonal``: only the terms the published code keeps."""

    spatial_clustering: Clustering = "dpc"
    """How patches become spatial prototypes: the paper's S-DPC or one of the others."""

    num_spatial_prototypes: tuple[int, ...] = (16, 6)
    """Tokens of each S-DPC layer, never increasing; ``M_1, M_2, ..``."""

    num_spatial_neighbors: tuple[int, ...] = (8, 3)
    """Neighbours of a token in its density, one number a layer."""

    spatial_merge: MergeWeight = "importance"
    """Weights of the tokens merged by S-DPC (Eq. 5)."""

    spatial_gate: bool = False
    """Scale each spatial cluster by a learned softmax weight and order the
    tokens by cluster, as the published code does."""

    cones_with_rods: bool = True
    """Whether a kept frame has its Rods after its Cones (Eq. 13)."""

    rods_order: RodsOrder = "context_first"
    """``context_first``: Eq. 12; ``content_first``: the published code."""

    time_encoding: TimeEncoding = "none"
    """``clock``: add learned embeddings of the frame's time to its tokens (not
    in the paper); ``none``: add nothing."""

    relevance_encoding: RelevanceEncoding = "none"
    """``question``: say to the language model how well each frame fits the question,
    and where that begins and ends (not in the paper); ``none``: add nothing."""

    visit_encoding: VisitEncoding = "none"
    """``count``: say to the language model how often what ``relevance_encoding`` finds
    has come so far (not in the paper); ``none``: add nothing."""

    event_frame: EventFrame = "center"
    """Which frame of a kept event becomes a Cone. ``center``: the centre of its cluster,
    as in the paper; ``relevant``: the one that ``relevance_encoding`` rates highest,
    whose rating is also added to the event's score."""

    max_read_frames: int | None = None
    """Frames that have tokens, at most, however long the video: the centres of the
    event prototypes, those that ``relevance_encoding`` points to, and others evenly
    (not in the paper); ``None``: all of them."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        for name in _COUNT_TUPLES:
            object.__setattr__(self, name, _count_tuple(name, getattr(self, name)))
        for name, accepted in _CHOICES.items():
            _check_choice(name, getattr(self, name), accepted)
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} must be True or False, got {getattr(self, name)!r}; "
                    "set one of the two"
                )
        self._check_numbers()

    def _check_numbers(self) -> None:
        if math.isqrt(self.num_event_tokens) ** 2 != self.num_event_tokens:
            raise ValueError(
                "num_event_tokens must be a square number such as 4, 9 or 16, "
                f"got {self.num_event_tokens}; choose the nearest square"
            )
        ratio, sigma = self.selection_ratio, self.noise_sigma
        if not _is_number(ratio) or not 0 < ratio <= 1:
            raise ValueError(
                f"selection_ratio must be above 0 and at most 1, got {ratio!r}; "
                "it is the kept share of the prototypes"
            )
        if not _is_number(sigma) or not 0 < sigma < math.inf:
            raise ValueError(
                f"noise_sigma must be above 0 and finite, got {sigma!r}; "
                "the paper's code uses 0.1"
            )
        limit = self.max_read_frames
        if limit is not None and not (
            _is_count(limit) and limit >= self.num_prototypes
        ):
            raise ValueError(
                "max_read_frames must be None or a whole number from num_prototypes "
                f"({self.num_prototypes}), got {limit!r}; the centres of all prototypes "
                "are read"
            )
        for name, choice in (("event_frame", "relevant"), ("visit_encoding", "count")):
            if getattr(self, name) == choice and self.relevance_encoding == "none":
                raise ValueError(
                    f"{name}={choice!r} needs relevance_encoding='question', got "
                    f"{self.relevance_encoding!r}; nothing else rates frames"
                )
        layers, neighbors = self.num_spatial_prototypes, self.num_spatial_neighbors
        if len(layers) != len(neighbors):
            raise ValueError(
                "num_spatial_neighbors must have one number for each of the "
                f"{len(layers)} layers of num_spatial_prototypes, got "
                f"{len(neighbors)}; make the two equally long"
            )
        if list(layers) != sorted(layers, reverse=True):
            raise ValueError(
                f"num_spatial_prototypes must never increase, got {layers}; "
                "each layer clusters the tokens of the one before"
            )

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the settings of the paper, with ``changes`` on top."""
        return cls.from_dict(changes)

    @classmethod
    def official(cls, **changes: Any) -> Self:
        """Return the settings of the published code, with ``changes`` on top."""
        return cls.from_dict(_OFFICIAL | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from a mapping such as ``to_dict`` gives."""
        known = sorted(field.name for field in fields(cls))
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"unknown focus settings {', '.join(map(repr, unknown))}; "
                f"accepted are {', '.join(known)}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a mapping that JSON can hold."""
        values = asdict(self)
        return values | {name: list(values[name]) for name in _COUNT_TUPLES}

    @property
    def spatial_arguments(self) -> dict[str, Any]:
        """The arguments of ``SpatialPrototypes``."""
        return {
            "num_prototypes": self.num_spatial_prototypes,
            "num_neighbors": self.num_spatial_neighbors,
            "clustering": self.spatial_clustering,
            "merge": self.spatial_merge,
            "gate": self.spatial_gate,
        }

    @property
    def num_spatial_tokens(self) -> int:
        """Spatial prototypes of a frame over all layers; ``M`` in the paper."""
        return sum(self.num_spatial_prototypes)

    @property
    def num_tokens_per_cone(self) -> int:
        """Tokens of a Cone without its Rods; ``P + M`` in the paper."""
        return self.num_event_tokens + self.num_spatial_tokens

    def num_read_frames_for(self, num_frames: int) -> int:
        """Count the frames that have tokens of a video of ``num_frames`` frames."""
        limit = self.max_read_frames
        return num_frames if limit is None else min(num_frames, limit)

    def num_prototypes_for(self, num_frames: int) -> int:
        """Count the event prototypes of a video of ``num_frames`` frames."""
        return min(num_frames, self.num_prototypes)

    def num_cones_for(self, num_frames: int) -> int:
        """Count the frames that become Cones; ``K`` in the paper."""
        kept = self.selection_ratio * self.num_prototypes_for(num_frames)
        return max(1, math.ceil(kept - 1e-9))  # 0.8 * 25 is above 20 in floats


_OFFICIAL: dict[str, Any] = {
    "temporal_clustering": "kmeans",
    "num_prototypes": 80,
    "selection_ratio": 0.45,
    "event_merge": "uniform",
    "score_pooling": "channel_max",
    "score_network": "global",
    "topk_gradient": "diagonal",
    "spatial_merge": "uniform",
    "spatial_gate": True,
    "cones_with_rods": False,
    "rods_order": "content_first",
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_count(name: str, value: object) -> None:
    if not _is_count(value):
        raise ValueError(
            f"{name} must be a whole number from 1, got {value!r}; raise it to 1 or more"
        )


def _count_tuple(name: str, values: object) -> tuple[int, ...]:
    whole = isinstance(values, list | tuple) and all(map(_is_count, values))
    if not whole or not values:
        raise ValueError(
            f"{name} must be a list of whole numbers from 1, got {values!r}; "
            "give one number for each S-DPC layer"
        )
    return tuple(values)  # type: ignore[arg-type]  # checked above


def _check_choice(name: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, accepted))}, "
            f"got {value!r}; choose one of these"
        )
