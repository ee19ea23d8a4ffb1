"""MQTT with a real broker: killed and started again, away, with TLS and passwords."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.parts import (
    HANG_S,
    HOSTILE,
    Broker,
    broker,
    certificates,
    incident,
    need,
    sink_of,
    until,
)

from idskit.errors import IdskitError
from idskit.sinks import mqtt_broker, outbox
from idskit.sinks.home_assistant import Sensor, discovery
from idskit.sinks.incident_text import encoded
from idskit.sinks.mqtt_broker import MqttBroker, MqttOptions

pytest.importorskip("paho.mqtt.client")
SENSOR = Sensor(id="attic-1a2b", name="idskit attic", version="1.2.3")
TOPIC = "idskit/attic-1a2b"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.2)
    monkeypatch.setattr(MqttBroker, "tick_s", 0.05)
    monkeypatch.setattr(mqtt_broker, "AFTER_START_S", (0.01, 0.02))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path / "broker") as made:
        yield made


def to(there: Broker, sensor: Sensor = SENSOR, **more: Any) -> MqttBroker:
    return MqttBroker(MqttOptions(host="127.0.0.1", port=there.port, **more), sensor)


def ids(messages: list[dict[str, Any]]) -> list[str]:
    found = [json.loads(one["payload"]) for one in messages if one["topic"] == f"{TOPIC}/incident"]
    return [one["incident_id"] for one in found]


def test_what_is_sent_arrives_at_its_topics(there: Broker) -> None:
    there.watch()
    with sink_of(to(there)) as sink:
        sink.offer(encoded(incident(1)))
        sink.offer_state("open", "1")
        sink.offer_state("model", '{"name":"gateway"}')
        until(lambda: there.retained(f"{TOPIC}/model"))
        assert there.retained(f"{TOPIC}/available") == "online"
        assert there.retained(f"{TOPIC}/open") == "1"
        assert there.retained(f"{TOPIC}/incident") is None
        last = json.loads(there.retained(f"{TOPIC}/last") or "")
    assert there.retained(f"{TOPIC}/available") == "stopped"
    assert last["incident_id"] == incident(1).incident_id
    got = there.messages(7)
    assert [one["topic"].rpartition("/")[2] for one in got] == [
        "available", "config", "incident", "last", "open", "model", "available",
    ]  # fmt: skip
    (event,) = (json.loads(one["payload"]) for one in got if one["topic"] == f"{TOPIC}/incident")
    assert event["event_type"] == event["type"] == "new"
    assert {one["qos"] for one in got} == {1}


def test_a_broker_that_is_killed_and_away_loses_no_incident(there: Broker, tmp_path: Path) -> None:
    there.watch()
    with sink_of(to(there), tmp_path / "s") as sink:
        for number in range(5):
            sink.offer(encoded(incident(number)))
        sink.offer_state("open", "5")
        until(lambda: sink.health().written == 5)
        until(lambda: there.retained(f"{TOPIC}/open") == "5")
        there.kill()
        until(lambda: sink.health().away)
        for number in range(5, 60):
            sink.offer(encoded(incident(number)))
        assert sink.health().waiting == 55
        there.start()
        until(lambda: sink.health().written == 60)
        # Entities are back, also on a broker that lost everything.
        assert there.retained(f"{TOPIC}/available") == "online"
        assert there.retained(f"{TOPIC}/open") == "5"
        assert there.retained(SENSOR.discovery_topic)
    found = set(ids(there.messages(60, "/incident")))
    assert found == {incident(number).incident_id for number in range(60)}


def test_incidents_wait_for_a_broker_over_a_restart_of_ours(there: Broker, tmp_path: Path) -> None:
    there.watch()
    there.stop()
    with sink_of(to(there), tmp_path / "s") as sink:
        for number in range(20):
            sink.offer(encoded(incident(number)))
        until(lambda: sink.health().away)
    there.start()
    with sink_of(to(there), tmp_path / "s") as sink:
        until(lambda: sink.health().written == 20)
    assert ids(there.messages(20, "/incident")) == [
        incident(number).incident_id for number in range(20)
    ]


CRASHING = """
import os, sys, time
from idskit.sinks.home_assistant import Sensor
from idskit.sinks.mqtt_broker import MqttBroker, MqttOptions
sensor = Sensor(id="attic-1a2b", name="idskit attic", version="1.2.3")
there = MqttBroker(MqttOptions(host="127.0.0.1", port=int(sys.argv[1])), sensor)
there.keep_up()
print("online", flush=True)
time.sleep(60)
"""


def test_the_broker_says_that_we_are_gone_when_we_crash(there: Broker) -> None:
    words = [sys.executable, "-c", CRASHING, str(there.port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"online\n"
        assert there.retained(f"{TOPIC}/available") == "online"
        child.kill()
    until(lambda: there.retained(f"{TOPIC}/available") == "offline")
    with sink_of(to(there)):
        until(lambda: there.retained(f"{TOPIC}/available") == "online")


def test_a_second_connection_of_ours_ends_as_online(there: Broker) -> None:
    """The will of a connection that is taken over comes before the new one says online."""
    old, new = to(there), to(there)
    old.keep_up()
    new.keep_up()
    assert there.retained(f"{TOPIC}/available") == "online"
    with pytest.raises(OSError, match="connection was lost"):
        until(old.keep_up)
    new.close()


def test_two_gateways_of_one_identifier_do_not_flap(
    there: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_broker, "FLAP_DELAY_S", (1000.0, 1001.0))
    monkeypatch.setattr(mqtt_broker, "SHORT_S", HANG_S)
    with sink_of(to(there)) as one, sink_of(to(there)) as other:
        why = until(lambda: [s.away for s in (one.health(), other.health()) if s.away is not None
                             and "identifier" in s.away])  # fmt: skip
        assert "attic-1a2b" in why[0]
        until(lambda: there.retained(f"{TOPIC}/available") == "online")


# The client leaves the socket of a failed handshake to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_password(tmp_path: Path) -> None:
    need("mosquitto_passwd")
    made = certificates(tmp_path)
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    command = ["mosquitto_passwd", "-b", "-c", str(passwords), "gateway", "correct horse"]
    subprocess.run(command, check=True, capture_output=True)
    passwords.chmod(0o644)
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    for file in (tmp_path, made["key"]):
        file.chmod(0o755)
    settings = (f"certfile {made['cert']}", f"keyfile {made['key']}", f"password_file {passwords}")
    with broker(tmp_path / "broker", *settings, "allow_anonymous false") as there:
        there.log_in_with("--cafile", str(made["ca"]), "-u", "gateway", "-P", "correct horse")
        more = {"tls": True, "ca_file": made["ca"], "user": "gateway", "password_file": secret}
        there.watch()
        with sink_of(to(there, **more)) as sink:
            sink.offer(encoded(incident(1)))
            until(lambda: sink.health().written == 1)
        assert ids(there.messages(1, "/incident")) == [incident(1).incident_id]
        assert "Not authorized" in away(to(there, **(more | {"user": "other"})))
        assert "certificate is not accepted" in away(to(there, tls=True))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_name_in_a_certificate_is_checked(tmp_path: Path) -> None:
    made = certificates(tmp_path, "DNS:elsewhere")
    for file in (tmp_path, made["key"]):
        file.chmod(0o755)
    settings = (f"certfile {made['cert']}", f"keyfile {made['key']}", "allow_anonymous true")
    with broker(tmp_path / "broker", *settings) as there:
        why = away(to(there, tls=True, ca_file=made["ca"]))
    assert "certificate is not accepted" in why


def away(destination: MqttBroker) -> str:
    """Return why nothing can be sent."""
    with sink_of(destination) as sink:
        return str(until(lambda: sink.health().away))


def test_home_assistant_that_starts_gets_the_device_again(there: Broker) -> None:
    with sink_of(to(there)):
        until(lambda: there.retained(SENSOR.discovery_topic))
        there.publish(SENSOR.discovery_topic, "", "-r")  # a broker that lost it
        assert there.retained(SENSOR.discovery_topic) is None
        there.publish("homeassistant/status", "online")
        until(lambda: there.retained(SENSOR.discovery_topic))


def test_entities_that_are_gone_are_removed(there: Broker) -> None:
    older = discovery(SENSOR)
    older["cmps"]["banana"] = {"p": "sensor", "unique_id": "x", "state_topic": "y"}
    there.watch()
    there.publish(SENSOR.discovery_topic, json.dumps(older), "-r")
    with sink_of(to(there)):
        got = [one for one in there.messages(3, "/config") if one["topic"].endswith("/config")]
    _, first, second = (json.loads(one["payload"])["cmps"] for one in got)
    assert first["banana"] == {"p": "sensor"}
    assert second == discovery(SENSOR)["cmps"]


def test_the_device_is_removed_where_it_is_not_wanted(there: Broker) -> None:
    with sink_of(to(there)):
        until(lambda: there.retained(SENSOR.discovery_topic))
    with sink_of(to(there, home_assistant=False)):
        until(lambda: there.retained(f"{TOPIC}/available") == "online")
        until(lambda: there.retained(SENSOR.discovery_topic) is None)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_json_of_bounded_size(there: Broker, text: str) -> None:
    there.watch()
    found = incident(device_name=text, services=(text,) * 100, attacker=text)
    with sink_of(to(there)) as sink:
        sink.offer(encoded(found))
        until(lambda: sink.health().written == 1)
    got = [one["payload"] for one in there.messages(1, "/incident")]
    got = got[-1:]
    assert len(got[0]) <= mqtt_broker.MOST_BYTES
    assert json.loads(got[0])["incident_id"] == found.incident_id
    assert len(json.loads(got[0])["summary"]) <= 255


@pytest.mark.parametrize("payload", ["x" * 200_000, "[" * 50_000, '{"cmps": {"a": 1, "b": {}}}'])
def test_what_others_publish_does_no_harm(there: Broker, payload: str) -> None:
    if len(payload) > 100_000:  # more than a command line takes
        command = ["mosquitto_pub", "-p", str(there.port), "-t", SENSOR.discovery_topic, "-r", "-s"]
        subprocess.run(command, input=payload.encode(), check=True)
    else:
        there.publish(SENSOR.discovery_topic, payload, "-r")
    with sink_of(to(there)) as sink:
        sink.offer(encoded(incident(1)))
        until(lambda: sink.health().written == 1)
    assert json.loads(there.retained(SENSOR.discovery_topic) or "") == discovery(SENSOR)


@pytest.mark.parametrize("seed", range(12))
def test_a_broker_that_sends_garbage_is_away_and_nothing_worse(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(mqtt_broker, "TIMEOUT_S", 0.2)
    chance = random.Random(seed)
    greeting = bytes([0x20, 3, 0, 0, 0]) if seed % 2 else b""  # "accepted", of MQTT 5

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(greeting + b"\x90\x05\x00\x01\x00\x01\x01")
            for _ in range(200):
                kind = chance.choice((0x20, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x90, 0xD0, 0xE0))
                body = chance.randbytes(chance.randrange(12))
                connection.sendall(bytes([kind, len(body)]) + body)
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        there = MqttBroker(MqttOptions(host="127.0.0.1", port=listener.getsockname()[1]), SENSOR)
        with pytest.raises(OSError):  # noqa: PT011 - in many words
            until(lambda: there.deliver(incident()))
        assert there._client is None
        thread.join(HANG_S)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for options, sentence in (
        (MqttOptions(), "set host"),
        (MqttOptions(host="h", password_file=tmp_path / "p"), "set user"),
        (MqttOptions(host="h", user="u", password_file=tmp_path / "p"), "cannot be read"),
    ):
        with pytest.raises(IdskitError, match=sentence):
            MqttBroker(options, SENSOR)
