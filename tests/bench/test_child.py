"""What a program costs as a child process, checked against what the program says of itself."""

import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from idskit.bench.child_process import ChildFailed, run_child

HANG_S = 120.0  # a process may stand still for seconds on a busy machine; more is a hang
PYTHON = [sys.executable, "-I", "-S", "-c"]
BURN = """
import time
while time.process_time() < 0.2: pass
print(time.process_time())
"""


def test_processor_time_is_what_the_program_itself_counts(tmp_path) -> None:
    usage = run_child([*PYTHON, BURN], tmp_path, timeout_s=HANG_S)
    assert float(usage.output) <= usage.cpu_s <= float(usage.output) + 1  # an end of Python


def test_processor_time_of_its_own_children_counts(tmp_path) -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {BURN!r}])"
    usage = run_child([*PYTHON, parent], tmp_path, timeout_s=HANG_S)
    assert usage.cpu_s > float(usage.output) >= 0.2


def test_waiting_is_wall_time_and_not_processor_time(tmp_path) -> None:
    usage = run_child([*PYTHON, "import time; time.sleep(0.3)"], tmp_path, timeout_s=HANG_S)
    assert usage.cpu_s < 0.3 <= usage.wall_s


def test_memory_of_the_program_and_not_of_this_process(tmp_path) -> None:
    ballast = np.ones(25_000_000)  # 191 MiB
    small = run_child([*PYTHON, "pass"], tmp_path, timeout_s=HANG_S)
    large = run_child([*PYTHON, "held = b'x' * (64 << 20)"], tmp_path, timeout_s=HANG_S)
    assert small.rss_mib < ballast.nbytes / 2**20 / 2
    assert large.rss_mib - small.rss_mib == pytest.approx(64, abs=5)


def test_it_runs_in_its_folder_without_input_and_without_a_shell(tmp_path) -> None:
    program = "import os, sys; print(os.getcwd(), sys.stdin.read(), sys.argv[1])"
    usage = run_child([*PYTHON, program, "$(touch made); *"], tmp_path, timeout_s=HANG_S)
    assert usage.output.strip() == f"{tmp_path}  $(touch made); *"
    assert not (tmp_path / "made").exists()


def test_a_failure_is_told_by_its_status_and_last_words(tmp_path) -> None:
    with pytest.raises(ChildFailed, match=r"^exit status 4: no such luck$"):
        run_child(
            ["/bin/sh", "-c", "echo one; echo no such luck >&2; exit 4"], tmp_path, timeout_s=HANG_S
        )


def test_a_crash_is_told_by_its_signal(tmp_path) -> None:
    with pytest.raises(ChildFailed, match="killed by SIGSEGV: it printed nothing"):
        run_child(["/bin/sh", "-c", "kill -SEGV $$"], tmp_path, timeout_s=HANG_S)


def test_a_file_that_is_no_program(tmp_path) -> None:
    file = tmp_path / "notes"
    file.write_text("not a program")
    with pytest.raises(ChildFailed, match="cannot be run: PermissionError"):
        run_child([str(file)], tmp_path, timeout_s=HANG_S)


def test_time_out_ends_the_program_and_its_children(tmp_path) -> None:
    with pytest.raises(ChildFailed, match=r"did not end within 0\.5 s"):
        run_child(["/bin/sh", "-c", "sleep 600 & sleep 600"], tmp_path, timeout_s=0.5)
    end = time.monotonic() + HANG_S
    while working_in(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.01)


def working_in(folder: Path) -> list[Path]:
    """Processes whose current folder is this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += [process] if (process / "cwd").readlink() == folder else []
    return found
