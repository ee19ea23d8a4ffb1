"""Messages of Windows networks: SMB, DCE RPC, Kerberos, LDAP, NTLM, remote desktop.

Sources: [MS-CIFS], [MS-SMB2], C706, RFC 4120, RFC 4511, [MS-NLMP], [MS-RDPBCGR].
"""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    big16,
    big32,
    byte_at,
    count,
    inside_tag,
    is_letter,
    little16,
    little32,
)
from idskit.schemas.payload_columns import COLUMN

_SMB1, _SMB2, _SESSIONS, _TREES, _OPENS, _READS, _WRITES, _CALLS = (
    COLUMN[f"smb{name}"]
    for name in (
        *("1_messages", "2_messages", "_sessions", "_trees", "_opens", "_reads", "_writes"),
        "_calls",
    )
)
_FAILURES, _LOGON_FAILURES = COLUMN["smb_failures"], COLUMN["smb_logon_failures"]
_RESERVED = COLUMN["smb_reserved_calls"]
_NTLM = COLUMN["ntlm_messages"]
_BINDS, _REQUESTS, _FAULTS, _ADMIN, _DIRECTORY = (
    COLUMN[f"rpc_{name}"]
    for name in ("binds", "requests", "faults", "admin_binds", "directory_binds")
)
_KERBEROS, _ERRORS, _LOGON_ERRORS, _RC4 = (
    COLUMN[f"kerberos_{name}"] for name in ("requests", "errors", "logon_errors", "rc4")
)
_INTRUDER, _REFUSED_CALLS = COLUMN["rpc_intruder_calls"], COLUMN["rpc_refused_calls"]
_INTERFACE, _LISTED = COLUMN["rpc_interface"], COLUMN["rpc_account_lists"]
_ADMIN_SHARES = COLUMN["smb_admin_shares"]
_LDAP_BINDS, _SEARCHES, _LDAP_FAILURES = (
    COLUMN[f"ldap_{name}"] for name in ("binds", "searches", "failures")
)
_RDP = COLUMN["rdp_requests"]
_NO_FAILURES = (0, 5, 6, 10, 14)  # result codes of LDAP, RFC 4511, A.1
_SERVICE_REFUSALS = COLUMN["service_refusals"]
_BACKWARDS = b"nimda"
_SMB_HEADER = 32  # bytes of SMB 1; SMB 2 has more
_SEARCHED = 512  # bytes of an SMB message that are searched for NTLM and RPC

# First four bytes of interfaces, as numbers in little-endian order ([MS-SCMR], [MS-TSCH], ...).
_ADMIN_INTERFACES = (
    *(0x367ABB81, 0x86D35949, 0x1FF70682, 0x378E52B0, 0x338CD001),  # services, tasks, registry
    *(0x000001A0, 0x4D9F4AB8, 0x9556DC99, 0xF309AD18, 0x99FCFEC4),  # DCOM, WMI
    *(0xC681D488, 0xDF1941C5, 0x82273FDC, 0x894DE0C0),  # EFS, event log, shutdown
)
# Interfaces some of whose calls take a domain over or list who is there, by their first and last
# four bytes ([MS-DRSR], [MS-RPRN], [MS-PAR], [MS-DFSNM], [MS-FSRVP], [MS-EFSR], [MS-SRVS],
# [MS-NRPC], [MS-SAMR], [MS-WKST]).
_REPLICATION, _PRINTERS, _ASYNC_PRINTERS, _SHARED_ROOTS, _SHADOW_COPIES = range(1, 6)
_ENCRYPTED_FILES, _SERVER, _LOGON, _ACCOUNTS, _WORKSTATION = range(6, 11)
# Printers and logon differ in their last bytes only, and so do accounts and policies.
_WATCHED = (
    (0xE3514235, _REPLICATION),
    (0x76F03F96, _ASYNC_PRINTERS),
    (0x4FC742E0, _SHARED_ROOTS),
    (0xA8E0653C, _SHADOW_COPIES),
    (0xC681D488, _ENCRYPTED_FILES),
    (0xDF1941C5, _ENCRYPTED_FILES),
    (0x4B324FC8, _SERVER),
    (0x6BFFD098, _WORKSTATION),
)
# Their calls that replicate a directory (DCSync), add a replica (DCShadow), install a driver of a
# printer (PrintNightmare), have a server log on to somebody (PrinterBug, DFSCoerce, ShadowCoerce;
# all calls of encrypted files: PetitPotam), resolve a path (MS08-067), or set the password of a
# computer (Zerologon).
_TAKEOVERS = tuple(
    interface << 16 | call
    for interface, calls in (
        (_REPLICATION, (3, 5, 17, 18)),
        (_PRINTERS, (9, 62, 65, 89)),
        (_ASYNC_PRINTERS, (39, 58, 62)),
        (_SHARED_ROOTS, (12, 13)),
        (_SHADOW_COPIES, (8, 9)),
        (_SERVER, (31, 32)),
        (_LOGON, (30,)),
    )
    for call in calls
)
# Calls that list groups, users, members and sessions: who looks for accounts to use.
_LISTS = tuple(
    interface << 16 | call
    for interface, calls in (
        (_ACCOUNTS, (11, 13, 15, 25, 33, 40, 48, 51)),
        (_SERVER, (12,)),
        (_WORKSTATION, (2,)),
    )
    for call in calls
)
_ACCESS_DENIED = (5, 0xC0000022)  # of Windows and of NT
_DIRECTORY_INTERFACES = (0x12345778, 0x12345678, 0xE3514235, 0x4B324FC8, 0x6BFFD098)


@kernel
def note_smb(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message behind its four bytes of length; False if there is none."""
    if end - at < 36 or byte_at(data, at) != 0 or big32(data, at + 4) & 0xFFFFFF != 0x534D42:
        return False
    kind, at = byte_at(data, at + 4), at + 4
    if kind == 0xFF:
        _note_smb1(counts, row, data, at, end)
    elif kind == 0xFE:
        _note_smb2(counts, row, data, at, end)
    else:
        return kind in (0xFC, 0xFD)  # compressed, encrypted
    _search(counts, row, data, at + 28, min(end, at + _SEARCHED))
    return True


@kernel
def _note_smb1(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    command = byte_at(data, at + 4)
    count(counts, row + _SMB1)
    if command == 0x73:
        count(counts, row + _SESSIONS)
    elif command in (0x70, 0x75):
        count(counts, row + _TREES)
    elif command in (0x2D, 0xA2):
        count(counts, row + _OPENS)
    elif command == 0x2E:
        count(counts, row + _READS)
    elif command == 0x2F:
        count(counts, row + _WRITES)
    elif command in (0x25, 0x26, 0x32, 0x33, 0xA0, 0xA1):
        count(counts, row + _CALLS)
    if _is_reserved(data, at, end):
        count(counts, row + _RESERVED)
    if command == 0x75 and not byte_at(data, at + 9) & 0x80 and _names_admin_share(data, at, end):
        count(counts, row + _ADMIN_SHARES)
    _note_status(counts, row, little32(data, at + 5))


@kernel
def _is_reserved(data: Bytes, at: int, end: int) -> bool:
    """Return whether a request is one that no client sends: EternalBlue and DoublePulsar do.

    That is TRANS2_SESSION_SETUP, which is reserved ([MS-CIFS], 2.2.6.15), and the continuation of a
    TRANSACTION2 (2.2.4.47), for which requests of clients have always been too small.
    """
    if byte_at(data, at + 9) & 0x80:  # a response
        return False
    command = byte_at(data, at + 4)
    if command == 0x33:
        return True
    return command == 0x32 and at + 63 <= end and little16(data, at + 61) == 0x0E


@kernel
def _names_admin_share(data: Bytes, at: int, end: int) -> bool:
    r"""Return whether a path ends with ``\ADMIN$`` or a drive, as ``\C$``, in UTF-16 or not."""
    for i in range(at + _SMB_HEADER + 12, min(end, at + _SEARCHED)):
        if byte_at(data, i) == 36:
            step = 1 if byte_at(data, i - 1) else 2
            letters = 1 if is_letter(byte_at(data, i - step)) else 0
            if byte_at(data, i - 2 * step) != 92:
                letters = _length_of_admin(data, i, step)
            if letters and byte_at(data, i - (letters + 1) * step) == 92:
                return True
    return False


@kernel
def _length_of_admin(data: Bytes, behind: int, step: int) -> int:
    """Return the length of ``ADMIN`` if that stands before ``behind``, else 0."""
    found = 0
    while found < len(_BACKWARDS) and (
        byte_at(data, behind - (found + 1) * step) | 32 == _BACKWARDS[found]
    ):
        found += 1
    return found if found == len(_BACKWARDS) else 0


@kernel
def _note_smb2(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    command = little16(data, at + 12)
    count(counts, row + _SMB2)
    if command == 1:
        count(counts, row + _SESSIONS)
    elif command == 3:
        count(counts, row + _TREES)
    elif command == 5:
        count(counts, row + _OPENS)
    elif command == 8:
        count(counts, row + _READS)
    elif command == 9:
        count(counts, row + _WRITES)
    elif command == 11:
        count(counts, row + _CALLS)
    if byte_at(data, at + 16) & 1:  # a response
        _note_status(counts, row, little32(data, at + 8))
    elif command == 3 and _names_admin_share(data, at, end):
        count(counts, row + _ADMIN_SHARES)


@kernel
def _note_status(counts: Counts, row: int, status: int) -> None:
    """Count an NT status that is an error ([MS-ERREF], 2.3), but not "more to come"."""
    if status >> 30 != 3 or status == 0xC0000016:
        return
    count(counts, row + _FAILURES)
    if status in (0xC000006D, 0xC0000064, 0xC000006A, 0xC0000072, 0xC0000234, 0xC000015B):
        count(counts, row + _LOGON_FAILURES)


@kernel
def _search(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Look for a message of NTLM or of RPC inside another one."""
    while at + 16 <= end:
        first = byte_at(data, at)
        if first == 0x4E and big32(data, at) == 0x4E544C4D:  # "NTLM" of "NTLMSSP"
            count(counts, row + _NTLM)
            at += 12
        elif (
            first == 5
            and big32(data, at + 4) == 0x10000000
            and note_rpc(counts, row, data, at, end)
        ):
            return
        at += 1


@kernel
def note_rpc(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message of connection-oriented DCE RPC (C706, 12.6); False if it is none."""
    if end - at < 16 or byte_at(data, at) != 5 or byte_at(data, at + 1) > 1:
        return False
    if byte_at(data, at + 4) & 0xEF or byte_at(data, at + 5) > 3:
        return False
    kind = byte_at(data, at + 2)
    if kind == 0:
        count(counts, row + _REQUESTS)
        _note_call(counts, row, data, at, end)
    elif kind == 2:
        _note_result(counts, row, data, at, end)
    elif kind == 3:
        count(counts, row + _FAULTS)
        if end - at >= 28 and little32(data, at + 24) in _ACCESS_DENIED:
            count(counts, row + _REFUSED_CALLS)
    elif kind in (11, 14):
        count(counts, row + _BINDS)
        if end - at >= 36:
            _note_interface(counts, row, little32(data, at + 32))
        if end - at >= 48:
            interface = _interface_of(little32(data, at + 32), big32(data, at + 44))
            counts[row + _INTERFACE] = np.float32(interface)
    return kind <= 19


@kernel
def _interface_of(first: int, last: int) -> int:
    """Return the class of an interface of whose calls some are watched, else 0."""
    if first == 0x12345678:
        return _PRINTERS if last == 0x456789AB else _LOGON if last == 0x4567CFFB else 0
    if first == 0x12345778:
        return _ACCOUNTS if last == 0x456789AC else 0
    for known, interface in _WATCHED:
        if first == known:
            return interface
    return 0


@kernel
def _note_call(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count a call that takes a domain over or lists accounts, at the interface bound last."""
    interface = int(counts[row + _INTERFACE])
    if interface == 0 or end - at < 24:
        return
    call = interface << 16 | little16(data, at + 22)
    if interface == _ENCRYPTED_FILES or call in _TAKEOVERS:
        count(counts, row + _INTRUDER)
    elif call in _LISTS:
        count(counts, row + _LISTED)


@kernel
def _note_result(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count an answer that ends with "access denied", where it ends here and is not encrypted."""
    size, verifier = little16(data, at + 8), little16(data, at + 10)
    if verifier or not 28 <= size <= end - at:
        return
    if little32(data, at + size - 4) in _ACCESS_DENIED:
        count(counts, row + _REFUSED_CALLS)


@kernel
def _note_interface(counts: Counts, row: int, interface: int) -> None:
    if interface in _ADMIN_INTERFACES:
        count(counts, row + _ADMIN)
    elif interface in _DIRECTORY_INTERFACES:
        count(counts, row + _DIRECTORY)


@kernel
def note_kerberos(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message, over UDP or behind TCP's four bytes of length; False if it is none."""
    if end - at >= 16 and byte_at(data, at) == 0:
        at += 4
    if end - at < 12:
        return False
    kind = byte_at(data, at)
    if kind in (0x6A, 0x6C):  # AS-REQ, TGS-REQ
        count(counts, row + _KERBEROS)
        _note_encryption(counts, row, data, at, end)
    elif kind == 0x7E:  # KRB-ERROR
        count(counts, row + _ERRORS)
        _note_error(counts, row, data, at, end)
    else:
        return kind in (0x6B, 0x6D, 0x6E, 0x6F)
    return True


@kernel
def _note_encryption(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count a request whose first wanted encryption is RC4 (23): field [8] of the body."""
    for i in range(max(at, end - 400), end - 6):
        if byte_at(data, i) != 0xA8 or byte_at(data, i + 2) != 0x30:
            continue
        if byte_at(data, i + 1) == byte_at(data, i + 3) + 2:  # the list fills the field
            if big16(data, i + 4) == 0x0201 and byte_at(data, i + 6) == 23:
                count(counts, row + _RC4)
            return


@kernel
def _note_error(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count an error (field [6]) that a wrong name or password causes: 6, 18, 24."""
    for i in range(at, min(end, at + 200) - 4):
        if big32(data, i) == 0xA6030201:
            if byte_at(data, i + 4) in (6, 18, 24):
                count(counts, row + _LOGON_ERRORS)
            return


@kernel
def note_ldap(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count an operation; False if the bytes are no message of LDAP."""
    if end - at < 8 or byte_at(data, at) != 0x30:
        return False
    at = inside_tag(data, at)
    if end - at < 6 or byte_at(data, at) != 2 or not 1 <= byte_at(data, at + 1) <= 4:
        return False
    at += 2 + byte_at(data, at + 1)
    if end - at < 4:
        return False
    kind = byte_at(data, at)
    if kind == 0x60:
        count(counts, row + _LDAP_BINDS)
    elif kind == 0x63:
        count(counts, row + _SEARCHES)
    elif kind in (0x61, 0x65):
        at = inside_tag(data, at)
        if end - at >= 3 and byte_at(data, at) == 10 and byte_at(data, at + 2) not in _NO_FAILURES:
            count(counts, row + _LDAP_FAILURES)
            if kind == 0x61:  # of a bind
                count(counts, row + _SERVICE_REFUSALS)
    return 0x42 <= kind <= 0x78


@kernel
def note_desktop(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a connection request of X.224 behind a TPKT header (RFC 1006); False if none.

    One that names transport selectors (C0 to C2) opens a conversation with a controller instead.
    """
    if end - at < 7 or byte_at(data, at + 5) & 0xF0 != 0xE0:
        return False
    if end - at < 12 or not 0xC0 <= byte_at(data, at + 11) <= 0xC2:
        count(counts, row + _RDP)
    return True
