"""The comparisons of the SlowFocus paper as experiments (Tables 5 to 8).

Every row starts from one SlowFocus after stage 2 and is trained as stage 3; the temporal
table learns with it, so that a table of another size can. The paper's figures stand beside
ours; they come from a 7B model and FineAction-CGR, so only their order can be compared.
"""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.experiments.plans import Experiment, Phase, Variant

KINDS = ("needle", "order", "when", "before_after", "action", "action_time")
"""What the rows are taught and asked, in the widened world."""
ALIGNED = "align"
"""Folder of stage 1 beside that of stage 2, in `recipes/nano-slow`."""
_PAPER = ("Acc", "mIoU")
_ADAPTS = (Phase(trains=("clock", "mixing", "language_model")),)


def _row(
    name: str,
    label: str,
    paper: tuple[float, ...] = (),
    *,
    num_dense: int | None = 20,
    phases: tuple[Phase, ...] = _ADAPTS,
    start: str = "",
    fps: float | None = None,
    x: float | None = None,
    **slow: Any,
) -> Variant:
    """Return a row, with changes to the settings of SlowFocus's network."""
    return Variant(
        name=f"slow-{name}",
        label=label,
        connector="slowfocus",
        options=slow,
        phases=phases,
        num_dense=num_dense,
        start=start,
        fps=fps,
        x=x,
        paper=paper,
    )


def _experiment(
    name: str, title: str, source: str, expects: str, *rows: Variant, axis: str = ""
) -> Experiment:
    return Experiment(
        name=f"slow-{name}",
        title=title,
        source=f"the SlowFocus paper's {source}",
        paper_columns=_PAPER,
        variants=rows,
        expects=expects,
        axis=axis,
        kinds=KINDS,
        wide=True,
    )


def _base(label: str, x: float | None = None) -> Variant:
    """Return the row that every table shares, so that it is trained once."""
    return _row("base", label, (53.10, 66.68), x=x)


_TIMELESS: dict[str, Any] = {"num_positions": 1, "mixing": "off"}
"""A table of one row tells no time."""

_PARTS = _experiment(
    "parts",
    "Dense frames, temporal table and mixing attention",
    "Table 5",
    "each part adds, the temporal table most; beyond 20 dense frames nothing is gained",
    _row("low", "low frequency alone", (30.25, 32.54), num_dense=None, **_TIMELESS),
    _row("high10", "low + 10 dense", (39.12, 34.81), num_dense=10, **_TIMELESS),
    _row(
        "table10",
        "low + 10 dense, temporal table",
        (46.37, 57.26),
        num_dense=10,
        mixing="off",
    ),
    _row("table20", "low + 20 dense, temporal table", (51.68, 64.92), mixing="off"),
    _row(
        "table40",
        "low + 40 dense, temporal table",
        (51.59, 65.03),
        num_dense=40,
        mixing="off",
    ),
    _base("low + 20 dense, temporal table, mixing (SlowFocus)"),
)
_STAGES = _experiment(
    "stages",
    "Stages of training",
    "Table 6",
    "each stage is needed, stage 2 most for intervals",
    _row("stage1", "1", (7.13, 0.11), phases=(), start=ALIGNED),
    _row("stage12", "1, 2", (20.34, 51.67), phases=()),
    _row("stage13", "1, 3", (32.27, 28.58), start=ALIGNED),
    _base("1, 2, 3 (SlowFocus)"),
)


def _rate(grid_size: int, fps: float, name: str, paper: tuple[float, float]) -> Variant:
    tokens = grid_size**2 + 1
    return _row(
        f"rate-{name}",
        f"{fps:g} a second, {tokens} tokens each",
        paper,
        num_dense=None,
        fps=fps,
        x=fps,
        grid_size=grid_size,
    )


_RATE = _experiment(
    "rate",
    "Frames a second and tokens of a frame, at 8.5 tokens a second",
    "Table 7 (64, 16, 4 and 1 tokens a frame at 1, 4, 16 and 64 frames a second)",
    "few frames of many tokens are worth most",
    _rate(4, 0.5, "low", (53.10, 66.68)),
    _rate(2, 1.7, "middle", (52.17, 61.01)),
    _rate(1, 4.25, "high", (45.36, 45.19)),
    axis="frames a second",
)
_TABLE = _experiment(
    "table",
    "Rows of the temporal table",
    "Table 8",
    "1000 rows are best, far above 100 and a little above 10 000",
    _row("rows100", "100", (39.41, 43.81), x=100, num_positions=100),
    _base("1000 (SlowFocus)", x=1000),
    _row("rows10000", "10 000", (52.59, 63.74), x=10_000, num_positions=10_000),
    axis="rows of the temporal table",
)

SLOW_EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (_PARTS, _STAGES, _RATE, _TABLE)
}
"""All of them by name."""
