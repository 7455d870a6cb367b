"""Pruners: which of a host's own tokens are kept, within a number of them.

A pruner takes a `PrunerInput` and a number, and gives a `Pruned`, whose mask has exactly
as many True. It is the ``keep`` of a `Selector`.
"""

from dynfocus.methods.pruners.cdpruner import prune_cdpruner
from dynfocus.methods.pruners.evs import keep_evs
from dynfocus.methods.pruners.fastvid import prune_fastvid
from dynfocus.methods.pruners.interface import (
    Pruned,
    Pruner,
    PrunerInput,
    by_tokens,
)
from dynfocus.methods.pruners.vidcom2 import keep_vidcom2

__all__ = [
    "Pruned",
    "Pruner",
    "PrunerInput",
    "by_tokens",
    "keep_evs",
    "keep_vidcom2",
    "prune_cdpruner",
    "prune_fastvid",
]
