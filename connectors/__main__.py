"""Ask a venue something from the command line: python -m connectors balances VENUE. It reads; it cannot send.

Credentials come from the environment: a variable is the venue's name and the field's, in capitals, and `venues`
lists them all. <VENUE>_BASE_URL does what --base-url does. What is missing, refused or unreadable ends with
status 1 and a sentence on standard error. No credential is ever printed.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

import connectors
from connectors.core import discovery
from connectors.core.errors import VenueError
from connectors.core.protocol import EVERY_ASSET, Connector, Venue, plain
from connectors.core.redact import Redactor


class NoAnswerError(Exception):
    """There is nothing to print; the text says why, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under their heads. The columns in `numbers` end together. `lacks`: why it is no answer."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    lacks: str = ""


def balances(venue: Connector) -> Table:
    rows = venue.balances()
    return Table(
        heads=("address", "asset", "total", "movable", "problem"),
        rows=[
            (
                row.address,
                "(every asset)" if row.asset == EVERY_ASSET else row.asset,
                _amount(row.total),
                _amount(row.movable),
                row.problem or "",
            )
            for row in rows
        ],
        numbers=frozenset({2, 3}),
        lacks="No balance could be read." if rows and all(row.total is None for row in rows) else "",
    )


def accounts(venue: Connector) -> Table:
    rows = [(account.address, account.kind, account.title) for account in venue.accounts()]
    return Table(heads=("address", "kind", "title"), rows=rows)


def check(venue: Connector) -> Table:
    found = venue.check()
    rows = [("login", found.login), ("may transfer", "yes" if found.may_transfer else "no")]
    if found.clock_offset is not None:
        rows.append(("clock", f"{found.clock_offset.total_seconds():+.1f} s from ours"))
    return Table(heads=("what", "answer"), rows=[*rows, *(("remark", words) for words in found.words)])


QUESTIONS: Mapping[str, tuple[Callable[[Connector], Table], str]] = {
    "balances": (balances, "what lies where"),
    "accounts": (accounts, "the accounts that money may be moved between"),
    "check": (check, "who the login is and what it may do"),
}


def venues() -> Table:
    """Every venue found, and the variables that hold a login of it; one in brackets may be left out."""
    rows = []
    for name, declared in connectors.venues().items():
        needed = declared.required_credential_names()
        fields = [(field, _variable(name, field)) for field in declared.credential_names()]
        variables = [variable if field in needed else f"[{variable}]" for field, variable in fields]
        rows.append((name, declared.title, " ".join(declared.hosts), " ".join(variables)))
    return Table(heads=("venue", "title", "environments", "variables"), rows=rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the answer; return the exit status."""
    # What is odd about an answer is logged with its evidence. Here a sentence is enough.
    logging.getLogger("connectors").addHandler(logging.NullHandler())
    asked = _parser().parse_args(arguments)
    if asked.question == "venues":
        _print(venues(), Redactor(()))
        return 0
    try:
        declared = discovery.venue(asked.venue)
        credentials = _credentials(asked.venue, declared)
    except (discovery.UnknownVenue, NoAnswerError) as problem:
        return _fail(str(problem))
    redact = Redactor(credentials.values())
    try:
        table = QUESTIONS[asked.question][0](_opened(asked, credentials))
    except (VenueError, ValueError) as problem:
        return _fail(redact.text(str(problem)))
    except Exception as unforeseen:  # a defect of ours; its text might hold anything
        return _fail(f"The connector failed ({type(unforeseen).__name__}).")
    _print(table, redact)
    return _fail(table.lacks) if table.lacks else 0


def _opened(asked: argparse.Namespace, credentials: Mapping[str, str]) -> Connector:
    base_url: str | None = asked.base_url or os.environ.get(_variable(asked.venue, "base_url")) or None
    return connectors.open(
        asked.venue,
        credentials=credentials,
        environment=asked.environment,
        base_url=base_url,
        # Credentials in the clear leave this computer for nobody.
        loopback_only=base_url is not None and not base_url.lower().startswith("https://"),
    )


def _variable(venue: str, field: str) -> str:
    return f"{venue}_{field}".upper()


def _credentials(venue: str, declared: Venue) -> dict[str, str]:
    """What the environment holds of a login; an empty variable counts as none."""
    given = {field: os.environ.get(_variable(venue, field), "") for field in declared.credential_names()}
    missing = [_variable(venue, field) for field in declared.required_credential_names() if not given[field]]
    if missing or not any(given.values()):
        wanted = ", ".join(missing or [_variable(venue, field) for field in given])
        raise NoAnswerError(f"Credentials for {venue} are missing in the environment: {wanted}.")
    return {field: value for field, value in given.items() if value}


def _amount(amount: Decimal | None) -> str:
    return "?" if amount is None else plain(amount)


def _print(table: Table, redact: Redactor) -> None:
    lines = [[_printable(redact.text(cell)) for cell in row] for row in (table.heads, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _printable(text: str) -> str:
    """A venue's text could steer a terminal, or begin a line of its own."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _fail(sentence: str) -> int:
    sys.stderr.write(_printable(sentence) + "\n")
    return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_fail(f"{message[:1].upper()}{message[1:]}; python -m connectors --help says more."))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m connectors", description=(__doc__ or "").partition("\n\n")[0])
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")
    questions.add_parser("venues", help="the venues there are, and the variables that they need")
    for name, (_, what) in QUESTIONS.items():
        question = questions.add_parser(name, help=what)
        question.add_argument("venue", help="as `venues` names it")
        question.add_argument("--environment", help="one of the venue's environments; its production without")
        question.add_argument("--base-url", help="scheme, host and port in place of the venue's own hosts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
