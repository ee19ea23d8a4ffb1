"""A model's detached signature: who made this file, and that nobody altered it since.

MODEL.sig holds the 64 bytes of an ed25519 signature (RFC 8032) of the file's bytes, so that openssl
checks it too: ``openssl pkeyutl -verify -rawin -pubin -inkey public.pem -sigfile m.onnx.sig -in
m.onnx``. Keys are PEM files, as ``openssl genpkey -algorithm ed25519`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from idskit.errors import ModelError, require
from idskit.output import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE_BYTES = 64
MAX_KEY_BYTES = 1 << 16
_MAKE = "openssl genpkey -algorithm ed25519 -out private.pem"
_PUBLISH = "openssl pkey -in private.pem -pubout -out public.pem"


def signature_path(model: Path) -> Path:
    """Where the signature of ``model`` lies: beside it."""
    return model.with_name(f"{model.name}.sig")


def sign(model: Path, content: bytes, key: Ed25519PrivateKey) -> Path:
    """Write the signature of a model's bytes beside it and return its path.

    Raises:
        IdskitError: the signature cannot be written.
    """
    signature = key.sign(content)
    path = signature_path(model)
    write_whole(path, lambda partial: partial.write_bytes(signature))
    return path


def require_signature(model: Path, content: bytes, public_key: Path) -> None:
    """Return if MODEL.sig is the signature of ``content`` by the owner of ``public_key``.

    Raises:
        ModelError: no signature, one of other bytes or by another key, or no public ed25519 key.
        MissingExtra: cryptography is not installed.
    """
    key = _public_key(public_key)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(_signature(model, public_key), content)
    except InvalidSignature as error:
        raise ModelError(
            f"{model} and its signature {signature_path(model).name} do not belong together under "
            f"the key {public_key}: one of them was altered, or signed with another key; get both "
            "again from who made them"
        ) from error


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        ModelError: unreadable, encrypted, or no private ed25519 key.
        MissingExtra: cryptography is not installed.
    """
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
    """What the PEM text of ``path`` holds."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise ModelError(
            f"{kind} key {path} cannot be read: {error.strerror}; check the path"
        ) from error
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


def _signature(model: Path, public_key: Path) -> bytes:
    path = signature_path(model)
    try:
        with path.open("rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelError(
            f"{model} must be signed for {public_key}, but there is no {path.name} beside it: sign "
            f"it (idskit sign {model.name} --key private.pem), or load it without a public key"
        ) from error
    except OSError as error:
        raise ModelError(
            f"signature {path} cannot be read: {error.strerror}; check the path"
        ) from error
    if len(signature) != SIGNATURE_BYTES:
        raise ModelError(
            f"{path} was read as a signature, but it does not have the {SIGNATURE_BYTES} bytes of "
            "ed25519: get it again, or sign the model again"
        )
    return signature
