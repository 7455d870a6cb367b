"""The measurements run, and their pages say what was measured."""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import cache, partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen2Model

from dynfocus.methods import SELECTORS, select_frames

FOLDER = Path(__file__).parents[1] / "benchmarks"
TINY = {
    "dim": 16,
    "image-size": 56,
    "tower-mlp": 24,
    "tower-heads": 2,
    "tower-layers": 4,
    "text-dim": 12,
    "text-layers": 2,
    "hidden-size": 32,
    "language-mlp": 40,
    "language-heads": 4,
    "language-layers": 2,
    "num-new-tokens": 2,
    "window": 8,
}


@pytest.fixture
def table9(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the script as it is run, with its folder on the path."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("table9")


def test_table_9_and_10_are_measured_and_written(table9, tmp_path, capsys):
    import table9_page

    words = [w for name, value in TINY.items() for w in (f"--{name}", str(value))]
    words += ["--frames", "40", "--lengths", "3", "30", "--repeats", "1"]
    words += ["--device", "cpu", "--dtype", "float32", "--built-tower-layers", "1"]
    words += ["--clock", "core"]
    table9.main([*words, "--note", "The machine was shared.", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "table9.json").read_text())
    page = (tmp_path / "table9.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    assert "The machine was shared." in page
    assert "--frames 40 --lengths 3 30" in page
    assert "The tower was built with 1 of 4 layers" in page
    assert "Times are those of one core at work" in page
    assert set(result["table_9"]) == set(table9_page.PAPER_TABLE_9)
    assert all(row["milliseconds"] > 0 for row in result["table_9"].values())
    ways = [(r["frames"], r["way"], r["video_tokens"]) for r in result["table_10"]]
    assert ways == [
        (3, "DynFocus", 3 * 40),
        (3, "LLaMA-VID's way", 6),
        (30, "DynFocus", 20 * 40 + 10 * 2),
        (30, "LLaMA-VID's way", 60),
    ]
    for row in result["table_10"]:
        assert row["seconds"] == pytest.approx(sum(row["stages"].values()))
        assert 0 < row["connector_share"] < 1


def test_flops_of_dynamic_encoding_are_those_of_its_products(table9):
    import table9_page

    sizes = table9.Sizes(**{n.replace("-", "_"): v for n, v in TINY.items()})
    machine = table9.Machine(
        device="cpu",
        dtype=torch.float32,
        repeats=1,
        built_tower_layers=1,
        built_language_layers=1,
    )
    num_frames, cones, question = 30, 20, sizes.num_question_tokens
    rows = table9.measure_modules(sizes, machine, num_frames)
    d, h, tokens = sizes.dim, sizes.hidden_size, 22
    fine = cones * (16 + tokens) * (d * h + h * h)
    coarse = num_frames * (d * h + h * h + d * h)
    keys = num_frames * tokens * d * d + question * sizes.text_dim * d
    attention = num_frames * tokens * (question * d + d + question)
    wanted = 2 * (fine + coarse + keys + attention) / 1e9
    got = rows["dynamic encoding"]
    assert got["gflops"] == pytest.approx(wanted, rel=0.02)
    paper = 22_552_576 + 5_771_264 + 1_983_872
    assert round(paper / 1e6, 2) == table9_page.PAPER_TABLE_9["dynamic encoding"][1]
    projectors = d * h + h + h * h + h + d * h + h + d * d + d
    question_projector = sizes.text_dim * d + d
    assert got["million_parameters"] == (projectors + question_projector) / 1e6


def test_asking_twice_is_measured_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    asking = importlib.import_module("asking")
    page = importlib.import_module("asking_page")
    monkeypatch.setattr(
        asking,
        "in_own_process",
        lambda *words: asking._measure_here([*map(str, words)]),
    )
    words = ["--folder", str(tmp_path / "videos"), "--cases", "5", "10"]
    words += ["--rounds", "1", "--full-frames", "70", "--out", str(tmp_path)]
    asking.main([*words, "--note", "The machine was shared."])
    text = (tmp_path / "asking.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "The machine was shared." in text
    document = json.loads((tmp_path / "asking.json").read_text())
    assert [row["frames"] for row in document["rows"]] == [5, 10]
    for row in [*document["rows"], document["full_width"]]:
        assert 0 < row["index_bytes"] - row["predicted_bytes"] <= 8192
    assert all(row["same_answer"] for row in document["rows"])
    assert "Both answers are always the same." in text
    sizes = {size["model"]: size for size in document["sizes"]}
    assert sizes["paper, width 1408, float32"]["compact"] <= 100e6
    assert page.growth([10, 100], [3.0, 30.0]) == pytest.approx(1)
    assert page.growth([10], [3.0]) is None
    assert (tmp_path / "asking.png").stat().st_size > 1000


def test_streaming_is_measured_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    streaming = importlib.import_module("streaming")
    words = ["--videos", "1", "--seconds", "8", "--seed", "4", "--out", str(tmp_path)]
    streaming.main(words)
    assert capsys.readouterr().out == "1 of 1 videos\n"
    document = json.loads((tmp_path / "streaming.json").read_text())
    rows = {(row["frames_per_place"], row["way"]): row for row in document["rows"]}
    assert len(rows) == 3 * 3
    for way in (streaming.SESSION, streaming.UNFOLDED):  # when everything fits
        assert rows[1, way]["needle"] == rows[1, streaming.OFFLINE]["needle"]
    page = (tmp_path / "streaming.md").read_text()
    assert "python benchmarks/streaming.py --videos 1" in page
    assert page.count("| a quarter |") == 3


def test_second_looks_are_measured_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    script = importlib.import_module("looking_again")
    words = ["--videos", "1", "--seconds", "8", "--seed", "4", "--split", "validation"]
    words += ["--per-kind", "1", "--budget", "120"]
    script.main([*words, "--out", str(tmp_path)])
    assert capsys.readouterr().out.endswith("1 of 1 videos\n")
    document = json.loads((tmp_path / "looking-again.json").read_text())
    rows = {row["way"]: row for row in document["rows"]}
    assert list(rows) == list(script.WAYS)
    assert all(0 < row["tokens"] <= 120 for row in rows.values())
    assert rows["one pass"]["looked_again"] == 0
    assert rows["slow-dynfocus"]["looked_again"] > 0
    assert rows["one pass"]["cost"]["again"] == [1, 1, 1]
    page = (tmp_path / "looking-again.md").read_text()
    assert "looking_again.py --videos 1 --seconds 8.0 --seed 4 --split val" in page
    assert page.count("| slow") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is that of a child")
def test_frames_to_encode_are_measured_and_written(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    script = importlib.import_module("encoded_frames")
    once = cache(partial(script.ask, most=3))  # a process takes seconds
    monkeypatch.setattr(script, "ask", lambda path, model, most: once(path, model))
    words = ["--videos", "1", "--seconds", "8", "--seed", "4", "--size", "112"]
    words += ["--encoded", "3", "--keys", "every 2 s", "every 10 s, noise"]
    script.main([*words, "--out", str(tmp_path)])
    found = json.loads((tmp_path / "encoded-frames.json").read_text())
    assert list(found["kinds"]) == ["every 2 s", "every 10 s, noise"]
    for kind in found["kinds"].values():
        ways = {row["way"]: row for row in kind["rows"]}
        assert list(ways) == ["all sampled", "chosen 3", "even 3"]
        assert float(ways["all sampled"]["recall"].split()[0]) == 100
    assert found["asked"][0]["peak_megabytes"] > 50
    page = (tmp_path / "encoded-frames.md").read_text()
    assert "| chosen 3 |" in page
    assert "--seconds 8 --seed 4" in page


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_clustering_is_measured_beside_the_dense_form(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(str(FOLDER))
    clustering = importlib.import_module("clustering")
    words = "--lengths 30 60 --width 64 --frames 3 --patches 30 --dim 16 --long 480"
    words += " --long-width 8 --draws 1 --repeats 1"
    clustering.main([*words.split(), "--note", "Shared.", "--out", str(tmp_path)])
    page = (tmp_path / "clustering.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    assert "Shared." in page
    result = json.loads((tmp_path / "clustering.json").read_text())
    assert [row["points"] for row in result["long"]] == [30, 120, 480]
    sets = result["agreement"]
    assert {name: len(of) for name, of in sets.items()} == {
        "30 frames": 1,
        "60 frames": 1,
        "30 patches": 3,
    }
    for one in [one for of in sets.values() for one in of]:
        assert one["missed_beyond_rounding"] == 0
        assert one["largest_score_error"] < 1e-3
    by_threads = {int(threads): rows for threads, rows in result["spatial"].items()}
    assert set(by_threads) == {1, os.cpu_count()}
    assert "| threads | dense CPU s | ours CPU s | times faster |" in page
    for rows in by_threads.values():
        assert all(row["seconds"] > 0 for row in rows.values())
    for row in result["temporal"].values():
        assert all(way["seconds"] > 0 for way in row.values())
    assert (tmp_path / "clustering.png").stat().st_size > 1000


def test_growth_is_the_exponent_of_a_power(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("clustering_page")
    assert page.growth([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)


def test_hosts_of_true_widths_are_measured_beside_uniform_frames(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(str(FOLDER))
    plugins = importlib.import_module("plugins")
    small = {
        "hidden-size": 64,
        "language-mlp": 64,
        "language-heads": 4,
        "key-value-heads": 2,
        "siglip-dim": 32,
        "siglip-mlp": 32,
        "siglip-heads": 2,
        "siglip-side": 56,
        "qwen-dim": 32,
        "qwen-mlp": 32,
        "qwen-heads": 2,
        "qwen-side": 112,
        "num-new-tokens": 2,
    }
    words = [w for name, value in small.items() for w in (f"--{name}", str(value))]
    plugins.main([*words, "--note", "Shared.", "--out", str(tmp_path)])
    page = (tmp_path / "plugins.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    assert "Shared." in page
    result = json.loads((tmp_path / "plugins.json").read_text())
    rows = result["rows"]
    assert len(rows) == 2 * 7
    head, layers = 64 // 4, plugins.Sizes().language_layers
    assert result["cache_bytes_per_token"] == 2 * layers * 2 * head * 2
    for row in rows:
        assert row["seconds"] == pytest.approx(sum(row["stages"].values()))
        budget = round(row["share"] * row["whole_tokens"])
        if row["method"] == "dynfocus":
            assert row["video_tokens"] == max(
                budget, 5 if "LLaVA" in row["host"] else 0
            )
        assert row["video_tokens"] <= max(budget, 16)
        length = row["prompt_tokens"] + 2 - 1  # the last token is not read again
        assert row["built_cache_bytes"] == 2 * 2 * head * 4 * length


def test_flops_of_a_prompt_are_those_of_its_products(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("plugins_page")
    sizes = {
        "hidden_size": 64,
        "language_mlp": 96,
        "language_heads": 4,
        "key_value_heads": 2,
        "language_layers": 2,
    }
    config = Qwen2Config(
        hidden_size=64,
        intermediate_size=96,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=2,
        vocab_size=8,
        attn_implementation="eager",
    )
    model = Qwen2Model(config).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(inputs_embeds=torch.zeros(1, 30, 64))
    wanted = counter.get_total_flops()
    assert page.prompt_flops(sizes, 30) == pytest.approx(wanted, rel=0.01)


@pytest.mark.slow
def test_scenes_without_a_frame_are_counted_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    reels = importlib.import_module("reels")
    # by its path: a package that measures tests has the same name
    spec = spec_from_file_location("scene_coverage", FOLDER / "coverage.py")
    coverage = module_from_spec(spec)
    spec.loader.exec_module(coverage)
    monkeypatch.setattr(coverage, "BUDGETS", range(2, 12))
    monkeypatch.setattr(coverage, "_SHOWN", (2, 6, 11))
    words = ["--reels", "2", "--spoiled-reels", "1", "--out", str(tmp_path)]
    coverage.main([*words, "--seed", "7"])
    page = (tmp_path / "coverage.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
    document = json.loads((tmp_path / "coverage.json").read_text())
    assert [record["seed"] for record in document["reels"]] == [7, 8]
    ours, even = (
        np.mean([record["missed"][name] for record in document["reels"]], axis=0)
        for name in (coverage.RULE, coverage.EVEN)
    )
    assert (ours <= even).all()
    assert ours[-1] < even[0]
    spoiled = document["spoiled_reels"][0]["spoiled"]
    assert spoiled[coverage.RULE][0] < spoiled[coverage.EVEN][0]  # black frames
    reel = reels.make_reel(tmp_path / "reel.mp4", 7)
    budget, times, even_times = list(coverage.choose(reel.path))[3]
    chosen = select_frames(reel.path, "What?", budget)
    assert [frame.time for frame in chosen.frames] == sorted(times.tolist())
    assert reel.num_missed(even_times) <= len(reel.scenes)
    assert coverage.off_middle(reel, np.array([reel.scenes[1][0]])) == [1]


@pytest.mark.slow
def test_recognition_is_made_and_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    recognition = importlib.import_module("recognition")
    weights = tmp_path / "weights.json"
    small = ["--each", "1", "--weights", str(weights)]
    recognition.main(["build", "--worlds", "2", *small])
    made = json.loads(weights.read_text())
    assert (made["made_with"]["num_worlds"], len(made["bias"])) == (2, 7)
    recognition.main(["measure", "--worlds", "5", *small, "--out", str(tmp_path)])
    page = (tmp_path / "recognition.md").read_text()
    assert capsys.readouterr().out == page
    assert "| FocusWorld | 5 | 0 (0.0-43.4 %) | 0 (0.0-43.4 %) |" in page
    assert "fitted to 2 videos of the train split" in page


def test_the_interval_of_wilson_is_that_of_the_books(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    wilson = importlib.import_module("recognition").wilson
    assert wilson(0, 380) == pytest.approx((0, 0.010007), abs=1e-5)
    assert wilson(5, 50) == pytest.approx((0.0435, 0.2136), abs=1e-4)


def test_the_cost_of_selection_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    selection = importlib.import_module("selection")
    words = ["--frames", "60", "--budget", "6", "--videos", "1", "--repeats", "1"]
    selection.main([*words, "--out", str(tmp_path)])
    result = json.loads((tmp_path / "selection.json").read_text())
    assert sorted(result["selectors"]) == sorted(SELECTORS)
    assert result["selectors"]["ocsampler"]["frames_scored"] == 10
    assert result["selectors"]["qframe"]["frames_chosen"] > 6
    page = (tmp_path / "selection.md").read_text()
    assert capsys.readouterr().out.strip() == page.strip()
