"""Whatever the database's superuser changes with the guards off, the walk names the first entry that is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.audit.log import by_force, linked, seal_all, write
from treasury.audit import chain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def entries() -> list[int]:
    """Nine entries in three batches; their numbers in the order of their links."""
    for _ in range(3):
        write(3)
        seal_all()
    assert chain.verify().first_break is None
    return linked()


ENTRY = "UPDATE treasury_auditentry SET {} WHERE id = (SELECT entry_id FROM treasury_auditlink WHERE seq = 5)"
SAME_WORDS = "canonical = replace(canonical, '\"facts\":', '\"facts\": ')"
OTHER_WORDS = "canonical = replace(canonical, '\"number\":1', '\"number\":7')"
SWAPPED_LINKS = (
    "UPDATE treasury_auditlink SET entry_id = CASE seq WHEN 5 THEN -1 ELSE -2 END WHERE seq IN (5, 8);"
    "UPDATE treasury_auditlink SET entry_id = CASE seq WHEN 5 THEN {eighth} ELSE {fifth} END WHERE seq IN (5, 8)"
)
SWAPPED_WORDS = (
    "UPDATE treasury_auditentry e SET canonical = o.canonical FROM treasury_auditentry o"
    " WHERE (e.id, o.id) IN (({fifth}, {eighth}), ({eighth}, {fifth}))"
)

# What is done; the link at which the walk stops; the entry it names ("5": the one of that link); its words.
MUTATIONS: dict[str, tuple[str, int, int | None, str]] = {
    "other facts": (ENTRY.format(OTHER_WORDS), 5, 5, "was changed"),
    "the same facts written differently": (ENTRY.format(SAME_WORDS), 5, 5, "was changed"),
    "another time in the column": (ENTRY.format("at = at + interval '1 microsecond'"), 5, 5, "its time disagrees"),
    "another time in the text": (
        ENTRY.format('canonical = replace(canonical, \'"at":"20\', \'"at":"19\')'),
        5,
        5,
        "its time disagrees",
    ),
    "no time in the text": (
        ENTRY.format('canonical = replace(canonical, \'"at":"20\', \'"at":"never \')'),
        5,
        5,
        "its time disagrees",
    ),
    "another transaction": (ENTRY.format("xid = '1'"), 5, 5, "its transaction disagrees"),
    "another number": (ENTRY.format("id = 999999999"), 5, 5, "is missing"),
    "no entry": ("DELETE FROM treasury_auditentry WHERE id = {fifth}", 5, 5, "is missing"),
    "the text of another entry": (SWAPPED_WORDS, 5, 5, "its number disagrees"),
    "another order": (SWAPPED_LINKS, 5, 8, "was changed, or its link was"),
    "another hash": (
        "UPDATE treasury_auditlink SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 5",
        5,
        5,
        "link",
    ),
    "no link": ("DELETE FROM treasury_auditlink WHERE seq = 5", 5, None, "link 5 is missing"),
    "no first link": ("DELETE FROM treasury_auditlink WHERE seq = 1", 1, None, "link 1 is missing"),
    "no last link": ("DELETE FROM treasury_auditlink WHERE seq = 9", 9, None, "batch 3 names entries that are missing"),
    "another root": ("UPDATE treasury_auditbatch SET root = hash WHERE number = 2", 6, None, "batch 2 does not fit"),
    "another batch hash": ("UPDATE treasury_auditbatch SET hash = root WHERE number = 2", 6, None, "batch 2 does not"),
    "another sealing time": (
        "UPDATE treasury_auditbatch SET sealed_at = sealed_at - interval '1 day' WHERE number = 2",
        6,
        None,
        "batch 2 does not fit",
    ),
    "another extent": ("UPDATE treasury_auditbatch SET last_seq = 5 WHERE number = 2", 5, None, "batch 2 does not fit"),
    "no batch in the middle": ("DELETE FROM treasury_auditbatch WHERE number = 2", 9, None, "batch 3 does not fit"),
    "no last batch": ("DELETE FROM treasury_auditbatch WHERE number = 3", 9, None, "3 links belong to no batch"),
    "no batch at all": ("DELETE FROM treasury_auditbatch", 9, None, "9 links belong to no batch"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_first_break_is_named(entries: list[int], name: str) -> None:
    statement, seq, entry, words = MUTATIONS[name]
    by_force(statement.format(fifth=entries[4], eighth=entries[7]))
    found = chain.verify().first_break
    assert found is not None
    assert (found.seq, words in found.what) == (seq, True), found
    if entry is not None:
        assert found.entry == entries[entry - 1]
        assert str(found.entry) in found.what


def test_of_several_breaks_the_first_is_named(entries: list[int]) -> None:
    by_force("UPDATE treasury_auditentry SET at = at - interval '1 day' WHERE id = ANY (%s)", [entries[7], entries[2]])
    found = chain.verify().first_break
    assert found is not None
    assert found.entry == entries[2]


def test_a_tail_cut_off_cleanly_shows_as_entries_that_are_sealed_no_more(entries: list[int]) -> None:
    """The chain alone cannot tell; the count of unsealed entries and the head that was anchored elsewhere do."""
    anchored = chain.verify()
    by_force("DELETE FROM treasury_auditlink WHERE seq > 6; DELETE FROM treasury_auditbatch WHERE number = 3")
    cut = chain.verify()
    assert (cut.entries, cut.batches, cut.unsealed) == (anchored.entries - 3, anchored.batches - 1, 3)
    assert cut.head != anchored.head


def test_an_entry_slipped_in_behind_the_sealer_is_a_break(entries: list[int]) -> None:
    """With an old transaction id it would never be sealed, and could be changed at will."""
    by_force(
        "INSERT INTO treasury_auditentry (id, xid, at, canonical) SELECT 999999999, xid, at,"
        " replace(canonical, '\"' || id || '\"', '\"999999999\"') FROM treasury_auditentry WHERE id = %s",
        entries[0],
    )
    found = chain.verify().first_break
    assert found is not None
    assert found.entry == 999999999


def said_by_verify_audit() -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("verify_audit", stdout=out)
    except SystemExit as ended:
        return out.getvalue(), int(str(ended.code))
    return out.getvalue(), 0


def test_verify_audit_says_that_a_whole_chain_is_whole(entries: list[int]) -> None:
    said, code = said_by_verify_audit()
    assert "9 entries in 3 batches, 0 not sealed yet" in said
    assert f"head {chain.verify().head}" in said
    assert "The chain is whole." in said
    assert code == 0


def test_verify_audit_names_the_first_broken_entry_and_exits_with_1(entries: list[int]) -> None:
    by_force(MUTATIONS["other facts"][0])
    said, code = said_by_verify_audit()
    assert f"BROKEN at link 5: entry {entries[4]} was changed" in said
    assert "whole" not in said
    assert code == 1


def test_without_a_database_verify_audit_says_one_sentence_and_exits_with_2(tmp_path: Path) -> None:
    """Of an address where no database is, and of a folder in which none was ever started."""
    for more in ({"DATABASE_URL": f"postgresql://nobody@/none?host={tmp_path}"}, {"TREASURY_HOME": str(tmp_path)}):
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "TREASURY_HOME")}
        ended = subprocess.run(
            [sys.executable, "manage.py", "verify_audit"], env=kept | more, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 2, ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert "Nothing was verified: the database could not be read." in ended.stderr
        assert "whole" not in ended.stdout


@pytest.mark.parametrize("name", MUTATIONS)
def test_verify_audit_reports_every_break_while_new_entries_wait(entries: list[int], name: str) -> None:
    """It seals as well: that must neither fail on a broken chain nor mend it."""
    statement, *_ = MUTATIONS[name]
    by_force(statement.format(fifth=entries[4], eighth=entries[7]))
    write(2)
    said, code = said_by_verify_audit()
    assert "BROKEN at link" in said
    assert code == 1
