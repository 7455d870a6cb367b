"""A model that does what a question says, for processes that import it."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

from dynfocus.models.conversation import Answer


class BusyModel:
    """Hold the interpreter, write for ever, fail or die, as a question says."""

    name = "busy"
    methods = ("none",)
    abilities = frozenset({"turns"})
    scores_see_question = False
    store = None
    has_index = False

    def check(self, **options):
        if options["method"] not in (None, "none"):
            raise ValueError(f"method must be none, got {options['method']!r}")

    def chat(self, video, *, progress, **options):
        return SimpleNamespace(turns=[], ask=self.ask)

    def ask(self, question, *, on_text):
        text = str(getattr(self, question)(on_text))
        return Answer(text=text, question=question, tokens=0, frames=[], seconds=0.0)

    def hold(self, on_text):
        """Do what lets no other thread of the process run, for about a second."""
        return sum(range(60_000_000))

    def write(self, on_text):
        while True:
            on_text("word ")
            time.sleep(0.01)

    def fail(self, on_text):
        raise ValueError("the question is too hard")

    def crash(self, on_text):
        raise KeyError("nobody foresaw this")

    def die(self, on_text):
        os._exit(1)

    def pid(self, on_text):
        return os.getpid()


def load(settings):
    if settings.model != "busy":
        raise ValueError(f"there is no model {settings.model}")
    return BusyModel()
