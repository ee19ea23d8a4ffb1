"""Which column of a table is the label, and which of its labels is the benign one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from idskit.errors import DataError

# Letters of the names that label columns have.
LABEL_NAMES = frozenset(
    (
        *("label", "labels", "labelb", "labelbinary", "binarylabel", "labelmulticlass"),
        *("multiclasslabel", "multilabel", "detailedlabel", "labelname", "labeltype"),
        *("class", "classes", "classification", "target", "groundtruth"),
        *("attack", "attackcat", "attackcategory", "attacktype", "attackname", "attackclass"),
        *("attacklabel", "isattack", "malicious", "ismalicious", "maliciousness", "anomaly"),
        *("cat", "subcat", "category", "subcategory", "traffictype", "trafficcategory"),
        *("isanomaly", "isanomalous", "isbenign", "isnormal", "islegitimate", "verdict"),
    )
)
_ORDER = ("label", "labels", "class")  # where there are several, the one that is meant
# Keys of labels that are benign, whatever the others are called.
_BENIGN = frozenset(
    (
        *("benign", "benigntraffic", "benignflow", "normal", "normaltraffic", "normalflow"),
        *("legit", "legitimate", "legitimatetraffic", "clean", "harmless", "innocuous"),
        *("noattack", "nonattack", "notattack", "nonmalicious", "notmalicious", "goodware"),
    )
)
# Keys that are so where no other label is: numbers, and words of several meanings.
_PERHAPS = frozenset(
    ("0", "false", "no", "none", "background", "backgroundtraffic", "good", "regular", "safe")
)
# Columns that say the opposite of a label, and how.
_INVERTED = re.compile(r"(is)?(benign|normal|legit|legitimate|clean|good|safe)")
_TRUE, _FALSE = frozenset(("1", "true", "yes")), frozenset(("0", "false", "no"))


def label_key(text: str) -> str:
    """Return letters and digits of a label, whatever dash is between: "Web Attack - XSS"."""
    return re.sub(r"[^a-z0-9]+", "", re.sub(r"\.0+$", "", text).casefold())


def label_columns(header: Sequence[str]) -> tuple[str, ...]:
    """Find the columns that are labels by their names."""
    return tuple(name for name in header if re.sub(r"[^a-z]", "", name.casefold()) in LABEL_NAMES)


def label_column(path: Path, header: Sequence[str], asked: str | None) -> str:
    """Find the label: the column asked for, else ``Label``, else the only one of a usual name.

    Raises:
        DataError: there is none, or there are several; the columns are listed.
    """
    if asked is not None and asked in header:
        return asked
    if asked is not None:
        raise DataError(
            f"label column {asked!r} was asked for, but {path} has the columns "
            f"{_listed(header)}{_nearest(asked, header)}: name the one that holds the classes with "
            "--label-column"
        )
    usual = label_columns(header)
    for name in ("Label", *_ORDER):
        found = [column for column in usual if column == name or column.casefold() == name]
        if len(found) == 1:
            return found[0]
    if len(usual) != 1:
        many = f"{len(usual)} columns called a label ({_listed(usual)})"
        none = f"no column called a label (it has {_listed(header)})"
        raise DataError(
            f"{path} has {many if usual else none}: name the one that holds the classes with "
            "--label-column"
        )
    return usual[0]


def benign_labels(
    where: str, column: str, counts: Mapping[str, int], asked: Sequence[str] = ()
) -> frozenset[str]:
    """Tell which of the labels found are benign.

    Args:
        where: the table, for messages.
        column: name of the label column; of ``is_benign`` the benign label is 1, true or yes.
        counts: rows of each label.
        asked: the benign ones, as written or with other dashes and case; found by name if empty.

    Raises:
        DataError: one that was asked for is not there, or none is known; the labels are listed.
    """
    if asked:
        return frozenset(_asked(where, name, counts) for name in asked)
    keys = {text: label_key(text) for text in counts}
    if _is_inverted(column, keys):
        return frozenset(text for text, key in keys.items() if key in _TRUE)
    sure = [text for text, key in keys.items() if key in _BENIGN]
    perhaps = [text for text, key in keys.items() if key in _PERHAPS]
    if sure and not perhaps:
        return frozenset(sure)
    if len({keys[text] for text in perhaps}) == 1 and not sure:
        return frozenset(perhaps)
    found = f"{_listed([*sure, *perhaps])} may all be" if sure or perhaps else "none is known to be"
    raise DataError(
        f"{where} has the labels {_counted(counts)}, of which {found} benign: name the benign one "
        "with --benign-label, repeatable"
    )


def _is_inverted(column: str, keys: Mapping[str, str]) -> bool:
    plain = re.sub(r"[^a-z]", "", column.casefold())
    return bool(_INVERTED.fullmatch(plain)) and set(keys.values()) <= _TRUE | _FALSE


def _asked(where: str, name: str, counts: Mapping[str, int]) -> str:
    found = [t for t in counts if t == name] or [
        t for t in counts if label_key(t) == label_key(name)
    ]
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"benign label {name!r} was asked for, but {where} has the labels {_counted(counts)}"
        f"{_nearest(name, list(counts))}: name one of these with --benign-label"
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    """Return the name that was probably meant."""
    folded = {other.casefold(): other for other in names}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return f" (is it {folded[near[0]]!r}?)" if near else ""


def _listed(names: Sequence[str], most: int = 40) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name[:60]) for name in names[:most]) + more


def _counted(counts: Mapping[str, int], most: int = 20) -> str:
    shown = sorted(counts.items(), key=lambda item: -item[1])[:most]
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{name[:60]!r} ({count:,} rows)" for name, count in shown) + more
