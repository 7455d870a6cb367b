from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from dynfocus.cli import answering as answering_module
from dynfocus.video import DamagedVideoWarning

COMMANDS = (
    "demo",
    "download",
    "ask",
    "chat",
    "timeline",
    "storyboard",
    "redundancy",
    "world",
    "world make",
    "train",
    "eval",
    "eval focusworld",
    "eval methods",
    "eval ablation",
    "doctor",
)
HEAVY = ("torch", "transformers", "av", "numpy", "matplotlib", "PIL", "rich.console")


def test_no_help_imports_anything_heavy():
    program = f"""
import json, sys
from dynfocus.cli import main
for words in {[["--version"], ["--help"], *[[*c.split(), "--help"] for c in COMMANDS]]!r}:
    assert main(words) == 0, words
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_at_least_two_examples_of_its_own_command(run, command):
    outcome = run(*command.split(), "--help")
    examples = outcome.out.split("Examples:")[1].strip().splitlines()
    assert outcome.code == 0
    assert len(examples) >= 2
    assert all(f"dynfocus {command}" in example for example in examples)


def test_version_is_one_line(run):
    outcome = run("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("dynfocus ")
    assert len(outcome.out.splitlines()) == 1


def test_no_arguments_show_the_help_as_a_wrong_call(run):
    outcome = run()
    assert outcome.code == 2
    assert "Commands:" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("ask", "clip.mp4"), "Missing argument 'QUESTION...'"),
        (("ask", "clip.mp4", ""), "the question is empty"),
        (("ask", "clip.mp4", "  \n"), "the question is empty"),
        (("timeline", "clip.mp4"), "Missing argument 'QUESTIONS...'"),
        (("timeline", "clip.mp4", "What?", " "), "the question is empty"),
        (("ask", "clip.mp4", "-"), "the question is empty"),
        (("ask", "clip.mp4", "What?", "--fps", "0"), "0 is not a number above 0"),
        (("ask", "clip.mp4", "What?", "--fps", "-1"), "-1 is not a number above 0"),
        (("ask", "clip.mp4", "What?", "--fps", "nan"), "nan is not a number above 0"),
        (("ask", "clip.mp4", "What?", "--fps", "inf"), "inf is not a number above 0"),
        (("ask", "clip.mp4", "What?", "--fps", "fast"), "'--fps'"),
        (
            ("ask", "clip.mp4", "What?", "--max-frames", "-3"),
            "-3 is not a count of 1 or more",
        ),
        (
            ("ask", "clip.mp4", "What?", "--max-frames", "0"),
            "0 is not a count of 1 or more",
        ),
        (("ask", "clip.mp4", "What?", "--max-video-tokens", "0"), "0 is not a count"),
        (
            ("storyboard", "clip.mp4", "--num-prototypes", "0"),
            "0 is not a count of 1 or more",
        ),
        (("world", "make", "f", "--num-videos", "0"), "0 is not a count"),
        (("world", "make", "f", "--seed", "-1"), "-1 is below 0"),
        (("demo", "--duration", "3"), "--duration must be 30 seconds or more"),
        (("train", "r.yaml", "--set", "steps"), "--set takes KEY=VALUE, got 'steps'"),
        (("world", "make", "f", "--split", "all"), "'all'"),
    ],
)
def test_wrong_calls_are_one_sentence_and_exit_2(run, words, message):
    outcome = run(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: ")
    assert message in line
    assert "--help'" in line


def test_missing_video_is_one_sentence_and_exit_1(run):
    outcome = run("ask", "no such.mp4", "What?")
    assert outcome.code == 1
    assert outcome.out == ""
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: ")
    assert "no such.mp4" in line


@pytest.mark.parametrize("content", [b"", b"this is no video"])
def test_what_is_no_video_is_one_sentence(run, tmp_path, content):
    Path("notes.mp4").write_bytes(content)
    outcome = run("storyboard", "notes.mp4")
    assert outcome.code == 1
    assert "notes.mp4" in outcome.err
    assert len(outcome.err_lines) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.mp4"]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def check_video(*_: object) -> None:
        raise error

    monkeypatch.setattr(answering_module, "check_video", check_video)


def test_unexpected_errors_ask_for_debug(run, monkeypatch):
    fail_with(monkeypatch, RuntimeError("a\nlong story"))
    outcome = run("ask", "clip.mp4", "What?")
    assert outcome.code == 1
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: unexpected RuntimeError: a long story;")
    assert "--debug" in line


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback_wherever_it_stands(run, monkeypatch, place):
    fail_with(monkeypatch, ValueError("the reason"))
    words = ["ask", "clip.mp4", "What?"]
    words.insert(place, "--debug")
    outcome = run(*words)
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "ValueError: the reason" in outcome.err


def test_the_environment_switches_debug_on(run, monkeypatch):
    fail_with(monkeypatch, ValueError("the reason"))
    monkeypatch.setenv("DYNFOCUS_DEBUG", "1")
    assert "Traceback" in run("ask", "clip.mp4", "What?").err


def test_errors_of_the_system_name_the_file(run, monkeypatch):
    fail_with(monkeypatch, PermissionError(13, "Permission denied", "clip.mp4"))
    outcome = run("ask", "clip.mp4", "What?")
    assert outcome.err == "dynfocus: clip.mp4: Permission denied\n"


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_interrupting_exits_130_without_a_word(run, monkeypatch, is_wrapped):
    error: BaseException = KeyboardInterrupt()
    if is_wrapped:  # as Python does where a class is being made
        error, cause = RuntimeError("Error calling __set_name__"), error
        error.__cause__ = cause
    fail_with(monkeypatch, error)
    outcome = run("ask", "clip.mp4", "What?")
    assert outcome.code == 130
    assert outcome.err == ""


def test_own_warnings_are_one_line_and_others_are_not_shown(run, monkeypatch):
    def check_video(*_: object) -> None:
        warnings.warn_explicit("3 frames\nare missing", DamagedVideoWarning, "x.py", 1)
        warnings.warn_explicit("will change", FutureWarning, "torch.py", 1)
        raise ValueError("the end")

    monkeypatch.setattr(answering_module, "check_video", check_video)
    outcome = run("ask", "clip.mp4", "What?")
    assert outcome.err_lines == [
        "dynfocus: warning: 3 frames are missing",
        "dynfocus: the end",
    ]


def program(*words, **settings):
    """Start the program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dynfocus", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    )


def test_a_request_to_end_leaves_nothing_half_written(tmp_path):
    words = ("world", "make", tmp_path, "--num-videos", 1, "--duration", 3600)
    process = program(*words)
    end = time.monotonic() + 60
    while not list(tmp_path.rglob("*.part")):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (143, b"", b"")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_names_that_are_not_utf8_are_printed(tmp_path, clip):
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    shutil.copy(clip, name)
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    process = program("index", os.fsdecode(name), "--dry-run", env=strict)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.endswith(b"\t" + name + b"\n")
    missing = name.replace(b"caf", b"no")
    process = program("probe", os.fsdecode(missing), env=strict)
    _, err = process.communicate(timeout=120)
    assert (
        err == b"dynfocus: " + missing + b": there is no such file; check the path.\n"
    )


@pytest.mark.parametrize("words", [("probe",), ("ask", "-")])
def test_closed_streams_are_empty_ones(words, clip):
    name, *rest = words
    call = f'exec "$0" -W error -m dynfocus {name} "$1" {" ".join(rest)} <&- >&-'
    done = subprocess.run(
        ["sh", "-c", call, sys.executable, clip], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2 if rest else 1, "")
    (line,) = done.stderr.splitlines()
    assert ("the question is empty" if rest else "the result is lost") in line


def test_a_reader_that_goes_away_ends_the_work_without_a_word(clip):
    call = '"$0" -m dynfocus probe "$1" --json | true; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", call, sys.executable, clip], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
