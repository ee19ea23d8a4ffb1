"""Answer on a port until the process is ended: python -m idskit.lab.answer KIND PORT FOLDER."""

from __future__ import annotations

import socketserver
import ssl
import sys
from pathlib import Path
from typing import Any

from idskit.lab.answer.answer_datagrams import ANSWERS, answer_datagrams
from idskit.lab.answer.answer_devices import DEVICES
from idskit.lab.answer.answer_logins import LOGINS
from idskit.lab.answer.answer_web import APPLICATIONS

HANDLERS: dict[str, type[socketserver.BaseRequestHandler]] = {
    **LOGINS,
    **DEVICES,
    **APPLICATIONS,
}


class _Listening(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the thread of the connection, so that a silent one delays nobody."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, *_: object) -> None:
        """Let scanners break off."""


def main(kind: str, port: int, folder: Path) -> None:
    """Answer as ``kind``; ``KIND-tls`` is the same over TLS."""
    if kind in ANSWERS:
        answer_datagrams(kind, port)
        return
    name = kind.removesuffix("-tls")
    with _Listening(("0.0.0.0", port), HANDLERS[name]) as server:  # noqa: S104 - in a namespace
        if name != kind:
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.tls.load_cert_chain(folder / "tls.pem", folder / "tls.key")
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
