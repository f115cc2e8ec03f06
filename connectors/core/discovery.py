"""Finds the venues: every module directly in `connectors/` is one, but for `__main__`. Nothing lists them."""

import importlib
import pkgutil
from pathlib import Path

from connectors.core.protocol import Venue

_HOME = Path(__file__).resolve().parent.parent


class UnknownVenue(LookupError):
    """No module of that name lies in `connectors/`."""


def names() -> list[str]:
    """The names of all venues, sorted. Imports none of them."""
    modules = [found.name for found in pkgutil.iter_modules([str(_HOME)]) if not found.ispkg]
    return sorted(name for name in modules if name != "__main__")


def venue(name: str) -> Venue:
    """What the venue declares about itself. Raises UnknownVenue."""
    if name not in names():
        raise UnknownVenue(f"No venue is called {name!r}; there are {', '.join(names())}.")
    declared = importlib.import_module(f"connectors.{name}").VENUE
    if not isinstance(declared, Venue):
        raise TypeError(f"connectors.{name}.VENUE is not a Venue.")
    return declared
