"""A process that appends incidents to a journal until it is killed, and says what is durable."""

from __future__ import annotations

import sys
from pathlib import Path

from idskit.gateway.journal import Journal, incident_record
from idskit.gateway.state_folder import CheckedFile, StateLock


def main(folder: Path) -> None:
    lock = StateLock(folder)
    journal = Journal(folder, 4 << 20)
    checked = CheckedFile(folder, "tracker")
    number = journal.entries.number
    print("ready", flush=True)
    while True:
        number += 1
        one = {"incident_id": f"{number % 50:03d}", "flows": number, "filling": "x" * 500}
        journal.append([incident_record(one)], durable=number % 7 == 0)
        if number % 20 == 0:
            checked.write({"number": number, "filling": "y" * 9_000})
        print(number, flush=True)
    lock.release()


main(Path(sys.argv[1]))
