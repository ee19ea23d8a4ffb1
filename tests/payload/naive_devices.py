"""Messages of devices, in plain Python; see ``naive_payload``."""

from __future__ import annotations

import struct

from tests.payload.naive_tally import Tally, content, number_of


class Devices(Tally):
    def industrial(self, kind: str) -> bool:
        return self.add(f"industrial_{kind}")

    def s7(self, data: bytes) -> bool:
        if len(data) < 18 or data[5] != 0xF0 or data[7] != 0x32:
            return False
        at = 19 if data[8] in (2, 3) else 17
        if data[8] == 7 or len(data) <= at:
            return self.industrial("reads")
        if data[at] != 0xF0:
            self.industrial({4: "reads", 5: "writes"}.get(data[at], "controls"))
        if data[8] == 1 and data[at] == 0x29:
            self.add("industrial_stops")
        return True

    def dnp3(self, data: bytes) -> bool:
        if len(data) < 10 or data[:2] != b"\x05\x64":
            return False
        if len(data) >= 13 and data[2] >= 8 and data[10] & 0x40:
            reads = dict.fromkeys((0, 1, 129, 130), "reads")
            self.industrial({**reads, 2: "writes"}.get(data[12], "controls"))
        return True

    def modbus(self, data: bytes) -> bool:
        if len(data) < 8:
            return False
        _, identifier, size, _, function = struct.unpack_from(">HHHBB", data)
        if identifier or not 2 <= size <= 260:
            return False
        if (function == 8 and data[8:10] in (b"\0\1", b"\0\4")) or (
            function == 90 and data[9:10] == b"A"
        ):
            self.add("industrial_stops")
        kinds = {
            **dict.fromkeys((1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43), "reads"),
            **dict.fromkeys((5, 6, 15, 16, 21, 22, 23), "writes"),
        }
        if function > 127:
            self.put("declined", self.values["asked"])
            return self.industrial("exceptions")
        self.values["asked"] = number_of(data[6:10])
        return self.industrial(kinds.get(function, "controls"))

    def iec104(self, data: bytes) -> bool:
        if len(data) < 6 or data[0] != 0x68:
            return False
        if len(data) >= 8 and data[2] % 2 == 0:
            is_write, is_control = 45 <= data[6] <= 64, 100 <= data[6] <= 107
            self.industrial("writes" if is_write else "controls" if is_control else "reads")
        return True

    def ethernet_ip(self, data: bytes) -> bool:
        if len(data) < 24 or data[20:24] != bytes(4):
            return False
        (command,) = struct.unpack_from("<H", data)
        if command in (0x6F, 0x70):
            return self.industrial("controls")
        return command in (4, 0x63, 0x64, 0x65, 0x66) and self.industrial("reads")

    def bacnet(self, data: bytes) -> bool:
        return len(data) >= 4 and data[0] == 0x81 and self.industrial("reads")

    def mqtt(self, data: bytes) -> bool:
        if len(data) < 2:
            return False
        kind = data[0] >> 4
        if kind == 1:
            self.values["credentials"] = self.given(data[2 if data[1] < 128 else 3 :])
        if kind in (1, 3):
            self.add("mqtt_connects" if kind == 1 else "mqtt_publishes")
        if kind == 2 and len(data) >= 4 and data[3]:
            self.add("mqtt_refusals")
        return kind > 0

    def given(self, connect: bytes) -> int:
        """What is behind the identifier of a client, in what is behind the length of CONNECT."""
        protocol = connect[2 + int.from_bytes(connect[:2]) :]
        client = protocol[4:]
        if len(connect) < 2 or len(client) < 2:
            return 0
        rest = client[2 + int.from_bytes(client[:2]) :]
        return number_of(rest) if rest else 0

    def snmp(self, data: bytes) -> bool:
        is_message = len(data) >= 8 and data[0] == 0x30
        version = content(data)[:3] if is_message else b""
        right = len(version) == 3 and version[:2] == b"\x02\x01" and version[2] <= 3
        return right and self.add("snmp_messages")

    def ntp(self, data: bytes) -> bool:
        if len(data) < 8 or not 1 <= data[0] >> 3 & 7 <= 4:
            return False
        return self.add("ntp_controls" if data[0] & 7 in (6, 7) else "ntp_messages")

    def dhcp(self, data: bytes) -> bool:
        if len(data) < 44 or data[0] not in (1, 2) or data[2] > 16:
            return False
        return self.add("dhcp_requests" if data[0] == 1 else "dhcp_replies")
