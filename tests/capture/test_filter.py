"""``--filter``: which frames of an interface are read at all."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.flows.frames import udp, write
from tests.flows.namespaces import wire

from idskit.capture.af_packet import open_interface
from idskit.capture.packet_filter import assemble
from idskit.errors import CaptureError, IdskitError
from idskit.profiles import open_flows

# tcpdump -ddd "ip and udp dst port 53", on Ethernet.
NUMBERS = """11
40 0 0 12
21 0 8 2048
48 0 0 23
21 0 6 17
40 0 0 20
69 4 0 8191
177 0 0 14
72 0 0 16
21 0 1 53
6 0 0 262144
6 0 0 0
"""
QUESTION, OTHER = udp("10.0.0.1", "10.0.0.2", 9, 53), udp("10.0.0.1", "10.0.0.2", 9, 54)
NAMES = ["libpcap.so.1", "libpcap.so.0.8"]


def has_libpcap() -> bool:
    for name in NAMES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


needs_libpcap = pytest.mark.skipif(not has_libpcap(), reason="needs libpcap")


@pytest.mark.parametrize("filter", [NUMBERS, pytest.param("udp dst port 53", marks=needs_libpcap)])
def test_only_frames_that_pass_the_filter_are_read(filter: str) -> None:
    with wire() as veth:
        live = veth.near.call(open_interface, "veth0", filter=filter)
        veth.send([QUESTION, OTHER, QUESTION])
        live.stop()
        frames = [record for chunk in live.frames() for record in chunk.records.tolist()]
        live.close()
    assert len(frames) == 2


def test_a_tagged_frame_is_filtered_by_what_is_behind_its_tag() -> None:
    tagged = QUESTION[:12] + b"\x81\x00\x00\x07" + QUESTION[12:]
    with wire() as veth:
        live = veth.near.call(open_interface, "veth0", filter=NUMBERS)
        veth.send([tagged])
        live.stop()
        sizes = [int(n) for chunk in live.frames() for n in chunk.records["captured"]]
        live.close()
    assert sizes == [len(tagged)]


@needs_libpcap
def test_an_expression_gives_the_instructions_of_tcpdump() -> None:
    numbers = [int(word) for word in NUMBERS.split()[1:]]
    steps = [numbers[at : at + 4] for at in range(0, len(numbers), 4)]
    expected = b"".join(struct.pack("=HBBI", *step) for step in steps)
    assert assemble("ip and udp dst port 53", 1) == expected
    assert assemble("udp", 101) != assemble("udp", 1)  # no Ethernet header to look into


@needs_libpcap
def test_an_expression_that_makes_no_sense() -> None:
    with pytest.raises(CaptureError, match=r"'tcp prot 80' is not understood: .*syntax error"):
        assemble("tcp prot 80", 1)


@pytest.mark.parametrize("numbers", ["2\n6 0 0 0", "1\n6 0 0", "0", "1\n6 0 0 99999999999"])
def test_numbers_that_are_no_program(numbers: str) -> None:
    with pytest.raises(CaptureError, match="numbers follow"):
        assemble(numbers, 1)


def test_a_program_that_the_kernel_refuses() -> None:
    with wire() as veth, pytest.raises(CaptureError, match="kernel refuses the filter of 1 inst"):
        veth.near.call(open_interface, "veth0", filter="1\n0 0 0 0")  # does not end with a return


def test_without_libpcap_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(CaptureError, match=r"install it .*, or give the numbers") as refused:
        assemble("tcp", 1)
    assert "\n" not in str(refused.value)


def test_a_file_has_no_filter(tmp_path: Path) -> None:
    path = write(tmp_path / "one.pcap", [(0, 0, QUESTION)])
    with pytest.raises(IdskitError, match=r"only interfaces \(-i\) have one"):
        open_flows(path, filter="tcp")
