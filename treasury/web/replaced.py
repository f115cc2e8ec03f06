"""How a proposal for other credentials is shown: which set takes the place of which, and what goes on meanwhile."""

from __future__ import annotations

from datetime import datetime

from treasury import venues
from treasury.controls import credentials
from treasury.models import Change
from treasury.web.spoken import Spoken


def words(change: Change, spoken: Spoken) -> list[str]:
    said = change.words
    title = venues.titles().get(said["venue"], said["venue"])
    before = f"{said['replaces']} go out of use" if said["replaces"] else "The ones in use cannot be opened any more"
    sentences = [
        f"{said['name']} at {title}, {said['environment']}, stays the login {said['login']}.",
        f"Credentials {said['fingerprint']} come into use. {before}.",
    ]
    now = spoken.replaced.get(change.pk)
    return [*sentences, beside(now.waiting)] if now else sentences


def beside(count: int) -> str:
    """What else it touches."""
    waiting = "No transfer waits" if not count else "1 transfer waits" if count == 1 else f"{count} transfers wait"
    later = " and goes on with the new ones" if count == 1 else " and go on with the new ones" if count else ""
    return f"{waiting} to be sent over it{later}. Stops stay as they are."


def overtaken(change: Change, spoken: Spoken, at: datetime) -> str:
    now = spoken.replaced.get(change.pk)
    return credentials.why_not_replace(change, now.connection if now else None) or ""


def button(change: Change) -> str:
    return "Confirm: use these credentials"
