"""Names of IP protocols, as EVE's consumers know them."""

from __future__ import annotations

# The keywords of IANA's registry from number 0 on, in Suricata's spelling; - has none.
_WORDS = """
HOPOPT ICMP IGMP GGP IP-in-IP ST TCP CBT EGP IGP BBN-RCC-MON NVP-II PUP ARGUS EMCON XNET
CHAOS UDP MUX DCN-MEAS HMP PRM XNS-IDP TRUNK-1 TRUNK-2 LEAF-1 LEAF-2 RDP IRTP ISO-TP4 NETBLT MFE-NSP
MERIT-INP DCCP 3PC IDPR XTP DDP IDPR-CMTP TP++ IL IPv6 SDRP IPv6-Route IPv6-Frag IDRP RSVP GRE
DSR BNA ESP AH I-NLSP SwIPe NARP MOBILE TLSP SKIP IPv6-ICMP IPv6-NoNxt IPv6-Opts - CFTP -
SAT-EXPAK KRYPTOLAN RVD IPPC - SAT-MON VISA IPCU CPNX CPHB WSN PVP BR-SAT-MON SUN-ND WB-MON WB-EXPAK
ISO-IP VMTP SECURE-VMTP VINES TTP NSFNET-IGP DGP TCF EIGRP OSPF Sprite-RPC LARP MTP AX.25 OS MICP
SCC-SP ETHERIP ENCAP - GMTP IFMP PNNI PIM ARIS SCPS QNX A/N IPComp SNP Compaq-Peer IPX-in-IP
VRRP PGM - L2TP DDX IATP STP SRP UTI SMP SM PTP IS-IS FIRE CRTP CRUDP
SSCOPMCE IPLT SPS PIPE SCTP FC RSVP-E2E-IGNORE Mobility UDPLite MPLS-in-IP manet
HIP Shim6 WESP ROHC Ethernet
"""
NAMES = {number: name for number, name in enumerate(_WORDS.split()) if name != "-"}


def protocol_name(number: int) -> str:
    """Name a protocol; one without a name is written as its number.

    Example:
        >>> protocol_name(47), protocol_name(253)
        ('GRE', '253')
    """
    return NAMES.get(number, str(number))
