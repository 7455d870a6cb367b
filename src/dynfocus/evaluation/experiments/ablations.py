"""The comparisons of the paper as experiments (section 4 and appendix B).

The paper's figures stand beside ours; they come from a 7B model and other benchmarks, so
only their order can be compared.
"""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.experiments.plans import Experiment, Phase, Variant
from dynfocus.evaluation.experiments.slow_ablations import SLOW_EXPERIMENTS
from dynfocus.focus import FocusSettings

BASE: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 16,
    "selection_ratio": 0.5,
    "num_temporal_neighbors": 3,
    "num_spatial_prototypes": [4, 2],
    "num_spatial_neighbors": [4, 2],
    "num_noise_samples": 100,
}
"""The dynamic cooperative network at nano size: a Cone of 10 tokens beside 2 of Rods."""

_ASKED = {"use_question_scores": True}
"""The addition that lets the score network read the question."""


def focus_options(**changes: Any) -> dict[str, Any]:
    """Return connector options with changes to the base network."""
    focus = BASE | changes
    FocusSettings.from_dict(focus)  # refuses what does not fit
    return {"focus": focus}


def _row(
    name: str,
    label: str,
    paper: tuple[float, ...] = (),
    *phases: Phase,
    x: float | None = None,
    weights_of: str = "",
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Variant:
    """Return a row of DynFocus, with changes to the network and options beside it."""
    return Variant(
        name=name,
        label=label,
        options=focus_options(**changes) | (options or {}),
        phases=phases or (Phase(),),
        weights_of=weights_of,
        x=x,
        paper=paper,
    )


def _base(label: str, paper: tuple[float, ...] = (), x: float | None = None) -> Variant:
    """Return the row that every ablation shares, so that it is trained once."""
    return _row("base", label, paper, x=x)


_METHODS = Experiment(
    name="methods",
    title="Accuracy over video tokens read",
    source="the paper's Tables 1 to 5 compare whole systems; here only the connector "
    "differs",
    expects="few tokens, spent where the answer is, are worth as much as all of them",
    variants=(
        Variant(
            name="uniform",
            label="(a) all patches of uniform frames",
            connector="uniform_patches",
            options={"budget_of": BASE},
        ),
        Variant(name="llama-vid", label="(b) LLaMA-VID", connector="llama_vid"),
        Variant(name="chat-univi", label="(c) Chat-UniVi", connector="chat_univi"),
        Variant(
            name="video-chatgpt", label="(d) Video-ChatGPT", connector="video_chatgpt"
        ),
        _row(
            "all-cones",
            "(e) every frame a Cone",
            num_prototypes=100_000,
            selection_ratio=1.0,
        ),
        _base("(f) DynFocus"),
        _row(
            "question",
            "(g) DynFocus, question in the score",
            question=_ASKED,
        ),
        _row(
            "rated",
            "(g+) DynFocus, frames rated by the question",
            options={"scores": "start"},
            question=_ASKED
            | {"use_ratings": True, "use_visit_counts": True, "use_best_frames": True},
        ),
        Variant(
            name="flash-vstream",
            label="(h) Flash-VStream",
            connector="flash_vstream",
            options={"budget_of": BASE, "grid_size": 4},
        ),
        Variant(
            name="storm",
            label="(i) STORM",
            connector="storm",
            options={"spatial_pool": 2},
        ),
        Variant(
            name="longvu",
            label="(j) LongVU",
            connector="longvu",
            options={"budget_of": BASE},
        ),
        Variant(
            name="oracle",
            label="(k) oracle: as (f), shown the frames of the evidence alone",
            options=focus_options(),
            weights_of="base",
            shown="evidence",
        ),
        Variant(
            name="blind",
            label="(l) blind: as (f), its video tokens left out",
            options=focus_options(),
            weights_of="base",
            shown="nothing",
        ),
    ),
)

_CONES_RODS = Experiment(
    name="cones-rods",
    title="Tokens of Rods and of Cones",
    source="Table 6",
    paper_columns=("MSVD-QA", "ANet-QA", "VCG-Bench"),
    expects="Cones and Rods together are best; all patches are a little better still",
    variants=tuple(
        _row(name, label, paper, options=options)
        for name, label, paper, options in (
            ("rods0-cones", "0 / Cone", (63.7, 41.4, 2.57), {"rods": False}),
            (
                "rods0-patches",
                "0 / all patches",
                (65.6, 42.1, 2.65),
                {"rods": False, "cone": "patches"},
            ),
            (
                "rods2-patches",
                "2 / all patches",
                (68.4, 44.3, 2.85),
                {"cone": "patches"},
            ),
            ("rods2-rods", "2 / 2", (62.0, 40.5, 2.38), {"cone": "rods"}),
            ("rods2-none", "2 / 0", (58.2, 38.6, 2.21), {"cone": "none"}),
            ("base", "2 / Cone (DynFocus)", (67.9, 43.1, 2.81), {}),
        )
    ),
)

_PROTOTYPES = Experiment(
    name="prototypes",
    title="Number of event prototypes",
    source="Figure 3a",
    expects="accuracy rises from L = 10 to 25 and falls beyond",
    variants=(
        _row("prototypes4", "L = 4", x=4, num_prototypes=4),
        _row("prototypes8", "L = 8", x=8, num_prototypes=8),
        _base("L = 16 (DynFocus)", x=16),
        _row("prototypes24", "L = 24", x=24, num_prototypes=24),
    ),
    axis="event prototypes L",
)

_RATIO = Experiment(
    name="ratio",
    title="Share of the prototypes that become Cones",
    source="Figure 3b",
    expects="accuracy rises to K / L = 0.8 and falls beyond",
    variants=(
        _row("ratio12", "K / L = 0.125", x=0.125, selection_ratio=0.125),
        _row("ratio25", "K / L = 0.25", x=0.25, selection_ratio=0.25),
        _base("K / L = 0.5 (DynFocus)", x=0.5),
        _row("ratio80", "K / L = 0.8", x=0.8, selection_ratio=0.8),
        _row("ratio100", "K / L = 1", x=1.0, selection_ratio=1.0),
    ),
    axis="K / L",
)


def _length(count: int) -> Variant:
    return _row(
        f"length-L{count}",
        f"L = {count}",
        x=count,
        weights_of="base",
        num_prototypes=count,
        selection_ratio=8 / count,
    )


_LENGTH = Experiment(
    name="length",
    title="Event prototypes for videos of different length, 8 of them Cones",
    source="B.7",
    expects="the best L moves from 30 to 55 and 60 as videos grow, and a smaller K / L "
    "is better on long ones",
    variants=(_length(8), _base("L = 16 (as trained)", x=16), _length(32), _length(64)),
    axis="event prototypes L when asked",
)

_PROJECTOR = ("projectors", "clock")
_FOCUS = ("text_encoder", "attention", "scores", "rating")
_BOTH = Phase(stage=1, trains=(*_FOCUS, *_PROJECTOR))
_REST = Phase(trains=(*_PROJECTOR, "language_model"))
_TRAINING = Experiment(
    name="training",
    title="What learns in which stage (stage 1, then stage 2)",
    source="Table 7",
    paper_columns=("MSVD-QA", "VCG-Bench"),
    expects="best is to align the projector alone, then to train everything",
    variants=(
        _row(
            "lock-both-all",
            "focus + projector, then all",
            (65.45, 2.65),
            _BOTH,
            Phase(),
        ),
        _row(
            "lock-none-rest",
            "nothing, then projector + language model",
            (61.07, 2.31),
            _REST,
        ),
        _row(
            "lock-both-rest",
            "focus + projector, then projector + language model",
            (62.21, 2.38),
            _BOTH,
            _REST,
        ),
        _row(
            "lock-projector-all",
            "projector, then all (DynFocus)",
            (67.90, 2.81),
            Phase(stage=1, trains=_PROJECTOR),
            Phase(),
        ),
    ),
)


def _clustering(method: str, label: str, merge: str, *paper: float) -> Variant:
    return _row(
        method.replace("_", "-"),
        label,
        paper,
        temporal_clustering=method,
        spatial_clustering=method,
        event_merge=merge,
        spatial_merge=merge,
    )


_CLUSTERING = Experiment(
    name="clustering",
    title="Clustering method of frames and patches",
    source="Table 11",
    paper_columns=("MSVD-QA", "LVBench"),
    expects="DPC-KNN is a little better than weighted k-means and k-means",
    variants=(
        _clustering("kmeans", "k-means", "uniform", 66.5, 23.7),
        _clustering("weighted_kmeans", "weighted k-means", "importance", 66.8, 25.1),
        _base("DPC-KNN (DynFocus)", (67.9, 25.8)),
    ),
)

_FUSION = Experiment(
    name="fusion",
    title="How event and spatial prototypes become a Cone",
    source="Table 12",
    paper_columns=("MSVD-QA", "VCG-Bench"),
    expects="concatenation beats cross-attention; several grains beat one",
    variants=(
        _row(
            "fusion-attention",
            "cross-attention",
            (64.74, 2.56),
            options={"cone": "cross_attention"},
        ),
        _row(
            "fusion-one-grain",
            "concatenation, one grain",
            (66.20, 2.66),
            num_spatial_prototypes=[4],
            num_spatial_neighbors=[4],
        ),
        _base("concatenation, several grains (DynFocus)", (67.90, 2.81)),
    ),
)

_GRADIENT = Experiment(
    name="gradient",
    title="Gradient of the perturbed top-k",
    source="Eq. 9 against the published code",
    expects="the published code keeps the diagonal terms alone, which is biased; the "
    "paper has no figures",
    variants=(
        _row("question", "exact", question=_ASKED),
        _row(
            "diagonal",
            "diagonal",
            question=_ASKED,
            topk_gradient="diagonal",
        ),
    ),
)

_PRESET = Experiment(
    name="preset",
    title="The paper's equations against the published code's behaviour",
    source="settings `paper` and `official`, with the same L, K and Cone",
    expects="the paper has no figures",
    variants=(
        _base("paper"),
        _row("official", "official", **FocusSettings.official(**BASE).to_dict()),
    ),
)


def _taught(kept: int, **changes: Any) -> tuple[Variant, Variant]:
    """Return the rows whose score sees the question: learned from answers, and taught."""
    asked = {"question": _ASKED, **changes}
    return (
        _row(
            "question" if kept == 8 else f"question{kept}",
            f"question seen, K = {kept}",
            **asked,
        ),
        _row(
            f"taught{kept}",
            f"question seen, taught the evidence, K = {kept}",
            options={"scores": "start"},
            **asked,
        ),
    )


_SELECTION = Experiment(
    name="selection",
    title="What the score of a frame knows",
    source="the paper's score never sees the question",
    expects="the paper has no figures",
    variants=(
        _base("question not seen, K = 8"),
        *_taught(8),
        _row("ratio12", "question not seen, K = 2", selection_ratio=0.125),
        *_taught(2, selection_ratio=0.125),
    ),
)

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        _METHODS,
        _CONES_RODS,
        _PROTOTYPES,
        _RATIO,
        _LENGTH,
        _TRAINING,
        _CLUSTERING,
        _FUSION,
        _GRADIENT,
        _PRESET,
        _SELECTION,
        *SLOW_EXPERIMENTS.values(),
    )
}
"""All experiments by name; ``methods`` compares systems, the others are ablations."""

ABLATIONS = tuple(name for name in EXPERIMENTS if name != "methods")
