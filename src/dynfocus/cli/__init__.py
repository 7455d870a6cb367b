"""The command line: one module a command group, heavy imports only inside commands."""

from dynfocus.cli.edge import main

__all__ = ["main"]
