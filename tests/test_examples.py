"""Every example of the help and of the documents runs, or is checked where it cannot."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from tiny_hosts import build_host, save_host
from typer.main import get_command

from benchmark_folders import write_benchmark
from benchmark_stand_ins import StandInModel
from downloaded import WHOLE
from dynfocus.cli import main
from dynfocus.cli.application import app
from dynfocus.defaults import RECOMMENDED, RECOMMENDED_SCORER
from dynfocus.training import load_recipes
from dynfocus.world import make_dataset
from served_language_model import ServedLanguageModel
from tiny_clip import save_tiny_clip
from web_server import Page

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Where the examples of a page run that needs more than a video and a server.
RUN_ELSEWHERE = {
    ("README.md", "python"): "test_readme.py",
    ("methods.md", "python"): "methods/test_methods_docs.py",
    ("plugins.md", "python"): "plugins/test_plugin_docs.py",
    ("serving.md", "python"): "serving/test_serving_docs.py",
}
# What needs gigabytes of weights, or ends when it is told to, is parsed here; there it runs.
IS_RUN_ELSEWHERE = {
    r"^serve": "serving/test_serving_examples.py",
    r"^demo.*--open": "cli/test_cli_commands.py",
    r"^mcp": "serving/test_serving_examples.py",
    r"^assemble": "conversion/test_assembly.py",
    r"dynfocus-7b --quantize": "models/test_memory.py",
    r"^train": "training/test_stages.py",
    r"--ray": "bulk/test_ray_workers.py",
}
# What takes more than a few seconds runs, as small as it can be, with the slow tests.
TAKES_LONG = re.compile(
    r"^(demo|eval (focusworld|robustness|methods|ablation|recall|plugged))|"
    r"^eval .*--model"
)
SMALLER = {
    "--num-videos": "1",
    "--training-videos": "1",
    "--short-videos": "1",
    "--medium-videos": "0",
    "--long-videos": "0",
    "--num-seeds": "1",
    "--min-seconds": "8",
    "--max-seconds": "12",
    "--steps": "1",
}
MADE_SMALL = {  # what a call is given besides
    r"^world (make|export)": "--num-videos 1 --duration 24",
    r"^world export .*kfs": "--num-videos 2",
    r"^demo": "--duration 30",
    r"^eval focusworld (?!--data)": "--num-videos 1 --min-seconds 8 --max-seconds 12",
    r"^eval robustness": "--num-videos 1",
    r"^eval methods": "--steps 1 --training-videos 1 --short-videos 1 --medium-videos 0 "
    "--long-videos 0 --num-seeds 1",
    r"^eval ablation": "--steps 1 --training-videos 1 --short-videos 1 "
    "--medium-videos 0 --long-videos 0 --num-seeds 1",
    r"^eval recall": "--short-videos 1 --medium-videos 0 --long-videos 0",
    r"^eval plugged": "--short-videos 1 --medium-videos 0",
}
OTHER_PROGRAMS = {"pip", "pytest", "vllm", "torchrun", "export", "cat", "echo"} | {
    "serve",  # of Ray
    "claude",
    "codex",
    "curl",  # serving/test_serving_docs.py
    "lmms-eval",
}


def blocks(page: Path, language: str) -> list[str]:
    """List the blocks of a page in a language."""
    found = re.findall(
        rf"^```(?:{language})\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    return [str(text) for text in found]


def calls() -> list[list[str]]:
    """List all command lines that are shown, as words, each once."""
    lines = []
    for page in PAGES:
        for text in blocks(page, "bash"):
            lines += text.replace("\\\n", " ").splitlines()
        for text in blocks(page, "console"):
            lines += re.findall(r"^\$ (.*)", text.replace("\\\n", " "), re.MULTILINE)
    parts = [part for line in lines for part in line.split(" && ")]
    found = [tuple(shlex.split(part, comments=True)) for part in parts]
    return [list(words) for words in dict.fromkeys(found) if words]


def own_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Split a call into what feeds it and what follows ``dynfocus``."""
    if "dynfocus" not in words or words[0] in OTHER_PROGRAMS - {"cat", "echo"}:
        return words, []
    place = words.index("dynfocus")
    before, after = words[:place], words[place + 1 :]
    if "<" in after:
        place = after.index("<")
        before, after = ["cat", after[place + 1]], after[:place]
    return before, after


def is_run_elsewhere(words: list[str]) -> bool:
    """Tell whether a call is parsed here alone."""
    return any(re.search(one, " ".join(words)) for one in IS_RUN_ELSEWHERE)


EXAMPLES = [
    pytest.param(*own_words(words), id=" ".join(words))
    for words in calls()
    if own_words(words)[1]
]
RUNNING = list(  # of calls that differ in the question alone, one
    {
        " ".join("?" if " " in word else word for word in one.values[1]): one
        for one in EXAMPLES
        if not is_run_elsewhere(one.values[1])
    }.values()
)
RUNNING = [
    pytest.param(*one.values, id=one.id, marks=pytest.mark.slow)
    if TAKES_LONG.search(" ".join(one.values[1]))
    else one
    for one in RUNNING
]


def test_nothing_that_is_shown_is_left_out():
    for words in calls():
        assert own_words(words)[1] or words[0] in OTHER_PROGRAMS, words
    assert len(EXAMPLES) > 80
    assert len(RUNNING) > 120
    for test in IS_RUN_ELSEWHERE.values():
        assert (ROOT / "tests" / test).is_file()
    for (page, language), test in RUN_ELSEWHERE.items():
        assert blocks(
            ROOT / "docs" / page if page != "README.md" else ROOT / page, language
        )
        assert page in (ROOT / "tests" / test).read_text()


@pytest.mark.parametrize(("before", "words"), EXAMPLES)
def test_every_call_is_one_that_the_program_takes(before, words, monkeypatch):
    monkeypatch.chdir(ROOT)
    command, name, rest = get_command(app), "dynfocus", list(words)
    while commands := getattr(command, "commands", None):
        command, name, rest = commands[rest[0]], rest[0], rest[1:]
    with command.make_context(name, rest) as context:
        given = context.params
    if name == "train":
        assert load_recipes(given["recipe"], given["changes"] or ())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Make a folder that holds what the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    worlds = make_dataset(folder / "worlds", 1, 12.0, seed=3, fps=4)
    clip = worlds / "videos" / "test-000003.mp4"
    for name in (
        "clip.mp4",
        "talk.mp4",
        "lecture.mp4",
        "talks/monday.mp4",
        "talks/friday.mp4",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, folder / name)
    for name in ("a.ts", "talk.ts", "live.ts", "archive/2024/film.mkv"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        copy_packets(clip, folder / name)
    write_film(folder / "film.mkv")
    words = "1\n00:00:02,000 --> 00:00:04,000\nThe dividend is paid in May.\n"
    (folder / "talk.srt").write_text(words)
    nano = ROOT / "src" / "dynfocus" / "assets" / "nano"
    (folder / "my-model").symlink_to(nano)
    for name in ("openai/clip-vit-base-patch32", "runs/hosts/scorer/scorer"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).symlink_to(save_tiny_clip(folder / "tiny"))
    (folder / "questions.txt").write_text("What letter is on the red square?\n")
    rows = re.findall(r"^\{.*\}$", (ROOT / "docs/batch.md").read_text(), re.MULTILINE)
    (folder / "questions.jsonl").write_text("\n".join(rows[:3]))
    results = folder / "docs" / "results"
    results.mkdir(parents=True)
    for name in ("methods.json", "focusworld-60-180s.json"):
        shutil.copy(ROOT / "docs" / "results" / name, results)
    for name in ("before.jsonl", "after.jsonl"):
        records = ROOT / "docs" / "results" / "focusworld-60-180s.jsonl"
        shutil.copy(records, folder / name)
    write_published_data(folder)
    write_models(folder)
    write_results(folder)
    return folder


def write_models(folder: Path) -> None:
    """Write what stands for models of others, and of runs of training."""
    for name, family in (
        ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl"),
        ("FOLDER_OR_HUB_ID", "llava_onevision"),
    ):
        config = save_host(build_host(family), folder / name) / "config.json"
        config.write_text(config.read_text().replace("2048", "8192"))  # as real ones
    host = folder / "runs/hosts/llava-onevision/host"
    for link in (host, folder / "HOST"):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder / "FOLDER_OR_HUB_ID")
    for name in ("MODEL", "runs/nano/tune/model"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(folder / "my-model")


def write_results(folder: Path) -> None:
    """Ask a stand-in two benchmarks, twice, for the tables of their results."""
    model = StandInModel(lambda video, question: "A")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynfocus.load", lambda name, **options: model)
        for name in ("mlvu", "video-mme"):
            data = write_benchmark(name, folder / "data" / name, folder / "clip.mp4")
            for run in ("a", "b"):
                call = ["eval", name, "--data", str(data), "--model", run]
                assert main([*call, "--out", str(folder / "runs" / run)]) == 0


def copy_packets(source: Path, target: Path) -> None:
    """Put a video into another container."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.size:
                packet.stream = copy
                out.mux(packet)


def write_film(target: Path) -> None:
    """Write a film of twelve key frames."""
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=4, options={"g": "4"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(48):
            picture = np.full((64, 96, 3), 5 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))


def write_published_data(folder: Path) -> None:
    """Write a little of what others publish, in their formats."""
    (folder / "results_2M_train.csv").write_text(
        "videoid,contentUrl,duration,page_dir,name\n1,http://x/1,,p,A dog runs\n"
    )
    (folder / "VideoInstruct100K.json").write_text(
        '[{"q": "What is done?", "a": "Skiing.", "video_id": "v_a"}]'
    )
    for name in ("data/activitynet/v_a.mp4", "data/webvid/p/1.mp4"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(folder / "clip.mp4", folder / name)
    turns = [
        {"from": "human", "value": "<image>\nWhat?"},
        {"from": "gpt", "value": "A dog."},
    ]
    sample = json.dumps({"id": "1", "video": "p/1.mp4", "conversations": turns})
    for name in ("webvid.jsonl", "webvid-2.5m.jsonl"):
        (folder / "data" / name).write_text(sample)
    text = sample.replace("p/1.mp4", "webvid/p/1.mp4")
    (folder / "data" / "train.json").write_text(f"[{text}]")


@pytest.fixture
def work(files, tmp_path, monkeypatch):
    """Stand in a folder of one's own that holds them."""
    shutil.copytree(files, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("before", "words"), RUNNING)
def test_the_call_runs(before, words, work, stand_in, hub, web, capsys):
    if before[:1] == ["echo"]:
        (work / "fed").write_text(f"{before[1]}\n")
    elif before[:1] == ["cat"]:
        shutil.copy(before[1], work / "fed")
    prepare(words, work, hub)
    web.pages["/talk.mp4"] = Page((work / "talk.mp4").read_bytes())
    words = shrunk(words)
    words = [
        "1" if before == "--workers" else served(word, stand_in, web)
        for before, word in zip(["", *words], words, strict=False)
    ]
    if "vllm" in words:
        serve_language(stand_in, capsys)
    with standard_input(work / "fed"):
        assert main(words) == 0, capsys.readouterr().err


def prepare(words: list[str], work: Path, hub) -> None:
    """Make what a call finds where it stands: data of a benchmark, a hub, a library."""
    if words[0] == "eval" and "--data" in words:
        name = words[2] if words[1] == "check" else words[1]
        write_benchmark(name, work / "FOLDER", work / "clip.mp4")
    elif "FOLDER" in words and words[1] == "plugged":
        (work / "FOLDER").symlink_to(work / "FOLDER_OR_HUB_ID")
    elif words[0] == "download":
        shutil.rmtree(work / "Qwen")  # a name on the hub, not a folder here
        named = next((one for one in words if "/" in one), RECOMMENDED)
        hub.name, hub.other_names = named, (RECOMMENDED_SCORER,)
        hub.files = dict(WHOLE)
    elif words[0] == "find" and not (work / words[1]).exists():
        assert main(["find", "talk.mp4", "dividend", "--no-read"]) == 0


def shrunk(words: list[str]) -> list[str]:
    """Give a call that asks for as little as it can, and expand its patterns of names."""
    small = dict(SMALLER)
    for pattern, options in MADE_SMALL.items():
        if re.search(pattern, " ".join(words)):
            given = options.split()
            small |= dict(zip(given[::2], given[1::2], strict=True))
            more = [one for one in given[::2] if one not in words]
            words = [*words, *(part for one in more for part in (one, ""))]
    found = []
    for before, word in zip(["", *words], words, strict=False):
        names = sorted(map(str, Path().glob(word))) if "*" in word else [word]
        found += [small[before]] if before in small else names
    return found


@contextmanager
def standard_input(file: Path) -> Iterator[None]:
    """Let a file, if it is there, be standard input, for FFmpeg too."""
    before = os.dup(0)
    path = file if file.exists() else Path(os.devnull)
    try:
        with pytest.MonkeyPatch.context() as patch, path.open() as stdin:
            os.dup2(stdin.fileno(), 0)
            patch.setattr(sys, "stdin", stdin)
            yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def served(word: str, stand_in, web) -> str:
    """Put stand-ins in the place of servers and cameras."""
    if word == "https://example.org/talk.mp4":
        return str(web.address("talk.mp4"))
    if word.startswith("rtsp:"):
        return "live.ts"
    return stand_in.url if word.startswith(("http:", "https:")) else word


def serve_language(stand_in, capsys) -> None:
    """Serve the language model of nano."""
    assert main(["export-language-model", "nano", "served"]) == 0
    capsys.readouterr()
    language = ServedLanguageModel(Path("served"))
    stand_in.check, stand_in.answer = language.check, language.answer


PYTHON = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    if (page.name, "python") not in RUN_ELSEWHERE
    for number, text in enumerate(blocks(page, "python"))
    if "my-slowfocus" not in text  # models/test_slowfocus.py makes one
]


@pytest.mark.parametrize("text", PYTHON)
def test_the_lines_of_python_run(text, work, stand_in, capsys):
    (work / "README.md").write_text("No video.\n")
    if "VllmGenerator" in text:
        serve_language(stand_in, capsys)
    text = text.replace("http://localhost:8000", stand_in.url)
    text = text.replace("rtsp://camera/1", "live.ts").replace("workers=2", "workers=1")
    text = text.replace("/data/index", str(work / "index"))
    exec(compile(text, "example", "exec"), {})


def test_python_stands_on_many_pages():
    assert len(PYTHON) >= 7


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=str)
def test_the_recipes_that_are_shown_are_recipes(page, tmp_path):
    whole = blocks(page, "yaml")
    for text in whole:  # what is a part only goes into the first
        tree = {**yaml.safe_load(whole[0]), **yaml.safe_load(text)}
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(tree))
        assert load_recipes(path)
