"""Asking a server whether it is there: an HTTP request that must be answered 200, and HTTP/2's opening, which every
gRPC server answers with a SETTINGS frame.
"""

import socket
from urllib.request import urlopen

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4


def answers(url: str) -> None:
    """An error status raises too: urllib's HTTPError is an OSError."""
    with urlopen(url, timeout=5) as response:
        response.read()


def speaks_http2(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(_PREFACE + _EMPTY_SETTINGS)
        with connection.makefile("rb") as answer:
            frame_head = answer.read(9)
    if len(frame_head) < 9 or frame_head[3] != _SETTINGS:
        raise ConnectionError("does not speak HTTP/2")
