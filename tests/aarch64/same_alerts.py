"""Two files of alerts must agree: the same lines, scores equal to what an int8 step may move."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MAX_DIFFERENCE = 0.01


def alerts(path: str) -> tuple[list[float], list[Any]]:
    """Scores, and everything else that does not name the machine."""
    events = [json.loads(line) for line in Path(path).read_text().splitlines()]
    lines = [event for event in events if "flow" in event]  # incidents add up scores
    for line in lines:
        del line["host"]
        line.pop("pcap_filename", None)
    return [line["alert"]["context"]["idskit"].pop("score") for line in lines], lines


def main(here: str, there: str) -> str:
    """Return a sentence, or exit with one."""
    (scores, lines), (other_scores, other_lines) = alerts(here), alerts(there)
    if not lines:
        sys.exit("no alert was raised: nothing was compared")
    if lines != other_lines:
        sys.exit(f"{len(lines)} alerts here and {len(other_lines)} there are not the same")
    furthest = max(abs(a - b) for a, b in zip(scores, other_scores, strict=True))
    if furthest > MAX_DIFFERENCE:
        sys.exit(f"scores differ by {furthest:.2g}, allowed {MAX_DIFFERENCE}")
    return f"the same {len(lines)} alerts, scores differ by at most {furthest:.2g}"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
