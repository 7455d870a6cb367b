"""The settings of the dynamic cooperative network and its two presets."""

import math
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from dynfocus.focus.clustering import MergeWeight
from dynfocus.focus.official import Clustering
from dynfocus.focus.topk import TopkGradient
from dynfocus.validation import Count, Positive, checked, from_mapping

ScoreNetwork = Literal["mlp", "global"]
RodsOrder = Literal["context_first", "content_first"]

Counts = Annotated[
    tuple[Count, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    Field(min_length=1),
]
Ratio = Annotated[float, Field(gt=0, le=1)]


def _later(default: Any) -> Any:
    """Make a field that what is known of a video before a question does not depend on."""
    return field(default=default, metadata={"encodes": False})


@checked
class QuestionSettings:
    """What `dynfocus.focus.question` adds to the paper's network; none of it by default."""

    use_question_scores: bool = False
    """Whether the score network (Eq. 6) also reads the question."""

    use_ratings: bool = False
    """Whether each frame is rated by how well it fits the question, and its tokens say
    so, and where that begins and ends."""

    use_visit_counts: bool = False
    """Whether the tokens also say how often what is asked for has come so far."""

    use_best_frames: bool = False
    """Whether the frame of an event that is rated highest becomes its Cone, in place of
    the centre, and its rating is added to the event's score."""

    use_clock: bool = False
    """Whether the tokens of a frame say its time."""

    max_read_frames: Count | None = None
    """Frames that have tokens, at most, however long the video: the centres of the event
    prototypes, those that the ratings point to, and others evenly; None for all."""

    def __post_init__(self) -> None:
        for name in ("use_visit_counts", "use_best_frames"):
            if getattr(self, name) and not self.use_ratings:
                raise ValueError(
                    f"{name} needs use_ratings, got False; nothing else rates frames"
                )


@checked
class FocusSettings:
    """Every choice of the dynamic cooperative network.

    ``FocusSettings()`` and ``FocusSettings.paper()`` are the paper;
    ``FocusSettings.official()`` is the published code.
    """

    num_event_tokens: Count = 16
    """Tokens of a pooled frame, a square number; ``P`` in the paper."""

    temporal_clustering: Clustering = "dpc"
    """How frames become event prototypes: the paper's T-DPC, k-means, or k-means
    weighted by importance (Table 11)."""

    num_prototypes: Count = 25
    """Event prototypes of a video with at least as many frames; ``L``."""

    selection_ratio: Ratio = _later(0.8)
    """Kept prototypes over prototypes; ``K / L`` in the paper."""

    num_temporal_neighbors: Count = 5
    """Neighbours of a frame in its density; ``C`` of Eq. 1."""

    event_merge: MergeWeight = "importance"
    """Weights of the frames merged into a prototype (Eq. 5)."""

    score_network: ScoreNetwork = _later("mlp")
    """``mlp``: a three-layer perceptron on the token of the largest norm and the mean of
    each prototype (Eq. 6); ``global``: the published network on the mean and the maximum
    of each channel, in which prototypes see each other."""

    num_noise_samples: Count = _later(500)
    """Gaussian samples of the perturbed top-k; ``n`` of Eq. 8."""

    noise_sigma: Positive = _later(0.1)
    """Scale of these samples; ``sigma`` of Eq. 8."""

    topk_gradient: TopkGradient = _later("exact")
    """``exact``: Eq. 9; ``diagonal``: only the terms the published code keeps."""

    spatial_clustering: Clustering = "dpc"
    """How patches become spatial prototypes: the paper's S-DPC or one of the others."""

    num_spatial_prototypes: Counts = (16, 6)
    """Tokens of each S-DPC layer, never increasing; ``M_1, M_2, ..``."""

    num_spatial_neighbors: Counts = (8, 3)
    """Neighbours of a token in its density, one number a layer."""

    spatial_merge: MergeWeight = "importance"
    """Weights of the tokens merged by S-DPC (Eq. 5)."""

    spatial_gate: bool = False
    """Scale each spatial cluster by a learned softmax weight and order the
    tokens by cluster, as the published code does."""

    cones_with_rods: bool = _later(True)
    """Whether a kept frame has its Rods after its Cones (Eq. 13)."""

    rods_order: RodsOrder = _later("context_first")
    """``context_first``: Eq. 12; ``content_first``: the published code."""

    question: QuestionSettings | None = _later(None)
    """What is ours and not in the paper; None for nothing."""

    def __post_init__(self) -> None:
        if math.isqrt(self.num_event_tokens) ** 2 != self.num_event_tokens:
            raise ValueError(
                "num_event_tokens must be a square number such as 4, 9 or 16, "
                f"got {self.num_event_tokens}; choose the nearest square"
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
        limit = self.max_read_frames
        if limit is not None and limit < self.num_prototypes:
            raise ValueError(
                "max_read_frames must be at least num_prototypes "
                f"({self.num_prototypes}), got {limit}; the centres of all prototypes "
                "are read"
            )

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the settings of the paper, with ``changes`` on top.

        Where each number comes from:

        * The paper gives ``num_prototypes`` (L = 25) and ``selection_ratio``
          (K / L = 0.8), the 40 tokens of a kept frame and one frame a second.
        * The published code gives ``num_event_tokens`` (P = 16),
          ``num_spatial_prototypes`` (M = 16 + 6), ``num_spatial_neighbors`` (8 and 3),
          ``noise_sigma`` (0.1) and ``num_noise_samples`` (500); P + M and the two tokens
          of the Rods add up to the paper's 40.
        * ``num_temporal_neighbors`` (5) is a guess: neither gives it.
        * All others follow the paper's equations.
        """
        return cls(**changes)

    @classmethod
    def official(cls, **changes: Any) -> Self:
        """Return the settings of the published code, with ``changes`` on top."""
        return cls(**(_OFFICIAL | changes))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from a mapping such as ``to_dict`` gives."""
        return from_mapping(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a mapping that JSON can hold."""
        values = asdict(self)
        for name in ("num_spatial_prototypes", "num_spatial_neighbors"):
            values[name] = list(values[name])
        return values

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return these settings with others in a mapping, group by group."""
        values = self.to_dict() | dict(changes)
        mine, theirs = self.to_dict()["question"], values["question"]
        if mine is not None and theirs is not None:
            values["question"] = mine | dict(theirs)
        return self.from_dict(values)

    def encoding_fields(self) -> dict[str, Any]:
        """Return what decides the half of a video that knows no question, by name."""
        values = self.to_dict()
        return {
            each.name: values[each.name]
            for each in fields(self)
            if each.metadata.get("encodes", True)
        }

    @property
    def extensions(self) -> QuestionSettings:
        """What is ours; all of it is off where ``question`` is None."""
        return self.question or QuestionSettings()

    @property
    def max_read_frames(self) -> int | None:
        """Frames that have tokens, at most; None for all of them."""
        return self.extensions.max_read_frames

    @property
    def event_arguments(self) -> dict[str, Any]:
        """The arguments of ``EventPrototypes``."""
        return {
            "num_event_tokens": self.num_event_tokens,
            "num_prototypes": self.num_prototypes,
            "num_neighbors": self.num_temporal_neighbors,
            "clustering": self.temporal_clustering,
            "merge": self.event_merge,
            "score_network": self.score_network,
            "num_samples": self.num_noise_samples,
            "sigma": self.noise_sigma,
            "gradient": self.topk_gradient,
        }

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
    "score_network": "global",
    "topk_gradient": "diagonal",
    "spatial_merge": "uniform",
    "spatial_gate": True,
    "cones_with_rods": False,
    "rods_order": "content_first",
}
