"""Selectors: which frames of a video are read, and how large each of them is.

A selector is a function of a `SelectorInput` and a number of frames; it gives a
`Selection`. `SELECTORS` holds those of this package, `find_selectors` also those that
other packages add through the entry points ``dynfocus.selectors``.
"""

from __future__ import annotations

from dynfocus import extensions
from dynfocus.methods.pruners import (
    by_tokens,
    keep_evs,
    keep_vidcom2,
    prune_cdpruner,
    prune_fastvid,
)
from dynfocus.methods.selectors.air import choose_air
from dynfocus.methods.selectors.aks import choose_aks
from dynfocus.methods.selectors.bolt import choose_bolt
from dynfocus.methods.selectors.cones_and_rods import choose_cones
from dynfocus.methods.selectors.date import choose_date
from dynfocus.methods.selectors.dcode import choose_dcode
from dynfocus.methods.selectors.events import choose_events
from dynfocus.methods.selectors.f2c import choose_f2c
from dynfocus.methods.selectors.focus import choose_focus
from dynfocus.methods.selectors.free_video_llm import choose_free_video_llm
from dynfocus.methods.selectors.interface import (
    Selection,
    Selector,
    SelectorInput,
    by_scores,
)
from dynfocus.methods.selectors.mdp3 import choose_mdp3
from dynfocus.methods.selectors.mmr import choose_mmr
from dynfocus.methods.selectors.ocsampler import choose_ocsampler
from dynfocus.methods.selectors.plain import choose_all, choose_ranked, choose_uniform
from dynfocus.methods.selectors.qframe import choose_qframe
from dynfocus.methods.selectors.scenetilling import choose_scenetilling
from dynfocus.methods.selectors.ts_llava import choose_ts_llava
from dynfocus.methods.selectors.tstar import choose_tstar
from dynfocus.text import check_choice

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
    "air": Selector(choose=choose_air, needs_scorer=True),
    "aks": by_scores(choose_aks),
    "bolt": by_scores(choose_bolt),
    "cdpruner": Selector(
        choose=choose_all, needs_scorer=True, rest="pruned", keep=prune_cdpruner
    ),
    "date": Selector(choose=choose_date, needs_scorer=True),
    "dcode": Selector(choose=choose_dcode),
    "dynfocus": Selector(choose=choose_cones, rest="small"),
    "events": Selector(choose=choose_events),
    "evs": Selector(choose=choose_all, rest="pruned", keep=by_tokens(keep_evs)),
    "f2c": Selector(choose=choose_f2c, needs_scorer=True, counts="area"),
    "fastvid": Selector(choose=choose_all, rest="pruned", keep=prune_fastvid),
    "focus": Selector(choose=choose_focus, needs_scorer=True),
    "free-video-llm": Selector(
        choose=choose_free_video_llm, needs_scorer=True, counts="area"
    ),
    "mdp3": Selector(choose=choose_mdp3, needs_scorer=True),
    "mmr": Selector(choose=choose_mmr, needs_scorer=True),
    "none": Selector(choose=choose_all, rest="whole"),
    "ocsampler": Selector(choose=choose_ocsampler, needs_scorer=True),
    "qframe": Selector(choose=choose_qframe, needs_scorer=True, counts="area"),
    "ranked": by_scores(choose_ranked),
    "scenetilling": Selector(choose=choose_scenetilling),
    "ts-llava": Selector(choose=choose_ts_llava, counts="area"),
    "tstar-search": Selector(choose=choose_tstar, needs_scorer=True),
    "uniform": Selector(choose=choose_uniform, is_even=True),
    "vidcom2": Selector(choose=choose_all, rest="pruned", keep=by_tokens(keep_vidcom2)),
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
    check_choice(name, what, sorted(known))
    if known[name].needs_scorer and not has_scorer:
        raise ValueError(
            f"{what} {name!r} chooses frames by their similarity to the question; give a "
            "scorer (scorer=, --scorer), such as CLIP or SigLIP"
        )
    return known[name]
