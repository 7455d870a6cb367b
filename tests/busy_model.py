"""A model that does what a question says, for processes that import it."""

from __future__ import annotations

import base64
import io
import os
import time
from types import SimpleNamespace

from PIL import Image

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
        on_text(text)
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


def request(question, **more):
    """Give the body of a question about a picture."""
    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, format="PNG")
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": question},
    ]
    message = {"role": "user", "content": content}
    return {"model": "busy", "messages": [message], **more}


def load(settings):
    if settings.model != "busy":
        raise ValueError(f"there is no model {settings.model}")
    return BusyModel()
