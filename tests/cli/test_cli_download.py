from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer

import dynfocus.defaults
from downloaded import WHOLE, put_into_cache
from dynfocus.cli import doctor as doctor_module
from dynfocus.defaults import (
    RECOMMENDED,
    RECOMMENDED_SCORER,
    find_downloaded,
    read_settings,
    settings_file,
)


def test_the_recommended_model_is_fetched_once(run, hub):
    hub.name, hub.files = RECOMMENDED, dict(WHOLE)
    outcome = run("download")
    assert outcome.code == 0
    (line,) = outcome.out.splitlines()
    assert (Path(line) / "model.safetensors").read_bytes() == b"weights"
    assert outcome.err_lines == [
        f"{RECOMMENDED} is here: 0 MB",
        'Now ask: dynfocus ask VIDEO "What happens?"',
        "What tells the frames of a question: dynfocus download --scorer",
    ]
    again = run("download", RECOMMENDED)
    assert (again.code, again.out) == (0, outcome.out)
    assert again.err_lines[0] == f"{RECOMMENDED} was already there: 0 MB"
    assert read_settings().model is None


def test_the_scorer_comes_alone(run, hub):
    hub.name, hub.other_names = RECOMMENDED, (RECOMMENDED_SCORER,)
    hub.files = WHOLE | {"model.safetensors": bytes(2_000_000)}
    outcome = run("download", "--scorer")
    assert outcome.out == f"{find_downloaded(RECOMMENDED_SCORER)}\n"
    assert outcome.err_lines == [f"{RECOMMENDED_SCORER} is here: 2 MB"]
    assert find_downloaded(RECOMMENDED) is None
    assert run("download", "--scorer", "owner/model").code == 2


def test_at_a_terminal_it_asks_about_each(run, hub, monkeypatch):
    hub.name, hub.other_names = RECOMMENDED, (RECOMMENDED_SCORER,)
    hub.files = dict(WHOLE)
    asked = []

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def answer(text, **options):
        asked.append(text)
        return "siglip2" in text

    monkeypatch.setattr(typer, "confirm", answer)
    monkeypatch.setattr(io, "StringIO", Terminal)
    outcome = run("download")
    assert asked == [
        f"{RECOMMENDED} answers about real videos: 0 MB. Fetch it?",
        f"{RECOMMENDED_SCORER} finds the frames of a question: 0 MB. Fetch it?",
    ]
    assert outcome.out == f"{find_downloaded(RECOMMENDED_SCORER)}\n"
    assert find_downloaded(RECOMMENDED) is None
    monkeypatch.setattr(typer, "confirm", lambda text, **options: True)
    document = run("download", "--json").document
    assert (document["model"], document["is_new"]) == (RECOMMENDED, True)
    assert document["scorer"]["folder"] == str(find_downloaded(RECOMMENDED_SCORER))
    assert not document["scorer"]["is_new"]


def test_json_is_one_document(run, hub):
    hub.files = dict(WHOLE)
    outcome = run("download", "owner/model", "--json", "--default")
    assert outcome.document == {
        "model": "owner/model",
        "folder": outcome.document["folder"],
        "is_new": True,
        "num_bytes": sum(map(len, WHOLE.values())),
        "settings": str(settings_file()),
    }
    assert read_settings().model == "owner/model"
    assert run("download", "owner/model", "--json").document["is_new"] is False


def test_the_hint_names_what_ask_needs(run, hub):
    hub.files = dict(WHOLE)
    hint = 'Now ask: dynfocus ask VIDEO "What happens?" --model '
    outcome = run("download", "owner/model", "--folder", "a b")
    assert outcome.out == f"{Path.cwd() / 'a b'}\n"
    assert outcome.err_lines[-1] == f"{hint}'{Path.cwd() / 'a b'}'"
    assert run("download", "owner/model").err_lines[-1] == f"{hint}owner/model"
    outcome = run("download", "owner/model", "--folder", "a b", "--default")
    assert outcome.err_lines[-1] == (
        f"It answers about every video, as {settings_file()} says"
    )
    assert read_settings().model == str(Path.cwd() / "a b")


def test_an_interruption_says_how_to_go_on(run, monkeypatch):
    def interrupt(name: str, *, folder: Path | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dynfocus.defaults, "download", interrupt)
    outcome = run("download", "owner/model")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err_lines == ["Interrupted; the same command goes on from here."]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_cannot_be_had_is_one_sentence(run, hub, options):
    outcome = run("download", "owner/other", *options)
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: the hub has no model owner/other")


@pytest.mark.parametrize(
    "call", [("ask", "What?"), ("ask", "What?", "--json"), ("chat",)]
)
def test_a_video_that_no_model_knows_names_the_command(
    run, models, clip, call, monkeypatch
):
    monkeypatch.setattr("dynfocus.defaults.choosing.find_spec", lambda name: None)
    outcome = run(call[0], clip, *call[1:], stdin="What?\n")
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err_lines
    assert line == (
        f"dynfocus: no model here knows what {clip} shows: the shipped nano model only "
        "knows FocusWorld videos; run 'dynfocus download' once and then this again, name "
        "a model with --model, or have what is written and said in it found: pip install "
        "'dynfocus[text]'"
    )
    assert models == []


def test_what_was_downloaded_answers(run, models, clip, hub_cache):
    folder = put_into_cache(hub_cache, RECOMMENDED, WHOLE)
    outcome = run("ask", clip, "What?", "--json")
    assert outcome.code == 0
    assert outcome.document["model"] == RECOMMENDED
    assert outcome.err_lines[0] == (
        f"Model: {RECOMMENDED}, as it was downloaded; --model names another"
    )
    assert "warning" not in outcome.err
    outcome = run("chat", clip, stdin="What?\n")
    assert outcome.err_lines[0].startswith(f"Model: {RECOMMENDED}, as ")
    run("ask", clip, "What?", "--model", "other")
    assert [model.name for model in models] == [str(folder)] * 2 + ["other"]


def test_environment_and_settings_name_the_model(run, models, clip, monkeypatch):
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text('model = "set"')
    outcome = run("ask", clip, "What?")
    assert outcome.err_lines[0] == f"Model: set, as {settings_file()} says"
    monkeypatch.setenv("DYNFOCUS_MODEL", "nano")
    outcome = run("ask", clip, "What?")
    assert outcome.err_lines[0] == "Model: nano, as DYNFOCUS_MODEL says"
    assert "Model:" not in run("ask", clip, "What?", "-m", "other").err
    monkeypatch.delenv("DYNFOCUS_MODEL")
    settings_file().write_text("models = 1")
    outcome = run("ask", clip, "What?")
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err_lines
    assert "'models', which is no setting; accepted is model" in line
    assert [model.name for model in models] == ["set", "nano", "other"]


def test_doctor_tells_which_model_answers(run, hub_cache, monkeypatch):
    checks = tuple(check for check in doctor_module.CHECKS if check[0] == "model")
    monkeypatch.setattr(doctor_module, "CHECKS", checks)
    assert "only FocusWorld videos can be answered" in run("doctor").out
    assert run("doctor").out.endswith(f"fetch {RECOMMENDED} with: dynfocus download\n")
    put_into_cache(hub_cache, RECOMMENDED, WHOLE)
    assert f"that are not FocusWorld are answered by {RECOMMENDED}" in run("doctor").out
    monkeypatch.setenv("DYNFOCUS_MODEL", "owner/mine")
    found = json.loads(run("doctor", "--json").out)["checks"][0]["detail"]
    assert found == "all videos are answered by owner/mine, as DYNFOCUS_MODEL says"
    monkeypatch.delenv("DYNFOCUS_MODEL")
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("model = 1")
    outcome = run("doctor")
    assert outcome.code == 1
    assert "to do: correct that file, or name a model" in outcome.out
