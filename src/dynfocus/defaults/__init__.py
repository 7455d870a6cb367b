"""Which model answers when a call names none, and how it comes onto this machine."""

from dynfocus.defaults.choosing import ChosenModel, choose_model
from dynfocus.defaults.downloading import Download, download
from dynfocus.defaults.hub_cache import RECOMMENDED, find_downloaded, missing_parts
from dynfocus.defaults.settings import (
    MODEL_VARIABLE,
    UserSettings,
    read_settings,
    save_model,
    settings_file,
)
from dynfocus.errors import DownloadError, NoModelError

__all__ = [
    "ChosenModel",
    "Download",
    "DownloadError",
    "MODEL_VARIABLE",
    "NoModelError",
    "RECOMMENDED",
    "UserSettings",
    "choose_model",
    "download",
    "find_downloaded",
    "missing_parts",
    "read_settings",
    "save_model",
    "settings_file",
]
