"""The campaign, short: real workers killed and suspended, messages deleted and doubled, venues that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.flown import flown

pytestmark = pytest.mark.slow
RUNS = 40


def test_whatever_breaks_nothing_is_sent_twice_and_nothing_is_lost(tmp_path: Path) -> None:
    figures = flown(tmp_path / "campaign", "--runs", str(RUNS), "--seed", "11", "--scale", "4", "--drain", "8")

    found, counts = figures["found"], figures["counts"]
    assert figures["runs"] == RUNS
    assert found["effects"] > RUNS / 5, figures["printed"]
    assert (found["duplicates"], found["lost"], found["unasked"], found["unexplained"]) == ([], [], [], [])
    assert found["log_break"] is None
    assert found["log_entries"] > 5 * RUNS
    assert sum(count for name, count in counts.items() if name.startswith("fault ")) > RUNS / 4
    assert all(counts[name] for name in ("kills", "suspensions", "database restarts")), figures["printed"]
    assert "replay: make campaign RUNS=40 SEED=11 SCALE=4" in figures["printed"]
