import re


def test_a_video_is_described_in_lines(run, clip):
    outcome = run("probe", clip)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    names = [line.split("  ")[0] for line in lines[:8]]
    assert names == [
        "file",
        "container",
        "video",
        "length",
        "key frames",
        "learned by",
        "64 frames",
        "damage",
    ]
    assert lines[8] in {"Nothing about it is hard.", "Hard about it:"}
    assert outcome.err == ""


def test_a_video_is_described_as_json(run, clip):
    document = run("probe", clip, "--json").document
    assert document["codec"] == "h264"
    assert document["learned_by"] == "index"
    assert isinstance(document["difficulties"], list)


def test_what_is_no_video_is_refused_in_one_sentence(run, tmp_path):
    (tmp_path / "notes.txt").write_text("no film\n" * 50)
    outcome = run("probe", tmp_path / "notes.txt")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "notes.txt: " in outcome.err


def test_how_far_damage_was_looked_for_is_said(run, clip):
    (some,) = re.findall("^damage +(.*)", run("probe", clip).out, re.MULTILINE)
    assert re.fullmatch(
        r"none in \d frames? that (was|were) decoded; --full decodes all", some
    )
    (all_,) = re.findall(
        "^damage +(.*)", run("probe", clip, "--full").out, re.MULTILINE
    )
    assert re.fullmatch(r"none in all \d+ frames that were decoded", all_)
