"""The address that Prometheus reads, and everybody who should not hold it up."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sinks.parts import HANG_S, need, own_port, until

from idskit.errors import IdskitError
from idskit.sinks import scrape_server
from idskit.sinks.prometheus import CONTENT_TYPE, Metrics
from idskit.sinks.scrape_server import PrometheusOptions, ScrapeServer, is_own_name


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.add("idskit_flows_total", 7)
    return made


@pytest.fixture
def server(metrics: Metrics) -> Iterator[ScrapeServer]:
    made = ScrapeServer(PrometheusOptions(port=0), metrics)
    yield made
    made.close()


def asked(server: ScrapeServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG_S) as there:
        there.sendall(request)
        data = b""
        while more := there.recv(65_536):
            data += more
    return data


def test_the_numbers_are_there(server: ScrapeServer) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.port}/metrics", timeout=HANG_S
    ) as answer:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert b"\nidskit_flows_total 7\n" in answer.read()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nHost: rebind.example:9477\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: rebind.example\r\n\r\n", 403),
        (b"\x16\x03\x01 TLS?\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n", 200),
        (b"GET /metrics?x=1 HTTP/1.0\r\nHost: [::1]:9477\r\n\r\n", 200),
    ],
)
def test_answers(server: ScrapeServer, request_: bytes, status: int) -> None:
    assert asked(server, request_).startswith(b"HTTP/1.1 %d " % status)


def test_names_of_this_machine_and_of_others() -> None:
    for host in ("localhost", "localhost:9477", "10.1.2.3:9477", "[fe80::1]", socket.gethostname()):
        assert is_own_name(host)
    for host in (
        "",
        "evil.example",
        "localhost.evil.example",
        "[",
        "1.2.3.4.evil.example",
        "[x]:1",
    ):
        assert not is_own_name(host)


def test_slow_ones_are_cut_and_hold_nobody_up(
    server: ScrapeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape_server, "DEADLINE_S", 0.5)
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for one in slow:
        one.settimeout(HANG_S)
        assert one.recv(100) == b""  # closed at once, or at the deadline
        one.close()

    def works() -> bool:
        try:
            return asked(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") != b""
        except OSError:
            return False

    until(works)


def test_a_request_without_end_is_cut(server: ScrapeServer) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=HANG_S) as there,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        there.sendall(b"x" * 100_000_000)


def test_a_fault_of_a_collector_is_an_answer(server: ScrapeServer, metrics: Metrics) -> None:
    def fail(_metrics: Metrics) -> None:
        raise RuntimeError

    metrics.before_text("failing", fail)
    answer = asked(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"RuntimeError" in answer


def test_a_port_in_use_is_named(server: ScrapeServer, metrics: Metrics) -> None:
    with pytest.raises(IdskitError, match=f"port {server.port}.*in use"):
        ScrapeServer(PrometheusOptions(port=server.port), metrics)
    with pytest.raises(IdskitError, match="no IP address"):
        ScrapeServer(PrometheusOptions(port=0, address="here"), metrics)


def test_a_real_prometheus_reads_it(server: ScrapeServer, tmp_path: Path) -> None:
    need("prometheus")
    with own_port() as port:
        read_by_prometheus(server, port, tmp_path)


def read_by_prometheus(server: ScrapeServer, port: int, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs:\n"
        "  - job_name: idskit\n    scrape_interval: 1s\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            until(lambda: b'"7"' in queried(port, "idskit_flows_total"))
        finally:
            child.kill()


def queried(port: int, name: str) -> bytes:
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={name}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
