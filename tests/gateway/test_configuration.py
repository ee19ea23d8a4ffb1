"""The configuration file: every wrong line is named, and what is printed reads back."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idskit.gateway.configuration import (
    ConfigurationError,
    commented_configuration,
    parse_configuration,
    read_configuration,
    settings_of,
)
from idskit.gateway.service_options import ServiceOptions, sections
from idskit.options import options_of


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text, "c.toml")
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_configuration("", "c.toml") == ServiceOptions()


def test_the_printed_configuration_names_and_explains_every_setting() -> None:
    text = commented_configuration()
    assert parse_configuration(text, "c.toml") == ServiceOptions()
    for section, kind in sections().items():
        assert f"\n[{section}]\n" in text
        for name, (_, known) in options_of(kind).items():
            assert f"{name} =" in text
            assert " ".join(known.help.split()[:5]) in text.replace("\n# ", " ")


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    interfaces=st.lists(words, max_size=3),
    memory=st.integers(1, 65_536),
    threshold=st.none() | st.floats(0, 1),
    model=st.none() | words,
)
def test_what_is_printed_reads_back(
    interfaces: list[str], memory: int, threshold: float | None, model: str | None
) -> None:
    base = ServiceOptions()
    options = replace(
        base,
        capture=replace(base.capture, interfaces=tuple(interfaces), memory_mb=memory),
        detection=replace(base.detection, threshold=threshold, model=model and Path(model)),
    )
    text = commented_configuration(options)
    assert parse_configuration(text, "c.toml") == options
    assert tomllib.loads(text)["capture"]["interfaces"] == interfaces  # by the library itself


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[captur]\n", 2, "did you mean capture?"),
        ("[capture]\nintefaces = []\n", 2, "did you mean interfaces?"),
        ("[capture]\n\n# x\nmemory_mb = 0\n", 4, "memory_mb is 0: choose 1 to 65,536"),
        ('[capture]\nmemory_mb = "96"\n', 2, "takes a whole number"),
        ("[capture]\nmemory_mb = true\n", 2, "takes a whole number"),
        ("[detection]\nthreshold = nan\n", 2, "threshold is nan"),
        ("[detection]\nthreshold = 2\n", 2, "choose 0 to 1"),
        ("[capture]\ninterfaces = 'eth0'\n", 2, 'write interfaces = ["eth0"]'),
        ("[capture]\ninterfaces = [\n 'eth0',\n 7,\n]\n", 2, "takes a text"),
        ("x = 1\n", 1, "there is no section"),
        ("interfaces = []\n", 1, "belongs to section [capture]"),
        ("capture = 3\n", 1, "write [capture]"),
        ("[detection]\nmemory_mb = 9\n", 2, "it belongs to [capture]"),
        ("capture.memory_mb = 0\n", 1, "memory_mb is 0"),
        ('[detection]\nmodel = ""\n', 2, "takes a path"),
        ('a = """\n[x]\n"""\n[capture]\nmemory_mb = 0', 5, "memory_mb is 0"),
        ("[[capture]]\nmemory_mb = 1\n", 1, "write [capture]"),
    ],
)
def test_a_wrong_line_is_named_with_the_right_word(text: str, line: int, words: str) -> None:
    found = problems(text)
    assert any(f"c.toml line {line}: " in one and words in one for one in found), found


def test_all_wrong_lines_are_named_in_their_order() -> None:
    found = problems("[state]\nkeep_mb = 0\n[capture]\nmemry_mb = 3\nfilter = 3\n")
    assert [one.split(":")[0] for one in found] == [f"c.toml line {n}" for n in (2, 4, 5)]


def test_what_is_no_toml_is_named_with_its_line() -> None:
    assert "c.toml line 2: this is not TOML" in problems("[capture]\ninterfaces = [\n")[0]
    assert "c.toml line 2: this is not TOML" in problems("[capture]\nfilter = no\n\n")[0]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text("[]{}\"'\\=,. \n#abc1", max_size=60))
def test_any_text_is_read_or_refused_in_sentences(text: str) -> None:
    try:
        parse_configuration(text, "c.toml")
    except ConfigurationError as error:
        assert all(": " in one for one in error.problems)  # noqa: PT017


@given(st.text("[]{}\"'\\=,. \n#abc1", max_size=40))
@settings(max_examples=300, deadline=None)
def test_every_key_of_valid_toml_has_a_line(text: str) -> None:
    """Whatever the standard parser accepts, each wrong line is one that the text has."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        parse_configuration(text, "c.toml")
    except ConfigurationError as error:
        for one in error.problems:
            number = int(one.split()[2].rstrip(":"))
            assert text.splitlines()[number - 1].strip()


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_configuration(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\n[capture]\nfilter = '\xe9'\n")
    with pytest.raises(ConfigurationError, match="line 3 is not UTF-8"):
        read_configuration(tmp_path / "latin.toml")


def test_settings_are_listed_with_their_defaults() -> None:
    base = ServiceOptions()
    changed = replace(base, capture=replace(base.capture, memory_mb=7))
    found = {one.field: one for one in settings_of(changed)}
    assert (found["capture.memory_mb"].value, found["capture.memory_mb"].default) == (7, 64)
    assert all(one.help for one in found.values())
