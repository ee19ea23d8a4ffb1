"""idskit: learned network-intrusion detection on edge gateways.

>>> from idskit import Detector, open_flows
>>> detector = Detector.load("ids.int8.onnx")  # doctest: +SKIP
>>> with open_flows("capture.pcap", detector.schema) as flows:  # doctest: +SKIP
...     for incident in detector.incidents(flows):
...         print(incident.type, incident.explanation.sentence)
"""

from __future__ import annotations

from idskit.process.start import end_quietly

end_quietly()

from typing import TYPE_CHECKING

import idskit.process.telemetry  # noqa: F401 - before anything here can import onnxruntime
from idskit.errors import (
    CaptureError,
    DataError,
    DeviceError,
    GateRefused,
    IdskitError,
    MissingExtra,
    ModelError,
    RunError,
    SchemaError,
)
from idskit.faces import lazy

if TYPE_CHECKING:
    from idskit.alerts.alert import Alert
    from idskit.detect.detector import Detector
    from idskit.incidents.incident import Incident
    from idskit.profiles.flow_reader import FlowBatch, open_flows
    from idskit.schema import Schema

__all__ = [
    "Alert",
    "CaptureError",
    "DataError",
    "Detector",
    "DeviceError",
    "FlowBatch",
    "GateRefused",
    "IdskitError",
    "Incident",
    "MissingExtra",
    "ModelError",
    "RunError",
    "Schema",
    "SchemaError",
    "__version__",
    "open_flows",
]

# Loaded when first asked for: a command line that only prints its help pays for none of them.
_LAZY = {
    "Alert": "idskit.alerts.alert",
    "Detector": "idskit.detect.detector",
    "FlowBatch": "idskit.profiles.flow_reader",
    "Incident": "idskit.incidents.incident",
    "Schema": "idskit.schema",
    "open_flows": "idskit.profiles.flow_reader",
}


_load = lazy(__name__, _LAZY)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _load(name)
    from importlib.metadata import version

    return version("idskit")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
