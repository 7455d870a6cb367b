from __future__ import annotations

from dynfocus.report.pages import choose_colours, font, shorten


def test_long_names_are_cut_in_the_middle():
    letters = font(20)
    text = shorten("a very long name of a file " * 10 + "end.mp4", letters, 300)
    assert letters.getlength(text) <= 300
    assert text.startswith("a very")
    assert text.endswith("end.mp4")


def test_colours_are_all_different():
    colours = choose_colours(30)
    assert len(set(colours)) == 30
    assert choose_colours(3) == colours[:3]
