"""What docs/methods.md shows works as it stands, and its table is the registry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from dynfocus.methods import CONNECTORS, SELECTORS, TOWERS, SelectorInput

PAGE = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")


def test_the_selector_that_is_shown_chooses():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {"__name__": "my_package.selectors"}
    exec(compile(code, "docs/methods.md", "exec"), names)
    (entry,) = re.findall(r"my_package\.selectors:(\w+)", PAGE)
    scores = np.arange(9) % 4 / 4
    given = SelectorInput(
        times=np.arange(9.0), features=torch.zeros(9, 2), compare=scores.__getitem__
    )
    assert names[entry](given, 4).indices.tolist() == [3, 6, 0, 1]
    assert names[entry].needs_scorer


def test_every_selector_has_a_row_that_says_where_it_works():
    rows = re.findall(r"^\| `([\w-]+)` \|(.*)\|$", PAGE, re.MULTILINE)
    table = {name: row.split("|") for name, row in rows if name in SELECTORS}
    assert table.keys() == SELECTORS.keys()
    for name, (_, needs, frames, *_) in table.items():
        assert (needs.strip() == "scorer") == SELECTORS[name].needs_scorer
        assert (frames.strip() == "yes") == (SELECTORS[name].rest == "dropped")


def names_under(heading):
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)


def test_every_connector_and_tower_method_has_a_row():
    assert names_under("Connectors") == list(CONNECTORS)
    assert names_under("Tower methods") == list(TOWERS)
