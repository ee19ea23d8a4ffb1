"""Incidents and states to an MQTT broker, and the device that Home Assistant makes of them.

    idskit/ID/available   online; offline by the broker (last will); stopped at a clean end
    idskit/ID/incident    every event in the life of an incident
    idskit/ID/last        the last of them
    idskit/ID/open        number of open incidents
    idskit/ID/stats       numbers of the service
    idskit/ID/model       the model in use

All but ``incident`` are retained. The client's network loop runs in the sink's thread, so that
nothing else touches it. MQTT 5 is used because it lets a client bound what it is sent.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idskit.errors import IdskitError, require
from idskit.incidents.incident import Incident
from idskit.options import option
from idskit.sinks.connections import TIMEOUT_S, read_secret, tls_context
from idskit.sinks.home_assistant import ONLINE, STATUS_TOPIC, Sensor, discovery, without
from idskit.sinks.incident_text import message
from idskit.sinks.outbox import Away, Destination, Topic

if TYPE_CHECKING:
    from paho.mqtt.client import Client

MOST_BYTES = 16_384  # of an incident: Home Assistant keeps no larger attributes
MOST_RECEIVED = 65_536  # bytes of a message that the broker may send
KEEP_ALIVE_S = 30
AFTER_START_S = (0.3, 3.0)  # a random time between, so that many devices do not come at once
SHORT_S, MOST_FLAPS, FLAP_DELAY_S = 10.0, 5, (20.0, 60.0)  # of connections that end soon
_GOODBYE_S = 2.0
_UNSPECIFIED = 0x80  # a reason of MQTT 5
_RANDOM = random.SystemRandom()


@dataclass(frozen=True, kw_only=True)
class MqttOptions:
    """An MQTT broker, such as that of Home Assistant."""

    host: str | None = option(None, "Name or address of the broker; nothing is sent if omitted")
    port: int | None = option(None, "Its port; 1883, with tls 8883 if omitted", low=1, high=65_535)
    tls: bool = option(False, "Encrypt, and check the broker's certificate")
    ca_file: Path | None = option(
        None, "Certificates (PEM) that the broker's is checked with; the system's if omitted"
    )
    user: str | None = option(None, "Name to log in with; none if omitted")
    password_file: Path | None = option(None, "File with the password; none if omitted")
    home_assistant: bool = option(True, "Make a device with its entities in Home Assistant")

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.host is not None


class MqttBroker(Destination):
    """An MQTT broker.

    Raises:
        IdskitError: the options do not go together, or a file cannot be used.
        MissingExtra: paho-mqtt is not installed.
    """

    name = "mqtt"
    takes_states = True
    tick_s = 1.0

    def __init__(self, options: MqttOptions, sensor: Sensor) -> None:
        self._paho: Any = require("paho.mqtt.client", "mqtt")
        if not options.host:
            raise IdskitError("MQTT has no broker: set host")
        if options.password_file is not None and options.user is None:
            raise IdskitError("MQTT has a password_file but no user: set user")
        self._options, self._sensor = options, sensor
        secret = options.password_file
        self._password = None if secret is None else read_secret(secret)
        self._tls = tls_context(options.ca_file) if options.tls else None
        self._client: Client | None = None
        self._answer: Any = None  # of the broker to our connecting
        self._lost = ""  # why the connection ended
        self._is_greeted = False
        self._since_s = 0.0  # of the connection
        self._flaps = 0  # connections in a row that ended soon
        self._older = b""  # discovery message that the broker had
        self._announce_at: float | None = None
        self._retained: dict[str, str] = {}  # sent again on every connection

    def deliver(self, incident: Incident) -> None:
        """Publish an event; the broker has confirmed it when this returns.

        Raises:
            OSError: there is no broker.
        """
        self.keep_up()
        text = message(incident, MOST_BYTES, event_type=incident.type)
        self._publish("incident", text)
        self._keep("last", text)

    def publish(self, topic: Topic, state: str) -> None:
        """Publish a state, retained.

        Raises:
            OSError: there is no broker.
        """
        self.keep_up()
        self._keep(topic, state)

    def keep_up(self) -> None:
        """Handle what the broker sends, and connect again where the connection was lost.

        Raises:
            OSError: there is no broker.
        """
        if self._client is None:
            self._connect()
        else:
            for _ in range(10):  # messages at most
                self._step(0)
        if self._announce_at is not None and time.monotonic() >= self._announce_at:
            self._announce()

    def reopen(self) -> None:
        """Connect again."""
        self.close()

    def close(self) -> None:
        """Publish that this gateway was stopped, and disconnect."""
        if self._client is None:
            return
        with suppress(OSError):
            self._publish("available", "stopped", retain=True, within_s=_GOODBYE_S)
            self._client.disconnect()
            end = time.monotonic() + _GOODBYE_S
            while self._client.is_connected() and time.monotonic() < end:
                self._step(0.05)
        self._drop()

    def _connect(self) -> None:
        """Connect, say that we are here, and publish all that is retained.

        Raises:
            OSError: there is no broker, or it does not want us.
        """
        self._answer, self._older, self._lost, self._is_greeted = None, b"", "", False
        port = self._options.port or (1883 if self._tls is None else 8883)
        self._client = client = self._made()
        try:
            client.connect(
                str(self._options.host), port, KEEP_ALIVE_S, properties=self._properties()
            )
            self._await(lambda: self._answer is not None, TIMEOUT_S)
            if self._answer.is_failure:
                raise Away(self._why(self._paho.MQTT_ERR_CONN_REFUSED))
            self._is_greeted, self._since_s = True, time.monotonic()
            self._greet(client)
        except OSError:
            self._drop()
            raise
        except ValueError as error:  # the client's word for a host or a port that cannot be
            self._drop()
            raise Away(str(error)) from error

    def _greet(self, client: Client) -> None:
        client.subscribe([(self._sensor.discovery_topic, 1), (STATUS_TOPIC, 1)])
        # Confirmed after the subscription, whose retained messages have come by then.
        self._publish("available", ONLINE, retain=True)
        self._announce()
        for topic, state in self._retained.items():
            self._publish(topic, state, retain=True)

    def _made(self) -> Client:
        """Return a client whose identifier is the same after a crash.

        The broker then ends the older connection, and its last will, before the new one begins.
        """
        paho = self._paho
        client: Client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=f"idskit_{self._sensor.id}",
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = TIMEOUT_S
        client.will_set(f"{self._sensor.topic}/available", "offline", qos=1, retain=True)
        if self._options.user is not None:
            client.username_pw_set(self._options.user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _properties(self) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MOST_RECEIVED
        return properties

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, answer: Any, _more: Any) -> None:
        self._answer = answer

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, why: Any, _more: Any) -> None:
        if why.value != _UNSPECIFIED:  # the broker said nothing
            self._lost = str(why)

    def _on_message(self, _client: Any, _data: Any, received: Any) -> None:
        if received.topic == self._sensor.discovery_topic:
            if received.retain:
                self._older = bytes(received.payload)
        elif received.topic == STATUS_TOPIC and received.payload == b"online":
            self._announce_at = time.monotonic() + _RANDOM.uniform(*AFTER_START_S)

    def _announce(self) -> None:
        """Publish what Home Assistant makes a device of, or remove it where it is not wanted."""
        self._announce_at = None
        topic, older, self._older = self._sensor.discovery_topic, self._older, b""
        if not self._options.home_assistant:
            if older:
                self._send(topic, "", retain=True, within_s=TIMEOUT_S)
            return
        found = discovery(self._sensor)
        gone = without(older, found)
        if gone is not None:
            self._send(topic, json.dumps(gone), retain=True, within_s=TIMEOUT_S)
        self._send(topic, json.dumps(found), retain=True, within_s=TIMEOUT_S)

    def _keep(self, topic: str, state: str) -> None:
        self._retained[topic] = state
        self._publish(topic, state, retain=True)

    def _publish(
        self, topic: str, text: str, *, retain: bool = False, within_s: float = TIMEOUT_S
    ) -> None:
        self._send(f"{self._sensor.topic}/{topic}", text, retain=retain, within_s=within_s)

    def _send(self, topic: str, text: str, *, retain: bool, within_s: float) -> None:
        """Publish, and wait until the broker confirms it.

        Raises:
            Away: it does not in time.
        """
        client = self._client
        if client is None:
            raise Away("there is no connection")
        sent = client.publish(topic, text, qos=1, retain=retain)
        if sent.rc != self._paho.MQTT_ERR_SUCCESS:
            self._drop()
            raise Away(f"the connection was lost: {self._paho.error_string(sent.rc)}")
        self._await(sent.is_published, within_s)

    def _await(self, is_done: Callable[[], bool], within_s: float) -> None:
        end = time.monotonic() + within_s
        while not is_done():
            if time.monotonic() > end:
                self._drop()
                raise Away(f"the broker does not answer within {within_s:g} s")
            self._step(0.1)

    def _step(self, seconds: float) -> None:
        """Let the client read and write for a while.

        Raises:
            Away: the connection was lost.
        """
        client = self._client
        if client is None:
            raise Away("there is no connection")
        try:
            code = client.loop(seconds)
        except Exception as error:  # of the client, whose parser trusts the broker
            self._drop()
            raise Away(f"the broker sends what is no MQTT ({type(error).__name__})") from error
        if code != self._paho.MQTT_ERR_SUCCESS:
            self._drop()
            raise self._ended(code)

    def _why(self, code: Any) -> str:
        if self._answer is not None and self._answer.is_failure:
            return f"the broker refuses the connection: {self._answer}"
        return f"the connection was lost: {self._lost or self._paho.error_string(code)}"

    def _ended(self, code: Any) -> Away:
        """Return why a connection ended, and come back later where each one ends soon.

        Two gateways of one identifier would throw each other out for ever.
        """
        was_short = self._is_greeted and time.monotonic() - self._since_s < SHORT_S
        self._flaps = self._flaps + 1 if was_short else 0
        why = self._why(code)
        if self._flaps < MOST_FLAPS:
            return Away(why)
        also = f"does another gateway have the identifier {self._sensor.id}?"
        return Away(f"{why}; {also}", retry_after_s=_RANDOM.uniform(*FLAP_DELAY_S))

    def _drop(self) -> None:
        """Close the connection without a word, so that the broker publishes the last will."""
        client, self._client = self._client, None
        opened = None if client is None else client.socket()
        if opened is not None:
            with suppress(OSError):
                opened.close()
