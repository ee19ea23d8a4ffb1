"""What is measured of a running service; each function returns rows of the table."""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.gateway.endurance.bench import Bench, Lines, Row, cpu_s, part, rss_mb
from tests.gateway.endurance.loads import Load, busy, flood, home
from tests.gateway.live import PLAIN, Service
from tests.sinks.parts import Broker

from idskit.gateway.journal import read_journal
from idskit.lab.play.drill_packets import guess, scan
from idskit.sinks.home_assistant import this_sensor

HOME = 50.0  # packets/s of a quiet home
_KINDS = (partial(scan, ports=40), partial(guess, tries=12))
_MOST = 30  # incidents of a family: the tracker joins those beyond 32 an hour
_SETTLE_S = 20.0
_MQTT_PORT = 1883  # the namespace is the bench's own: nobody else is there


def latency(bench: Bench, rounds: int, minutes: float, flows_per_minute: float) -> list[Row]:
    """Measure packet to incident on one core under load."""
    load = busy(bench.folder, 60 * minutes, flows_per_minute)
    lines = Lines(bench.folder / "lines.sock")
    bench.config = f'[unix]\npath = "{lines.path}"\n'
    begun: dict[str, float] = {}  # by attacker: when its first packet was sent
    counted: list[dict[str, int]] = []
    late_s = used_s = 0.0
    for number in range(rounds):
        with bench.running(f"latency-{number}", core=0) as made, bench.playing(load) as player:
            begun |= _attack_for(bench, load.seconds)
            out, _ = player.communicate(timeout=600)
            time.sleep(5)
            counted.append(made.snapshot()["counters"])
            late_s = max(late_s, json.loads(out)["latest_s"])
            used_s += cpu_s(made.process.pid)
            made.end()
    return [
        *_latency_rows(load, begun, lines, counted),
        _loss_row(counted, late_s),
        _processor_row(counted, used_s),
    ]


def _attack_for(bench: Bench, seconds: float) -> dict[str, float]:
    """Attack again and again; return when each attacker began."""
    attacks = 2 * _MOST
    begun, end = {}, time.monotonic() + seconds
    time.sleep(min(_SETTLE_S, seconds / 4))
    for number in range(attacks):
        now = time.time()
        begun[bench.attack(_KINDS[number % 2]).attacker] = now
        time.sleep(max(0.0, (end - time.monotonic()) / (attacks - number)))
    return begun


def _latency_rows(
    load: Load,
    begun: dict[str, float],
    lines: Lines,
    counted: list[dict[str, int]],
) -> list[Row]:
    found = [(at, one) for at, one in lines.incidents() if one["attacker"] in begun]
    completed = [at - _moment(one["updated"]) for at, one in found]
    first = [at - begun[one["attacker"]] for at, one in found]
    about = (
        f"{load.flows_per_minute:,.0f} flows/min ({load.packets / load.seconds:,.0f} packets/s), "
        f"{len(counted)} x {load.seconds:.0f} s, {len(found)} incidents of {len(begun)} attacks"
    )
    return [
        Row("packet to incident, p50", f"{part(completed, 0.5):.2f} s", "", about),
        Row(
            "packet to incident, p99",
            f"{part(completed, 0.99):.2f} s",
            "<= 2 s",
            "from the last packet of the flow that completed the evidence to the line of the Unix "
            f"sink; the longest {part(completed, 1.0):.2f} s",
        ),
        Row(
            "first packet of the attack to incident, p50 and p99",
            f"{part(first, 0.5):.2f} s, {part(first, 0.99):.2f} s",
            "",
            "from the first packet that was sent",
        ),
    ]


def _loss_row(counted: list[dict[str, int]], late_s: float) -> Row:
    lost = sum(one["dropped_total"] for one in counted)
    shed = sum(n for one in counted for name, n in one.items() if name.startswith("shed_"))
    seen = sum(one["packets_total"] for one in counted)
    return Row(
        "lost under that load",
        f"{lost:,} frames, {shed:,} works shed",
        "0",
        f"of {seen + lost:,} packets; the player was {late_s:.2f} s late at most",
    )


def _processor_row(counted: list[dict[str, int]], used_s: float) -> Row:
    """Return what a packet costs: where others compute, this says what the core would do alone."""
    seen = sum(one["packets_total"] for one in counted)
    return Row(
        "processor under that load",
        f"{1e6 * used_s / max(seen, 1):.1f} us a packet",
        "",
        f"{used_s:.1f} s for {seen:,} packets and their flows, with {len(counted)} starts",
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def memory(bench: Bench, minutes: float, sources: int) -> list[Row]:
    """Measure resident memory at ten times the load of a home, and around a flood."""
    bench.config = ""
    load = home(bench.folder, 60 * minutes, 10 * HOME, hosts=60)
    forged = flood(bench.folder, sources, 50_000)
    with bench.running("memory") as made:
        with bench.playing(load) as player:
            curve = list(_watched(made, player, 5.0))
        before = curve[-1]
        with bench.playing(forged) as player:
            peak = max(_watched(made, player, 0.5))
        after = {}
        for seconds in (30, 180):  # flows without a packet for 120 s have ended by then
            time.sleep(seconds - sum(after))
            after[seconds] = rss_mb(made.process.pid)
        counters = made.snapshot()["counters"]
        made.end()
    quarter = max(1, len(curve) // 4)
    early, late = (statistics.median(curve[n * quarter :][:quarter]) for n in (1, 3))
    shown = ", ".join(f"{mb:.0f} MB after {seconds} s" for seconds, mb in after.items())
    return [
        Row(
            f"RSS over {minutes:g} min at 10 times a home",
            f"{early:.0f} to {late:.0f} MB ({late / early - 1:+.1%})",
            "+-5 %, < 350 MB",
            f"service and page; {10 * HOME:g} packets/s; medians of the second and last quarter; "
            f"at first {curve[0]:.0f} MB, at most {max(curve):.0f} MB",
        ),
        Row(
            f"RSS around a flood of {sources:,} sources",
            f"{before:.0f}, peak {peak:.0f} MB, {shown}",
            "back, < 350 MB",
            f"{forged.packets / forged.seconds:,.0f} SYN/s; {counters['flow_table_evicted']:,} "
            f"flows evicted, {counters['dropped_total']:,} frames dropped",
        ),
    ]


def _watched(made: Service, player: subprocess.Popen[str], every_s: float) -> Iterator[float]:
    """Yield the resident memory until the player has ended."""
    while True:
        yield rss_mb(made.process.pid)
        try:
            player.wait(every_s)
            return
        except subprocess.TimeoutExpired:
            continue


def start(bench: Bench, times: int) -> list[Row]:
    """Measure from the start of the process to the first round of its loop, all compiled."""
    bench.config = ""
    took, used = [], []
    for _ in range(times + 1):
        begin = time.monotonic()
        with bench.running("start", program=PLAIN) as made:
            took.append(time.monotonic() - begin)
            used.append(cpu_s(made.process.pid))
            made.end()
    warm = took[1:]
    return [
        Row(
            "start to reading packets, warm",
            f"{statistics.median(warm):.2f} s (at most {max(warm):.2f} s)",
            "<= 2 s",
            f"exec to READY=1, {times} starts; the page, too; {statistics.median(used):.2f} s of "
            "processor, so long where nobody else computes",
        )
    ]


def idle(bench: Bench, seconds: float) -> list[Row]:
    """Measure the processor's time for a quiet home."""
    bench.config = ""
    load = home(bench.folder, seconds + 15, HOME)
    with bench.running("idle") as made, bench.playing(load):
        time.sleep(10)
        before, begin = cpu_s(made.process.pid), time.monotonic()
        time.sleep(seconds)
        used = (cpu_s(made.process.pid) - before) / (time.monotonic() - begin)
        made.end()
    return [
        Row(
            "CPU of a quiet home",
            f"{used:.1%} of a core",
            "<= 2 %",
            f"service and page, {HOME:g} packets/s, {seconds:g} s",
        )
    ]


def kills(bench: Bench, times: int) -> list[Row]:
    """Kill the service at random moments under attacks; count what sinks got and it forgot."""
    eve, state = bench.folder / "eve.json", bench.folder / "kills"
    bench.config = f'[page]\nenabled = false\n[eve]\npath = "{eve}"\n'
    moments = random.Random(3)
    forgotten: set[str] = set()
    for _ in range(times):
        with bench.running("kills") as made:
            attack = threading.Thread(target=bench.attack, args=(_KINDS[0],))
            attack.start()
            time.sleep(moments.uniform(0.05, 2.5))
            made.process.send_signal(signal.SIGKILL)
            made.process.wait()
            attack.join()
        forgotten |= delivered(eve) - set(read_journal(state, None).incidents)
    with bench.running("kills") as made:
        time.sleep(3)
        made.end()
    kept = read_journal(state, None)
    never = set(kept.incidents) - delivered(eve)
    ended = {one for one, last in kept.incidents.items() if last["type"] == "end"}
    return [
        Row(
            f"kill -9, {times} times",
            f"{len(forgotten)} delivered incidents lost",
            "0",
            f"{len(delivered(eve))} delivered; {len(never)} kept and never delivered; "
            f"{len(set(kept.incidents) - ended)} still open; {kept.damaged} damaged lines",
        )
    ]


def delivered(eve: Path) -> set[str]:
    """Return the incidents that the EVE file has whole lines of."""
    found = set()
    for line in eve.read_text().splitlines() if eve.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:  # cut by a kill
            continue
        if event["event_type"] == "incident":
            found.add(event["incident"]["incident_id"])
    return found


def broker(bench: Bench, minutes: float) -> list[Row]:
    """Take the MQTT broker away, attack meanwhile, and see what arrives when it is back."""
    folder = bench.folder / "broker"
    folder.mkdir()
    there = Broker(folder, _MQTT_PORT)
    bench.config = f'[mqtt]\nhost = "127.0.0.1"\nport = {there.port}\n'
    near = bench.wire.near
    near.call(there.start)
    try:
        near.call(there.watch)
        with bench.running("broker") as made:
            bench.attack(_KINDS[0])
            made.until(lambda one: one["incidents"] and _written(one))
            before = _Arrivals(near.command(*there._session("-F", "%j")))
            before.until_entities(time.monotonic())  # the session has nothing old from now on
            before.end()
            near.call(there.kill)
            _attack_slowly(bench, 60 * minutes)
            back = time.monotonic()
            near.call(there.start)
            arrived = _Arrivals(near.command(*there._session("-F", "%j")))
            entities_s = arrived.until_entities(back)
            made.until(lambda one: not _mqtt(one)["waiting"])
            time.sleep(2)
            arrived.end()
            known = {one["incident_id"] for one in made.snapshot()["incidents"]}
            lost = _mqtt(made.snapshot())["dropped"]
            made.end()
    finally:
        there.stop()
    missing = known - arrived.incidents - before.incidents
    return [
        Row(
            f"broker away for {minutes:g} min",
            f"{len(missing)} of {len(known)} incidents lost",
            "0",
            f"mosquitto, kill -9; {lost} events dropped by the sink",
        ),
        Row(
            "entities back after the broker",
            "never" if entities_s is None else f"{entities_s:.1f} s",
            "<= 10 s",
            "its start to online and discovery published anew",
        ),
    ]


def _attack_slowly(bench: Bench, seconds: float) -> None:
    attacks = 2 * _MOST - 10
    end = time.monotonic() + seconds
    for number in range(attacks):
        bench.attack(_KINDS[number % 2])
        time.sleep(max(0.0, (end - time.monotonic()) / (attacks - number)))


def _mqtt(snapshot: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in snapshot["sinks"] if one["name"] == "mqtt")


def _written(snapshot: dict[str, Any]) -> bool:
    return bool(_mqtt(snapshot)["written"])


class _Arrivals:
    """What a subscriber that was there before gets of a broker that came back."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.incidents: set[str] = set()
        self._seen: dict[str, float] = {}  # topics published anew, with the time
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            one = json.loads(line)
            if one["topic"].endswith("/incident"):
                self.incidents.add(json.loads(one["payload"])["incident_id"])
            if not one["retain"]:
                key = "available" if one["payload"] == "online" else one["topic"]
                self._seen.setdefault(key, time.monotonic())

    def end(self) -> None:
        """Go away; the broker keeps what comes for this session."""
        self.process.kill()
        self.process.wait()

    def until_entities(self, since: float, seconds: float = 60) -> float | None:
        """Return how long after ``since`` Home Assistant has what its entities need."""
        wanted = {"available", this_sensor().discovery_topic}
        while time.monotonic() < since + seconds:
            if wanted <= set(self._seen):
                return max(self._seen[one] for one in wanted) - since
            time.sleep(0.05)
        return None
