"""Signals at any moment, dead and blocked readers: the whole program, as processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from tests.flows.frames import udp, write
from tests.flows.namespaces import Wire, _send, wire

from idskit import open_flows
from idskit.capture.af_packet import open_interface
from idskit.capture.drops import DropNotices
from idskit.errors import CaptureError
from idskit.flows.flow_records import Settings
from idskit.process.signals import OutputBlocked, finish_on_signals, unwinding, writing
from idskit.profiles import profile_named
from idskit.profiles.flow_reader import FlowReader

pytestmark = pytest.mark.usefixtures("compiled")

SAMPLE = Path(__file__).resolve().parents[2] / "toolkit" / "shipped" / "sample.pcap"
HANG_S = 100.0  # an end takes 5 s at most; a busy machine may let a process stand still for longer
PROGRAM = ("-m", "idskit")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Process = subprocess.Popen[bytes]


@contextmanager
def idskit(
    *words: str | Path,
    before: tuple[str, ...] = (),
    program: tuple[str, ...] = PROGRAM,
    **options: Any,
) -> Iterator[Process]:
    pipe = subprocess.PIPE
    command = [*before, sys.executable, *program, *map(str, words)]
    given = {"stdin": pipe, "stdout": pipe, "stderr": pipe} | options
    with subprocess.Popen(command, **given) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: Process, within_s: float = HANG_S) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=within_s)
    return process.returncode, out, err


def is_caught(process: Process, number: int) -> bool:
    """Whether the process answers that signal by itself."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def until(condition: Callable[[], object], process: Process) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def words_of(process: Process) -> list[bytes]:
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")


# Starting.


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("module", ["typer", "numba"])
def test_a_signal_while_it_starts_ends_it_without_a_word(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """The module, found first, sends the signal from inside its own import."""
    kill = f"import os, time; os.kill(os.getpid(), {int(number)}); time.sleep(60)\n"
    (tmp_path / f"{module}.py").write_text(kill)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with idskit("detect", "-r", SAMPLE, env=environment) as process:
        assert ended(process) == (-number, b"", b"")


def test_a_hangup_that_was_ignored_stays_ignored() -> None:
    with idskit("detect", "-r", "-", before=("nohup",)) as process:
        until(lambda: words_of(process)[2:4] == [b"idskit", b"detect"], process)
        process.send_signal(signal.SIGHUP)
        assert process.stdin is not None
        process.stdin.write(SAMPLE.read_bytes()[:5000])
        code, _, err = ended(process)
    assert code == 0, err


def test_other_programs_keep_their_handlers() -> None:
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT); import idskit.cli\n"
        "assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Compiling.


@pytest.mark.parametrize("words", [("detect", "-r", "-"), ("extract", "-r", SAMPLE)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_compiles_ends_it(
    tmp_path: Path, words: tuple[str, ...], number: signal.Signals
) -> None:
    cache, table = tmp_path / "cache", tmp_path / "flows.csv"
    cache.mkdir()
    words = words if words[0] == "detect" else (*words, "-o", str(table))
    with idskit(*words, env=os.environ | {"NUMBA_CACHE_DIR": str(cache)}) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(SAMPLE.read_bytes()[:5000])
        process.stdin.flush()
        assert process.stderr.readline().startswith(b"compiling the flow engine")
        process.send_signal(number)
        code, out, err = ended(process)
    assert code in {-number, 128 + number}
    assert (out, err) == (b"", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


# A pipe that stays open.


@contextmanager
def drained(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines of a stream, read as they come: a full pipe would stop the program that writes."""
    lines: list[bytes] = []
    reader = threading.Thread(target=lines.extend, args=(stream,))
    reader.start()
    yield lines
    reader.join()


@pytest.fixture(scope="module")
def alerts_of_the_sample() -> int:
    command = [sys.executable, "-m", "idskit", "detect", "--alerts", "-r", SAMPLE]
    return of_flows(subprocess.run(command, capture_output=True, check=True).stdout)


def of_flows(lines: bytes) -> int:
    """Number of lines of single flows: those of incidents depend on what is read at once."""
    return sum("flow" in json.loads(line) for line in lines.splitlines())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_gives_its_alerts_while_it_is_open_and_a_summary_at_a_signal(
    number: signal.Signals, alerts_of_the_sample: int
) -> None:
    with idskit("detect", "--alerts", "-r", "/dev/stdin") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with drained(process.stdout) as lines:
            process.stdin.write(SAMPLE.read_bytes())
            process.stdin.flush()
            until(lambda: len(lines) >= 200, process)
            process.send_signal(number)
        code, _, err = ended(process)
    assert code == 0
    assert of_flows(b"".join(lines)) == alerts_of_the_sample > 100
    assert b"3,600 packets in" in err


# Readers of the output.


@pytest.mark.parametrize("verb", ["detect", "extract"])
@pytest.mark.parametrize("live", [False, True])
def test_a_reader_that_dies_is_an_error(verb: str, live: bool) -> None:
    with idskit(verb, "-r", "-" if live else SAMPLE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        if live:
            with suppress(BrokenPipeError):
                process.stdin.write(SAMPLE.read_bytes())
        with suppress(BrokenPipeError):
            process.stdin.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(HANG_S) == 1
    assert err.splitlines()[-1].startswith(b"idskit: ")
    assert b"went away" in err
    assert b"Traceback" not in err


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A capture of 3,000 flows, whose alerts or rows no pipe can hold."""
    records = [
        (n // 1000, n % 1000, udp(f"10.9.{n >> 8}.{n & 255}", "10.0.0.9", 9, 9))
        for n in range(3000)
    ]
    return write(tmp_path_factory.mktemp("many") / "many.pcap", records).read_bytes()


@contextmanager
def blocked(many: bytes, *words: str, program: tuple[str, ...] = PROGRAM) -> Iterator[Process]:
    """The program with a pipe that stays open as its input, and nobody who reads its output."""
    with idskit(*words, "-r", "-", program=program) as process:
        assert process.stdin is not None
        process.stdin.write(many)
        process.stdin.flush()
        until(lambda: is_caught(process, signal.SIGTERM), process)
        yield process


def test_a_blocked_reader_does_not_keep_detection_from_ending(many: bytes) -> None:
    # Verdicts of open flows would fill the pipe while the test still writes the capture.
    with blocked(many, "detect", "--alerts", "--threshold", "0", "--verdict-at", "0") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 1
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read().decode()
    said = err.splitlines()[-1]
    assert said.endswith(
        "were not written: its reader took nothing for 3 s after the signal to end"
    )
    lost = int(said.split()[1].replace(",", ""))
    assert lost + out.count(b"\n") >= 1000  # of 3,000 alerts of one label, the others are withheld
    assert "3,000 alerts: 3,000 packets in 3,000 flows" in " ".join(err.split())


def test_a_blocked_reader_does_not_keep_extraction_from_ending(many: bytes) -> None:
    with blocked(many, "extract") as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(HANG_S) == 1
        assert process.stderr is not None
        said = process.stderr.read().decode().splitlines()
    assert said[0] == "3,000 flows of 3,000 packets in standard input (gateway)"
    assert said[-1].startswith(
        "idskit: rows of the table were lost: its reader took nothing for 3 s"
    )


# The program, which after a signal waits for its reader for longer than any test.
PATIENT = (
    "from idskit.process import signals; signals.PATIENCE_S = 1000.0\n"
    "import sys; from idskit.cli import main; main(sys.argv[1:])"
)


def test_the_second_signal_ends_it_at_once(many: bytes) -> None:
    words = ("detect", "--alerts", "--threshold", "0", "--verdict-at", "0")
    with blocked(many, *words, program=("-c", PATIENT)) as process:
        process.send_signal(signal.SIGTERM)
        until(lambda: not is_caught(process, signal.SIGTERM), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == -signal.SIGTERM


# In one process.


def test_an_unfinished_file_is_removed_before_a_signal_ends_the_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from idskit.files.output import write_whole\n"
        "def write(path):\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('on')\n"
        "write_whole(Path('x.csv'), write)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_handlers_of_others_are_left_alone(tmp_path: Path) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    try:
        with unwinding(tmp_path / "x"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def fill(pipe: int) -> None:
    with writing():
        while True:
            os.write(pipe, bytes(1 << 16))


def test_writing_is_bounded_only_once_the_end_is_asked_for(monkeypatch: Any) -> None:
    monkeypatch.setattr("idskit.process.signals.PATIENCE_S", 0.05)
    ours, theirs = os.pipe()
    with finish_on_signals(lambda: None):
        with writing():
            assert select.select([ours], [], [], 0.2) == ([], [], [])
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(OutputBlocked):
            fill(theirs)
        monkeypatch.setattr("idskit.process.signals.PATIENCE_S", HANG_S)
        with writing():
            assert os.read(ours, 1) == b"\0"
    os.close(ours)
    os.close(theirs)


# Several interfaces.


@pytest.fixture
def veth() -> Iterator[Wire]:
    with wire() as made:
        yield made


def test_two_interfaces_are_read_at_once_and_flows_know_theirs(veth: Wire) -> None:
    veth.near.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "tap1")
    for name in ("tap0", "tap1"):
        veth.near.run("ip", "link", "set", name, "arp", "off", "up")
    frames = [udp("10.0.0.1", "192.0.2.1", 9, 9)] * 3
    flows = veth.near.call(open_flows, ["veth0", "tap0"], live=True)
    assert flows.interfaces == ("veth0", "tap0")
    veth.send(frames)
    veth.near.call(_send, frames[:2], "tap1")
    flows.stop()
    with flows:
        (batch,) = flows.batches()
    found = zip(batch.flows["interface"].tolist(), batch.flows["fwd_packets"].tolist(), strict=True)
    assert sorted(found) == [(0, 3), (1, 2)]
    assert flows.statistics.source == "veth0, tap0"


def test_one_of_two_interfaces_that_disappears_ends_the_reading(veth: Wire) -> None:
    veth.near.run("ip", "link", "set", "lo", "up")
    flows = veth.near.call(open_flows, ["veth0", "lo"], live=True)
    veth.send([udp("10.0.0.1", "192.0.2.1", 9, 9)])
    veth.near.run("ip", "link", "del", "veth0")
    with flows:
        batches = flows.batches()
        assert next(batches).flows["fwd_packets"].tolist() == [1]
        with pytest.raises(CaptureError, match=r"^interface veth0 disappeared; the flows"):
            next(batches)


def test_drops_are_reported_while_it_runs(veth: Wire) -> None:
    live = veth.near.call(open_interface, "veth0", ring_mb=1)
    flows = FlowReader(live, profile_named("gateway"), Settings(memory_bytes=1 << 20))
    said: list[int] = []

    def note(dropped: int) -> None:
        said.append(dropped)
        flows.stop()  # by itself it would go on

    flows.on_drops = note
    veth.send([udp("10.0.0.1", "192.0.2.1", 9, 9, bytes(1400))] * 2000)
    with flows:
        assert sum(len(batch) for batch in flows.batches()) == 1
        dropped = flows.statistics.dropped
    assert said == [dropped]
    assert dropped > 0


def test_drops_are_said_ever_less_often(monkeypatch: Any) -> None:
    said: list[str] = []
    notices = DropNotices(said.append)
    for second in range(100):
        monkeypatch.setattr("time.monotonic", lambda second=second: 1000.0 + second)
        notices(second)
    assert [int(sentence.split()[0]) for sentence in said] == [0, 10, 30, 70]
