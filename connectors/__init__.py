"""Money venues behind one face: what is where, move it, and find out what became of it.

    import connectors
    venue = connectors.open("bybit", credentials={"api_key": "…", "api_secret": "…"})

Plain Python and httpx. What a connector offers is `connectors.core.protocol.Connector`; how it fails is
`connectors.core.errors`; what a venue declares about itself is `connectors.core.protocol.Venue`.
"""

from collections.abc import Mapping
from datetime import timedelta

import httpx

from connectors.core import discovery
from connectors.core.http import Wire
from connectors.core.protocol import Connector, Venue
from connectors.core.redact import Redactor

__all__ = ["open", "venues"]


def open(  # noqa: A001
    venue: str,
    *,
    credentials: Mapping[str, str],
    base_url: str | None = None,
    transport: httpx.BaseTransport | None = None,
    environment: str | None = None,
    loopback_only: bool = False,
    call_limit: timedelta | None = None,
) -> Connector:
    """Return the connector of one login at one venue. Nothing is sent yet.

    `credentials` holds exactly the fields of the venue's `credentials` dataclass; one with a default may be left
    out. `environment` is one of the venue's `hosts` (None: the first, its production). `base_url` (scheme, host
    and port only) takes the place of every host of the venue, while requests keep the venue's own Host header.
    `transport` takes the place of the network. `loopback_only` refuses every host outside this computer, before a
    byte is written. `call_limit` is how long one exchange may last (None: what the venue declares); never longer than
    declared.

    Raises `discovery.UnknownVenue`, and ValueError for credentials, an environment or a URL that cannot be
    used; the message never contains a credential.
    """
    declared = discovery.venue(venue)
    wanted, given = set(declared.credential_names()), set(credentials)
    needed = set(declared.required_credential_names())
    if not needed <= given <= wanted:
        raise ValueError(
            f"Credentials for {venue} are {sorted(wanted)}; missing {sorted(needed - given)}, "
            f"not understood: {len(given - wanted)}."
        )
    if environment is None:
        environment = next(iter(declared.hosts))
    if environment not in declared.hosts:
        raise ValueError(f"{declared.title} has no environment {environment!r}, only {sorted(declared.hosts)}.")
    if call_limit is not None and not timedelta(0) < call_limit <= declared.call_limit:
        raise ValueError(f"A call to {declared.title} may last at most {declared.call_limit.total_seconds():g} s.")
    wire = Wire(
        declared.hosts[environment],
        redact=Redactor(credentials.values()),
        base_url=base_url,
        transport=transport,
        loopback_only=loopback_only,
        limit=call_limit or declared.call_limit,
    )
    return declared.build(declared.credentials(**credentials), wire)


def venues() -> dict[str, Venue]:
    """Every venue found, by its name: the module's name, which is also what `open` takes."""
    return {name: discovery.venue(name) for name in discovery.names()}
