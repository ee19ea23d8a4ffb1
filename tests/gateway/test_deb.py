"""The Debian package: built from wheels, unpacked and run by Debian's own Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "toolkit" / "gateway" / "packaging"
WHEELS = os.environ.get("IDSKIT_WHEELS", "")


def run(*words: str | Path, **more: str) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, env=os.environ | more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script_is_one_that_bash_reads() -> None:
    run("bash", "-n", PACKAGING / "make_deb")
    done = subprocess.run(
        [PACKAGING / "make_deb", "mips"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "choose amd64 or arm64" in done.stderr) == (2, True)


def test_what_the_container_runs_is_there() -> None:
    text = (PACKAGING / "Dockerfile").read_text()
    assert "idskit doctor --warm" in text
    assert "--warm" in run(sys.executable, "-m", "idskit", "doctor", "--help")


@pytest.mark.skipif(not WHEELS, reason="builds for minutes: IDSKIT_WHEELS names a folder of wheels")
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
@pytest.mark.skipif(not Path("/usr/bin/python3.11").exists(), reason="needs Debian's Python 3.11")
def test_the_package_holds_a_program_that_runs(tmp_path: Path) -> None:
    run(
        PACKAGING / "make_deb",
        "amd64",
        tmp_path,
        WHEELS=WHEELS,
        COMPRESS="gzip",
        PYTHON=sys.executable,
    )
    (made,) = tmp_path.glob("idskit_*_amd64.deb")
    root = tmp_path / "root"
    run("dpkg-deb", "-x", made, root)
    program = (root / "opt/idskit/bin/python", root / "opt/idskit/bin/idskit")
    assert "drill" in run(*program, "--help")
    run(*program, "run", "-T", "-c", root / "etc/idskit/idskit.toml")
    unit = (root / "lib/systemd/system/idskit.service").read_text()
    assert "ExecStart=/opt/idskit/bin/idskit run -c /etc/idskit/idskit.toml\n" in unit
    listed = run("dpkg-deb", "-c", made)
    assert "root/root" in listed
    others = [line for line in listed.splitlines() if not line.startswith("l")]
    assert not [line for line in others if "w" in line[5:10]]  # nobody else can write
