"""The picture of a transfer's life is drawn from the table, and is as fresh as it."""

from __future__ import annotations

from tests.architecture.source import ROOT
from treasury.models import NEXT, State
from treasury.transfers import picture

PAGE = ROOT / "treasury" / "transfers" / "LIFECYCLE.md"


def test_the_page_is_what_would_be_drawn_now() -> None:
    assert PAGE.read_text().strip() == picture.draw().strip(), "run: python manage.py lifecycle"


def test_the_picture_names_every_state() -> None:
    drawn = picture.draw()
    assert [state for state in State if state.value not in drawn] == []
    assert len(NEXT) == len(State)
