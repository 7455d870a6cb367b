"""A trainable DynFocus model from checkpoints of others, every tensor accounted for."""

from dynfocus.models.assembling.assembly import (
    Assembly,
    Choices,
    assemble,
    check_folder,
)
from dynfocus.models.assembling.report import AssemblyReport

__all__ = ["Assembly", "AssemblyReport", "Choices", "assemble", "check_folder"]
