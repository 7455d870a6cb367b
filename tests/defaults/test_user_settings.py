from __future__ import annotations

import pytest

from dynfocus.defaults import UserSettings, read_settings, save_model, settings_file


def write(text: str) -> None:
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(text, encoding="utf-8")


def test_the_file_lies_where_the_desktop_keeps_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file() == tmp_path / "dynfocus" / "config.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_file() == tmp_path / ".config" / "dynfocus" / "config.toml"


def test_no_file_and_an_empty_file_set_nothing():
    assert read_settings() == UserSettings(model=None)
    write("# nothing yet\n")
    assert read_settings() == UserSettings(model=None)


@pytest.mark.parametrize(
    "model", ["owner/name", '/a folder/"it"', "C:\\models", "模型"]
)
def test_what_is_saved_is_read_again(model):
    assert save_model(model) == settings_file()
    assert read_settings().model == model


def test_saving_leaves_other_lines_alone():
    write('# mine\n model = "old/one"  # and why\n# the end\n')
    save_model("new/one")
    text = settings_file().read_text(encoding="utf-8")
    assert text == '# mine\nmodel = "new/one"\n# the end\n'
    write("# mine\n")
    save_model("new/one")
    text = settings_file().read_text(encoding="utf-8")
    assert text == 'model = "new/one"\n# mine\n'
    assert [file.name for file in settings_file().parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_name = 'a'", "'model_name', which is no setting; accepted is model"),
        ("[model]\nname = 'a'", "'nano' in quotes, got {'name': 'a'}"),
        ("model = 3", "'nano' in quotes, got 3"),
        ("model = ' '", "'nano' in quotes, got ' '"),
        ("model = /my/model", "config.toml is not valid TOML: "),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_not_overwritten(text, message):
    write(text)
    with pytest.raises(ValueError, match="config.toml") as caught:
        read_settings()
    assert message in str(caught.value)
    with pytest.raises(ValueError, match="config.toml"):
        save_model("owner/name")
    assert settings_file().read_text(encoding="utf-8") == text


def test_what_is_no_text_is_one_sentence():
    write("")
    settings_file().write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="config.toml is not UTF-8 text"):
        read_settings()
