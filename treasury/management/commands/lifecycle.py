"""Draw treasury/transfers/LIFECYCLE.md from the table of a transfer's life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from treasury.transfers import picture


class Command(BaseCommand):
    help = "Draw treasury/transfers/LIFECYCLE.md from the table of a transfer's life."

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(picture.__file__).with_name("LIFECYCLE.md")
        path.write_text(picture.draw())
        self.stdout.write(f"drew {path.name}")
