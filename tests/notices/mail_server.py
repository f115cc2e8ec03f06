"""A small mail server on this computer: takes what it is sent, or refuses as a test wants."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Callable
from email.message import EmailMessage
from types import TracebackType
from typing import Self


class MailServer:
    """``letters`` is what it took; ``answers`` maps the first word of a command to what is said instead; ``refused``
    maps a recipient to what is said to it; ``asked`` is every recipient that was named, in order."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.asked: list[str] = []
        self.sessions = 0
        self.on_taken: Callable[[], None] = lambda: None
        office = self

        class Session(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self) -> None:
                office.sessions += 1
                self._say(office.answers.get("HELLO", "220 mail.test ready"))
                while line := self.rfile.readline().decode().strip():
                    word = line.partition(" ")[0].upper()
                    recipient = line.partition("<")[2].partition(">")[0] if word == "RCPT" else ""
                    office.asked += [recipient] if recipient else []
                    if recipient in office.refused:
                        self._say(office.refused[recipient])
                    elif word in office.answers:
                        self._say(office.answers[word])
                    elif word == "DATA":
                        self._say("354 go on")
                        office.letters.append(self._letter())
                        office.on_taken()
                        self._say(office.answers.get("TAKEN", "250 taken"))
                    elif word == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _say(self, line: str) -> None:
                self.wfile.write(line.encode() + b"\r\n")

            def _letter(self) -> EmailMessage:
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line
                return email.message_from_bytes(text, policy=email.policy.default)  # type: ignore[return-value]

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that was killed is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Session)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def recipients(self) -> list[str]:
        return sorted(str(letter["To"]) for letter in self.letters)
