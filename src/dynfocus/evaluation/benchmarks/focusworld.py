"""FocusWorld as a benchmark: videos as real files, exact answers, rules beside the model.

Each video is written as H.264, read back, indexed once and asked about by the runner of
`dynfocus.bulk`, so a run that stops goes on.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from dynfocus.bulk import Asker, Row, run_rows
from dynfocus.evaluation.benchmarks.rules import RULE_KINDS, answer_by_rule, frame_rater
from dynfocus.evaluation.metrics import (
    Estimate,
    Record,
    accuracy,
    answer_constantly,
    is_right_answer,
    paired_difference,
    score_together,
)
from dynfocus.evaluation.pages import Document, Layout, table
from dynfocus.focus import uniform_indices
from dynfocus.index import VideoIndex
from dynfocus.models import Answer, AskOptions, VideoModel
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.text import check_choice, plural
from dynfocus.validation import Count, Natural, Positive, checked
from dynfocus.world import KINDS, WideQuestion, WorldQuestion, make_video
from dynfocus.world.conversations import WorldAddress, parse_address
from dynfocus.world.dataset import draw_duration
from dynfocus.world.scene import Split
from dynfocus.world.video import NARROW, World
from dynfocus.world.wide import KINDS as WIDE_KINDS
from dynfocus.world.wide.wordings import WordingSet

Progress = Callable[[int, int], None]
Records = list[dict[str, Any]]
Interval = tuple[float, float]
PAIRS = "presence pairs"
"""Row for presence questions of which both twins are right."""
HELD_OUT = "held-out needle and attribute"
GROUPS = "all four of a group"
"""Row for questions about one event that are right together or not at all."""
_FACTS = ("kind", "held_out", "pair", "pair_id", "group", "form", "choice")
"""What a record repeats of a question."""
_SEEN_SEEDS = 40
"""Test seeds below this were looked at while the shipped weights were made."""


@checked
class WorldBenchmark:
    """Which questions are asked about which videos."""

    name: str = ""
    """What tables call it."""
    num_videos: Count = 40
    """Videos, each with its own seed."""
    seconds: tuple[float, float] = (60.0, 180.0)
    """Least and greatest length of a video."""
    seed: Natural = 0
    """Seed of the first video."""
    split: Split = "test"
    world: World = NARROW
    """The narrow world, which the shipped nano knows, or the widened one."""
    wording: Literal["plain", "training", "held_out"] = "plain"
    """How the widened world asks: plainly, in other words that training uses, or in
    words that it never does."""
    kinds: tuple[str, ...] = ()
    """Kinds of questions; all of the world's by default."""
    max_per_kind: Count = 3
    """Questions of a kind a video (presence: pairs)."""
    fps: Positive = 1.0
    """Frames a second that are looked at."""
    max_video_tokens: Count | None = None
    """Budget of a question."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise ValueError(
                f"seconds must go from low to high, got {self.seconds[0]:g} to {self.seconds[1]:g}"
            )
        known = WIDE_KINDS if self.world.wide else KINDS
        for kind in self.kinds:
            check_choice(kind, "kind", known)
        if self.wording != "plain" and not self.world.wide:
            raise ValueError("only the widened world has other wordings than plain")

    @property
    def title(self) -> str:
        """Give the name and the budget."""
        if self.max_video_tokens is None:
            return self.name
        return f"{self.name}, at most {self.max_video_tokens} tokens"

    def addresses(self) -> list[WorldAddress]:
        """Name the videos."""
        return [
            WorldAddress(
                split=self.split,
                seed=seed,
                seconds=draw_duration(self.seconds, seed, self.split),
                world=self.world,
            )
            for seed in range(self.seed, self.seed + self.num_videos)
        ]

    def rows(self, **facts: Any) -> list[Row]:
        """Make the rows of the runner, one a question.

        Args:
            **facts: What else their records repeat.
        """
        return [row for row, _ in self.rows_and_questions(**facts)]

    def rows_and_questions(
        self, **facts: Any
    ) -> list[tuple[Row, WorldQuestion | WideQuestion]]:
        """Make the rows, each with the question that it asks."""
        options = AskOptions(fps=self.fps, max_video_tokens=self.max_video_tokens)
        addresses = self.addresses()
        scenes = [address.scene() for address in addresses]
        which: WordingSet = "held_out" if self.wording == "held_out" else "training"
        asked = self.world.ask_all(scenes, self.max_per_kind, which)
        rows = []
        numbers: Counter[int] = Counter()
        for place, question in sorted(asked, key=itemgetter(0)):  # each video once
            is_grouped = isinstance(question, WideQuestion) and question.group
            if self.kinds and (is_grouped or question.kind not in self.kinds):
                continue
            text, answer = self._put(question)
            known = {f: getattr(question, f) for f in _FACTS if hasattr(question, f)}
            row = Row(
                video=str(addresses[place]),
                question=text,
                id=f"{addresses[place]}#{numbers[place]}",
                options=options,
                answer=answer,
                evidence=question.evidence,
                facts={"truth": answer, **known, **facts},
            )
            rows.append((row, question))
            numbers[place] += 1
        return rows

    def _put(self, question: WorldQuestion | WideQuestion) -> tuple[str, str]:
        """Return a question as it is asked, and the right answer to that."""
        if (
            self.wording == "plain"
            or isinstance(question, WorldQuestion)
            or question.group  # has words of its own
        ):
            return question.question, question.answer
        is_held_out = self.wording == "held_out"
        wording = next(w for w in question.wordings if w.held_out == is_held_out)
        return wording.text, wording.answer


def usual_benchmarks(
    num_short: int, num_medium: int = 0, num_long: int = 0, **options: Any
) -> tuple[WorldBenchmark, ...]:
    """Return benchmarks of the usual lengths, without those of no video.

    Args:
        num_short: Videos of one to three minutes.
        num_medium: Videos of eight to ten minutes.
        num_long: Videos of forty minutes to an hour.
        **options: Other fields, for all of them.
    """
    lengths = (
        ("short", num_short, (60.0, 180.0)),
        ("medium", num_medium, (480.0, 600.0)),
        ("long", num_long, (2400.0, 3600.0)),
    )
    return tuple(
        WorldBenchmark(name=name, num_videos=count, seconds=seconds, **options)
        for name, count, seconds in lengths
        if count
    )


def run_world_benchmark(
    model: VideoModel,
    benchmark: WorldBenchmark,
    answers: str | Path,
    progress: Progress | None = None,
    *,
    rules: bool = False,
) -> Records:
    """Ask a model everything and return one record a question.

    Args:
        model: The model.
        benchmark: What to ask.
        answers: JSON-lines file that grows by one line an answer; what is answered in it
            is not asked again.
        progress: Called with questions done and questions in all.
        rules: Also answer by rules on the model's rating of frames.

    Returns:
        Records as `describe_answer` makes them, beside what the runner says.

    Raises:
        ValueError: If some question got no answer, or the file is of another run.
    """
    if rules:
        frame_rater(model)  # refuses a model that does not rate frames
    weights = fingerprint_parameters(model.model.named_parameters())
    stamp = {"model": model.name, "weights": weights, "rules": rules}
    describe = partial(describe_answer, rules=model if rules else None)
    asker = Asker(lambda number: model, open_world_file, describe)
    stamp |= {"benchmark": asdict(benchmark)}
    rows = benchmark.rows()
    records = run_rows(
        asker, rows, answers, stamp=stamp, retries=True, progress=progress
    )
    return check_answered(records)


def check_answered(records: Records) -> Records:
    """Refuse records of which some have no answer; a later run asks them again."""
    failed = [record for record in records if "error" in record]
    if failed:
        raise ValueError(
            f"{len(failed)} of {plural(len(records), 'question')} got no answer, the first about "
            f"{failed[0]['video']}: {failed[0]['error']}; run again to ask them again"
        )
    return records


@contextmanager
def open_world_file(address: str) -> Iterator[Path]:
    """Write the video of an address as H.264 and give its file, for a while."""
    found = parse_address(address)
    assert found is not None  # `WorldBenchmark.rows` wrote it
    with tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
        path = Path(folder) / "video.mp4"
        make_video(
            path, found.seconds, found.seed, split=found.split, world=found.world
        )
        yield path


def describe_answer(
    row: Row, answer: Answer, index: VideoIndex, rules: VideoModel | None = None
) -> dict[str, Any]:
    """Judge an answer, tell whether Cones saw the evidence, and what rules answer."""
    cones = cone_times(answer)
    spread = uniform_indices(index.num_frames, len(cones))
    uniform = index.features.pts_seconds[spread].tolist()
    kind = row.facts["kind"]
    record: dict[str, Any] = {
        "right": is_right_answer(row.facts, answer.text, row.evidence),
        "cone_share": len(cones) / index.num_frames,
        "evidence_seen": evidence_seen(row.evidence, cones),
        "uniform_seen": evidence_seen(row.evidence, uniform),
    }
    if rules is not None and kind in RULE_KINDS:
        rate, times = frame_rater(rules)(index), index.features.pts_seconds
        text = answer_by_rule(kind, answer.question, rate, times)
        right = is_right_answer(row.facts, text, row.evidence)
        record |= {"rule": text, "rule_right": right}
    return record


def answered(row: Row, answer: Answer) -> dict[str, Any]:
    """Make the record of an answer: what was asked, what it cost, whether it is right."""
    return {
        "id": row.id,
        "video": row.video,
        "question": row.question,
        **row.facts,
        "answer": answer.text,
        "right": is_right_answer(row.facts, answer.text, row.evidence),
        "tokens": answer.tokens,
        "seconds": round(answer.seconds, 4),
        "evidence_seen": evidence_seen(row.evidence, cone_times(answer)),
    }


def cone_times(answer: Answer) -> list[float]:
    """Give the times of the frames that were read finely."""
    return [frame.time for frame in answer.frames if frame.is_fine]


def evidence_seen(evidence: Sequence[Interval], times: Sequence[float]) -> bool | None:
    """Tell whether a moment lies in the evidence; None where the answer has none."""
    if not evidence:
        return None
    return any(a <= time < b for time in times for a, b in evidence)


def summarise(benchmark: WorldBenchmark, name: str, records: Records) -> dict[str, Any]:
    """Make the document of a result: a row a kind, with intervals over videos.

    Presence pairs and held-out combinations (against all questions of their kinds) have
    rows of their own.

    Args:
        benchmark: What was asked.
        name: What the model was loaded as.
        records: What `run_world_benchmark` gave.
    """
    asked = _groups(records)
    constant = _groups(answer_constantly(records))
    rules = _groups([{**r, "right": r["rule_right"]} for r in records if "rule" in r])
    rows = {}
    for label, group in asked.items():
        rows[label] = {
            "questions": len(group),
            "accuracy": asdict(accuracy(group)),
            "constant": accuracy(constant[label]).value,
        }
        if label in rules and label != HELD_OUT:
            rows[label] |= {
                "rules": asdict(accuracy(rules[label])),
                "model_minus_rules": asdict(paired_difference(group, rules[label])),
            }
    low, high = benchmark.seconds
    return {
        "kind": "focusworld",
        "title": f"{benchmark.world.title}, videos of {low:g} to {high:g} s",
        "model": name,
        "benchmark": asdict(benchmark),
        "rows": rows,
        "mean_video_tokens": sum(r["tokens"] for r in records) / len(records),
        "mean_seconds": sum(r["seconds"] for r in records) / len(records),
        "evidence": selection_recall(records),
    }


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Put records into the rows of the table."""
    by_kind: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if not record.get("group"):
            by_kind[record["kind"]].append(record)
    groups: dict[str, list[Record]] = {kind: by_kind[kind] for kind in WIDE_KINDS}
    twins = by_kind["presence"]  # they stand next to each other
    groups[PAIRS] = [
        {**basic, "right": basic["right"] and twin["right"]}
        for basic, twin in zip(twins[::2], twins[1::2], strict=True)
    ]
    for kind in ("absent", "unanswerable"):
        groups[f"{kind} pairs"] = list(score_together(by_kind[kind], "pair_id", 2))
        for part in ("basic", "hallucinated"):
            groups[f"{kind}, {part}"] = [r for r in by_kind[kind] if r["pair"] == part]
    groups[HELD_OUT] = [r for r in records if r["held_out"] and not r.get("group")]
    groups[GROUPS] = list(score_together(records))
    return {label: group for label, group in groups.items() if group}


def selection_recall(records: Sequence[Record]) -> dict[str, Any]:
    """Estimate how often a Cone lies in the evidence, and the share of Cones.

    Returns:
        For ``all`` questions with evidence and for ``needle`` alone, whose evidence is
        short: ``cones``, ``even_frames`` (as many) and their paired ``difference``, in
        percent; and ``cone_share``, from 0 to 1.
    """
    asked = [r for r in records if r["evidence_seen"] is not None]
    needles = [r for r in asked if r["kind"] == "needle"]
    found: dict[str, Any] = {
        "cone_share": sum(r["cone_share"] for r in asked) / max(1, len(asked))
    }
    for name, group in (("all", asked), ("needle", needles)):
        if group:
            cones = [{**r, "right": r["evidence_seen"]} for r in group]
            even = [{**r, "right": r["uniform_seen"]} for r in group]
            found[name] = {
                "cones": asdict(accuracy(cones)),
                "even_frames": asdict(accuracy(even)),
                "difference": asdict(paired_difference(cones, even)),
            }
    return found


def lay_out(document: Document) -> Layout:
    """Make the page of a result that `summarise` made."""
    has_rules = any("rules" in row for row in document["rows"].values())
    head = ["kind", f"{document['model']}, % right"]
    if has_rules:
        head += ["rules on the rating, no language model", "difference"]
    head += ["best constant answer", "questions"]
    rows = []
    for label, row in document["rows"].items():
        cells = [label, str(Estimate(**row["accuracy"]))]
        if has_rules and "rules" in row:
            gap = Estimate(**row["model_minus_rules"])
            cells += [str(Estimate(**row["rules"])), gap.as_difference()]
        elif has_rules:
            cells += ["-", "-"]
        rows.append([*cells, f"{row['constant']:.1f}", str(row["questions"])])
    body = [_describe(document["benchmark"]), "", *table(head, rows)]
    body += [_describe_cost(document), ""]
    if has_rules:
        body += [_RULES, ""]
    if document["model"] == "nano":
        body += [_TOLD, ""]
    asked = document["benchmark"]
    if asked["split"] == "test" and asked["seed"] < _SEEN_SEEDS:
        body += [_LOOKED_AT, ""]
    return Layout(body=body)


def _describe(benchmark: Document) -> str:
    low, high = benchmark["seconds"]
    last = benchmark["seed"] + benchmark["num_videos"] - 1
    world = benchmark.get("world", {"wide": False})
    which = ""
    if world["wide"]:
        unseen = " and ".join(world["unseen"])
        which = f"The widened world{f', unseen {unseen}' if unseen else ''}; "
        which += f"wordings: {benchmark['wording']}. "
    return (
        f"{which}"
        f"{plural(benchmark['num_videos'], 'video')} of {low:g} to {high:g} s, split "
        f"{benchmark['split']}, seeds {benchmark['seed']} to {last}, at "
        f"{benchmark['fps']:g} fps, from real H.264 files. Exact match; *when* needs an "
        "IoU of 0.5. In brackets the 95 % interval of a bootstrap over videos. The best "
        "constant answer is chosen with the truth of the questions asked."
    )


def _describe_cost(document: Document) -> str:
    evidence = document["evidence"]
    text = (
        f"On average {document['mean_video_tokens']:.0f} video tokens and "
        f"{document['mean_seconds']:.2f} s a question (video already indexed). "
        f"{100 * evidence['cone_share']:.1f} % of the frames are Cones."
    )
    for name, words in (("all", "the questions"), ("needle", "needle questions alone")):
        if name in evidence:
            found = {key: Estimate(**value) for key, value in evidence[name].items()}
            text += (
                f" A Cone lies in the evidence of {found['cones']} % of {words}, one of "
                f"as many even frames for {found['even_frames']} %; difference "
                f"{found['difference'].as_difference()}."
            )
    return text


_RULES = (
    "Rules on the rating: the model's rating of each frame by the question, from 0 to 1, "
    "without its language model. presence: the highest rating is above 0.5. count: the "
    "number of stretches, which begin at 0.9 and end below 0.1. when: the longest stretch. "
    "order: the earlier onset of the two objects, each rated for a question of its own. "
    "difference: the model minus the rules on the same questions."
)
_TOLD = (
    "What nano was told: the rating and the selection were taught with the times of the "
    "evidence of training videos, which the paper's model never sees. Its language model "
    "reads the rating, its rise and fall, and the number of stretches so far, which a "
    "counter by rule makes. It knows the wordings of questions that it was taught, and "
    "few others."
)
_LOOKED_AT = (
    "These videos were in no training set, but they are not unseen by development: seeds "
    f"0 to {_SEEN_SEEDS - 1} of the test split were measured in eight (an hour) to twelve "
    "commits (minutes) while nano was made, and the lessons that followed were aimed at "
    "what they showed."
)
