"""Pruners: which of a host's own tokens are kept, within a number of them.

A pruner takes tokens ``[S, N, H]`` and a number, and gives a mask ``[S, N]`` with exactly
as many True, or all where there are no more. It is the ``keep`` of a `Selector`.
"""

from dynfocus.methods.pruners.evs import keep_evs
from dynfocus.methods.pruners.vidcom2 import keep_vidcom2

__all__ = ["keep_evs", "keep_vidcom2"]
