"""FocusWorld in the formats of others: the same videos and questions, an entry a format.

Each writer takes the folder that `dynfocus.world.make_dataset` filled and gives the files
of its format as text, so the same seed gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import letter, read_rows

Rows = Sequence[Mapping[str, Any]]
Files = dict[str, str]
"""Content by name below the folder."""

_TIMES = ("when", "action_time")
_EVENT = re.compile(r"When (?:does|is) (?P<event>.+?)\??$")
_TASKS = {
    "when": "grd_when",
    "action_time": "grd_action",
    "action": "cap_ar",
    "caption": "cap_ar",
    "summary": "cap_asr",
    "count": "rsn_times",
    "order": "rsn_sequence",
    "before_after": "rsn_sequence",
    "topic": "rsn_topic",
}
_TAGS = {"grd": "grd", "cap": "cp", "rsn": "rsn"}
"""What turns of a dialogue are called, by the task of their questions."""
_TURNS = 5
_FPS = 8.0
"""Frames a second of the videos."""


def read_questions(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of ``benchmark.jsonl``."""
    return read_rows(folder / "benchmark.jsonl")


def write_llava(rows: Rows, folder: Path) -> Files:
    """Write conversations; they are those of ``train.json``."""
    return {"llava.json": (folder / "train.json").read_text(encoding="utf-8")}


def write_video_mme(rows: Rows, folder: Path) -> Files:
    """Write a row a question of those that have four options, under letters."""
    found = []
    for row in _with_options(rows, least=4):
        video = Path(row["video"]).stem
        found.append(
            {
                "video_id": video,
                "duration": _length(row["duration"]),
                "domain": "FocusWorld",
                "sub_category": "FocusWorld",
                "url": "",
                "videoID": video,
                "question_id": row["id"],
                "task_type": row["kind"],
                "question": row["question"],
                "options": [
                    f"{letter(n)}. {text}" for n, text in enumerate(row["options"])
                ],
                "answer": letter(list(row["options"]).index(row["answer"])),
            }
        )
    return {"video_mme.json": _json(found)}


def _length(seconds: float) -> str:
    """Name a length as Video-MME does: up to 2 and 15 minutes, and above."""
    return "short" if seconds <= 120 else "medium" if seconds <= 900 else "long"


def write_kfs_bench(rows: Rows, folder: Path) -> Files:
    """Write the scenes of questions that several stretches answer, a line a scene.

    Ends are a second early, as in the files of KFS-Bench, whose code adds it again.
    """
    scenes, asked = ["id,segment_id,scene_id,start,end\n"], []
    for row in rows:
        if len(row["evidence"]) < 2:
            continue
        fields = ("id", "video", "kind", "question", "options", "answer")
        asked.append({name: row[name] for name in fields})
        for number, (start, end) in enumerate(row["evidence"]):
            times = f"{_clock(start)},{_clock(max(start, end - 1.0))}"
            scenes.append(f"{row['id']},{number},{number},{times}\n")
    if not asked:
        return {"kfs_bench.csv": "", "kfs_bench_questions.json": ""}
    return {"kfs_bench.csv": "".join(scenes), "kfs_bench_questions.json": _json(asked)}


def _clock(seconds: float) -> str:
    """Write a moment as ``h:mm:ss.fff``."""
    minutes, rest = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 1000:06.3f}"


def write_lv_haystack(rows: Rows, folder: Path) -> Files:
    """Write a line a question with the middle frames of its evidence as key frames."""
    lines = []
    for row in _with_options(rows, least=2):
        if not row["evidence"]:
            continue
        middles = [round((start + end) / 2 * _FPS) for start, end in row["evidence"]]
        options = {letter(n): text for n, text in enumerate(row["options"])}
        video = Path(row["video"]).stem
        num_frames = round(row["duration"] * _FPS)
        lines.append(
            {
                "id": row["id"],
                "video_id": video,
                "vclip_id": video,
                "video_path": row["video"],
                "question": row["question"],
                "options": options,
                "answer": letter(list(row["options"]).index(row["answer"])),
                "frame_indexes_video": [min(one, num_frames - 1) for one in middles],
                "frame_indexes_vclip": [min(one, num_frames - 1) for one in middles],
                "video_metadata": {
                    "frame_rate": _FPS,
                    "video_duration": row["duration"],
                    "vclip_interval_in_video": [0.0, row["duration"]],
                    "frame_count": num_frames,
                    "vclip_frame_count": num_frames,
                },
            }
        )
    return {"lv_haystack.jsonl": _lines(lines)}


def write_fineaction_cgr(rows: Rows, folder: Path) -> Files:
    """Write grounding, captioning and reasoning with markers in place of times.

    Where a video has enough of them, the same questions also make dialogues of five turns
    that mix the three, as conversations for training.
    """
    items = [item for item in map(_write_action, rows) if item]
    files = {"fineaction_cgr.json": _json(items)}
    dialogues = _write_dialogues(items)
    return files | ({"mtqa.json": _json(dialogues)} if dialogues else {})


def _write_action(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write one question of FineAction-CGR; None of a kind that it does not have."""
    task, is_grounding = _TASKS.get(row["kind"]), row["kind"] in _TIMES
    if task is None or (is_grounding and len(row["evidence"]) != 1):
        return None
    duration = float(row["duration"])
    marks = {"<s0>": 0.0, "<e0>": duration}
    segment = []
    if row["evidence"]:
        ends = [end for stretch in row["evidence"] for end in stretch]
        segment = [round(min(ends), 3), round(min(max(ends), duration), 3)]
    answer = row["answer"]
    if is_grounding:
        marks |= {"<s1>": segment[0], "<e1>": segment[1]}
        answer = "from <s1> to <e1>"
    return {
        "id": row["id"],
        "video": Path(row["video"]).name,
        "task": task,
        "question": f"<video>\nWithin <s0> to <e0>: {row['question']}",
        "answer": answer,
        "meta": {"duration": duration, "token": marks},
        "answer_segment": [segment],
    }


def _write_dialogues(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write conversations of five turns that take grounding, captions and reasons in turn."""
    by_video: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for item in items:
        tasks = by_video.setdefault(item["video"], {tag: [] for tag in _TAGS})
        tasks[item["task"].split("_")[0]].append(item)
    found = []
    for video, tasks in by_video.items():
        mixed = [one for turn in zip_longest(*tasks.values()) for one in turn if one]
        for number, begin in enumerate(range(0, len(mixed) - _TURNS + 1, _TURNS)):
            turns = mixed[begin : begin + _TURNS]
            if len({turn["task"].split("_")[0] for turn in turns}) < len(_TAGS):
                break
            name = f"mtqa-{Path(video).stem}-{number}"
            found.append(_write_dialogue(name, video, turns))
    return found


def _write_dialogue(
    name: str, video: str, turns: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    marks: dict[str, float] = {}
    conversations = []
    for number, turn in enumerate(turns, 1):
        own = turn["meta"]["token"]
        marks |= {mark.replace("1", str(number)): own[mark] for mark in own}
        answer = turn["answer"].replace("<s1>", f"<s{number}>")
        question = (
            turn["question"] if number == 1 else turn["question"].partition("\n")[2]
        )
        conversations += [
            {"from": "human", "value": question},
            {"from": "gpt", "value": answer.replace("<e1>", f"<e{number}>")},
        ]
    return {
        "id": name,
        "video": f"videos/{video}",
        "task": "mtqa",
        "tags": [_TAGS[turn["task"].split("_")[0]] for turn in turns],
        "conversations": conversations,
        "meta": {"duration": turns[0]["meta"]["duration"], "token": marks},
        "answer_segment": [turn["answer_segment"][0] for turn in turns],
    }


def write_charades_sta(rows: Rows, folder: Path) -> Files:
    """Write events with their times: a list, and lines as Charades-STA has them."""
    found, lines = [], []
    for row in rows:
        event = _EVENT.match(row["question"])
        if row["kind"] not in _TIMES or event is None or len(row["evidence"]) != 1:
            continue
        start, end = (round(float(one), 2) for one in row["evidence"][0])
        caption = _as_caption(event["event"])
        name = Path(row["video"]).name
        found.append({"video": name, "caption": caption, "timestamp": [start, end]})
        lines.append(f"{Path(name).stem} {start:g} {end:g}##{caption}\n")
    return {"charades_sta.json": _json(found), "charades_sta_test.txt": "".join(lines)}


def _as_caption(event: str) -> str:
    """Make a sentence of what a question asks for: its verb gets an s."""
    subject, _, verb = event.rpartition(" ")
    ending = "es" if verb.endswith(("s", "sh", "ch", "x", "o")) else "s"
    return f"{subject} {verb}{ending}."


def write_lmms_eval(rows: Rows, folder: Path) -> Files:
    """Write two tasks of lmms-eval: with options under letters, and questions alone.

    The second is for models that were trained on questions without options, such as nano.
    """
    lines = [
        {
            "id": row["id"],
            "video": row["video"],
            "kind": row["kind"],
            "question": row["question"],
            "options": [
                f"{letter(n)}. {text}" for n, text in enumerate(row["options"])
            ],
            "answer": letter(list(row["options"]).index(row["answer"])),
        }
        for row in _with_options(rows, least=2)
    ]
    return {
        "task/focusworld.yaml": _TASK,
        "task/focusworld_open.yaml": _TASK.replace(
            "task: focusworld\n", "task: focusworld_open\n"
        )
        .replace("doc_to_text\n", "doc_to_question\n")
        .replace("utils.doc_to_messages\n", "utils.doc_to_question_messages\n"),
        "task/utils.py": _FUNCTIONS,
        "task/questions.jsonl": _lines(lines),
    }


_TASK = """\
task: focusworld
dataset_path: json
dataset_kwargs:
  data_files:
    test: task/questions.jsonl
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_messages: !function utils.doc_to_messages
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 16
process_results: !function utils.process_results
metric_list:
  - metric: accuracy
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 1.0
"""
_FUNCTIONS = '''\
"""FocusWorld as a task of lmms-eval; run it in the folder above this one."""

import re

LETTER = re.compile(r"\\W*([A-D])(?![A-Za-z])")


def doc_to_visual(doc):
    return [doc["video"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    options = "\\n".join(doc["options"])
    return f"{doc['question']}\\n{options}\\nAnswer with the letter of the right option alone."


def doc_to_messages(doc, lmms_eval_specific_kwargs=None):
    video = {"type": "video", "url": doc["video"]}
    text = {"type": "text", "text": doc_to_text(doc)}
    return [{"role": "user", "content": [video, text]}]


def doc_to_question(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def doc_to_question_messages(doc, lmms_eval_specific_kwargs=None):
    video = {"type": "video", "url": doc["video"]}
    return [{"role": "user", "content": [video, {"type": "text", "text": doc["question"]}]}]


def process_results(doc, results):
    said = results[0].strip()
    found = LETTER.match(said)
    truth = next(one for one in doc["options"] if one.startswith(doc["answer"]))
    is_text = said.casefold().rstrip(".") == truth[3:].casefold().rstrip(".")
    return {"accuracy": float(is_text or (found is not None and found[1] == doc["answer"]))}
'''


def _with_options(rows: Rows, least: int) -> Iterable[Mapping[str, Any]]:
    return (
        row
        for row in rows
        if len(row["options"]) >= least and row["answer"] in row["options"]
    )


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _lines(rows: Rows) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


FORMATS: dict[str, Callable[[Rows, Path], Files]] = {
    "lmms-eval": write_lmms_eval,
    "llava": write_llava,
    "video-mme": write_video_mme,
    "kfs-bench": write_kfs_bench,
    "lv-haystack": write_lv_haystack,
    "fineaction-cgr": write_fineaction_cgr,
    "charades-sta": write_charades_sta,
}
"""The writer of each format."""


def count_kinds(rows: Rows) -> dict[str, int]:
    """Count the questions of each kind."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["kind"]] += 1
    return dict(counts)
