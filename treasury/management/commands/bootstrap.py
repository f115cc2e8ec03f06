"""``manage.py bootstrap``: the first two user administrators and the first policy, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from treasury.controls import first_two, policy
from treasury.controls.people import NotEnrolled, Who
from treasury.models import User
from treasury.notices import links

WORDS = ("USERNAME", "NAME", "EMAIL")


class Command(BaseCommand):
    help = (
        "Make the first two user administrators, and the first policy where there is none: once, and it is in the log. "
        "Prints a link for each, by which they choose a password."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        for one in ("--first", "--second"):
            parser.add_argument(one, nargs=3, metavar=WORDS, help='As in: ada "Ada Adams" ada@example.com')
        parser.add_argument(
            "--links",
            action="store_true",
            help="Print fresh links for the two, as long as neither has chosen a password.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = first_two.without_password(at=timezone.now()) if options["links"] else set_up(options)
        except (first_two.SetUpAlready, NotEnrolled) as refusal:
            raise CommandError(str(refusal)) from None
        for user in made:
            self.stdout.write(f"{user} ({user.username}) chooses a password here: {links.link_for(user)}")
        self.stdout.write(
            "Each link works once and for a day. Give each to its person and to nobody else: whoever opens it chooses "
            "that person's password. They are printed nowhere else, and are not in the log."
        )


def set_up(options: dict[str, Any]) -> tuple[User, User]:
    """Raises first_two.SetUpAlready, NotEnrolled, CommandError."""
    if not (options["first"] and options["second"]):
        raise CommandError("Nothing was changed. Name both people: --first and --second, or ask for --links.")
    first, second = (who(*options[one]) for one in ("first", "second"))
    return first_two.bootstrap(first=first, second=second, policy=policy.first(), at=timezone.now())


def who(username: str, name: str, email: str) -> Who:
    """The last word of a name is the last name."""
    first_name, _, last_name = name.strip().rpartition(" ")
    return Who(username, first_name, last_name, email)
