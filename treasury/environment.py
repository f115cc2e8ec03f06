"""How settings are read from the environment: what makes no sense is refused in a sentence that names it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import logging
import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from treasury.launch import address

MODE = os.environ.get("TREASURY_MODE", "practice")
if MODE not in ("practice", "real"):
    raise ImproperlyConfigured(f"TREASURY_MODE is {MODE!r}; it must be 'practice' or 'real'.")
PRACTICE = MODE == "practice"


PROXIES = "TREASURY_TRUSTED_PROXIES"
PROXIES_SAY = (
    f"{PROXIES} names the proxy in front that ends TLS (127.0.0.1,::1 for one on this machine), without which every "
    "page would redirect to itself; to end TLS itself is not something that the product can do."
)


def given(name: str) -> str:
    """The environment's value, or NAME_FILE's content, or an empty text."""
    if not (file := os.environ.get(f"{name}_FILE")):
        return os.environ.get(name, "")
    try:
        return Path(file).read_text().strip()
    except OSError as wrong:
        raise ImproperlyConfigured(f"{name}_FILE is {file!r}, which cannot be read: {wrong.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}_FILE is {file!r}, which is no text.") from None


def insist_on(*names: str) -> None:
    """In real mode all of them are set; whoever has left out several is told of all at once."""
    missing = [name for name in names if not (PRACTICE or given(name))]
    if missing:
        unset = ", ".join(f"{name} (or {name}_FILE) is not set" for name in missing)
        them = "it" if len(missing) == 1 else "them"
        hint = f" {PROXIES_SAY}" if PROXIES in missing else ""
        raise ImproperlyConfigured(f"{unset}; TREASURY_MODE=real does not start without {them}.{hint}")


def required(name: str, practice: str) -> str:
    """The environment's value, or NAME_FILE's content, or in practice mode the stand-in; never a silent default."""
    insist_on(name)
    return given(name) or practice


def keys(name: str, practice: str) -> list[str]:
    """Fernet keys, comma separated: 32 bytes each, in base64 as addresses have it."""
    found = [key.strip() for key in required(name, practice).split(",")]
    try:
        if all(len(base64.urlsafe_b64decode(key)) == 32 for key in found):
            return found
    except (binascii.Error, ValueError):
        pass
    raise ImproperlyConfigured(f"{name} holds something that is no key; make one with Fernet.generate_key().")


def addresses(name: str) -> dict[str, str]:
    """A JSON object of addresses by name; none where it is not set."""
    try:
        found = json.loads(os.environ.get(name) or "{}")
    except ValueError:
        found = None
    if isinstance(found, dict) and all(isinstance(one, str) for one in found.values()):
        return found
    raise ImproperlyConfigured(f"{name} must be a JSON object of addresses by venue.")


def hosts(name: str) -> list[str]:
    """Host names, comma separated; never every name there is."""
    found = [host.strip() for host in required(name, "").split(",") if host.strip()]
    if not found or any("*" in host for host in found):
        raise ImproperlyConfigured(f"{name} must name the hosts of this installation, as in treasury.example; no '*'.")
    return found


def database(name: str, practice: str) -> address.Database:
    """A database's address; in real mode one that is on this machine, or proves by its certificate who it is."""
    try:
        found = address.parse(required(name, practice))
    except ValueError as wrong:
        raise ImproperlyConfigured(f"{name} cannot be used: {wrong}.") from None
    if PRACTICE or address.is_here(found) or found["OPTIONS"].get("sslmode") == "verify-full":
        return found
    raise ImproperlyConfigured(
        f"{name} names a database on another machine ({found['HOST']}) without sslmode=verify-full, so that anybody "
        "between could read and answer in its place; add ?sslmode=verify-full, and sslrootcert for its authority."
    )


def amounts(name: str, default: str) -> dict[str, Decimal]:
    """ "USDT=10000,*=0" as {asset: amount}."""
    pairs = (pair.split("=") for pair in os.environ.get(name, default).split(",") if pair)
    try:
        found = {asset.strip().upper(): Decimal(amount) for asset, amount in pairs}
        if all(amount.is_finite() and amount >= 0 for amount in found.values()):
            return found
        raise ValueError("an amount is a plain number")
    except (ValueError, ArithmeticError):
        raise ImproperlyConfigured(f"{name} must read ASSET=AMOUNT,ASSET=AMOUNT, as in {default!r}.") from None


def whole(name: str, default: int) -> int:
    """A whole number of at least 1."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1_000_000):
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be a whole number of at least 1.")
    return int(text)


def whole_or_off(name: str, default: int) -> int:
    """A whole number; 0 turns it off."""
    return 0 if os.environ.get(name) == "0" else whole(name, default)


def spans(name: str) -> dict[str, timedelta]:
    """ "NAME=120,*=300", in seconds, as {name: length}."""
    pairs = (pair.partition("=") for pair in os.environ.get(name, "").split(",") if pair.strip())
    found = {}
    for what, _, text in pairs:
        seconds = text.strip()
        if not (what.strip() and seconds.isascii() and seconds.isdigit() and 0 < int(seconds) < 100_000_000):
            raise ImproperlyConfigured(f"{name} must read NAME=SECONDS,NAME=SECONDS, with whole seconds of at least 1.")
        found[what.strip()] = timedelta(seconds=int(seconds))
    return found


def share(name: str, default: str) -> Decimal:
    """A share of a whole, from 0 to 1."""
    text = os.environ.get(name) or default
    try:
        if 0 <= Decimal(text) <= 1:
            return Decimal(text)
    except ArithmeticError:
        pass
    raise ImproperlyConfigured(f"{name} is {text!r}; it must be a share from 0 to 1, as in 0.001.")


def level(name: str, default: str) -> str:
    """How much is logged, by its name."""
    text = (os.environ.get(name) or default).upper()
    if text not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    return text


def code(name: str, default: str) -> str:
    """The code of a currency, in capitals."""
    text = (os.environ.get(name) or default).strip().upper()
    if not (text.isascii() and text.isalnum() and len(text) <= 10):
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be the code of a currency, as in {default!r}.")
    return text


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """ "10.0.0.7,fd00::/64": addresses and networks; none where it is not set."""
    said = [text.strip() for text in given(name).split(",") if text.strip()]
    try:
        found = [ipaddress.ip_network(text) for text in said]
    except ValueError as wrong:
        raise ImproperlyConfigured(f"{name} must read ADDRESS,NETWORK/BITS: {wrong}.") from None
    if any(network.prefixlen == 0 for network in found):
        raise ImproperlyConfigured(f"{name} names every address there is; name the proxies alone.")
    return found


def switch(name: str, *, default: bool) -> bool:
    """1 or 0."""
    text = os.environ.get(name) or str(int(default))
    if text not in ("0", "1"):
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be 0 or 1.")
    return text == "1"


def existing(name: str) -> Path | None:
    """The file that it names; None where it names none."""
    text = os.environ.get(name)
    if text and not Path(text).is_file():
        raise ImproperlyConfigured(f"{name} is {text!r}, and there is no such file.")
    return Path(text) if text else None


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def needed_with(name: str, other: str) -> str:
    """The environment's value, or NAME_FILE's content, without which ``other`` is of no use."""
    if not (value := given(name)):
        raise ImproperlyConfigured(f"{name} (or {name}_FILE) is not set; {other} takes it.")
    return value
