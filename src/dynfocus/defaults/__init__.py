"""Which model answers when a call names none, and how it comes onto this machine."""

from dynfocus.defaults.choosing import (
    MODEL_VARIABLE,
    ChosenModel,
    UserSettings,
    choose_for_all,
    choose_model,
    read_settings,
    save_model,
    settings_file,
)
from dynfocus.defaults.hub import (
    NANO,
    NANO_QUESTIONS,
    OWN_TYPES,
    RECOMMENDED,
    RECOMMENDED_SCORER,
    Download,
    check_reachable,
    download,
    download_bytes,
    find_downloaded,
    locate,
    missing_parts,
    model_type,
)
from dynfocus.errors import DownloadError, NoModelError

__all__ = [
    "ChosenModel",
    "Download",
    "DownloadError",
    "MODEL_VARIABLE",
    "NANO",
    "NANO_QUESTIONS",
    "NoModelError",
    "OWN_TYPES",
    "RECOMMENDED",
    "RECOMMENDED_SCORER",
    "UserSettings",
    "check_reachable",
    "choose_for_all",
    "choose_model",
    "download",
    "download_bytes",
    "find_downloaded",
    "locate",
    "missing_parts",
    "model_type",
    "read_settings",
    "save_model",
    "settings_file",
]
