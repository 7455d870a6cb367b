"""Selectors: which frames of a video are read, and how large each of them is.

A selector is a function of a `SelectorInput` and a number of frames; it gives a
`Selection`. `SELECTORS` holds those of this package, `find_selectors` also those that
other packages add through the entry points ``dynfocus.selectors``.
"""

from __future__ import annotations

from dynfocus import extensions
from dynfocus.methods.selectors.aks import choose_aks
from dynfocus.methods.selectors.bolt import choose_bolt
from dynfocus.methods.selectors.cones_and_rods import choose_cones
from dynfocus.methods.selectors.events import choose_events
from dynfocus.methods.selectors.interface import (
    Selection,
    Selector,
    SelectorInput,
    by_scores,
)
from dynfocus.methods.selectors.plain import choose_all, choose_ranked, choose_uniform

__all__ = [
    "SELECTORS",
    "Selection",
    "Selector",
    "SelectorInput",
    "by_scores",
    "find_selector",
    "find_selectors",
]

SELECTORS: dict[str, Selector] = {
    "aks": by_scores(choose_aks),
    "bolt": by_scores(choose_bolt),
    "dynfocus": Selector(choose=choose_cones, rest="small"),
    "events": Selector(choose=choose_events),
    "none": Selector(choose=choose_all, rest="whole"),
    "ranked": by_scores(choose_ranked),
    "uniform": Selector(choose=choose_uniform, is_even=True),
}
"""Selectors of this package by name."""


def find_selectors(rest: str | None = None) -> dict[str, Selector]:
    """Collect the selectors by name; those of other packages come first.

    Args:
        rest: Only those with this `Selector.rest`.

    Raises:
        ValueError: An entry point offers what is no selector.
    """
    found = dict(SELECTORS)
    for name, offered in extensions.load_extensions(extensions.SELECTORS).items():
        if not callable(offered):
            raise ValueError(
                f"the entry point {name} in {extensions.SELECTORS} must be a Selector or a "
                f"function, got {offered!r}; correct or uninstall its package"
            )
        is_whole = isinstance(offered, Selector)
        found[name] = offered if is_whole else Selector(choose=offered)
    return {name: one for name, one in found.items() if rest in (None, one.rest)}


def find_selector(
    name: str, what: str = "method", *, has_scorer: bool, rest: str | None = None
) -> Selector:
    """Give the selector of a name.

    Args:
        name: Its name.
        what: What the caller calls it in messages.
        has_scorer: Whether something can compare frames with the question.
        rest: What `Selector.rest` must be, if it matters.

    Raises:
        ValueError: There is none of that name, or it needs a scorer.
    """
    known = find_selectors(rest)
    if name not in known:
        raise ValueError(
            f"{what} must be one of {', '.join(sorted(known))}, got {name!r}"
        )
    if known[name].needs_scorer and not has_scorer:
        raise ValueError(
            f"{what} {name!r} chooses frames by their similarity to the question; give a "
            "scorer (scorer=, --scorer), such as CLIP or SigLIP"
        )
    return known[name]
