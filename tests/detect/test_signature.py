"""Signed model files: openssl is the oracle, and everything that is not as signed is refused."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from idskit.detect.detector import Detector
from idskit.detect.inspect import inspect
from idskit.detect.model_file import read_model
from idskit.detect.run import detect
from idskit.detect.signature import private_key, sign, signature_path
from idskit.errors import MissingExtra, ModelError

pytest.importorskip("cryptography", reason="needs the extra sign")
if shutil.which("openssl") is None:
    pytest.skip("needs openssl", allow_module_level=True)


def openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """A folder with NAME.pem and NAME.pub of several kinds, as openssl writes them."""
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in {
        "maker": ["ed25519"],
        "other": ["ed25519"],
        "ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    }.items():
        openssl("genpkey", "-algorithm", *kind, "-out", folder / f"{name}.pem")
        openssl("pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub")
    locked = ["-aes256", "-passout", "pass:x", "-out", folder / "locked.pem"]
    openssl("pkey", "-in", folder / "maker.pem", *locked)
    (folder / "text.pem").write_text("not a key\n")
    return folder


@pytest.fixture
def signed(make_model, keys) -> Path:
    path = make_model()
    sign(path, path.read_bytes(), private_key(keys / "maker.pem"))
    return path


def refusal(path, key) -> str:
    with pytest.raises(ModelError) as caught:
        Detector.load(path, public_key=key)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_openssl_accepts_the_signature(signed, keys) -> None:
    verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", keys / "maker.pub"]
    openssl(*verify, "-sigfile", signature_path(signed), "-in", signed)


def test_a_signature_of_openssl_is_accepted(make_model, keys) -> None:
    path = make_model()
    making = ["pkeyutl", "-sign", "-rawin", "-inkey", keys / "maker.pem", "-in", path]
    openssl(*making, "-out", signature_path(path))
    assert Detector.load(path, public_key=keys / "maker.pub").verify() < 1e-6


def test_signing_again_gives_the_same_bytes(signed, keys) -> None:
    first = signature_path(signed).read_bytes()
    sign(signed, signed.read_bytes(), private_key(keys / "maker.pem"))
    assert signature_path(signed).read_bytes() == first


def test_a_model_without_its_signature(make_model, keys) -> None:
    said = refusal(make_model(), keys / "maker.pub")
    assert "there is no toy.onnx.sig beside it: sign it" in said


def test_the_shipped_model_is_not_signed(keys) -> None:
    with pytest.raises(ModelError, match=r"no ids\.int8\.onnx\.sig"):
        Detector.load(public_key=keys / "maker.pub")


def test_another_key(signed, keys) -> None:
    assert "do not belong together" in refusal(signed, keys / "other.pub")


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_altered_byte(signed, keys, place) -> None:
    content = bytearray(signed.read_bytes())
    content[place] ^= 1
    signed.write_bytes(content)
    assert "do not belong together" in refusal(signed, keys / "maker.pub")


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + b"\n", lambda s: b""])
def test_a_signature_of_another_size(signed, keys, change) -> None:
    path = signature_path(signed)
    path.write_bytes(change(path.read_bytes()))
    assert "does not have the 64 bytes" in refusal(signed, keys / "maker.pub")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("ec.pub", "public key of kind E"),
        ("rsa.pub", "public key of kind RSA, but models are signed with ed25519"),
        ("maker.pem", "no public key in PEM form: make one (openssl pkey"),
        ("text.pem", "no public key in PEM form"),
        ("absent.pub", "cannot be read: No such file"),
        (".", "cannot be read: Is a directory"),
    ],
)
def test_what_is_no_public_ed25519_key(signed, keys, key, sentence) -> None:
    assert sentence in refusal(signed, keys / key)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("ec.pem", "private key of kind E"),
        ("maker.pub", "no private key in PEM form: make one (openssl genpkey"),
        ("locked.pem", "is an encrypted key: decrypt it"),
    ],
)
def test_what_is_no_private_ed25519_key(keys, key, sentence) -> None:
    with pytest.raises(ModelError) as caught:
        private_key(keys / key)
    assert sentence in str(caught.value)


def test_without_a_public_key_nothing_is_asked(signed, keys) -> None:
    signature_path(signed).write_bytes(b"nonsense")
    Detector.load(signed)


def test_inspect_says_who_signed(signed, keys) -> None:
    key = str(keys / "maker.pub")
    assert inspect(signed, public_key=key).signed_by == key
    assert inspect(signed).signed_by is None


def test_detect_refuses_an_unsigned_model(make_model, keys, tmp_path) -> None:
    with pytest.raises(ModelError, match="must be signed"):
        detect(
            make_model(),
            flows_table=tmp_path / "never-read.csv",
            output=io.StringIO(),
            public_key=keys / "maker.pub",
        )


def test_what_was_checked_is_what_is_loaded(signed, keys, monkeypatch) -> None:
    """The file is read once: another one put in its place after the check is never seen."""
    reads = []
    read_bytes = Path.read_bytes

    def counted(self):
        reads.append(self)
        content = read_bytes(self)
        if self == signed:
            signed.write_bytes(b"replaced")
        return content

    monkeypatch.setattr(Path, "read_bytes", counted)
    inspect(signed, verify=True, public_key=keys / "maker.pub")
    assert reads == [signed]


def test_without_cryptography_the_pip_command_is_named(signed, keys, monkeypatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"idskit\[sign\]"):
        read_model(signed, public_key=keys / "maker.pub")


def test_cryptography_is_loaded_only_where_it_is_asked_for(signed) -> None:
    code = (
        "import sys; from idskit import Detector; "
        f"Detector.load({str(signed)!r}); print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_verbs_sign_and_check(make_model, keys) -> None:
    path = make_model()
    idskit = [sys.executable, "-m", "idskit.cli"]
    subprocess.run([*idskit, "sign", path, "--key", keys / "maker.pem"], check=True)
    checking = [*idskit, "inspect", path, "--public-key"]
    subprocess.run([*checking, keys / "maker.pub"], check=True)
    refused = subprocess.run(
        [*checking, keys / "other.pub"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
