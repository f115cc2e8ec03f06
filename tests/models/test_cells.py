"""Cells of a sheet: no spreadsheet computes what we wrote, wherever it splits a line, and we read what we wrote."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treasury.models.cells import BEGINS_A_FORMULA, inert, living

letters = st.text(alphabet=st.sampled_from([*BEGINS_A_FORMULA, *"';,\"x1 \u00a0"]), max_size=12)


@pytest.mark.parametrize("sign", BEGINS_A_FORMULA)
@pytest.mark.parametrize("before", ["", "x;", "x; ", 'x;"', "x\t", "x\n", " "])
def test_a_formula_is_a_text_at_the_beginning_and_wherever_a_spreadsheet_may_split(before: str, sign: str) -> None:
    cell = f"{before}{sign}HYPERLINK(1)"
    assert inert(cell) != cell
    assert living(inert(cell)) == cell


@pytest.mark.parametrize("cell", ["", "plain", "5-3", "a=b", "12.5", "x;y", "not readable: -1", "it's", "a;b's"])
def test_any_other_text_stays_as_it_is(cell: str) -> None:
    assert inert(cell) == cell
    assert living(cell) == cell


@given(letters | st.text())
def test_what_is_read_back_is_what_was_written(cell: str) -> None:
    assert living(inert(cell)) == cell


@given(st.lists(letters, min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_no_cell_is_a_formula_wherever_the_line_is_split(cells: list[str], split_at: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(map(inert, cells))
    read = csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=split_at)
    for cell in (cell for row in read for cell in row):
        assert not cell.lstrip(' "\u00a0\t\r\n').startswith(tuple("=+-@＝＋－＠")), (cells, file.getvalue())
