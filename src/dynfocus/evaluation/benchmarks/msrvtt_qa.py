"""MSRVTT-QA: one-word questions about clips of web videos, answers judged."""

from dataclasses import replace
from functools import partial

from dynfocus.evaluation.benchmarks.benchmark import Split
from dynfocus.evaluation.benchmarks.msvd_qa import BENCHMARK as _MSVD
from dynfocus.evaluation.benchmarks.open_answers import judged_rows, load_open_answers

BENCHMARK = replace(
    _MSVD,
    name="msrvtt-qa",
    title="MSRVTT-QA",
    source=(
        "the videos are those of MSR-VTT (train_val_videos and test_videos); the "
        "questions, test_qa.json or test_q.json and test_a.json, are linked from the "
        "README of Video-ChatGPT and of xudejing/video-question-answering"
    ),
    layout=(
        "test_q.json and test_a.json, or test_qa.json, or msrvtt_qa.csv",
        "videos/videoNUMBER.mp4 (any folder)",
    ),
    splits=(
        Split(name="test", questions=72_821, videos=2_990),
        Split(name="val", questions=12_278, videos=497),
    ),
    load=partial(load_open_answers, name="msrvtt-qa", stem="msrvtt"),
    published=judged_rows(
        (
            ("SlowFocus (Vicuna-7B)", 58.3, 3.5, "SlowFocus, table 2", True),
            ("LLaMA-VID-7B", 57.7, 3.2, "SlowFocus, table 2", False),
            ("DynFocus (Vicuna-7B)", 62.8, 3.6, "second-hand", False),
            ("Video-ChatGPT-7B", 49.3, 2.8, "README of Video-ChatGPT", True),
        )
    ),
)
"""The benchmark: MSVD-QA's rules on other videos."""
