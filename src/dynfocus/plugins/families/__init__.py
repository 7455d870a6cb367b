"""Families of vision language models by ``model_type``; packages may bring their own."""

from __future__ import annotations

from collections.abc import Mapping

from dynfocus.extensions import FAMILIES, load_extensions
from dynfocus.plugins.families.image_frames import InternVL, SmolVLM
from dynfocus.plugins.families.llava import LlavaNextVideo, LlavaOnevision, VideoLlava
from dynfocus.plugins.families.qwen import Qwen3VL, Qwen25VL
from dynfocus.plugins.family import Family

_OWN: tuple[type[Family], ...] = (
    InternVL,
    LlavaNextVideo,
    LlavaOnevision,
    Qwen25VL,
    Qwen3VL,
    SmolVLM,
    VideoLlava,
)


def families() -> Mapping[str, type[Family]]:
    """Collect the families by ``model_type``; those of other packages come first."""
    found = {name: family for family in _OWN for name in family.model_types}
    for name, family in load_extensions(FAMILIES).items():
        if not (isinstance(family, type) and issubclass(family, Family)):
            raise ValueError(
                f"the entry point {name} in {FAMILIES} is no subclass of "
                "dynfocus.plugins.Family; correct or uninstall its package"
            )
        found |= dict.fromkeys(family.model_types, family)
    return found


def family_of(model_type: str | None) -> type[Family]:
    """Give the family of a ``model_type``; refuse one that no family has."""
    known = families()
    if model_type is None or model_type not in known:
        raise ValueError(
            f"models of type {model_type!r} are not supported; supported are "
            f"{', '.join(sorted(known))}, and docs/plugins.md shows how to add another"
        )
    return known[model_type]
