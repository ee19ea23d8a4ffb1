"""The command line: one verb per step of the path from packets to alerts."""

from idskit.cli.entry import app, main

__all__ = ["app", "main"]
