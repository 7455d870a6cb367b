"""MSVD-QA: one-word questions about short clips, answers judged."""

from functools import partial

from dynfocus.evaluation.benchmarks.benchmark import Benchmark, Published, Split
from dynfocus.evaluation.benchmarks.open_answers import (
    ask_for_agreement,
    load_open_answers,
    mark_open_answer,
    open_figures,
    put_bare,
)

BENCHMARK = Benchmark(
    name="msvd-qa",
    title="MSVD-QA",
    source=(
        "the videos are those of the Microsoft Research Video Description Corpus (MSVD, "
        "YouTubeClips.tar, University of Texas); the questions, test_qa.json or test_q.json "
        "and test_a.json, are linked from the README of Video-ChatGPT and of xudejing/video-question-answering"
    ),
    layout=(
        "test_q.json and test_a.json, or test_qa.json, or msvd_qa.json, or msvd_qa.csv",
        "videos/NAME.avi (also .mp4, .mov, .mkv; any folder)",
    ),
    splits=(
        Split(name="test", questions=13_157, videos=504),
        Split(name="val", questions=6_415),
    ),
    load=partial(load_open_answers, name="msvd-qa", stem="msvd"),
    put=put_bare,
    mark=mark_open_answer,
    figures=open_figures,
    to_judge=ask_for_agreement,
    video_folders=("videos", "YouTubeClips"),
    rules=("split", "prompt", "judge_score"),
    max_new_tokens=64,
    published=(
        Published(
            system="SlowFocus (Vicuna-7B)",
            values={"Accuracy": 70.1, "Score": 3.9},
            source="SlowFocus, table 2",
        ),
        Published(
            system="LLaMA-VID-7B",
            values={"Accuracy": 69.7, "Score": 3.7},
            source="SlowFocus, table 2",
            is_own=False,
        ),
        Published(
            system="DynFocus (Vicuna-7B)",
            values={"Accuracy": 74.8, "Score": 4.0},
            source="second-hand",
            is_own=False,
        ),
        Published(
            system="Video-ChatGPT-7B",
            values={"Accuracy": 64.9, "Score": 3.3},
            source="README of Video-ChatGPT",
        ),
    ),
)
"""The benchmark."""
