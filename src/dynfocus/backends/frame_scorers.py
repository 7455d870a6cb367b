"""What compares frames with a question, by its name, where frames are chosen for a server.

It stands alone, as commands, the server and tools for agents load it, each with its own
way to load a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dynfocus.defaults import OWN_TYPES, model_type
from dynfocus.methods import FocusedScorer, FrameScorer, load_scorer
from dynfocus.methods.scorers import TEXT

if TYPE_CHECKING:
    from dynfocus.models import VideoModel


def load_frame_scorer(
    name: str, load: Callable[[str], VideoModel] | None = None
) -> FrameScorer:
    """Load an encoder, what goes by words, or a DynFocus model that scores frames.

    Args:
        name: The name or the folder; ``"text"`` for words, ``"text+NAME"`` for both.
        load: Loads a model by name; by default `dynfocus.load`.

    Raises:
        ValueError: It needs a model here, or its scores do not see the question.
        FileNotFoundError: It cannot be loaded.
    """
    if name == "host":
        raise ValueError(
            "scorer 'host' is the attention of a vision language model that runs here: "
            "name that with --model and leave out --backend, or name an encoder"
        )
    if name.partition("+")[0] == TEXT or model_type(name) not in OWN_TYPES:
        scorer = load_scorer(name)
        assert scorer is not None  # it has a name
        return scorer
    if load is None:
        import dynfocus

        load = dynfocus.load
    return FocusedScorer(load(name))
