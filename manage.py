#!/usr/bin/env python
"""Django's commands. In practice mode without DATABASE_URL they get the embedded database."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

from treasury.launch import places, postgres


def main() -> None:
    """Raises SystemExit with one sentence when the embedded database cannot be started."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")
    practice = os.environ.get("TREASURY_MODE", "practice") == "practice"
    if practice and not os.environ.get("DATABASE_URL") and "--help" not in sys.argv:
        postgres.stop_on_sigterm()
        try:
            os.environ["DATABASE_URL"] = postgres.start(places.home() / "postgres")
        except postgres.NotStarted as error:
            sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
