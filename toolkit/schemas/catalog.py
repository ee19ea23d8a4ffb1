"""Feature schemas by name. Nothing here needs the flow engine."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import cast

from idskit.errors import SchemaError
from idskit.schema import Schema
from idskit.schemas.payload_columns import STATE

_SCHEMAS = {  # module and attribute
    "gateway": ("idskit.schemas.gateway_columns", "GATEWAY"),
    "packets": ("idskit.schemas.gateway_columns", "PACKET_SERIES"),
    "gateway-packets": ("idskit.schemas.gateway_columns", "GATEWAY_PACKETS"),
    "cic-fixed": ("idskit.schemas.cic_columns", "CIC_FIXED"),
    "cic-original": ("idskit.schemas.cic_columns", "CIC_ORIGINAL"),
    "ciciot2023": ("idskit.schemas.ciciot2023_columns", "CICIOT2023"),
    "ciciot2023-100": ("idskit.schemas.ciciot2023_columns", "CICIOT2023_100"),
    "ciciot2023-39": ("idskit.schemas.ciciot2023_columns", "CICIOT2023_39"),
    "ciciot2023-39-100": ("idskit.schemas.ciciot2023_columns", "CICIOT2023_39_100"),
    "kdd99": ("idskit.schemas.kdd99_columns", "KDD99"),
    "kdd99-100": ("idskit.schemas.kdd99_columns", "KDD99_100"),
    "kdd99-exclusive": ("idskit.schemas.kdd99_columns", "KDD99_EXCLUSIVE"),
    "kdd99-exclusive-255": ("idskit.schemas.kdd99_columns", "KDD99_EXCLUSIVE_255"),
}
NAMES = tuple(_SCHEMAS)


def schema_named(name: str) -> Schema:
    """Return the feature schema called ``name``: columns in order, with their units.

    Raises:
        SchemaError: there is none; the message lists them.

    Example:
        >>> schema_named("cic-fixed").names[:2]
        ('Flow Duration', 'Total Fwd Packet')
    """
    if name not in _SCHEMAS:
        raise SchemaError(f"there is no feature schema {name!r}: choose one of {', '.join(NAMES)}")
    module, attribute = _SCHEMAS[name]
    return cast(Schema, getattr(import_module(module), attribute))


def learned(name: str) -> Schema:
    """Return the columns of ``schema_named`` that models learn from.

    What a parser remembers is left out: a number that stands for a name of a page would teach a
    model which captures it knows.

    Raises:
        SchemaError: there is no such schema.
    """
    schema = schema_named(name)
    kept = tuple(feature for feature in schema.features if feature.unit != STATE)
    return replace(schema, features=kept)
