"""Messages of Windows networks, in plain Python; see ``naive_payload``."""

from __future__ import annotations

import re
import struct

from tests.payload.naive_tally import Tally, content

ADMIN = {  # first four bytes of interfaces, as their UUIDs are written
    *("367abb81", "86d35949", "1ff70682", "378e52b0", "338cd001", "000001a0", "4d9f4ab8"),
    *("9556dc99", "f309ad18", "99fcfec4", "c681d488", "df1941c5", "82273fdc", "894de0c0"),
}
DIRECTORY = {"12345778", "12345678", "e3514235", "4b324fc8", "6bffd098"}
SMB1 = {
    **dict.fromkeys((0x73,), "smb_sessions"),
    **dict.fromkeys((0x70, 0x75), "smb_trees"),
    **dict.fromkeys((0x2D, 0xA2), "smb_opens"),
    **dict.fromkeys((0x2E,), "smb_reads"),
    **dict.fromkeys((0x2F,), "smb_writes"),
    **dict.fromkeys((0x25, 0x26, 0x32, 0x33, 0xA0, 0xA1), "smb_calls"),
}
SMB2 = {
    **{1: "smb_sessions", 3: "smb_trees", 5: "smb_opens", 8: "smb_reads", 9: "smb_writes"},
    11: "smb_calls",
}
INTERFACES = [  # how the UUID begins, how it ends
    (("e3514235",), ""),
    (("12345678",), "456789ab"),
    (("76f03f96",), ""),
    (("4fc742e0",), ""),
    (("a8e0653c",), ""),
    (("c681d488", "df1941c5"), ""),
    (("4b324fc8",), ""),
    (("12345678",), "4567cffb"),
    (("12345778",), "456789ac"),
    (("6bffd098",), ""),
]
LISTS = {9: {11, 13, 15, 25, 33, 40, 48, 51}, 7: {12}, 10: {2}}
ADMIN_SHARE = re.compile(rb"(?is)\\(?:[a-z]|admin)\$|\\.(?:[a-z]\0|a\0d.m.i.n\0|a.d.m.i.n\0)\$")
CALLS = dict(
    enumerate(
        [
            *({3, 5, 17, 18}, {9, 62, 65, 89}, {39, 58, 62}, {12, 13}, {8, 9}),
            *(range(65536), {31, 32}, {30}),
        ],
        1,
    )
)
DENIED = {b"\5\0\0\0", b"\x22\0\0\xc0"}
LOGON_STATUS = {0xC000006D, 0xC0000064, 0xC000006A, 0xC0000072, 0xC0000234, 0xC000015B}


class Windows(Tally):
    def smb(self, data: bytes) -> bool:
        if len(data) < 36 or data[5:8] != b"SMB" or data[4] not in (0xFF, 0xFE, 0xFD, 0xFC):
            return False
        message = data[4:]
        if message[0] in (0xFC, 0xFD):
            return True
        if message[0] == 0xFF:
            self.add("smb1_messages")
            command, status = struct.unpack_from("<BI", message, 4)
            name = SMB1.get(command)
            if not message[9] & 0x80 and (
                command == 0x33 or (command == 0x32 and message[61:63] == b"\x0e\0")
            ):
                self.add("smb_reserved_calls")
        else:
            self.add("smb2_messages")
            status, command, _, flags = struct.unpack_from("<IHHI", message, 8)
            status, name = status if flags & 1 else 0, SMB2.get(command)
        self.add(*filter(None, [name]))
        asks = not flags & 1 if message[0] == 0xFE else command == 0x75 and not message[9] & 0x80
        is_connect = name == "smb_trees" and asks
        if is_connect and any(found.end() > 44 for found in ADMIN_SHARE.finditer(message[:512])):
            self.add("smb_admin_shares")
        if status >= 0xC0000000 and status != 0xC0000016:
            self.add("smb_failures")
            if status in LOGON_STATUS:
                self.add("smb_logon_failures")
        self.inside(message[28:512])
        return True

    def inside(self, data: bytes) -> None:
        while len(data) >= 16:
            if data.startswith(b"NTLM"):
                self.add("ntlm_messages")
                data = data[13:]
                continue
            if data[0] == 5 and data[4:8] == b"\x10\0\0\0" and self.rpc(data):
                return
            data = data[1:]

    def rpc(self, data: bytes) -> bool:
        if len(data) < 16 or data[0] != 5 or data[1] > 1:
            return False
        if data[4] not in (0, 0x10) or data[5] > 3:
            return False
        kind = data[2]
        if kind == 2 and len(data) >= 28:
            size, verifier = struct.unpack_from("<HH", data, 8)
            if 28 <= size <= len(data) and not verifier and data[size - 4 : size] in DENIED:
                self.add("rpc_refused_calls")
        if kind == 3 and data[24:28] in DENIED:
            self.add("rpc_refused_calls")
        if kind == 0 and len(data) >= 24:
            self.call(struct.unpack_from("<H", data, 22)[0])
        names = {0: "rpc_requests", 3: "rpc_faults", 11: "rpc_binds", 14: "rpc_binds"}
        if kind in names:
            self.add(names[kind])
        if kind in (11, 14) and len(data) >= 36:
            interface = data[35:31:-1].hex()
            if interface in ADMIN:
                self.add("rpc_admin_binds")
            if interface in DIRECTORY:
                self.add("rpc_directory_binds")
        if kind in (11, 14) and len(data) >= 48:
            ends = data[35:31:-1].hex(), data[44:48].hex()
            self.values["rpc_interface"] = next(
                (
                    number
                    for number, (first, last) in enumerate(INTERFACES, 1)
                    if ends[0] in first and ends[1].endswith(last)
                ),
                0,
            )
        return kind <= 19

    def call(self, number: int) -> None:
        interface = self.values["rpc_interface"]
        if number in CALLS.get(interface, ()):
            self.add("rpc_intruder_calls")
        elif number in LISTS.get(interface, ()):
            self.add("rpc_account_lists")

    def kerberos(self, data: bytes) -> bool:
        if len(data) >= 16 and data[0] == 0:
            data = data[4:]
        if len(data) < 12:
            return False
        if data[0] in (0x6A, 0x6C):
            self.add("kerberos_requests")
            for found in re.finditer(rb"(?s)(?=\xa8(.)\x30(.)(...))", data[-400:]):
                outer, inner, value = found.groups()
                if outer[0] == inner[0] + 2:
                    if value == b"\x02\x01\x17":
                        self.add("kerberos_rc4")
                    break
            return True
        if data[0] == 0x7E:
            self.add("kerberos_errors")
            code = re.search(rb"(?s)\xa6\x03\x02\x01(.)", data[:200])
            if code and code.group(1)[0] in (6, 18, 24):
                self.add("kerberos_logon_errors")
            return True
        return data[0] in (0x6B, 0x6D, 0x6E, 0x6F)

    def ldap(self, data: bytes) -> bool:
        if len(data) < 8 or data[0] != 0x30:
            return False
        message = content(data)
        if len(message) < 6 or message[0] != 2 or message[1] not in (1, 2, 3, 4):
            return False
        operation = message[2 + message[1] :]
        if len(operation) < 4:
            return False
        kind = operation[0]
        if kind in (0x60, 0x63):
            self.add("ldap_binds" if kind == 0x60 else "ldap_searches")
        if kind in (0x61, 0x65):
            result = content(operation)
            if len(result) >= 3 and result[0] == 10 and result[2] not in (0, 5, 6, 10, 14):
                self.add("ldap_failures")
                if kind == 0x61:
                    self.add("service_refusals")
        return 0x42 <= kind <= 0x78

    def desktop(self, data: bytes) -> bool:
        if data[5] >> 4 != 14:
            return False
        if data[11:12] not in (b"\xc0", b"\xc1", b"\xc2"):
            self.add("rdp_requests")
        return True
