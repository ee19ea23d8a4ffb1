"""Devices, plants, telephones, cameras, games, VPNs and peers."""

from __future__ import annotations

from idskit.lab.activity import benign, benign_script

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
    benign_script("telemetry", "report-telemetry", "mqtt"),
    benign_script("keep-open", "keep-open", "sink"),
    benign_script("coap", "read-sensors", "coap"),
    benign_script("modbus", "poll-modbus", "modbus"),
    benign_script("opcua", "read-opcua", "opcua"),
    benign_script("iec104", "watch-station", "iec104"),
    benign_script("bacnet", "read-building", "bacnet"),
    benign_script("call", "call", "sip", "media"),
    benign_script("meeting", "meet", "stun", "media"),
    benign_script("desktop", "work-remotely", "desktop"),
    benign_script("game", "play-game", "media"),
    benign_script("camera", "watch-camera", "camera"),
    benign_script("vpn", "use-vpn", "vpn"),
    benign_script("quic", "download-by-quic", "quic"),
    benign_script("share-files", "share-files", "peers"),
)
