"""Records on disk: a line each, whatever ended the run before."""

from __future__ import annotations

import json

import pytest

from dynfocus.bulk import JsonLines


def test_records_are_written_at_once(tmp_path):
    path = tmp_path / "new folder" / "a.jsonl"
    with JsonLines(path) as file:
        assert file.records == []
        file.append({"id": "1", "answer": "grün"})
        assert "grün" in path.read_text()
        file.append({"id": "2", "answer": "half \ud83d"})
    with JsonLines(path) as file:
        assert [record["id"] for record in file.records] == ["1", "2"]
        assert file.records[1]["answer"] == "half \ud83d"


def test_half_a_line_at_the_end_is_dropped(tmp_path):
    path = tmp_path / "a.jsonl"
    for rest in ('{"id": "1/0", "vid', '{"id": "1/0"}', '"ä'):
        path.write_bytes(b'{"id": "0/0"}\n' + rest.encode()[:-1])
        with JsonLines(path) as file:
            assert file.records == [{"id": "0/0"}]
            file.append({"id": "1/0"})
        assert path.read_text() == '{"id": "0/0"}\n{"id": "1/0"}\n'


def test_what_is_kept_replaces_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    with JsonLines(path, {"seed": 3}) as file:
        for name in "abc":
            file.append({"id": name})
        file.keep(file.records[1:])
        file.append({"id": "d"})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"made_with": {"seed": 3}},
        *({"id": name} for name in "bcd"),
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("content", ["no json\n", "[1]\n", '{}\n\xff\n{"id": 3}\n'])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with (
        pytest.raises(
            ValueError, match=r"line \d is no record of a run; delete the file"
        ),
        JsonLines(path),
    ):
        pass
    assert path.read_bytes() == content.encode("latin-1")


def test_records_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    stamp = {"seconds": (60.0, 180.0), "model": "nano"}
    with JsonLines(path, stamp) as file:
        file.append({"id": "1"})
    with JsonLines(path, stamp) as file:
        assert file.records == [{"id": "1"}]
    with (
        pytest.raises(ValueError, match="a run with other settings or another model"),
        JsonLines(path, stamp | {"model": "mine"}),
    ):
        pass
    path.write_text('{"id": "1"}\n')
    with (
        pytest.raises(ValueError, match="belongs to something else than this run"),
        JsonLines(path, stamp),
    ):
        pass


def test_two_runs_cannot_write_into_one_file(tmp_path):
    path = tmp_path / "a.jsonl"
    with (
        JsonLines(path),
        pytest.raises(BlockingIOError, match="another run writes into this file"),
        JsonLines(path),
    ):
        pass


def fill(path):
    with JsonLines(path) as file:
        for number in range(9):
            file.append({"id": str(number), "answer": "x" * 20})


def test_a_full_disk_is_named_and_the_next_run_goes_on(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="No space left on device") as caught:
            fill(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    with JsonLines(path) as file:
        assert [record["id"] for record in file.records] == ["0", "1"]
        file.append({"id": "2"})
    with JsonLines(path) as file:
        assert len(file.records) == 3
