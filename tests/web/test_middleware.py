"""What every page refuses alike: words that no database takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from tests.house import deactivate
from treasury.models import AuditEntry, Connection, Transfer, User
from treasury.web.urls import urlpatterns

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
REFUSED = "What was sent holds a character that no text may have."
LEAVES = frozenset({"sign_out"})  # a session of this test


def addresses() -> Iterator[str]:
    """Every page and step that has no argument."""
    for pattern in urlpatterns:
        if pattern.name in LEAVES:
            continue
        try:
            yield reverse(str(pattern.name))
        except NoReverseMatch:
            continue


@pytest.mark.parametrize("asked", ["?plan=%00", "?a=b&asset=U%00SDT", "?%00=1"])
def test_nul_in_an_address_is_refused_by_every_page(
    sign_in: SignIn, connection: Connection, maker: User, asked: str
) -> None:
    client, before = sign_in(maker), AuditEntry.objects.count()
    found = list(addresses())
    assert len(found) > 20
    for address in found:
        response = client.get(address + asked)
        assert (address, response.status_code) == (address, 400)
        assert REFUSED in response.content.decode()
    assert AuditEntry.objects.count() == before


def test_nul_in_a_what_ifs_plan_is_refused(sign_in: SignIn, connection: Connection, maker: User) -> None:
    address = f"/rebalancing/what-if/?connection={connection.pk}&asset=USDT&plan=%00"
    assert sign_in(maker).get(address).status_code == 400


@pytest.mark.parametrize("said", [{"reason": "a\0b"}, {"asset": ["USDT", "\0"]}, {"\0": "x"}])
def test_nul_in_a_form_is_refused_by_every_page_and_does_nothing(
    sign_in: SignIn, connection: Connection, maker: User, said: dict[str, object]
) -> None:
    client, before = sign_in(maker), AuditEntry.objects.count()
    for address in addresses():
        response = client.post(address, said)
        assert (address, response.status_code) == (address, 400)
        assert "Nothing was done." in response.content.decode()
    assert AuditEntry.objects.count() == before


def test_nul_in_a_form_is_said_beside_it(sign_in: SignIn, drafted: Callable[..., Transfer], maker: User) -> None:
    transfer = drafted()
    address = f"/transfers/{transfer.reference}/edit/"
    response = sign_in(maker).post(address, {"reason": "\0"}, headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Retarget"]) == (400, "#alerts")
    assert REFUSED in response.content.decode()


@pytest.mark.parametrize("address", ["/%00", "/transfers/%00/", "/?x=%00", "/sign-in/?next=%00"])
def test_nul_is_refused_of_whoever_is_not_signed_in_or_no_longer_may(db: None, maker: User, address: str) -> None:
    assert Client().get(address).status_code == 400
    client = Client()
    client.force_login(maker)
    deactivate(maker)
    assert client.get(address).status_code == 400


def test_a_form_without_its_token_is_not_read(maker: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(maker)
    assert client.post("/transfers/new/", {"reason": "\0"}).status_code == 403


def test_other_strange_characters_are_text_like_any_other(sign_in: SignIn, maker: User) -> None:
    assert sign_in(maker).get("/transfers/", {"text": "\x01 \u202e \ufffd é"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "a b"])
@pytest.mark.parametrize("address", ["/", "/sign-in/", "/healthz/", "/no-such-page/"])
def test_a_forged_host_is_refused_in_words(db: None, host: str, address: str) -> None:
    answer = Client(raise_request_exception=False).get(address, HTTP_HOST=host)
    assert answer.status_code == 400 and "Nothing was done." in answer.content.decode()
