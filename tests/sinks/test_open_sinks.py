"""All sinks of a service together."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.parts import broker, incident, until
from tests.sinks.test_webhook import serving

import idskit.sinks
from idskit.errors import IdskitError
from idskit.options import check_options, kinds_of, options_of
from idskit.sinks import mqtt_broker, outbox
from idskit.sinks.home_assistant import Sensor
from idskit.sinks.local_outputs import EveOptions, UnixOptions
from idskit.sinks.mqtt_broker import MqttOptions
from idskit.sinks.open_sinks import SECTIONS, ModelFacts, ServiceStats, check_sinks, open_sinks
from idskit.sinks.prometheus import FAMILIES, Metrics
from idskit.sinks.scrape_server import PrometheusOptions
from idskit.sinks.syslog_receiver import SyslogOptions
from idskit.sinks.webhook import WebhookOptions

SENSOR = Sensor(id="attic-1a2b", name="idskit attic", version="1.2.3")
STATS = ServiceStats(open=2, today=3, packets_per_s=50.0, flows_per_s=1.5, dropped=0, health="fine")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.1)
    monkeypatch.setattr(mqtt_broker.MqttBroker, "tick_s", 0.05)


def test_what_is_not_configured_is_not_opened() -> None:
    off = [kind() for kind in SECTIONS.values()]
    with open_sinks(*off, sensor=SENSOR) as sinks:
        assert (sinks.health(), sinks.metrics_port) == ([], None)
        sinks.send(incident())


def test_every_section_is_made_of_options() -> None:
    for kind in SECTIONS.values():
        assert is_dataclass(kind)
        assert [one.name for one in fields(kind)] == list(options_of(kind)) == list(kinds_of(kind))
        assert all(known.help for _, known in options_of(kind).values())
        assert not any(name in {"password", "secret"} for name in options_of(kind))


def test_every_sink_gets_every_incident(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client")
    metrics = Metrics()
    with (
        broker(tmp_path / "broker") as there,
        serving() as web,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix,
    ):
        syslog.bind(("127.0.0.1", 0))
        port = syslog.getsockname()[1]
        unix.bind(str(tmp_path / "unix"))
        options = (
            EveOptions(path=tmp_path / "eve.json"),
            UnixOptions(path=tmp_path / "unix", kind="datagram"),
            SyslogOptions(transport="udp", host="127.0.0.1", port=port),
            MqttOptions(host="127.0.0.1", port=there.port),
            WebhookOptions(url=web.url(), allow_private=True),
            PrometheusOptions(port=0),
        )
        more: dict[str, Any] = {"sensor": SENSOR, "spool": tmp_path, "metrics": metrics}
        with open_sinks(*options, **more) as sinks:
            sinks.send(incident())
            sinks.send_stats(STATS)
            sinks.send_model(ModelFacts(name="gw", version="3", sha256="ab", threshold=0.5))
            sinks.send_line('{"event_type":"alert"}')
            until(lambda: sum(health.written for health in sinks.health()) == 5 + 2)
            until(lambda: there.retained("idskit/attic-1a2b/model"))
            stats = json.loads(there.retained("idskit/attic-1a2b/stats") or "")
            assert (stats["today"], there.retained("idskit/attic-1a2b/open")) == (3, "2")
            assert sinks.metrics_port
            text = metrics.text()
        for name in ("eve", "unix", "syslog", "mqtt", "webhook"):
            assert f'idskit_sink_up{{sink="{name}"}} 1\n' in text
            written = 2 if name in ("eve", "unix") else 1
            assert f'idskit_sink_written_total{{sink="{name}"}} {written}\n' in text
            assert f'idskit_sink_queue_events{{sink="{name}"}} 0\n' in text
        assert incident().incident_id.encode() in syslog.recv(4096)
        assert incident().incident_id.encode() in unix.recv(65_536)
        assert len(web.got) == 1
    assert (tmp_path / "eve.json").read_text().count("\n") == 2 + 1


def test_a_section_that_cannot_be_used_closes_the_others(tmp_path: Path) -> None:
    eve = EveOptions(path=tmp_path / "eve.json")
    for wrong in (MqttOptions(host="h", user="u", password_file=tmp_path / "missing"),
                  WebhookOptions(url="http://host/"), EveOptions(path=tmp_path / "x", rotate_mb=-1),
                  PrometheusOptions(port=0, address="nowhere")):  # fmt: skip
        with pytest.raises(IdskitError):
            open_sinks(eve, wrong, sensor=SENSOR, spool=tmp_path)
    open_sinks(eve, sensor=SENSOR, spool=tmp_path).close()  # not locked


def test_a_configuration_is_checked_without_opening_anything(tmp_path: Path) -> None:
    eve = EveOptions(path=tmp_path / "eve.json")
    with open_sinks(eve, sensor=SENSOR):
        check_sinks(eve, WebhookOptions(url="https://nowhere.invalid/"), sensor=SENSOR)
    for wrong in (WebhookOptions(url="http://host/"), EveOptions(rotate_mb=-1)):
        with pytest.raises(IdskitError):
            check_sinks(wrong, sensor=SENSOR)


def test_sinks_that_are_opened_anew_replace_the_older_ones_in_the_numbers(tmp_path: Path) -> None:
    metrics = Metrics()
    eve, unix = EveOptions(path=tmp_path / "eve.json"), UnixOptions(path=tmp_path / "unix")
    open_sinks(eve, unix, sensor=SENSOR, metrics=metrics).close()
    with open_sinks(eve, sensor=SENSOR, metrics=metrics):
        text = metrics.text()
    assert 'sink="eve"' in text
    assert 'sink="unix"' not in text


SERVICE = """
import sys
import time
from pathlib import Path
from tests.sinks.parts import incident
from idskit.sinks.home_assistant import Sensor
from idskit.sinks.local_outputs import EveOptions
from idskit.sinks.open_sinks import open_sinks
from idskit.sinks.webhook import WebhookOptions
folder, first, url = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sensor = Sensor(id="a", name="a", version="1")
hook = WebhookOptions(url=url, allow_private=True)
with open_sinks(EveOptions(path=folder / "eve.json"), hook, sensor=sensor,
                spool=folder) as sinks:
    for number in range(first, first + 100_000):
        sinks.send(incident(number))
        print(number, flush=True)  # accepted
        time.sleep(0.001)
"""


def test_kill_9_in_a_loop_loses_no_accepted_incident(tmp_path: Path) -> None:
    """The file takes what it gets at once; the web server is away until the end."""
    with serving() as later:
        url = later.url()
    accepted: list[int] = []
    for kills in range(3):
        words = [sys.executable, "-c", SERVICE, str(tmp_path), str(1000 * kills), url]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(1 + 13 * kills):
                accepted.append(int(child.stdout.readline()))
            child.send_signal(signal.SIGKILL)
            accepted += [int(line) for line in child.stdout.read().split()]
    with serving() as web:
        options = (EveOptions(path=tmp_path / "eve.json"),
                   WebhookOptions(url=web.url(), allow_private=True))  # fmt: skip
        with open_sinks(*options, sensor=SENSOR, spool=tmp_path) as sinks:
            until(lambda: not any(health.waiting for health in sinks.health()))
        posted = {json.loads(body)["incident_id"] for _, _, body in web.got}
    written = {
        json.loads(line)["incident"]["incident_id"]
        for line in (tmp_path / "eve.json").read_text().splitlines()
        if line.endswith("}") and '"event_type":"incident"' in line
    }
    wanted = {incident(number).incident_id for number in accepted}
    assert wanted <= written
    assert wanted <= posted


README = (Path(str(idskit.sinks.__file__)).resolve().parent / "README.md").read_text()


def test_the_configuration_of_the_readme_is_whole() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    written = tomllib.loads(block)
    assert list(written) == list(SECTIONS)
    shown = {name: set(table) for name, table in written.items()}
    known = {name: set(options_of(kind)) for name, kind in SECTIONS.items()}
    missing = {name: known[name] - shown[name] for name in known if known[name] - shown[name]}
    assert missing == {"syslog": {"path"}}
    for name, table in written.items():
        paths = {key for key, kind in kinds_of(SECTIONS[name]).items() if kind.scalar is Path}
        made = {key: Path(value) if key in paths else value for key, value in table.items()}
        check_options(SECTIONS[name](**made))


def test_the_numbers_of_the_readme_are_those_that_are_counted() -> None:
    table = README.partition("## Numbers")[2].partition("## Many")[0]
    names = {f"idskit_{name}" for name in re.findall(r"`([a-z_]+)(?:\{[a-z0-9,]+\})?`", table)}
    assert {family.name for family in FAMILIES} <= names
    assert names - {family.name for family in FAMILIES} <= {"idskit_localhost", "idskit_idskit_"}


def test_sinks_load_neither_compiler_nor_client_until_they_are_used() -> None:
    code = (
        "import sys, idskit.sinks.open_sinks; print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numba", "torch", "pandas", "onnx", "paho", "typer"}
