"""What lmms-eval loads by entry point: which classes answer under which name.

It stands alone because lmms-eval loads it at every start, and one entry point that fails
disables all that follow: it imports nothing of ours and nothing heavy.
"""

from __future__ import annotations

from typing import Any

_MODELS = "dynfocus.harnesses.lmms_models."


def manifests() -> list[Any]:
    """Name our two classes, for chat tasks and for simple ones."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [
        ModelManifest(
            model_id="dynfocus",
            simple_class_path=f"{_MODELS}SimpleModel",
            chat_class_path=f"{_MODELS}ChatModel",
            aliases=("slowfocus",),
        )
    ]
