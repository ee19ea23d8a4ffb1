"""Signed model files: openssl is the oracle, and everything that is not as signed is refused."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from idskit.detect.detect_flows import detect
from idskit.detect.detector import Detector
from idskit.detect.detector_options import DetectorOptions, ModelOptions
from idskit.detect.inspect_model import inspect
from idskit.errors import MissingExtra, ModelError
from idskit.files.regular_file import read_regular
from idskit.flow_input import FlowInput
from idskit.modelfile import model_file
from idskit.modelfile.model_file import read_model
from idskit.modelfile.signature import Signer, signature_path

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
    return signed_as(make_model(), keys, 7)


def signed_as(path, keys, version, *, by="maker") -> Path:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    Signer.load(keys / f"{by}.pem", version).sign(path, sha256)
    return path


def refusal(path, key, **asked) -> str:
    with pytest.raises(ModelError) as caught:
        Detector.load(path, public_key=key, **asked)
    message = str(caught.value)
    assert "\n" not in message
    return message


def readme_script() -> str:
    """What export/README.md says to run without idskit."""
    text = (Path(__file__).parents[2] / "export" / "README.md").read_text("utf-8")
    return next(b for b in text.split("```")[1::2] if "pkeyutl" in b).removeprefix("sh\n")


def checked_by_openssl(model, keys) -> subprocess.CompletedProcess[str]:
    script = readme_script().replace("model.onnx", model.name)
    command = ["sh", "-e", "-c", script.replace("public.pem", str(keys / "maker.pub"))]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=model.parent)


def test_openssl_and_sha256sum_accept_the_signature(signed, keys) -> None:
    done = checked_by_openssl(signed, keys)
    assert done.returncode == 0, done.stderr
    assert "toy.onnx: OK" in done.stdout


def test_openssl_and_sha256sum_refuse_another_model(signed, keys) -> None:
    signed.write_bytes(signed.read_bytes() + b"x")
    assert checked_by_openssl(signed, keys).returncode != 0


def test_a_signature_of_openssl_is_accepted(make_model, keys, tmp_path) -> None:
    path = make_model()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    statement = tmp_path / "statement"
    statement.write_text(
        f"idskit-signature 1\npurpose model\nname toy.onnx\nversion 12\nsha256 {sha256}\n"
    )
    making = ["pkeyutl", "-sign", "-rawin", "-inkey", keys / "maker.pem", "-in", statement]
    openssl(*making, "-out", tmp_path / "made")
    made = base64.b64encode((tmp_path / "made").read_bytes()).decode()
    signature_path(path).write_text(f"{statement.read_text()}ed25519 {made}\n")
    found = read_model(path, public_key=keys / "maker.pub", min_version=12).signature
    assert found is not None
    assert (found.name, found.version) == ("toy.onnx", 12)


def test_signing_again_gives_the_same_bytes(signed, keys) -> None:
    first = signature_path(signed).read_bytes()
    signed_as(signed, keys, 7)
    assert signature_path(signed).read_bytes() == first


def test_the_version_is_the_date_where_none_is_given(make_model, keys) -> None:
    path, days = make_model(), []
    days.append(time.strftime("%Y%m%d", time.gmtime()))
    signed_as(path, keys, None)
    days.append(time.strftime("%Y%m%d", time.gmtime()))
    found = read_model(path, public_key=keys / "maker.pub").signature
    assert str(found.version) in days


@pytest.mark.parametrize("version", [-1, 10**9])
def test_an_impossible_version_is_refused(keys, version) -> None:
    with pytest.raises(ModelError, match="choose one in 0 to 999999999"):
        Signer.load(keys / "maker.pem", version)


def test_another_signed_model_renamed_over_it(make_model, keys) -> None:
    """Its signature is good, by the right key, and not for this place."""
    path, other = make_model(), signed_as(make_model("camera.onnx", threshold=1.0), keys, 9)
    shutil.move(other, path)
    shutil.move(signature_path(other), signature_path(path))
    assert "toy.onnx was signed under the name 'camera.onnx'" in refusal(path, keys / "maker.pub")


def test_an_older_model_put_back(signed, keys) -> None:
    key = keys / "maker.pub"
    for lowest in (None, 0, 7):
        Detector.load(signed, public_key=key, min_version=lowest)
    said = refusal(signed, key, min_version=8)
    assert "is signed as version 7, but 8 or newer was asked for" in said


def test_a_lowest_version_needs_a_key(signed) -> None:
    assert "only a signature says which it is: give the maker's key" in refusal(
        signed, None, min_version=1
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version 7", "version 8"),
        ("name toy.onnx", "name old.onnx"),
        ("purpose model", "purpose table"),
        ("signature 1", "signature 2"),
    ],
)
def test_each_line_is_bound(signed, keys, old, new) -> None:
    path = signature_path(signed)
    path.write_text(path.read_text().replace(old, new))
    assert refusal(signed, keys / "maker.pub")


def test_every_altered_byte_of_a_signature_is_refused(signed, keys) -> None:
    path = signature_path(signed)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        refusal(signed, keys / "maker.pub")


def test_a_signature_of_the_earlier_form(make_model, keys) -> None:
    path = make_model()
    making = ["pkeyutl", "-sign", "-rawin", "-inkey", keys / "maker.pem", "-in", path]
    openssl(*making, "-out", signature_path(path))
    said = refusal(path, keys / "maker.pub")
    assert "binds neither name nor version: sign the model again" in said


def test_a_name_with_a_line_break_cannot_be_signed(make_model, keys) -> None:
    with pytest.raises(ModelError, match=r"'toy\\nversion 9' cannot be signed"):
        signed_as(make_model("toy\nversion 9"), keys, 1)


def test_a_model_without_its_signature(make_model, keys) -> None:
    said = refusal(make_model(), keys / "maker.pub")
    assert "there is no toy.onnx.sig next to it: sign it" in said


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
    assert "it is none that `idskit sign` writes" in refusal(signed, keys / "maker.pub")


def test_a_pipe_in_place_of_a_signature_or_key_is_not_waited_for(signed, keys, tmp_path) -> None:
    os.mkfifo(tmp_path / "key.pub")
    assert "is a pipe or a device, not a file" in refusal(signed, tmp_path / "key.pub")
    signature_path(signed).unlink()
    os.mkfifo(signature_path(signed))
    assert "is a pipe or a device, not a file" in refusal(signed, keys / "maker.pub")


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
        Signer.load(keys / key)
    assert sentence in str(caught.value)


def test_without_a_public_key_nothing_is_asked(signed, keys) -> None:
    signature_path(signed).write_bytes(b"nonsense")
    Detector.load(signed)


def test_inspect_says_who_signed(signed, keys) -> None:
    key = str(keys / "maker.pub")
    found = inspect(signed, ModelOptions(public_key=key, min_version=7))
    document, text = json.loads(found.to_json()), io.StringIO()
    signed_keys = ("signed_by", "signed_name", "signed_version")
    assert [document[name] for name in signed_keys] == [key, "toy.onnx", 7]
    found.show(Console(file=text, width=300))
    assert f"by the owner of {key} as toy.onnx, version 7" in text.getvalue()
    unasked = json.loads(inspect(signed).to_json())
    assert [unasked[name] for name in signed_keys] == [None] * 3


def test_detect_refuses_an_unsigned_model(make_model, keys, tmp_path) -> None:
    with pytest.raises(ModelError, match="must be signed"):
        detect(
            make_model(),
            FlowInput(flows=tmp_path / "never-read.csv"),
            DetectorOptions(public_key=keys / "maker.pub"),
            output=io.StringIO(),
        )


def test_what_was_checked_is_what_is_loaded(signed, keys, monkeypatch) -> None:
    """The file is read once: another one put in its place after the check is never seen."""
    reads = []

    def counted(path, *limits):
        reads.append(path)
        content = read_regular(path, *limits)
        if path == signed:
            signed.write_bytes(b"replaced")
        return content

    monkeypatch.setattr(model_file, "read_regular", counted)
    inspect(signed, ModelOptions(public_key=keys / "maker.pub"), verify=True)
    assert reads == [signed]
    with pytest.raises(ModelError):
        inspect(signed)


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
    idskit = [sys.executable, "-m", "idskit"]
    making = [*idskit, "sign", path, "--key", keys / "maker.pem", "--model-version", "3"]
    subprocess.run(making, check=True)
    checking = [*idskit, "inspect", path, "--min-version", "3", "--public-key"]
    subprocess.run([*checking, keys / "maker.pub"], check=True)
    refused = subprocess.run(
        [*checking, keys / "other.pub"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
