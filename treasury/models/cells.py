"""Cells of a sheet: what a spreadsheet would take for a formula begins with an apostrophe, and is read back without."""

from __future__ import annotations

import re

AS_TEXT = "'"
# Where a spreadsheet may begin a cell: at the cell's own beginning, and after what else it may split lines at, for our
# commas and quotes mean nothing to one that expects semicolons or tabs.
BEGINS = r"(^|[;\t\r\n])"
# What it takes for a formula there, behind blanks and quotes that it passes over; and the sign itself, so that what is
# read back is what was written.
BEGINS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
A_FORMULA = rf"""(?=[\s"]*[{re.escape("".join(BEGINS_A_FORMULA))}{AS_TEXT}])"""
ALIVE = re.compile(BEGINS + A_FORMULA)
GUARDED = re.compile(BEGINS + AS_TEXT + A_FORMULA)


def inert(cell: str) -> str:
    """The cell, so that a spreadsheet shows it and computes nothing."""
    return ALIVE.sub(rf"\1{AS_TEXT}", cell)


def living(cell: str) -> str:
    """What ``inert`` was given; any other cell as it is."""
    return GUARDED.sub(r"\1", cell)
