"""The file of a site: canonical JSON with its own checksum, and the copy before it.

    {"format": "idskit-site 1", ..., "sha256": of all that stands before it}

A damaged file is never used: the copy that it replaced is, and whoever loads it is told so. Where a
key must have signed the file, nothing takes its place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import IdskitError, ModelError, SchemaError
from idskit.explain.explain_flow import Judge
from idskit.explain.explain_incident import explained
from idskit.files.output import write_whole
from idskit.files.regular_file import read_regular
from idskit.incidents.incident import Incident
from idskit.incidents.tracker import SHIPPED_LEVELS, Levels
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.modelfile.signature import Signer, require_signature, signature_path
from idskit.options import option
from idskit.schema import Schema
from idskit.site.incident_budget import DEFAULT_BUDGET, Budget
from idskit.site.site_levels import SiteLevels
from idskit.site.site_normal import FORMAT, SiteNormal

_ELSEWHERE = "elsewhere.idskit"
NO_COLUMNS = Schema(name="", features=())
MOST_BYTES = 32 << 20
_CHECKSUM = "sha256"


@dataclass(frozen=True, kw_only=True)
class SiteInUse:
    """A site while flows are judged: nothing of it is known by default.

    Attributes:
        levels: that the tracker asks.
        notes: sentences on what could not be promised, or was damaged.
        normal: what was learned; None without a site.
    """

    levels: Levels = SHIPPED_LEVELS
    notes: tuple[str, ...] = ()
    normal: SiteNormal | None = None

    def explained(
        self,
        detector: Judge,
        incident: Incident,
        row: NDArray[np.float32] | None,
        schema: Schema | None = None,
    ) -> Incident:
        """Return an incident with its explanation, by what is usual here where that is known."""
        usual = None
        if self.normal is not None and row is not None:
            usual = self.normal.usual(row)
        return explained(detector, incident, row, schema, usual=usual)


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """What is known of the site where flows are judged."""

    site: Path | None = option(
        None, "File of this site's normal, as idskit learn wrote it", metavar="FILE"
    )
    site_key: Path | None = option(
        None, "Require that the site is signed (FILE.sig) with this ed25519 public key (PEM)"
    )
    budget: str | None = option(
        None,
        "False incidents to accept, as 1/day, 2/week or 0.1/day: chooses the evidence that opens "
        "an incident",
        metavar="N/PERIOD",
    )

    def opened(self, model: str | Path | None = None) -> SiteInUse:
        """Return what the tracker asks, and what has to be said about it.

        Without a site a budget is kept by the traffic that idskit was measured with.

        Args:
            model: the ONNX file that will judge flows; None for the shipped one.

        Raises:
            IdskitError: the site or the budget cannot be used.
        """
        budget = DEFAULT_BUDGET if self.budget is None else Budget.parse(self.budget)
        if self.site is None:
            if self.site_key is not None:
                raise IdskitError("site_key was given without a site: name the site that it signed")
            if self.budget is None:
                return SiteInUse()
            return _without_site(budget)
        with model_path(model) as file:
            judge = read_model(file)
        found = read_site(self.site, judge.card.schema, self.site_key)
        notes = [*found.notes, *found.normal.openings(budget).notes]
        if found.normal.model and found.normal.model != judge.sha256:
            notes.append(
                f"{self.site} was learned with another model ({found.normal.model[:12]}): its "
                "thresholds may not keep the budget; learn the site again"
            )
        return SiteInUse(
            levels=found.normal.levels(budget), notes=tuple(notes), normal=found.normal
        )


@dataclass(frozen=True, kw_only=True)
class LoadedSite:
    """A site that was read, and what has to be said about that."""

    normal: SiteNormal
    notes: tuple[str, ...] = ()


class _Damaged(ValueError):
    """The content is not what was written."""


def elsewhere() -> SiteNormal:
    """Return what idskit was measured with: peaks of benign traffic of other networks.

    Made by ``idskit learn -r CAPTURES --join --anonymous``, see README.md.
    """
    content = (files("idskit.site") / _ELSEWHERE).read_bytes()
    return SiteNormal.from_json(decoded(content), NO_COLUMNS)


def write_site(normal: SiteNormal, path: Path, signer: Signer | None = None) -> None:
    """Write a site; the file that it replaces is kept as PATH.previous.

    Args:
        normal: what was learned.
        path: of the file; only its owner may read a new one, because it says who speaks with whom.
        signer: the key that signs it as PATH.sig; nobody if None.

    Raises:
        IdskitError: it is too large, or cannot be written.
        ModelError: it cannot be signed.
    """
    content = encoded(normal.to_json())
    if len(content) > MOST_BYTES:
        raise IdskitError(
            f"{path} would have {len(content):,} bytes, and at most {MOST_BYTES:,} are read: "
            "learn from fewer devices"
        )
    _keep_previous(path)
    _write_private(path, content)
    if signer is not None:
        signer.sign(path, hashlib.sha256(content).hexdigest())
    else:
        signature_path(path).unlink(missing_ok=True)  # of what was replaced


def read_site(path: Path, schema: Schema, public_key: Path | None = None) -> LoadedSite:
    """Read a site, or where its file is damaged the copy that it replaced.

    Args:
        path: of the file.
        schema: of the model that will judge flows: levels hold for its columns only.
        public_key: PEM file of the ed25519 key that must have signed the file.

    Raises:
        IdskitError: neither can be read, or it is not signed as asked.
        SchemaError: it was learned with another schema.
    """
    try:
        return LoadedSite(normal=_read(path, schema, public_key))
    except (_Damaged, ModelError) as error:
        previous = previous_path(path)
        if public_key is not None or not previous.exists():
            raise _refused(path, error) from error
        try:
            normal = _read(previous, schema, None)
        except (_Damaged, ModelError):
            raise _refused(path, error) from error
        note = (
            f"{path} is damaged ({error}): {previous.name} is used, which was learned before it; "
            "learn the site again"
        )
        return LoadedSite(normal=normal, notes=(note,))


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a document as canonical JSON that ends with its own SHA-256."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"{_CHECKSUM}":"{digest}"}}\n'.encode()


def decoded(content: bytes) -> dict[str, Any]:
    """Return the document that ``encoded`` wrote.

    Raises:
        ValueError: a byte is missing or another one than was written.
    """
    text, mark, rest = content.rpartition(f',"{_CHECKSUM}":"'.encode())
    if not mark or len(rest) != 67 or rest[64:] != b'"}\n':
        raise _Damaged("it is not complete")
    if hashlib.sha256(text + b"}").hexdigest().encode() != rest[:64]:
        raise _Damaged("its checksum is wrong")
    try:
        document = json.loads(text + b"}")
    except (ValueError, RecursionError) as error:
        raise _Damaged("it is no JSON") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _Damaged(f"it is not of the form {FORMAT}")
    return document


def previous_path(path: Path) -> Path:
    """Return where the copy of a file that was replaced is kept."""
    return path.with_name(f"{path.name}.previous")


def _without_site(budget: Budget) -> SiteInUse:
    normal = elsewhere()
    openings = normal.openings(budget)
    about = (
        f"budget {budget.text} is kept by {normal.hours:,} hours of benign traffic of other "
        "networks, joined: learn this site (idskit learn) to keep it here"
    )
    return SiteInUse(levels=SiteLevels(nats=openings.nats), notes=(about, *openings.notes))


def _read(path: Path, schema: Schema, public_key: Path | None) -> SiteNormal:
    content = read_regular(path, MOST_BYTES, "site")
    require_signature(path, content, public_key)
    document = decoded(content)
    if document.get("schema_sha256") != schema.sha256:
        raise SchemaError(
            f"{path} was learned with schema {document.get('schema')!r} of other columns than the "
            f"model reads ({schema.name}): learn the site again with this model"
        )
    try:
        return SiteNormal.from_json(document, schema)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _Damaged(f"{type(error).__name__}: {error}") from error


def _refused(path: Path, error: Exception) -> IdskitError:
    if isinstance(error, ModelError):
        return error
    return IdskitError(f"{path} is no site that can be used: {error}; learn the site again")


def _keep_previous(path: Path) -> None:
    """Copy a whole file to its previous name; a damaged one does not replace a good copy."""
    with suppress(ModelError, ValueError):
        content = read_regular(path, MOST_BYTES, "site")
        decoded(content)
        _write_private(previous_path(path), content)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, unless an older one has other permissions."""
    with suppress(FileExistsError, OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))  # ``write_whole`` keeps these permissions
    write_whole(path, lambda partial: partial.write_bytes(content))
