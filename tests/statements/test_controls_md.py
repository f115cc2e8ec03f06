"""docs/controls.md says what is so: each statement has one test, the code that it names exists, the page is fresh."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.statements.catalogue import STATEMENTS
from tests.statements.write import PAGE, drawn, missing, proofs


def test_every_statement_has_one_test() -> None:
    counted = Counter(proof.number for proof in proofs())
    assert sorted(set(counted) - set(STATEMENTS)) == [], "a test proves what nobody states"
    assert [number for number in STATEMENTS if counted[number] != 1] == []


def test_the_tests_are_named_after_what_they_prove() -> None:
    wrong = [proof.test for proof in proofs() if not re.match(rf"test_s0*{proof.number[1:]}_\w", proof.name)]
    assert wrong == []


def test_the_code_that_is_named_is_there() -> None:
    found = proofs()
    assert [problem for proof in found for where in proof.where if (problem := missing(where))] == []
    assert [proof.test for proof in found if not proof.where] == []


def test_the_page_is_what_would_be_written_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == drawn(proofs()), "run: python -m tests.statements.write"


@pytest.mark.parametrize(
    "where",
    [
        "treasury/transfers/dispatch.py:no_such_verb",
        "treasury/transfers/no_such_file.py:claim",
        "treasury/transfers/dispatch.py",
        "treasury/models/transfer.py:Transfer.no_such_method",
    ],
)
def test_code_that_is_not_there_is_noticed(where: str) -> None:
    assert missing(where) is not None


def test_a_statement_without_its_test_shows_on_the_page(tmp_path: Path) -> None:
    marked = '@proves("S5", "treasury/transfers/access.py:insist")'
    (tmp_path / "test_some.py").write_text(f"{marked}\ndef test_s05_x(): ...\n")
    page = drawn(proofs(tmp_path))
    assert "test_some.py::test_s05_x" in page
    assert page.count("**no test yet**") == len(STATEMENTS) - 1
