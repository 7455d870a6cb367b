"""The comparisons of the paper as experiments, each row an arm (section 4 and appendix B).

The paper's figures stand beside ours; they come from a 7B model and other benchmarks, so
only their order can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dynfocus.evaluation.experiments.plans import Arm, Lesson
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

ASKED = {"use_question_scores": True}
"""The addition that lets the score network read the question."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table: what it asks, its rows, and what the paper found."""

    name: str
    title: str
    source: str
    """Where the paper shows it."""
    paper_columns: tuple[str, ...] = ()
    """What the paper's figures of the rows are."""
    arms: tuple[Arm, ...]
    expects: str = ""
    """What the paper found, in words."""
    axis: str = ""
    """What ``x`` of the arms is, for an experiment over a number."""


def focus_options(**changes: Any) -> dict[str, Any]:
    """Return connector options with changes to the base network."""
    focus = BASE | changes
    FocusSettings.from_dict(focus)  # refuses what does not fit
    return {"focus": focus}


_PAPER_ARM = Arm(name="base", label="DynFocus", options=focus_options())


def _base(label: str, paper: tuple[float, ...] = (), x: float | None = None) -> Arm:
    """Return the row that every ablation shares, so that it is trained once."""
    return Arm(
        name=_PAPER_ARM.name,
        label=label,
        options=_PAPER_ARM.options,
        paper=paper,
        x=x,
    )


def _methods() -> Experiment:
    question = focus_options(question=ASKED)
    rated = focus_options(
        question={
            "use_question_scores": True,
            "use_ratings": True,
            "use_visit_counts": True,
            "use_best_frames": True,
        }
    )
    every_frame = focus_options(num_prototypes=100_000, selection_ratio=1.0)
    return Experiment(
        name="methods",
        title="Accuracy over video tokens read",
        source="the paper's Tables 1 to 5 compare whole systems; here only the connector "
        "differs",
        expects="few tokens, spent where the answer is, are worth as much as all of them",
        arms=(
            Arm(
                name="uniform",
                label="(a) all patches of uniform frames",
                connector="uniform_patches",
                options={"budget_of": BASE},
            ),
            Arm(name="llama-vid", label="(b) LLaMA-VID", connector="llama_vid"),
            Arm(name="chat-univi", label="(c) Chat-UniVi", connector="chat_univi"),
            Arm(
                name="video-chatgpt",
                label="(d) Video-ChatGPT",
                connector="video_chatgpt",
            ),
            Arm(name="all-cones", label="(e) every frame a Cone", options=every_frame),
            _base("(f) DynFocus"),
            Arm(
                name="question",
                label="(g) DynFocus, question in the score",
                options=question,
            ),
            Arm(
                name="rated",
                label="(g+) DynFocus, frames rated by the question",
                options=rated | {"scores": "start"},
            ),
        ),
    )


def _cones_rods() -> Experiment:
    def row(name: str, label: str, paper: tuple[float, ...], **options: Any) -> Arm:
        return Arm(
            name=name, label=label, options=focus_options() | options, paper=paper
        )

    return Experiment(
        name="cones-rods",
        title="Tokens of Rods and of Cones",
        source="Table 6",
        paper_columns=("MSVD-QA", "ANet-QA", "VCG-Bench"),
        expects="Cones and Rods together are best; all patches are a little better still",
        arms=(
            row("rods0-cones", "0 / Cone", (63.7, 41.4, 2.57), rods=False),
            row(
                "rods0-patches",
                "0 / all patches",
                (65.6, 42.1, 2.65),
                rods=False,
                cone="patches",
            ),
            row("rods2-patches", "2 / all patches", (68.4, 44.3, 2.85), cone="patches"),
            row("rods2-rods", "2 / 2", (62.0, 40.5, 2.38), cone="rods"),
            row("rods2-none", "2 / 0", (58.2, 38.6, 2.21), cone="none"),
            _base("2 / Cone (DynFocus)", (67.9, 43.1, 2.81)),
        ),
    )


def _prototypes() -> Experiment:
    arms = [
        Arm(
            name=f"prototypes{count}",
            label=f"L = {count}",
            options=focus_options(num_prototypes=count),
            x=count,
        )
        for count in (4, 8, 24)
    ]
    return Experiment(
        name="prototypes",
        title="Number of event prototypes",
        source="Figure 3a",
        expects="accuracy rises from L = 10 to 25 and falls beyond",
        arms=(*arms[:2], _base("L = 16 (DynFocus)", x=16), arms[2]),
        axis="event prototypes L",
    )


def _ratio() -> Experiment:
    arms = [
        Arm(
            name=f"ratio{100 * ratio:.0f}",
            label=f"K / L = {ratio:g}",
            options=focus_options(selection_ratio=ratio),
            x=ratio,
        )
        for ratio in (0.125, 0.25, 0.8, 1.0)
    ]
    return Experiment(
        name="ratio",
        title="Share of the prototypes that become Cones",
        source="Figure 3b",
        expects="accuracy rises to K / L = 0.8 and falls beyond",
        arms=(*arms[:2], _base("K / L = 0.5 (DynFocus)", x=0.5), *arms[2:]),
        axis="K / L",
    )


def _length() -> Experiment:
    arms = [
        Arm(
            name=f"length-L{count}",
            label=f"L = {count}",
            options=focus_options(num_prototypes=count, selection_ratio=8 / count),
            weights_of=_PAPER_ARM.name,
            x=count,
        )
        for count in (8, 32, 64)
    ]
    return Experiment(
        name="length",
        title="Event prototypes for videos of different length, 8 of them Cones",
        source="B.7",
        expects="the best L moves from 30 to 55 and 60 as videos grow, and a smaller K / L "
        "is better on long ones",
        arms=(arms[0], _base("L = 16 (as trained)", x=16), *arms[1:]),
        axis="event prototypes L when asked",
    )


def _training() -> Experiment:
    def row(name: str, label: str, paper: tuple[float, ...], *lessons: Lesson) -> Arm:
        return Arm(
            name=name,
            label=label,
            options=focus_options(),
            lessons=lessons,
            paper=paper,
        )

    both = Lesson(stage=1, trains=("focus", "projector"))
    return Experiment(
        name="training",
        title="What learns in which stage (stage 1, then stage 2)",
        source="Table 7",
        paper_columns=("MSVD-QA", "VCG-Bench"),
        expects="best is to align the projector alone, then to train everything",
        arms=(
            row(
                "lock-both-all",
                "focus + projector, then all",
                (65.45, 2.65),
                both,
                Lesson(),
            ),
            row(
                "lock-none-rest",
                "nothing, then projector + language model",
                (61.07, 2.31),
                Lesson(trains=("projector", "language_model")),
            ),
            row(
                "lock-both-rest",
                "focus + projector, then projector + language model",
                (62.21, 2.38),
                both,
                Lesson(trains=("projector", "language_model")),
            ),
            row(
                "lock-projector-all",
                "projector, then all (DynFocus)",
                (67.90, 2.81),
                Lesson(stage=1, trains=("projector",)),
                Lesson(),
            ),
        ),
    )


def _clustering() -> Experiment:
    def row(method: str, label: str, merge: str, paper: tuple[float, ...]) -> Arm:
        return Arm(
            name=method.replace("_", "-"),
            label=label,
            options=focus_options(
                temporal_clustering=method,
                spatial_clustering=method,
                event_merge=merge,
                spatial_merge=merge,
            ),
            paper=paper,
        )

    return Experiment(
        name="clustering",
        title="Clustering method of frames and patches",
        source="Table 11",
        paper_columns=("MSVD-QA", "LVBench"),
        expects="DPC-KNN is a little better than weighted k-means and k-means",
        arms=(
            row("kmeans", "k-means", "uniform", (66.5, 23.7)),
            row("weighted_kmeans", "weighted k-means", "importance", (66.8, 25.1)),
            _base("DPC-KNN (DynFocus)", (67.9, 25.8)),
        ),
    )


def _fusion() -> Experiment:
    return Experiment(
        name="fusion",
        title="How event and spatial prototypes become a Cone",
        source="Table 12",
        paper_columns=("MSVD-QA", "VCG-Bench"),
        expects="concatenation beats cross-attention; several grains beat one",
        arms=(
            Arm(
                name="fusion-attention",
                label="cross-attention",
                options=focus_options() | {"cone": "cross_attention"},
                paper=(64.74, 2.56),
            ),
            Arm(
                name="fusion-one-grain",
                label="concatenation, one grain",
                options=focus_options(
                    num_spatial_prototypes=[4], num_spatial_neighbors=[4]
                ),
                paper=(66.20, 2.66),
            ),
            _base("concatenation, several grains (DynFocus)", (67.90, 2.81)),
        ),
    )


def _gradient() -> Experiment:
    return Experiment(
        name="gradient",
        title="Gradient of the perturbed top-k",
        source="Eq. 9 against the published code",
        expects="the published code keeps the diagonal terms alone, which is biased; the "
        "paper has no figures",
        arms=(
            Arm(
                name="question",
                label="exact",
                options=focus_options(question=ASKED),
            ),
            Arm(
                name="diagonal",
                label="diagonal",
                options=focus_options(question=ASKED, topk_gradient="diagonal"),
            ),
        ),
    )


def _preset() -> Experiment:
    official = FocusSettings.official(**BASE).to_dict()
    return Experiment(
        name="preset",
        title="The paper's equations against the published code's behaviour",
        source="settings `paper` and `official`, with the same L, K and Cone",
        expects="the paper has no figures",
        arms=(
            _base("paper"),
            Arm(name="official", label="official", options={"focus": official}),
        ),
    )


def _selection() -> Experiment:
    def rows(kept: int, share: float) -> tuple[Arm, ...]:
        asked = {"question": ASKED, "selection_ratio": share}
        first = (
            _base(f"question not seen, K = {kept}")
            if share == BASE["selection_ratio"]
            else Arm(
                name=f"ratio{100 * share:.0f}",
                label=f"question not seen, K = {kept}",
                options=focus_options(selection_ratio=share),
            )
        )
        return (
            first,
            Arm(
                name="question" if first.name == "base" else f"question{kept}",
                label=f"question seen, K = {kept}",
                options=focus_options(**asked),
            ),
            Arm(
                name=f"taught{kept}",
                label=f"question seen, taught the evidence, K = {kept}",
                options=focus_options(**asked) | {"scores": "start"},
            ),
        )

    return Experiment(
        name="selection",
        title="What the score of a frame knows",
        source="the paper's score never sees the question",
        expects="the paper has no figures",
        arms=(*rows(8, 0.5), *rows(2, 0.125)),
    )


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        _methods(),
        _cones_rods(),
        _prototypes(),
        _ratio(),
        _length(),
        _training(),
        _clustering(),
        _fusion(),
        _gradient(),
        _preset(),
        _selection(),
    )
}
"""All experiments by name; ``methods`` compares systems, the others are ablations."""

ABLATIONS = tuple(name for name in EXPERIMENTS if name != "methods")
