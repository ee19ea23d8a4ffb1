"""Sign and verify model files: who made this file, under which name, in which version.

MODEL.sig is a text of six lines: what is signed, and the ed25519 signature (RFC 8032) of the five
lines before it, so that openssl and sha256sum can verify it too (export/README.md). Name, version
and purpose are signed: neither another file of the same maker, nor an older one that is refused by
its version, can take its place. Keys are PEM files, as ``openssl genpkey -algorithm ed25519``
writes them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from idskit.errors import ModelError, require
from idskit.files.output import write_whole
from idskit.files.regular_file import read_regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

MAX_VERSION = 10**9 - 1
MAX_SIGNATURE_BYTES = 1 << 10
MAX_KEY_BYTES = 1 << 16
_EARLIER_BYTES = 64  # size of a signature of idskit 0.x, which signed the file alone
_MAKE = "openssl genpkey -algorithm ed25519 -out private.pem"
_PUBLISH = "openssl pkey -in private.pem -pubout -out public.pem"
_FORM = re.compile(
    r"(idskit-signature 1\npurpose model\nname ([^\n]{1,255})\nversion (0|[1-9][0-9]{0,8})\n"
    r"sha256 ([0-9a-f]{64})\n)ed25519 ([A-Za-z0-9+/]{86}==)\n"
)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a signature says of a model file."""

    name: str  # of the file
    version: int
    sha256: str

    def statement(self) -> str:
        """Return the lines that are signed."""
        return (
            f"idskit-signature 1\npurpose model\nname {self.name}\nversion {self.version}\n"
            f"sha256 {self.sha256}\n"
        )


def signature_path(model: Path) -> Path:
    """Return the path of the signature of ``model``, in the same folder."""
    return model.with_name(f"{model.name}.sig")


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A maker's private key, and the version that its signatures name."""

    key: Ed25519PrivateKey
    version: int

    @classmethod
    def load(cls, key: Path, version: int | None = None) -> Signer:
        """Read a private key.

        Args:
            key: PEM file.
            version: what ``min_version`` is compared with; today's date (UTC, 20261231) when None.

        Raises:
            ModelError: the key is unreadable, encrypted, or no private ed25519 key, or the version
                is out of range.
            MissingExtra: cryptography is not installed.
        """
        version = int(time.strftime("%Y%m%d", time.gmtime())) if version is None else version
        if not 0 <= version <= MAX_VERSION:
            raise ModelError(
                f"model version {version} was asked for: choose one in 0 to {MAX_VERSION}"
            )
        return cls(key=_private_key(key), version=version)

    def sign(self, model: Path, sha256: str) -> Path:
        """Write the signature of a model file next to it, and return its path.

        Args:
            model: the file; its name is signed too.
            sha256: of its bytes.

        Raises:
            ModelError: the name cannot be signed.
            IdskitError: the signature cannot be written.
        """
        if not model.name.isprintable():
            raise ModelError(f"{model.name!a} cannot be signed: give it a printable name")
        signature = Signature(name=model.name, version=self.version, sha256=sha256)
        statement = signature.statement()
        made = base64.b64encode(self.key.sign(statement.encode())).decode()
        path = signature_path(model)
        text = f"{statement}ed25519 {made}\n".encode()
        write_whole(path, lambda partial: partial.write_bytes(text))
        return path


def require_signature(
    model: Path, content: bytes, public_key: str | Path | None, min_version: int | None = None
) -> Signature | None:
    """Return what MODEL.sig says if it is valid; None where no key asks for one.

    A valid signature is made by the owner of ``public_key``, of ``content``, under the name of
    ``model``, and of ``min_version`` at least.

    Raises:
        ModelError: no signature, an invalid one, or no public ed25519 key.
        MissingExtra: cryptography is not installed.
    """
    if public_key is None:
        if min_version is not None:
            raise ModelError(
                f"model version {min_version} or newer was asked for, but only a signature says "
                "which it is: give the maker's key too (--public-key)"
            )
        return None
    key = _public_key(Path(public_key))
    found = _verified(model, key, Path(public_key))
    if found.sha256 != hashlib.sha256(content).hexdigest():
        raise _not_together(model, Path(public_key))
    if found.name != model.name:
        raise ModelError(
            f"{model} was signed under the name {found.name!r}: give the file that name, or get "
            "the model that belongs there from who made it"
        )
    if min_version is not None and found.version < min_version:
        raise ModelError(
            f"{model} is signed as version {found.version}, but {min_version} or newer was asked "
            "for: get a newer model from who made it"
        )
    return found


def _verified(model: Path, key: Ed25519PublicKey, public_key: Path) -> Signature:
    """Return what MODEL.sig says, after verifying its signature."""
    from cryptography.exceptions import InvalidSignature

    found = _FORM.fullmatch(_text(model, public_key))
    if found is None or not _is_canonical(found.group(5)):
        raise ModelError(
            f"{signature_path(model)} was read as a signature, but it is none that `idskit sign` "
            "writes: get it again, or sign the model again"
        )
    statement, name, version, sha256, made = found.groups()
    try:
        key.verify(base64.b64decode(made), statement.encode())
    except InvalidSignature as error:
        raise _not_together(model, public_key) from error
    return Signature(name=name, version=int(version), sha256=sha256)


def _is_canonical(text: str) -> bool:
    """Return whether base64 is as encoders write it: the spare bits at its end are 0."""
    return base64.b64encode(base64.b64decode(text)).decode() == text


def _not_together(model: Path, public_key: Path) -> ModelError:
    return ModelError(
        f"{model} and its signature {signature_path(model).name} do not belong together under "
        f"the key {public_key}: one of them was altered, or signed with another key; get both "
        "again from who made them"
    )


def _text(model: Path, public_key: Path) -> str:
    """Return the text of MODEL.sig."""
    path = signature_path(model)
    if not path.exists():
        raise ModelError(
            f"{model} must be signed for {public_key}, but there is no {path.name} next to it: "
            f"sign it (idskit sign {model.name} --key private.pem), or load it without a public key"
        )
    content = read_regular(path, MAX_SIGNATURE_BYTES, "signature")
    if len(content) == _EARLIER_BYTES:
        raise ModelError(
            f"{path} is a signature of an earlier form, which binds neither name nor version: sign "
            f"the model again (idskit sign {model.name} --key private.pem)"
        )
    return content.decode("utf-8", "replace")


def _private_key(path: Path) -> Ed25519PrivateKey:
    require("cryptography", "sign")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _loaded(path, "private", lambda text: load_pem_private_key(text, None), _MAKE)
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(_other_kind(path, "private", key, _MAKE))
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    require("cryptography", "sign")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _loaded(path, "public", load_pem_public_key, _PUBLISH)
    if not isinstance(key, Ed25519PublicKey):
        raise ModelError(_other_kind(path, "public", key, _PUBLISH))
    return key


def _loaded(path: Path, kind: str, load: Callable[[bytes], object], remedy: str) -> object:
    """Return the key that the PEM text of ``path`` holds."""
    text = read_regular(path, MAX_KEY_BYTES, f"{kind} key")
    if b"ENCRYPTED" in text:
        raise ModelError(
            f"{path} is an encrypted key: decrypt it where it is used (openssl pkey -in {path})"
        )
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(text)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ModelError(
            f"{path} was given as the {kind} key, but it is no {kind} key in PEM form: make one "
            f"({remedy})"
        ) from error


def _other_kind(path: Path, kind: str, key: object, remedy: str) -> str:
    found = type(key).__name__.removeprefix("_").removesuffix(f"{kind.capitalize()}Key")
    return f"{path} is a {kind} key of kind {found}, but models are signed with ed25519: {remedy}"
