"""MVBench: twenty tasks of two hundred questions about short clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    has_fields,
    letter_of,
    need_files,
    read_rows,
    unknown_shape,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import (
    BRACKETED,
    Reading,
    Records,
    choice_figures,
)
from dynfocus.evaluation.benchmarks.letters import (
    is_mvbench_hit,
    read_as_lmms_eval_mvbench,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.text import plural

_CLEVRER = "clevrer/video_validation"
_PERCEPTION = "perception/videos"
_FOLDERS = {
    **dict.fromkeys(
        ("action_sequence", "action_prediction", "object_interaction"), "star"
    ),
    "action_localization": "sta",
    **dict.fromkeys(
        (
            *("object_existence", "moving_count", "moving_attribute"),
            *("moving_direction", "counterfactual_inference"),
        ),
        _CLEVRER,
    ),
    **dict.fromkeys(
        ("object_shuffle", "state_change", "action_count", "character_order"),
        _PERCEPTION,
    ),
    "scene_transition": "scene_qa/video",
    "action_antonym": "ssv2_video",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "fine_grained_pose": "nturgbd",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa",
}
_FRAMES_PER_SECOND = 3.0


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read a file a task."""
    files, items = [], []
    for task in _FOLDERS:
        found = find_files(
            data, (f"{task}.json", f"{task}.parquet", f"{task}/*.parquet")
        )
        if found:
            files.append(found[0])
            rows = read_rows(found[0])
            if not has_fields(rows[0], "video", "question", "candidates", "answer"):
                wanted = "the known: video, question, candidates, answer"
                raise unknown_shape(found[0], rows[0], wanted)
            items += [_item(task, number, row) for number, row in enumerate(rows)]
    if not files:
        need_files(data, [f"{task}.json" for task in _FOLDERS], "mvbench")
    missing = len(_FOLDERS) - len(files)
    notes = [f"{plural(missing, 'task')} of 20 without a file"] if missing else []
    alone = sum(len(item.choices) == 1 for item in items)
    if alone:
        verb = "has" if alone == 1 else "have"
        notes.append(f"{plural(alone, 'question')} {verb} a single option")
    return Loaded(items=items, shape="a file a task", files=files, notes=notes)


def _item(task: str, number: int, row: dict[str, Any]) -> Item:
    choices = tuple(map(str, row["candidates"]))
    start, end = (float(row.get(name) or 0.0) for name in ("start", "end"))
    has_span = end > start
    is_frames = task == "episodic_reasoning"
    name = f"{_FOLDERS[task]}/{row['video']}" + ("/" if is_frames else "")
    return Item(
        id=f"{task}-{number}",
        video=name,
        question=str(row["question"]),
        choices=choices,
        answer=letter_of(str(row["answer"]), choices),
        kind=task,
        groups={"task": task},
        start=start if has_span else None,
        end=end if has_span else None,
    )


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask for the best option after a word on what to watch."""
    watch = (
        "Watch the video closely: what causes what, in which order, how things and people "
        "move, what poses and actions there are. Choose the best option that answers the "
        "question.\n"
    )
    head = "" if options.prompt == "lmms-eval" else watch
    return (
        f"{head}Question: {item.question}\nOptions:\n{BRACKETED(item.choices)}\n"
        "Give the best option alone.\nBest option:("
    )


def _elsewhere(name: str) -> tuple[str, ...]:
    """Name a video of TVQA by its folder of frames in the archive."""
    last = name.rsplit("/", 1)[-1]
    return (f"frames_fps3_hq/{last}", last)


def _read(reply: str, choices: Any) -> str | None:
    """Read nothing: the official check compares with the key, see `is_mvbench_hit`."""
    return None


def figures(records: Records, options: BenchmarkOptions) -> list[Figure]:
    """Make the average over all questions, which are as many in each task, and of tasks."""
    return choice_figures(records, options, groups=("task",), main="Avg")


BENCHMARK = Benchmark(
    name="mvbench",
    title="MVBench",
    source=(
        "on the hub OpenGVLab/MVBench (json/ and video/); the clips of "
        "fine_grained_pose, NTU RGB+D, by request from its authors"
    ),
    layout=(
        "json/TASK.json, twenty files",
        "video/FOLDER/NAME, FOLDER as in the hub's archives: star, sta, clevrer, ...",
        "video/tvqa/NAME/00001.jpg and so on, frames at 3 a second",
    ),
    splits=(Split(name="test", questions=4_000),),
    load=load,
    put=put,
    mark=Reading(
        official=_read, lmms_eval=read_as_lmms_eval_mvbench, official_hit=is_mvbench_hit
    ).mark,
    figures=figures,
    video_names=lambda name: (name.rstrip("/"), *_elsewhere(name.rstrip("/"))),
    frames_per_second=_FRAMES_PER_SECOND,
    rules=("prompt", "parsing", "unparsed"),
)
"""The benchmark."""
