"""A question of every benchmark in a form that it is published in, about one video."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmark_stand_ins import write_csv, write_json, write_lines
from dynfocus.evaluation.benchmarks.world_export import export_world

_OPTIONS = ["a dog", "a cat", "a cup", "a flag", "a kettle"]
_ASKED = {"question": "What is it?", "answer": "a dog"}
_LETTERS = "ABCDEFGH"
_EXPORTED = {
    "fineaction-cgr": "fineaction-cgr",
    "focusworld": "lmms-eval",
    "kfs-bench": "kfs-bench",
    "lv-haystack": "lv-haystack",
    "charades-sta": "charades-sta",
}


def write_benchmark(name: str, folder: Path, clip: Path) -> Path:
    """Write one question of a benchmark, with its video.

    Args:
        name: The benchmark.
        folder: Where to write.
        clip: Any video.
    """
    if name in _EXPORTED:
        size = {"num_videos": 1, "duration": 12.0, "seed": 3}
        if name == "kfs-bench":  # whose questions have several times
            size = {"num_videos": 2, "duration": 24.0, "seed": 700}
        export_world(folder, _EXPORTED[name], **size)
        return folder
    place = _WRITERS[name](folder)
    for one in (place, folder / "videos" / Path(place).name):
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / one)
    return folder


def _open_answers(folder: Path) -> str:
    row = {"id": 1, "video_id": "v1", **_ASKED, "category_id": 3}
    write_json(folder / "test_qa.json", [row])
    return "videos/v1.mp4"


def _msrvtt(folder: Path) -> str:
    write_json(folder / "test_qa.json", [{"id": 1, "video_id": 1, **_ASKED}])
    return "videos/video1.mp4"


def _activitynet(folder: Path) -> str:
    asked = {"video_name": "v1", "question": "is it a dog", "question_id": "v_v1_1"}
    write_json(folder / "test_q.json", [asked])
    answer = {"answer": "yes", "type": 3, "question_id": "v_v1_1"}
    write_json(folder / "test_a.json", [answer])
    return "all_test/v_v1.mp4"


def _vcg(folder: Path) -> str:
    one = {"Q": "What tools?", "A": "A wire loop.", "video_name": "v_1"}
    for name in ("generic", "temporal"):
        write_json(folder / f"{name}_qa.json", [one])
    two = {"Q1": "Tools?", "Q2": "Which tools?", "A": "A loop.", "video_name": "v_1"}
    write_json(folder / "consistency_qa.json", [two])
    return "videos/v_1.mp4"


def _mlvu(folder: Path) -> str:
    row: dict[str, Any] = {"video": "v1.mp4", "duration": 12.0, **_ASKED}
    row |= {"candidates": _OPTIONS[:4], "question_type": "plotQA"}
    write_json(folder / "json/1_plotQA.json", [row])
    return "video/1_plotQA/v1.mp4"


def _lvbench(folder: Path) -> str:
    asked = {
        "uid": "1",
        "question": "Which?\n(A) 2\n(B) 3\n(C) 4\n(D) 6",
        "answer": "C",
    }
    asked |= {"question_type": ["reasoning"], "time_reference": "00:01-00:05"}
    row = {"key": "v1", "type": "sport", "qa": [asked]}
    write_lines(folder / "video_info.meta.jsonl", [row])
    return "videos/v1.mp4"


def _video_mme(folder: Path) -> str:
    asked = {"question_id": "001-1", "task_type": "Counting Problem"}
    asked |= {"question": "How?", "answer": "C"}
    options = [f"{letter}. {n}." for n, letter in enumerate("ABCD")]
    film = {"video_id": "001", "duration": "short", "domain": "D", "sub_category": "S"}
    row = {**film, "questions": [{**asked, "options": options}]}
    write_json(folder / "video_mme.json", [row])
    return "videos/001.mp4"


def _video_mme_v2(folder: Path) -> str:
    row = {
        "video_id": "001",
        "question": "Which?",
        "options": "\n".join(f"{letter}. {n}" for n, letter in enumerate(_LETTERS)),
        "answer": "H",
        "group_type": "logic",
        "group_structure": "[1, 2, 3, 4]",
        "level": 2,
        "second_head": "s",
        "third_head": "t",
    }
    rows = [row | {"question_id": f"001-{n}"} for n in range(1, 5)]
    write_lines(folder / "test.jsonl", rows)
    return "videos/001.mp4"


def _videohallucer(folder: Path) -> str:
    basic = {"video": "v1.mp4", "question": "Is there a kettle?", "answer": "yes"}
    other = {"video": "v1.mp4", "question": "Is there a toaster?", "answer": "no"}
    pair = {"basic": basic, "hallucination": other, "type": "object"}
    write_json(folder / "object_relation/object_relation.json", [pair])
    return "object_relation/videos/v1.mp4"


def _longvideobench(folder: Path) -> str:
    row = {"video_id": "v1", "id": "v1_1", "question": "What?", "correct_choice": 0}
    row |= {"candidates": _OPTIONS, "video_path": "v1.mp4", "question_category": "T2O"}
    row |= {"subtitle_path": "v1_en.json", "starting_timestamp_for_subtitles": 0}
    more = {"level": "L1-Perception", "duration_group": 15, "position": [1]}
    write_json(folder / "lvb_val.json", [row | more])
    return "videos/v1.mp4"


def _egoschema(folder: Path) -> str:
    options = {f"option {n}": text for n, text in enumerate(_OPTIONS)}
    write_json(folder / "questions.json", [{"q_uid": "v1", "question": "?", **options}])
    write_json(folder / "subset_answers.json", {"v1": 3})
    return "videos/v1.mp4"


def _next_qa(folder: Path) -> str:
    row: dict[str, Any] = {"video": 1, "frame_count": 48, "width": 112, "height": 112}
    row |= {"question": "why did she wave", "answer": 3, "qid": 2, "type": "CW"}
    row |= {f"a{n}": text for n, text in enumerate(_OPTIONS)}
    write_csv(folder / "test.csv", [row])
    write_json(folder / "map_vid_vidorID.json", {"1": "1164/1"})
    return "videos/1.mp4"


def _mvbench(folder: Path) -> str:
    row = {"video": "c.mp4", "question": "How many?", "candidates": ["3", "4"]}
    write_json(folder / "json/moving_count.json", [{**row, "answer": "4"}])
    return "video/clevrer/video_validation/c.mp4"


def _moviechat(folder: Path) -> str:
    row = {"video_name": "1.mp4", "question": "When?", "answer": "day"}
    film = {"info": {"video_path": "1.mp4"}, "global": [row], "breakpoint": []}
    write_json(folder / "jsons/1.json", film)
    return "videos/1.mp4"


_WRITERS = {
    "activitynet-qa": _activitynet,
    "egoschema": _egoschema,
    "longvideobench": _longvideobench,
    "lvbench": _lvbench,
    "mlvu": _mlvu,
    "moviechat-1k": _moviechat,
    "msrvtt-qa": _msrvtt,
    "msvd-qa": _open_answers,
    "mvbench": _mvbench,
    "next-qa": _next_qa,
    "vcg-bench": _vcg,
    "video-mme": _video_mme,
    "video-mme-v2": _video_mme_v2,
    "videohallucer": _videohallucer,
}
