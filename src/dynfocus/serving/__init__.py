"""The server: an API that clients know, a library of videos, questions in a queue."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynfocus.serving.application import create_application
    from dynfocus.serving.settings import ServerSettings

__all__ = ["ServerSettings", "create_application"]


def __getattr__(name: str) -> Any:
    """Import FastAPI, and its friends with it, where an application is wanted."""
    if name == "ServerSettings":
        from dynfocus.serving.settings import ServerSettings

        return ServerSettings
    if name == "create_application":
        from dynfocus.serving.application import create_application

        return create_application
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
