"""Checkpoints of others become ours, ours become theirs; every tensor accounted for."""

from dynfocus.conversion.assembly import (
    Assembly,
    AssemblyReport,
    Choices,
    assemble,
    check_folder,
)
from dynfocus.conversion.exporting import export_language_model
from dynfocus.conversion.siglip import siglip_tower

__all__ = [
    "Assembly",
    "AssemblyReport",
    "Choices",
    "assemble",
    "check_folder",
    "export_language_model",
    "siglip_tower",
]
