"""Cards and texts for people: small, without scripts, with every name from the network escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from idskit.explain.card import MOST_BYTES, FlowRow, card_html, card_page
from idskit.explain.explanation_tables import evidence_table, measured
from idskit.explain.packet_train import packet_train
from idskit.explain.share_bars import share_bars
from idskit.explain.terminal import to_text
from idskit.incidents.incident import Evidence, Explanation, FeatureShare, GroupShare, Incident
from idskit.schemas.gateway_columns import GATEWAY, GATEWAY_PACKETS, PACKETS

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg></style><b onclick=x>",
    "\x1b]0;owned\x07\x1b[2J",
    "[red]bold[/red] [link=http://x]y[/link]",
    "\u202egnp.exe\nforged line",
    "name" * 5000,
)
EXPLAINED = Explanation(
    sentence="",
    method="Exact.",
    base=-0.6,
    score=2.9,
    groups=(GroupShare(name="payload", share=4.0), GroupShare(name="timing", share=-0.5)),
    features=(
        FeatureShare(
            name="fwd_sql_words", value=7, unit="words", usual_p50=0, usual_p99=1, share=2.5
        ),
        FeatureShare(
            name="flow_iat_min", value=1500, unit="us", usual_p50=None, usual_p99=None, share=0.1
        ),
    ),
)


class Tags(HTMLParser):
    """What a browser would make of a page: its tags, and what was left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def incident(name: str = "nas", evidence: int = 1) -> Incident:
    return Incident(
        incident_id="20231114T221320-ed8d8b5d",
        type="new",
        family=name,
        technique=name,
        severity=1,
        confidence=0.98,
        started_us=0,
        updated_us=60_000_000,
        attacker="192.0.2.7",
        target=name,
        device=name,
        device_name=name,
        services=(name,),
        flows=41,
        evidence=tuple(
            Evidence(name=name, value=41, unit=name, usual=0.5) for _ in range(evidence)
        ),
    )


def series(packets: int = PACKETS) -> FlowRow:
    row = np.zeros(len(GATEWAY_PACKETS), np.float32)
    for number in range(packets):
        for kind, value in (("size", 60 + 40 * number), ("direction", 1), ("iat", 10**number)):
            row[GATEWAY_PACKETS.names.index(f"{kind}_{number + 1}")] = min(value, 1e9)
    return FlowRow(schema=GATEWAY_PACKETS, row=row)


def test_a_card_shows_sentence_evidence_shares_and_features() -> None:
    page = card_page(EXPLAINED, incident=incident(), flow=series(), threshold=0.87)
    assert "41 flows" in page
    for text in ("usual here", "payload", "\N{MINUS SIGN}0.50", "sql words, forward", "1.5 ms"):
        assert text.lower() in page.lower()
    assert "first 32 packets" in page
    assert Tags(page).open == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_and_the_card_stays_small(name: str) -> None:
    features = tuple(
        FeatureShare(name=name, value=1e30, unit=name, usual_p50=0, usual_p99=0, share=1.0)
        for _ in range(50)
    )
    groups = tuple(GroupShare(name=name, share=0.1) for _ in range(8))
    explained = Explanation(sentence=name, method=name, groups=groups, features=features, score=0.8)
    page = card_page(explained, incident=incident(name, 500), flow=series(), threshold=0.9)
    assert len(page.encode()) < MOST_BYTES
    found = Tags(page)
    assert found.open == []
    assert not found.tags & {"script", "img", "b", "a", "iframe", "link", "object", "embed"}
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not found.attributes & {"src", "href", "style"}
    assert all(line.isprintable() for line in page.split("\n"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_terminal_obeys_no_name(name: str) -> None:
    explained = Explanation(sentence=name, method=name, groups=(GroupShare(name=name, share=1.0),))
    text = to_text(explained, incident(name))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "forged line" not in text.split("\n")


def test_text_holds_what_the_card_holds() -> None:
    text = to_text(EXPLAINED, incident(), width=90)
    assert max(map(len, text.split("\n"))) <= 90
    for part in ("What raises the score", "payload", "+4.00", "fwd_sql_words", "41", "Exact."):
        assert part in text


def test_evidence_is_written_with_its_unit_and_what_is_usual_where_it_is_known() -> None:
    found = replace(
        incident(),
        evidence=(
            Evidence(name="interval of contacts", value=60_000_000, unit="us"),
            Evidence(name="refused logins", value=7, unit="flows"),
        ),
    )
    table = evidence_table(found)
    assert table.rows == (("interval of contacts", "1 min"), ("refused logins", "7 flows"))
    learned = replace(found.evidence[0], usual=3_600e6)
    table = evidence_table(replace(found, evidence=(learned, *found.evidence[1:])))
    assert table.columns[-1] == "usual here"
    assert [row[-1] for row in table.rows] == ["1 h", ""]


def test_an_explanation_without_numbers_is_a_sentence() -> None:
    said = Explanation(sentence="It scanned.")
    assert to_text(said) == "It scanned.\n"
    assert Tags(card_html(said)).tags == {"article", "h2"}
    assert not share_bars(said)


def test_a_flow_without_series_or_packets_has_no_picture_of_them() -> None:
    assert not packet_train(GATEWAY, np.zeros(len(GATEWAY), np.float32))
    empty = series(0)
    assert not packet_train(empty.schema, empty.row)
    one = series(1)
    assert packet_train(one.schema, one.row).svg().count("stroke-width") == 1


def test_packets_go_up_and_down_by_their_direction() -> None:
    flow = series(2)
    flow.row[GATEWAY_PACKETS.names.index("direction_2")] = -1
    up, down = re.findall(r"M[\d.]+ 60.0V([\d.]+)", packet_train(flow.schema, flow.row).svg())
    assert float(up) < 60 < float(down)


def test_bars_lead_from_the_usual_score_to_that_of_the_flow() -> None:
    svg = share_bars(EXPLAINED, 0.87).svg()
    first, second = (
        (float(x), float(width))
        for x, width in re.findall(r'rect x="([\d.]+)".*?width="([\d.]+)"', svg)
    )
    dots = [float(x) for x in re.findall(r'cx="([\d.]+)"', svg)]
    assert first[0] == pytest.approx(dots[0], abs=0.2)
    assert second[0] == pytest.approx(dots[1], abs=0.2)  # it ends where the falling bar does
    assert first[1] / second[1] == pytest.approx(8, rel=0.02)
    assert "35 %" in svg  # of log-odds -0.6
    assert "95 %" in svg


@pytest.mark.parametrize("end", [27.6, -27.6, 800.0])
def test_bars_of_saturated_scores_are_drawn(end: float) -> None:
    groups = (GroupShare(name="timing", share=end),)
    svg = share_bars(Explanation(sentence="", groups=groups, score=end), 0.5).svg()
    assert "nan" not in svg
    assert svg.count("<circle") == 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "us", "0"),
        (0.5, "us", "0.5 us"),
        (90_000_000, "us", "1.5 min"),
        (1460, "bytes", "1.46 kB"),
        (0, "bytes/s", "0"),
        (2_000_000, "bytes/s", "2 MB/s"),
        (-1, "code", "\N{MINUS SIGN}1"),
        (12_345, "packets", "12,345"),
        (0.5, "packets/s", "0.5 packets/s"),
        (1 / 3, "1", "0.333"),
        (float("inf"), "us", "inf days"),
    ],
)
def test_values_are_written_as_people_write_them(value: float, unit: str, text: str) -> None:
    assert measured(value, unit) == text
