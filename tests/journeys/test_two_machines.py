"""Two machines, as far as one can play them: two sets of workers that share one database and one RabbitMQ.

Each set has an environment and a TREASURY_HOME of its own. CELERY_BROKER_URL is the only change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.flown import flown
from tests.journeys.test_real_worker import rabbitmq  # noqa: F401  (a fixture)

pytestmark = pytest.mark.slow
RUNS = 25


def test_two_machines_share_a_database_and_a_broker_and_send_nothing_twice(
    tmp_path: Path,
    rabbitmq: str,  # noqa: F811
) -> None:
    home = tmp_path / "campaign"
    words = ("--runs", str(RUNS), "--seed", "12", "--scale", "4", "--drain", "8", "--machines", "2")
    figures = flown(home, *words, "--broker", "rabbitmq", "--gentle", CELERY_BROKER_URL=rabbitmq)

    found = figures["found"]
    assert figures["runs"] == RUNS
    assert found["effects"] > RUNS / 5, figures["printed"]
    assert (found["duplicates"], found["lost"], found["unasked"], found["unexplained"]) == ([], [], [], [])
    assert (home / "machine-1").is_dir()
    assert (home / "machine-2").is_dir()
    assert set(figures["machines"]) == {"machine-1", "machine-2"}, "both machines' workers sent"
