"""Devices, plants, telephones, cameras, games, VPNs and peers."""

from __future__ import annotations

from idskit.lab.activity import Activity, benign


def _script(name: str, script: str, *servers: str, more: str = "") -> Activity:
    return benign(name, f"{{play}} {script} {{server}} {{count}} {{pause}} {more}", *servers)


APPLIANCES = (
    benign(
        "mqtt", "mosquitto_pub -h {server} -t home/t --repeat 20 --repeat-delay 0.5 -m 21.5", "mqtt"
    ),
    benign("mqtt-listen", "mosquitto_sub -h {server} -t home/# -W 10", "mqtt"),
    benign(
        "mqtt-mistyped",
        'sh -c \'for w in horse hrose "correct horse"; do mosquitto_pub -h {server} -u operator '
        '-P "$w" -t home/t -m 1; sleep 2; done\'',
        "mqtt-locked",
        needs=("mosquitto_pub",),
    ),
    benign(
        "mqtt-reconnecting",
        "sh -c 'for n in $(seq {count}); do mosquitto_pub -h {server} -t home/t$n -m $n; "
        "sleep {pause}; done'",
        "mqtt",
        needs=("mosquitto_pub",),
    ),
    _script("telemetry", "report-telemetry", "mqtt"),
    _script("keep-open", "keep-open", "sink"),
    _script("coap", "read-sensors", "coap"),
    _script("modbus", "poll-modbus", "modbus"),
    _script("opcua", "read-opcua", "opcua"),
    _script("iec104", "watch-station", "iec104"),
    _script("bacnet", "read-building", "bacnet"),
    _script("call", "call", "sip", "media"),
    _script("meeting", "meet", "stun", "media"),
    _script("desktop", "work-remotely", "desktop"),
    _script("game", "play-game", "media"),
    _script("camera", "watch-camera", "camera"),
    _script("vpn", "use-vpn", "vpn"),
    _script("quic", "download-by-quic", "quic"),
    _script("share-files", "share-files", "peers"),
)
