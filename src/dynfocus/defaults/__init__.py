"""Which model answers when a call names none, and how it comes onto this machine."""

from dynfocus.defaults.choosing import ChosenModel, choose_model
from dynfocus.defaults.hub import (
    RECOMMENDED,
    RECOMMENDED_SCORER,
    Download,
    check_reachable,
    download,
    download_bytes,
    find_downloaded,
    locate,
    missing_parts,
)
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
    "RECOMMENDED_SCORER",
    "UserSettings",
    "check_reachable",
    "choose_model",
    "download",
    "download_bytes",
    "find_downloaded",
    "locate",
    "missing_parts",
    "read_settings",
    "save_model",
    "settings_file",
]
