#!/usr/bin/env python
"""Django's commands. In practice mode without DATABASE_URL they get the embedded database."""

from __future__ import annotations

import logging
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from treasury.launch import places, postgres, reach, roles

BY_THE_OWNER = ("migrate", "grants")  # everything else is done as the application


def main() -> None:
    """Raises SystemExit with one sentence when the settings are refused, or when no database lets us in."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")
    practice = os.environ.get("TREASURY_MODE", "practice") == "practice"
    if practice and not os.environ.get("DATABASE_URL") and "--help" not in sys.argv:
        postgres.stop_on_sigterm()
        try:
            os.environ["DATABASE_URL"] = roles.make(postgres.start(places.home() / "postgres")).owner
        except postgres.NotStarted as error:
            sys.exit(str(error))
    if sys.argv[1:2] and sys.argv[1] in BY_THE_OWNER:
        os.environ["TREASURY_AS_OWNER"] = "1"
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # of each try it would warn, before our sentence
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as refusal:
        sys.exit(str(refusal))
    except OperationalError:
        if why := reach.why_not(settings.DATABASES["default"]):
            sys.exit(why)
        raise  # it answers: this was something else


if __name__ == "__main__":
    main()
