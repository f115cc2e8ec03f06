"""The ways out: what the environment says of the mail server and of the webhook, and what is refused there."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_SECRET = 32  # characters


class Refused(ValueError):
    """No message may leave so. The text names the setting, and never repeats its value: it may hold a password."""


@dataclass(frozen=True)
class MailServer:
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls_at_once: bool
    starttls: bool


def mail_server(url: str, *, practice: bool) -> MailServer:
    """What ``smtps://user:password@host:465`` (TLS at once) or ``smtp://host:587`` (STARTTLS) says.

    Without TLS only to this computer's own mail server; in practice to no other at all. Raises Refused.
    """
    name = "TREASURY_EMAIL_URL"
    parts = _parts(name, url)
    if parts.scheme not in ("smtp", "smtps"):
        raise Refused(f"{name} is refused: it must begin with smtp:// or smtps://.")
    here, at_once = parts.hostname in LOOPBACK, parts.scheme == "smtps"
    if practice and not here:
        raise Refused(f"{name} is refused: in practice mode only a mail server on this computer is used.")
    return MailServer(
        host=parts.hostname or "",
        port=parts.port or (465 if at_once else 25 if here else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls_at_once=at_once,
        starttls=not at_once and not here,
    )


def insist_on_webhook(url: str, secret: str, *, practice: bool, name: str = "TREASURY_WEBHOOK_URL") -> None:
    """An empty address means that there is none. Raises Refused, which calls the address ``name``."""
    if not url:
        return
    parts = _parts(name, url)
    if parts.username or parts.password or parts.fragment:
        raise Refused(f"{name} is refused: it may hold no user, password or fragment.")
    if practice and (parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK):
        raise Refused(f"{name} is refused: in practice mode only an address on this computer is used.")
    if not practice and parts.scheme != "https":
        raise Refused(f"{name} is refused: it must begin with https://.")
    if not practice and len(secret) < SHORTEST_SECRET:
        raise Refused(f"TREASURY_WEBHOOK_SECRET is shorter than {SHORTEST_SECRET} characters; make a new one.")


def site(url: str, *, practice: bool) -> str:
    """The product's own address, without a slash at its end. Raises Refused."""
    name = "TREASURY_ADDRESS"
    parts = _parts(name, url)
    if parts.scheme != "https" and not (practice and parts.scheme == "http"):
        raise Refused(f"{name} is refused: it must begin with https://.")
    if parts.username or parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Refused(f"{name} is refused: it is scheme, host and port alone, as in https://treasury.example.")
    return url.rstrip("/")


def host_of(url: str) -> str:
    return urlsplit(url).hostname or "localhost"


def _parts(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for the check alone: a wrong one raises
    except ValueError:
        raise Refused(f"{name} is refused: it cannot be read.") from None
    if not parts.hostname or any(sign.isspace() for sign in url):
        raise Refused(f"{name} is refused: it names no host.")
    return parts
