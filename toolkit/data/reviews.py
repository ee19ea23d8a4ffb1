"""What reading captures packet by packet gave: verdicts that replace the label of a capture.

reviewed.csv of the data ──┬──> the review of each capture
labels_overlay.csv here ───┘    (the project's own line replaces one of the data, with a reason)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.display_filter import TRUE, UNCERTAIN, between, flows_selected, parse
from idskit.errors import DataError
from idskit.flow import FLOW
from idskit.tables.cell_columns import named_rows

REVIEWS_FILE = "reviewed.csv"
OVERLAY = Path(__file__).with_name("labels_overlay.csv")
ATTACK, BENIGN, POLICY, UNSURE, NOT_VISIBLE = (
    *("attack", "benign", "policy", "unsure", "not visible"),
)
VERDICTS = (ATTACK, BENIGN, POLICY, UNSURE, NOT_VISIBLE)
PROBES = (POLICY, UNSURE, NOT_VISIBLE)  # neither benign nor attack: no one learns from them
COLUMNS = ("file", "verdict", "attackers", "victims", "attack_filter", "kind", "where")
REASON = "reason"  # a column of the overlay
ANY = "*"
HARDWARE = "mac:"  # before addresses that flows do not hold
BY_FILTER, BY_ADDRESSES = "filter", "addresses"
NO_FLOW = "no flow"  # the attack is in no IP flow
NOT_LOCATED = "not located"  # nobody says which flows the attack is in
_NO_RECORDS = np.zeros(0, FLOW)


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a reader of a capture found."""

    verdict: str  # of VERDICTS
    kind: str  # of attack; empty where none is said
    attackers: tuple[str, ...]  # addresses
    victims: tuple[str, ...]
    attack_filter: str  # a Wireshark display filter
    where: str  # what shows the attack: payload, host, flow or none; empty if not said

    def attack_flows(self, records: NDArray[np.void]) -> tuple[NDArray[np.bool_], str]:
        """Return which FLOW records are of the attack, and what tells it.

        The filter does where it selects a flow; of flows about which it is uncertain the addresses
        do.
        """
        uncertain = np.ones(len(records), np.bool_)
        if self.attack_filter:
            selected = flows_selected(self.attack_filter, records)
            if (selected == TRUE).any():
                return np.asarray(selected == TRUE), BY_FILTER
            uncertain = np.asarray(selected == UNCERTAIN)
            if not uncertain.any():
                return uncertain, NO_FLOW
        if not (self.attackers or self.victims):
            return np.zeros(len(records), np.bool_), NOT_LOCATED
        ends = (_addresses(self.attackers), _addresses(self.victims))
        found = uncertain & between(*ends, records)
        return found, BY_ADDRESSES if found.any() else NO_FLOW


def find_reviews(labels: Path) -> dict[Path, Review]:
    """Return the reviews next to or above a labels.csv, by the file of the capture.

    Raises:
        DataError: a line that cannot be read.
    """
    folders = (labels.resolve().parent, labels.resolve().parent.parent)
    folder = next((place for place in folders if (place / REVIEWS_FILE).is_file()), None)
    if folder is None:
        return {}
    found = dict(_read(folder / REVIEWS_FILE, COLUMNS))
    found |= dict(_read(OVERLAY, (*COLUMNS, REASON)))
    return {folder / name: review for name, review in found.items()}


def _read(table: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, Review]]:
    """Yield each file and its review."""
    seen: set[str] = set()
    for number, row in named_rows(table, columns):
        name = row["file"]
        if name in seen:
            raise DataError(f"{table}, row {number} lists {name} again")
        seen.add(name)
        yield name, _review(row, table, number)


def _review(row: dict[str, str], table: Path, number: int) -> Review:
    if row["verdict"] not in VERDICTS:
        raise DataError(
            f"{table}, row {number} has the verdict {row['verdict']!r}: write one of "
            f"{', '.join(VERDICTS)}"
        )
    if REASON in row and not row[REASON]:
        raise DataError(f"{table}, row {number} gives no reason: say why the label is replaced")
    review = Review(
        verdict=row["verdict"],
        kind=row["kind"].lower(),
        attackers=_listed(row["attackers"]),
        victims=_listed(row["victims"]),
        attack_filter=row["attack_filter"].strip(),
        where=row["where"],
    )
    try:
        if review.attack_filter:
            parse(review.attack_filter)
        between(_addresses(review.attackers), _addresses(review.victims), _NO_RECORDS)
    except ValueError as error:
        raise DataError(f"{table}, row {number} cannot be used: {error}") from error
    return review


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _addresses(listed: tuple[str, ...]) -> list[str]:
    """Return the IP addresses of a list; none, for any, where all or unknown ones are meant."""
    if ANY in listed:
        return []
    return [address for address in listed if not address.startswith(HARDWARE)]
