"""Where the webhook listens: what two people agreed on last, and until they have, what the environment says."""

from __future__ import annotations

from django.conf import settings

from treasury.models import HouseSetting
from treasury.notices import ways

NAME = "webhook"


def address() -> str:
    """Empty where there is none. The key that signs what it is sent is the environment's alone."""
    agreed = HouseSetting.objects.filter(name=NAME).order_by("-pk").first()
    return str(agreed.value["address"] if agreed else settings.WEBHOOK_URL)


def insist(url: str) -> None:
    """Raise ways.Refused where no message may go there: in practice to this computer alone, else by https."""
    ways.insist_on_webhook(url, settings.WEBHOOK_SECRET, practice=settings.PRACTICE, name="The address")
