"""Entry points of installed packages, found on disk."""

from __future__ import annotations

import pytest

from dynfocus.extensions import load_extensions
from fake_package import install

GROUP = "dynfocus.nothing"


def test_what_a_package_offers_is_found_by_its_name(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="offers_two",
        source="def one(): return 1\ndef two(): return 2\n",
        entry_points=f"[{GROUP}]\na = offers_two:one\nb = offers_two:two\n",
    )
    found = load_extensions(GROUP)
    assert {name: function() for name, function in found.items()} == {"a": 1, "b": 2}
    assert load_extensions("dynfocus.nobody") == {}


@pytest.mark.parametrize(
    ("module", "entry", "message"),
    [
        ("lacks_it", "a = lacks_it:gone", r"a = lacks_it:gone in .* cannot be loaded"),
        ("elsewhere", "a = not_there:x", "No module named 'not_there'; correct or"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_named(
    tmp_path, monkeypatch, module, entry, message
):
    install(
        tmp_path,
        monkeypatch,
        module=module,
        source="",
        entry_points=f"[{GROUP}]\n{entry}\n",
    )
    with pytest.raises(ValueError, match=message):
        load_extensions(GROUP)


def test_two_of_one_name_are_refused(tmp_path, monkeypatch):
    for module in ("first_of_two", "second_of_two"):
        folder = tmp_path / module
        folder.mkdir()
        install(
            folder,
            monkeypatch,
            module=module,
            source="x = 1\n",
            entry_points=f"[{GROUP}]\nsame = {module}:x\n",
        )
    with pytest.raises(ValueError, match="has a name that is taken"):
        load_extensions(GROUP)
