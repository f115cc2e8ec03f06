"""The page that says how far off we are: what it says first, what it draws, who may ask for what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import bare_connection, person, set_up
from tests.web.banded import set_bands
from tests.web.swap import by_id, htmx, page_of
from tests.web.test_swaps import same
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Connection,
    ConnectionHealth,
    Plan,
    PlanState,
    Transfer,
    User,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
HERE = "/rebalancing/"


@pytest.fixture
def banded(unified: Account, fund: Account, operator: User, operator2: User) -> None:
    """Of 1000 USDT each, the one is 500 above its maximum, the other 200 below its minimum."""
    set_bands({unified: ("100", "300", "500"), fund: ("1200", "1500", "2000")}, operator, operator2)


def words(client: Client, address: str = HERE) -> str:
    return " ".join(page_of(client.get(address)).text_content().split())


def test_the_first_sentence_says_how_many_are_outside(sign_in: SignIn, banded: None, maker: User) -> None:
    told = words(sign_in(maker))
    assert "2 of 2 accounts are outside their bands, over 1 venue." in told
    assert "500 above its maximum" in told
    assert "200 below its minimum" in told
    assert "cannot be judged" not in told.lower()


def test_when_all_are_inside_it_says_so(
    sign_in: SignIn, unified: Account, fund: Account, operator: User, operator2: User, maker: User
) -> None:
    set_bands({unified: ("0", "1000", ""), fund: ("500", "1000", "1500")}, operator, operator2)
    told = words(sign_in(maker))
    assert "All 2 accounts are inside their bands, over 1 venue." in told
    assert "outside" not in told.lower().replace("0 outside", "")


def test_old_numbers_are_not_judged_and_never_called_fine(sign_in: SignIn, banded: None, maker: User) -> None:
    Balance.objects.update(observed_at=timezone.now() - timedelta(hours=3))
    told = words(sign_in(maker))
    assert "None of 2 accounts with a band can be judged, over 1 venue; 1 group cannot be judged: " in told
    assert "balances are stale" in told
    assert "All inside" not in told
    assert "Read the balances again of Bybit main" in told


def test_what_could_not_be_read_is_no_nothing(sign_in: SignIn, banded: None, fund: Account, maker: User) -> None:
    fund.balances.filter(asset="USDT").update(total=None, movable=None, problem="the venue said no")
    page = page_of(sign_in(maker).get(HERE))
    told = " ".join(page.text_content().split())
    assert "Not readable: the venue said no" in told
    assert "balances are not readable" in told
    (bar,) = page.xpath("//svg[contains(@class,'band-bar')][title[contains(.,'Funding')]]")
    assert not bar.find_class("now")


def test_bands_are_drawn_on_one_scale_with_their_numbers_beside(sign_in: SignIn, banded: None, maker: User) -> None:
    page = page_of(sign_in(maker).get(HERE))
    first, second = by_id(page, "group-0").find_class("band-bar")
    assert {one.find_class("now")[0].get("cx") for one in (first, second)} == {"50.00%"}  # 1000 of 2000
    cells = [" ".join(one.text_content().split()) for one in by_id(page, "group-0").xpath(".//td[@data-label]")]
    assert [one for one in cells if "ago" not in one] == ["1 200", "1 500", "2 000", "100", "300", "500"]
    for image in page.xpath("//svg[@role='img']"):
        assert image.xpath("string(title)")
        assert image.xpath("string(desc)")


def test_what_is_on_its_way_shows_as_a_second_mark_and_a_link(
    sign_in: SignIn, banded: None, submitted: Make, maker: User
) -> None:
    transfer = submitted(amount="300")
    page = page_of(sign_in(maker).get(HERE))
    group = by_id(page, "group-0")
    told = " ".join(group.text_content().split())
    once = f"once {transfer.reference} has moved"
    assert f"2 outside now, 1 {once}" in told
    assert f"200 below its minimum now, inside its band {once}" in told
    assert f"500 above its maximum now, 200 above its maximum {once}" in told
    assert len(group.find_class("after")) == 2 + 1  # two bars, and the legend
    assert len(group.xpath(f".//a[@href='/transfers/{transfer.reference}/']")) == 2
    first = "2 of 2 accounts are outside their bands now, over 1 venue; 1 once the 1 transfer that waits has moved."
    assert first in words(sign_in(maker))
    tile = page_of(sign_in(maker).get("/")).xpath("//li[contains(@class,'tile')]/a[@href='/rebalancing/']/span")
    assert tile[0].text_content() == "2", "nobody approved it yet"


def test_a_draft_of_somebody_else_is_not_told(sign_in: SignIn, banded: None, drafted: Make, maker2: User) -> None:
    transfer = drafted(amount="300")
    assert transfer.reference not in words(sign_in(maker2))


def test_each_asset_is_summed_over_all_connections(
    sign_in: SignIn, banded: None, connection: Connection, operator: User, operator2: User, maker: User
) -> None:
    other = bare_connection(
        name="Other", venue="bybit", environment="mainnet", login="o", credentials="-", created_at=timezone.now()
    )
    account = set_up(other, "FUND", title="Their funding")
    Balance.objects.create(account=account, asset="usdt", total="0.5", movable="0.5", observed_at=timezone.now())
    set_bands({account: ("0", "1", "2")}, operator, operator2, asset="usdt")
    page = page_of(sign_in(maker).get(HERE))
    over = page.xpath("//section[@aria-labelledby='over-venues']")[0]
    told = " ".join(over.text_content().split())
    assert "USDT: within the sum of the bands" in told
    assert "2 000.5" in told  # own funds
    assert "3 accounts over 2 connections." in told
    assert len(over.find_class("band-bar")) == 1


def test_without_bands_it_says_what_to_do_and_who_can(
    sign_in: SignIn, connection: Connection, maker: User, checker: User
) -> None:
    page = page_of(sign_in(maker).get(HERE))
    assert page.xpath("//a[@href='/bands/'][contains(., 'Propose bands')]")
    assert "A maker or an operator proposes bands" in words(sign_in(checker))
    assert not page.xpath("//form[@action='/rebalancing/plan/']")


def test_a_plan_is_asked_for_and_its_page_follows(
    sign_in: SignIn, banded: None, connection: Connection, maker: User
) -> None:
    client = sign_in(maker)
    answer = client.post(f"{HERE}plan/")
    plan = Plan.objects.get()
    assert (answer.status_code, answer.url) == (303, f"/plans/{plan.reference}/")
    assert (plan.asked_by, plan.connection, plan.asset) == (maker, None, "")
    one = htmx(client, "post", f"{HERE}plan/", {"connection": connection.pk, "asset": "USDT"}, page=HERE)
    plan = Plan.objects.first()
    assert plan is not None
    assert one["HX-Redirect"] == f"/plans/{plan.reference}/"
    assert (plan.connection, plan.asset) == (connection, "USDT")


def test_the_page_polls_only_while_something_is_awaited(
    sign_in: SignIn, banded: None, connection: Connection, maker: User
) -> None:
    client = sign_in(maker)
    assert by_id(page_of(client.get(HERE)), "rebalancing").get("hx-trigger") is None
    assert same(client, HERE, "rebalancing", "get", HERE).status_code == 286
    client.post(f"{HERE}plan/")
    assert by_id(page_of(client.get(HERE)), "rebalancing").get("hx-trigger") == "every 5s"
    assert same(client, HERE, "rebalancing", "get", HERE).status_code == 200
    Plan.objects.update(state=PlanState.FAILED, problem="x")
    assert htmx(client, "get", HERE, page=HERE).status_code == 286
    ConnectionHealth.objects.update(read_at=timezone.now() - timedelta(minutes=1))
    same(client, HERE, "rebalancing", "post", f"{HERE}read/")
    assert by_id(page_of(client.get(HERE)), "rebalancing").get("hx-trigger") == "every 5s"
    assert ConnectionHealth.objects.get(connection=connection).asked_at is not None


def test_without_bands_a_plan_is_refused_with_the_sentence(
    sign_in: SignIn, connection: Connection, maker: User
) -> None:
    answer = same(sign_in(maker), HERE, "rebalancing", "post", f"{HERE}plan/")
    assert answer.status_code == 422
    assert "No plan was asked for." in answer.content.decode()


def test_an_auditor_sees_all_and_can_do_nothing(
    sign_in: SignIn, banded: None, auditor: User, refused: Callable[[], list[Any]]
) -> None:
    client = sign_in(auditor)
    page = page_of(client.get(HERE))
    assert "500 above its maximum" in page.text_content()
    assert not by_id(page, "rebalancing").xpath(".//form")
    for step, action in (("plan/", "plan.ask"), ("read/", "balance.ask"), ("what-if/", "plan.ask")):
        assert client.post(HERE + step).status_code == 403
        assert refused()[-1][:2] == (str(AuditEntry.objects.latest("id").actor), action)
    assert not Plan.objects.exists()


def test_without_a_role_there_is_nothing(sign_in: SignIn, banded: None) -> None:
    client = sign_in(person("nobody", is_superuser=True))
    for address in (HERE, f"{HERE}what-if/", "/plans/", "/plans/PL-000001/"):
        answer = client.get(address)
        assert answer.status_code == 403
        assert "USDT" not in answer.content.decode()
    assert client.post(f"{HERE}plan/").status_code == 403
    assert client.post(f"{HERE}read/").status_code == 403


def test_the_section_is_marked_in_the_header(sign_in: SignIn, banded: None, maker: User) -> None:
    client = sign_in(maker)
    for address in (HERE, "/plans/"):
        (here,) = page_of(client.get(address)).xpath("//nav[@aria-label='Main']//a[@aria-current]")
        assert here.text_content() == "Rebalancing"


def test_it_asks_the_database_as_often_for_many_groups_as_for_two(
    sign_in: SignIn, banded: None, unified: Account, fund: Account, operator: User, operator2: User, maker: User
) -> None:
    client = sign_in(maker)

    def group(asset: str) -> None:
        for one in (unified, fund):
            held = {"total": "5", "movable": "5", "observed_at": timezone.now()}
            Balance.objects.update_or_create(account=one, asset=asset, defaults=held)
        set_bands({unified: ("1", "2", "3"), fund: ("1", "2", "3")}, operator, operator2, asset=asset)

    def asked() -> int:
        client.get(HERE)
        with CaptureQueriesContext(database) as captured:
            assert client.get(HERE).status_code == 200
        return len(captured)

    group("AAA")
    two = asked()
    for number in range(8):
        group(f"B{number}")
    assert asked() == two
    assert two < 35


def test_only_what_can_be_read_is_asked_for_and_named(
    sign_in: SignIn, banded: None, connection: Connection, maker: User, rung: list[tuple[str, Any]]
) -> None:
    client = sign_in(maker)
    later = timezone.now() + timedelta(minutes=5)
    ConnectionHealth.objects.filter(connection=connection).update(limited_until=later)
    told = htmx(client, "post", f"{HERE}read/", page=HERE)["HX-Trigger"]
    assert "Nothing can be read now" in told
    assert not AuditEntry.objects.filter(action="balance.ask").exists()
    ConnectionHealth.objects.update(limited_until=None, read_at=timezone.now() - timedelta(minutes=1))
    told = htmx(client, "post", f"{HERE}read/", page=HERE)["HX-Trigger"]
    assert "Asked to read the balances of Bybit main." in told
