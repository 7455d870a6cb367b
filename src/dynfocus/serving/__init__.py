"""The server: an API that clients know, a library of videos, questions in a queue."""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked

if TYPE_CHECKING:
    from dynfocus.serving.application import create_application
    from dynfocus.serving.settings import ServerSettings

__all__ = ["ServerSettings", "create_application"]

_HOMES = {"ServerSettings": "settings", "create_application": "application"}

__getattr__ = import_when_asked(__name__, _HOMES)  # FastAPI where it is wanted
