"""A raw TCP server on this computer that behaves as badly as a test wants."""

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Behaviour = Callable[[socket.socket, threading.Event], None]


class Listener:
    """Accepts connections and lets `behave(connection, stopping)` act on each. Remembers what it was sent."""

    def __init__(self, behave: Behaviour | None = None) -> None:
        self._behave = behave or (lambda connection, stopping: None)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.received = bytearray()
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        # A thread in accept() does not notice that its socket is closed; a last visitor wakes it.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stopping.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                self._behave(connection, self._stopping)
                self.received += _rest(connection)
            except OSError:
                pass

    def take_request(self, connection: socket.socket) -> None:
        """Read until the body of a request is complete."""
        text = b""
        while b"\r\n\r\n" not in text or len(text.partition(b"\r\n\r\n")[2]) < _length(text):
            piece = connection.recv(65536)
            if not piece:
                break
            text += piece
        self.received += text


def _length(text: bytes) -> int:
    for line in text.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _rest(connection: socket.socket) -> bytes:
    connection.settimeout(0.2)
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    """A complete HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(head).encode() + body
