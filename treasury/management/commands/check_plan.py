"""Reckon a stored plan again from its inputs, and say whether it is what it claims to be."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from treasury.models import Plan, PlanGroup
from treasury.rebalancing import plan as planning


class Command(BaseCommand):
    help = "Check a plan's digest, feasibility, count and bound from what is stored; exits with 1 on a disagreement."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", help="PL-000012")
        parser.add_argument("--search", action="store_true", help="search again too, and compare")

    def handle(self, *args: Any, reference: str, search: bool, **options: Any) -> None:
        plan = Plan.objects.filter(reference=reference.strip().upper()).first()
        if plan is None:
            raise CommandError(f"There is no plan {reference}.", returncode=2)
        wrong = [self._check(group, search=search) for group in plan.groups.select_related("connection")]
        self.stdout.write(f"{plan}, {plan.get_state_display().lower()}: {len(wrong)} parts checked.")
        if any(wrong):
            self.stdout.write("It is NOT what it claims to be.")
            sys.exit(1)

    def _check(self, group: PlanGroup, *, search: bool) -> bool:
        """Print one part's verdict; True when something is wrong with it."""
        wrong = planning.recheck(group, search_again=search)
        said = "; ".join(wrong) or f"{group.get_status_display().lower()}, {group.lines.count()} transfers: agreed"
        self.stdout.write(f"{group.connection} {group.asset}: {said}")
        return bool(wrong)
