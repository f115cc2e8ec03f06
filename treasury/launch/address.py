"""A database's address in three spellings: the environment's URL, Django's dictionary, libpq's key=value."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from psycopg.conninfo import make_conninfo

_DJANGO_ONLY = {"pool", "isolation_level", "server_side_binding", "assume_role"}


class Database(TypedDict):
    """The part of a Django database setting that a URL can say; PORT is a decimal string."""

    NAME: str
    USER: str
    PASSWORD: str
    HOST: str
    PORT: str
    OPTIONS: dict[str, Any]


def url(socket_folder: Path, name: str) -> str:
    """The URL of a database behind a socket folder, as the superuser ``postgres``."""
    return f"postgresql://postgres@/{quote(name, safe='')}?host={quote(str(socket_folder), safe='')}"


def parse(url: str) -> Database:
    """Django's words for ``postgresql://user:password@host:port/name?host=…&port=…&sslmode=…``.

    A query's ``host`` and ``port`` win over the authority's; every other key goes to OPTIONS. Raises
    ValueError (without the URL, which may hold a password) when it is not such a URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("DATABASE_URL must begin with postgresql://")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        port = options.pop("port", "") or str(parts.port or 5432)
    except ValueError:
        raise ValueError("The port in DATABASE_URL is not a number from 0 to 65535") from None
    return Database(
        NAME=unquote(parts.path.removeprefix("/")),
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
        HOST=options.pop("host", "") or unquote(parts.hostname or ""),
        PORT=port,
        OPTIONS=dict(options),
    )


def is_here(database: Database) -> bool:
    """Whether it is behind a socket or a loopback address, whatever libpq would add from its own environment."""
    options = database["OPTIONS"]
    hosts = [*(database["HOST"] or os.environ.get("PGHOST", "")).split(","), *options.get("hostaddr", "").split(",")]
    return "service" not in options and all(map(_is_of_this_machine, hosts))


def _is_of_this_machine(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def keywords(database: Mapping[str, Any]) -> str:
    """libpq's ``host=… dbname=…`` for a Django database setting; what only Django understands is left out."""
    known = {
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "dbname": database.get("NAME"),
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
    }
    options = {key: value for key, value in database.get("OPTIONS", {}).items() if key not in _DJANGO_ONLY}
    return make_conninfo("", **{key: str(value) for key, value in {**known, **options}.items() if value})
