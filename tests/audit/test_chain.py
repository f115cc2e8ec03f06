"""The sealer misses nothing and takes nothing twice, whoever else writes, commits late or seals."""

from __future__ import annotations

import random
import time
from threading import Barrier, Event

import pytest
from django.db import transaction
from django.utils import timezone

from tests.audit.log import Beside, linked, seal_all, sql, write, write_one
from treasury.audit import chain
from treasury.models import AuditBatch, AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)


def assert_whole() -> None:
    """Every entry is linked once, and the chain fits."""
    assert sorted(linked()) == sorted(AuditEntry.objects.values_list("pk", flat=True))
    verified = chain.verify()
    assert verified.first_break is None
    assert (verified.unsealed, verified.entries) == (0, AuditEntry.objects.count())


def test_an_empty_log_is_whole() -> None:
    assert chain.seal(at=timezone.now()) == 0
    assert_whole()
    assert chain.verify().head == chain.GENESIS.hex()


def test_a_sealed_log_is_whole_and_sealing_again_adds_nothing() -> None:
    write(5)
    assert seal_all() == 5
    head = chain.verify().head
    assert chain.seal(at=timezone.now()) == 0
    assert chain.verify().head == head
    assert_whole()


def test_each_batch_is_chained_to_the_one_before() -> None:
    heads = {chain.verify().head}
    for count in (1, 2, 3):
        write(count)
        seal_all()
        heads.add(chain.verify().head)
    assert len(heads) == 4
    assert list(AuditBatch.objects.order_by("number").values_list("first_seq", "last_seq")) == [(1, 1), (2, 3), (4, 6)]
    assert_whole()


def test_an_entry_that_is_not_committed_is_not_sealed() -> None:
    go, written = Event(), Event()

    def slow() -> None:
        with transaction.atomic(durable=True):
            write_one()
            written.set()
            assert go.wait(30)

    writer = Beside(slow)
    assert written.wait(30)
    assert chain.seal(at=timezone.now()) == 0
    go.set()
    writer.join()
    seal_all()
    assert_whole()


def test_a_slow_transaction_that_commits_late_is_not_missed() -> None:
    """Its entry's number and transaction id are lower than those of entries that were committed long before it."""
    write(2)
    seal_all()
    go, written = Event(), Event()
    number: list[int] = []

    def slow() -> None:
        with transaction.atomic(durable=True):
            number.append(write_one().pk)
            written.set()
            assert go.wait(30)

    writer = Beside(slow)
    assert written.wait(30)
    quick = write(3)
    assert min(quick) > number[0]
    for _ in range(3):
        chain.seal(at=timezone.now())
    assert number[0] not in linked()
    go.set()
    writer.join()
    seal_all()
    assert number[0] in linked()
    assert_whole()


def test_concurrent_writers_and_sealers_lose_nothing() -> None:
    done = Event()

    def writer(seed: int) -> list[int]:
        chance, numbers = random.Random(seed), []
        for _ in range(25):
            with transaction.atomic(durable=True):
                numbers.append(write_one().pk)
                time.sleep(chance.choice([0, 0, 0.001, 0.02]))
                if chance.random() < 0.3:
                    with transaction.atomic():
                        write_one()
                        transaction.set_rollback(True)
        return numbers

    def sealer() -> int:
        sealed = 0
        while not done.is_set():
            sealed += chain.seal(at=timezone.now())
            time.sleep(0.001)
        return sealed

    sealers = [Beside(sealer), Beside(sealer)]
    writers = [Beside(lambda seed=seed: writer(seed)) for seed in range(5)]
    numbers = {number for one in writers for number in one.join()}
    done.set()
    sealed = sum(one.join() for one in sealers) + seal_all()
    assert sealed == len(numbers) == 125
    assert set(linked()) == numbers
    assert_whole()


def test_of_two_sealers_at_once_one_does_nothing() -> None:
    write(3)
    hold, held = Event(), Event()

    def other() -> None:
        with transaction.atomic():
            sql("SELECT pg_advisory_xact_lock(%s)", chain.SEALER_LOCK)
            held.set()
            assert hold.wait(30)

    sealer = Beside(other)
    assert held.wait(30)
    assert chain.seal(at=timezone.now()) == 0
    assert linked() == []
    hold.set()
    sealer.join()
    assert seal_all() == 3
    assert_whole()


def test_sealers_that_start_together_seal_each_entry_once() -> None:
    for _ in range(5):
        write(20)
        together = Barrier(4)

        def sealer(together: Barrier = together) -> int:
            together.wait(30)
            return chain.seal(at=timezone.now())

        sealed = sum(one.join() for one in [Beside(sealer) for _ in range(4)])
        assert sealed + seal_all() == 20
    assert_whole()


def test_a_full_run_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LIMIT", 3)
    write(10)  # the first run of all
    assert seal_all() == 10
    write(4)
    write(7)  # and later ones, which go by transaction ids
    assert seal_all() == 11
    assert max(last - first + 1 for first, last in AuditBatch.objects.values_list("first_seq", "last_seq")) == 3
    assert_whole()


def test_a_full_run_does_not_step_over_a_slow_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LIMIT", 3)
    write(2)
    seal_all()
    go, written = Event(), Event()

    def slow() -> None:
        with transaction.atomic(durable=True):
            write_one()
            written.set()
            assert go.wait(30)

    early = write(7)
    writer = Beside(slow)
    assert written.wait(30)
    write(7)
    while not set(early) <= set(linked()):
        chain.seal(at=timezone.now())
        time.sleep(0.005)
    go.set()
    writer.join()
    seal_all()
    assert_whole()


def test_no_two_lists_of_entries_share_a_root() -> None:
    leaves = [chain.leaf(text) for text in "abcdef"]
    roots = [chain.merkle_root(leaves[:count]) for count in range(1, 7)]
    roots += [chain.merkle_root([*leaves[:3], leaves[2]]), chain.merkle_root(leaves[::-1])]
    # The root of two, offered as a leaf, is the classic forgery of a tree without domain separation.
    roots.append(chain.merkle_root([chain.merkle_root(leaves[:2]), chain.leaf("c")[::-1]]))
    assert len(set(roots)) == len(roots)
