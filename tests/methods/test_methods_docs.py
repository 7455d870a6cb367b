"""What docs/methods.md shows works as it stands, and its table is the registry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from dynfocus.focus import FocusSettings, VideoFeatures
from dynfocus.methods import (
    CONNECTORS,
    SELECTORS,
    TOWERS,
    ConnectorSizes,
    SelectorInput,
)
from dynfocus.methods.connectors import ConnectedNetwork

PAGE = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")


def run_example(room):
    """Run the code that shows how to add to a room; gives what it defines."""
    codes = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (code,) = [code for code in codes if f"dynfocus.methods.{room} import" in code]
    names: dict = {"__name__": f"my_package.{room}"}
    exec(compile(code, "docs/methods.md", "exec"), names)
    return names


def test_the_connector_that_is_shown_connects():
    (entry,) = re.findall(r"my_package\.connectors:(\w+)", PAGE)
    sizes = ConnectorSizes(num_patches=16, dim=8, text_dim=6, hidden_size=10)
    connector = run_example("connectors")[entry](sizes, {})
    network = ConnectedNetwork(connector, sizes, FocusSettings())
    patches, times = torch.randn(3, 16, 8), torch.arange(3).double()
    video = VideoFeatures(spatial=patches, pts_seconds=times)
    (tokens,) = network([video], torch.zeros(1, 1, 6))
    wanted = connector.projector(patches.mean(1))
    torch.testing.assert_close(tokens.embeds, wanted)


def test_the_selector_that_is_shown_chooses():
    names = run_example("selectors")
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
