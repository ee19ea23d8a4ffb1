"""Write what servers and tools of the lab read: pages, packages, repositories, keys, words."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from pathlib import Path

_ALBUM = """<!doctype html><title>{n}</title><link rel=stylesheet href=style{n}.css>
<script src=app.js></script><h1>Page {n}</h1>{pictures}<p>{text}</p>
<script>setTimeout(() => {{ location = "page{next}.html" }}, 2500)</script>"""
_PAGES = 8


def prepare(folder: Path, numbers: random.Random) -> None:
    """Write everything into ``folder``, in sizes that ``numbers`` draws."""
    _write_site(folder / "site", numbers)
    _write_words(folder, numbers)
    _write_keys(folder)
    _write_packages(folder / "site" / "apt", numbers)
    _write_repository(folder, numbers)
    folder.chmod(0o755)  # servers drop their rights and still read it


def _write_site(site: Path, numbers: random.Random) -> None:
    site.mkdir()
    sizes = {
        "index.html": numbers.randint(2_000, 20_000),
        "picture.jpg": numbers.randint(60_000, 400_000),
        "video.mp4": numbers.randint(2_000_000, 5_000_000),
        "app.js": numbers.randint(20_000, 300_000),
    }
    for name, size in sizes.items():
        (site / name).write_bytes(os.urandom(size))
    (site / "app.js").write_text("//" + "x" * sizes["app.js"])
    for number in range(_PAGES):
        (site / f"style{number}.css").write_text("/*" + "x" * numbers.randint(500, 30_000) + "*/")
        names = [f"p{number}-{n}.jpg" for n in range(numbers.randint(3, 16))]
        for name in names:
            (site / name).write_bytes(os.urandom(int(numbers.paretovariate(1.2) * 8_000) % 600_000))
        page = _ALBUM.format(
            n=number,
            next=(number + 1) % _PAGES,
            pictures="".join(f'<img src="{name}">' for name in names),
            text="word " * numbers.randint(100, 3000),
        )
        (site / f"page{number}.html").write_text(page)
    links = "".join(f'<a href="page{n}.html">{n}</a>' for n in range(_PAGES))
    (site / "album.html").write_text(links)


def _write_words(folder: Path, numbers: random.Random) -> None:
    kind = numbers.choice(("password", "admin", "summer", "root"))
    words = [f"{kind}{number}" for number in range(200)]
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    (folder / "few.txt").write_text("\n".join(words[:30]) + "\n")
    (folder / "users.txt").write_text("root\nadmin\npi\nguest\n")
    many = [f"user{number}" for number in range(60)]
    (folder / "many.txt").write_text("\n".join(many) + "\n")
    paths = [f"{kind}{number}.php" for number in range(300)]
    (folder / "paths.txt").write_text("\n".join(paths))
    statements = ["create or replace table t (a int, b text);"]
    for number in range(numbers.randint(50, 300)):
        statements += [f"insert into t values ({number}, repeat('a', 200));"]  # noqa: S608 - own
        statements += [f"select * from t where a > {number // 2};"] * (number % 9 == 0)  # noqa: S608 - own
    (folder / "statements.sql").write_text("\n".join(statements))


def _write_keys(folder: Path) -> None:
    for name in ("key", "host"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    (folder / "authorized").write_bytes((folder / "key.pub").read_bytes())
    (folder / "ssh.conf").write_text(
        f"IdentityFile {folder}/key\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n"
        "LogLevel ERROR\nUser root\nIdentitiesOnly yes\n"
    )
    key, certificate = str(folder / "tls.key"), str(folder / "tls.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=lab", "-days", "3650")
    _run("openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", certificate)


def _write_packages(apt: Path, numbers: random.Random) -> None:
    """Write a flat repository of packages that apt downloads and never installs."""
    apt.mkdir()
    entries = []
    for number in range(12):
        body = os.urandom(int(numbers.paretovariate(0.9) * 30_000) % 3_000_000)
        (apt / f"lab{number}.deb").write_bytes(body)
        entries.append(
            f"Package: lab{number}\nVersion: 1.{number}\nArchitecture: all\n"
            f"Maintainer: lab\nFilename: ./lab{number}.deb\nSize: {len(body)}\n"
            f"SHA256: {hashlib.sha256(body).hexdigest()}\nDescription: {'word ' * 300}\n"
        )
    (apt / "Packages").write_text("\n".join(entries))


def _write_repository(folder: Path, numbers: random.Random) -> None:
    """Write ``repo.git`` into the site, where git is installed."""
    if shutil.which("git") is None:
        return
    work = folder / "work"
    work.mkdir()
    for number in range(numbers.randint(10, 60)):
        (work / f"file{number}.bin").write_bytes(os.urandom(numbers.randint(500, 60_000)))
    person = ("-c", "user.name=lab", "-c", "user.email=lab@lab.example")
    git = ("git", "-C", str(work), *person)
    _run(*git, "init", "-q", "-b", "main")
    _run(*git, "add", ".")
    _run(*git, "commit", "-q", "-m", "files")
    bare = str(folder / "site" / "repo.git")
    _run("git", "clone", "-q", "--bare", str(work), bare)
    _run("git", "-C", bare, "update-server-info")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
