"""Every error idskit raises on purpose.

IdskitError          exit 1, one sentence: what was asked, what was found, what to do
├── CaptureError     a capture that cannot be read
├── SchemaError      columns missing, of the wrong number or of another schema
├── DataError        a labelled table or capture set that cannot be used
├── ModelError       a model file that is damaged, foreign or unsafe
├── RunError         a training run that is incomplete or does not fit the request
├── DeviceError      the device or execution provider asked for is not there
├── MissingExtra     an optional package is needed; the message is the pip command
└── GateRefused      exit 3: everything worked, and the answer is no
"""

from __future__ import annotations

import importlib
from types import ModuleType


class IdskitError(Exception):
    """Base of all errors meant for people; the command line prints it as one sentence."""

    exit_code = 1


class CaptureError(IdskitError):
    """A capture that cannot be read: not a capture, unknown link type, unreadable file."""


class SchemaError(IdskitError):
    """Features that do not match the schema: missing columns, wrong width, another hash."""


class DataError(IdskitError):
    """Labelled data that cannot be used: missing files, text where numbers are due, one class."""


class ModelError(IdskitError):
    """A model file that is damaged, carries no idskit metadata, or is unsafe to load."""


class RunError(IdskitError):
    """A training run that is incomplete, or was made with other settings than those asked for."""


class DeviceError(IdskitError):
    """The device or execution provider asked for is not available on this machine."""


class MissingExtra(IdskitError):
    """An optional package is missing; the message names the pip command that installs it."""


class GateRefused(IdskitError):
    """A gate said no, such as int8 losing more macro-F1 than ``--max-drop`` allows."""

    exit_code = 3


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra installs it.

    Raises:
        MissingExtra: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtra(
            f"this needs {error.name}, which is not installed: pip install 'idskit[{extra}]'"
        ) from error


def require_all(extra: str, *modules: str) -> None:
    """Import several modules of one extra, as ``require`` does."""
    for module in modules:
        require(module, extra)
