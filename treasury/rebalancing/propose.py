"""Propose: lines of a plan become drafts, linked back to it. Nothing moves before people have approved them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from treasury.models import Plan, Transfer, User


class NotDrafted(Exception):
    """No draft was saved. ``problems`` is {line id, or "": sentence}."""

    def __init__(self, problems: Mapping[int | str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def draft_lines(*, plan: Plan, amounts: Mapping[int, str], reason: str, maker: User, at: datetime) -> list[Transfer]:
    """Draft these lines of the plan, all or none; ``amounts`` is {line id: amount as typed}, the planned one or an
    edited one. What a line must wait for is drafted with it, or must have been drafted before.

    A line that was drafted already gives back its draft. Raises NotDrafted, access.NotAllowed.
    """
    raise NotImplementedError
