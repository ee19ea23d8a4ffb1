"""The services of KDD'99 by port, as the public KDD'99 feature extractor assigns them.

Ports from the IANA registry of service names; the names are those of the data set. ``oth_i`` (other
ICMP) and ``icmp`` exist in KDD'99 but not in NSL-KDD, whose schema gives them the code -1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel
from idskit.packet import ICMP, TCP
from idskit.schemas.kdd99_columns import SERVICES

_Record = np.void

UNLISTED = ("icmp", "oth_i")

_CODES = {name: code for code, name in enumerate((*SERVICES, *UNLISTED))}
_OTHER, _PRIVATE = _CODES["other"], _CODES["private"]
_DOMAIN_U, _TFTP_U, _NTP_U = _CODES["domain_u"], _CODES["tftp_u"], _CODES["ntp_u"]
_FTP_DATA = _CODES["ftp_data"]
_ECR_I, _URP_I, _URH_I = _CODES["ecr_i"], _CODES["urp_i"], _CODES["urh_i"]
_RED_I, _ECO_I, _TIM_I, _OTH_I = (_CODES[name] for name in ("red_i", "eco_i", "tim_i", "oth_i"))

# Destination ports of TCP. ``harvest`` and ``pm_dump`` have none that is known.
_PORTS = """
IRC 194 529 2218 6665 6666 6667 6668 6669 6697
Z39_50 210
aol 531 5190 5191 5192 5193
auth 31 56 113 222 353 370 1615 2139 2147 2334 2392 2478 2821 3113 3207 3710 3799 3810 3833 3871
auth 4032 4129 4373 5067 5635 6268 6269 7004 7847 9002 19194 27999
bgp 179
courier 165 530
csnet_ns 105
ctf 84
daytime 13
discard 9
domain 53
echo 7
efs 520
exec 512
finger 79
ftp 21
ftp_data 20
gopher 70
hostnames 101
http 80 8008 8080
http_2784 2784
http_443 443
http_8001 8001
icmp 5813
imap4 143 993
iso_tsap 102 309
klogin 543
kshell 544
ldap 389 636
link 245
login 513
mtp 1911
name 42
netbios_dgm 138
netbios_ns 137
netbios_ssn 139
netstat 15
nnsp 433
nntp 119 563
pop_2 109
pop_3 110
printer 515
remote_job 71 72 73 74
rje 5 77
shell 514
smtp 25
sql_net 66 150
ssh 22
sunrpc 111
supdup 95
systat 11
telnet 23
time 37
uucp 540 4031
uucp_path 117
vmnet 175
whois 43 4321
"""


def tcp_services() -> NDArray[np.uint8]:
    """Return the code of the service of each TCP destination port: (65536,) uint8."""
    codes = np.full(1 << 16, _OTHER, np.uint8)
    codes[49152:] = _PRIVATE  # RFC 6335, 6: dynamic ports
    codes[6000:6064] = _CODES["X11"]
    for name, *ports in map(str.split, _PORTS.strip().splitlines()):
        codes[list(map(int, ports))] = _CODES[name]
    return codes


@kernel
def service_of(tcp: NDArray[np.uint8], packet: _Record) -> int:
    """Return the code of the service of a conversation that begins with this packet."""
    if packet["protocol"] == ICMP:
        return _icmp_service(int(packet["icmp_type"]), int(packet["icmp_code"]))
    port = int(packet["dst_port"])
    if packet["protocol"] == TCP:
        return _FTP_DATA if packet["src_port"] == 20 else int(np.int64(tcp[port]))
    return _udp_service(port)


@kernel
def _udp_service(port: int) -> int:
    if port == 53:
        return _DOMAIN_U
    if port == 69:
        return _TFTP_U
    if port == 123:
        return _NTP_U
    return _PRIVATE if port >= 49152 else _OTHER


@kernel
def _icmp_service(kind: int, code: int) -> int:
    if kind == 3 and code <= 1:
        return _URP_I if code == 0 else _URH_I
    if kind == 0:
        return _ECR_I
    if kind == 8:
        return _ECO_I
    if kind == 5:
        return _RED_I
    return _TIM_I if kind == 11 else _OTH_I
