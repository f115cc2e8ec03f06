"""The list of transfers, the checker's inbox and the log: narrowed by the address, paged by key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.web.swap import page_of
from treasury.audit import chain
from treasury.models import AuditEntry, Transfer, User

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]


def references(client: Client, address: str) -> list[str]:
    return [link.text_content() for link in page_of(client.get(address)).xpath("//main//table//a[@class='reference']")]


def test_filters_narrow_and_live_in_the_address(
    sign_in: SignIn, drafted: Make, submitted: Make, maker: User, checker: User
) -> None:
    draft, waiting = drafted(reason="Payroll"), submitted(amount="0.01", asset="BTC")
    client = sign_in(maker)
    for query, expected in {
        "": [waiting, draft],
        "state=draft": [draft],
        "state=submitted": [waiting],
        "asset=btc": [waiting],
        "text=payroll": [draft],
        f"text={waiting.reference}": [waiting],
        "maker=maker": [waiting, draft],
        "maker=nobody": [],
        "state=nonsense": [],
        f"connection={draft.connection_id}": [waiting, draft],
        "connection=0": [],
        "before=99999999999999999999": [],
        "state=&text=": [waiting, draft],
    }.items():
        assert references(client, f"/transfers/?{query}") == [one.reference for one in expected], query
    assert references(sign_in(checker), "/transfers/") == [waiting.reference]
    assert 'value="payroll"' in client.get("/transfers/?text=payroll").content.decode()


def test_paging_keeps_the_filters(sign_in: SignIn, drafted: Make, maker: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treasury.web.transfers.ON_A_PAGE", 2)
    made = [drafted().reference for _ in range(5)][::-1]
    client = sign_in(maker)
    address, seen = "/transfers/?state=draft", []
    for _ in range(3):
        seen += references(client, address)
        (older, *_) = [*page_of(client.get(address)).xpath("//a[text()='Older']/@href"), ""]
        address = older
    assert seen == made
    assert not address
    assert page_of(client.get(f"/transfers/?state=draft&before={10**9}")).xpath("//a[text()='Newest']/@href") == [
        "/transfers/?state=draft"
    ]


def test_the_inbox_holds_what_this_checker_may_decide(
    sign_in: SignIn, submitted: Make, drafted: Make, checker: User, checker2: User, maker: User
) -> None:
    transfer, _ = submitted(amount="50000"), drafted()
    inbox = sign_in(checker).get("/approvals/").content.decode()
    assert f'id="waiting-{transfer.reference}"' in inbox
    sign_in(checker).post(
        f"/transfers/{transfer.reference}/approve/", {"digest": transfer.digest, "round": transfer.round}
    )
    after = sign_in(checker).get("/approvals/").content.decode()
    assert "Nothing waits for you. 1 waits for others." in after
    assert f'id="waiting-{transfer.reference}"' in sign_in(checker2).get("/approvals/").content.decode()
    assert "Only checkers decide" in sign_in(maker).get("/approvals/").content.decode()


def test_the_log_is_searched(sign_in: SignIn, submitted: Make, auditor: User, checker: User) -> None:
    transfer = submitted(reason="Quarterly collateral")
    client = sign_in(auditor)
    today = timezone.now().date().isoformat()

    def found(query: str) -> int:
        return len(page_of(client.get(f"/audit/?{query}")).xpath("//ol[@class='entries']/li"))

    assert found(f"subject={transfer.subject}") == 2
    assert found(f"subject={transfer.subject}&action=transfer.submit") == 1
    assert found(f"subject={transfer.subject}&who=checker") == 0
    assert found("text=quarterly") == 1
    assert found(f"subject={transfer.subject}&since={today}&until={today}") == 2
    assert found("until=2020-01-01") == 0
    assert found("since=yesterday") == 0
    assert found("result=refused") == 0
    sign_in(checker).get("/transfers/TR-999999/")
    assert found("result=refused") == 1


def test_the_log_shows_each_entry_as_it_is_hashed(sign_in: SignIn, drafted: Make, auditor: User) -> None:
    drafted()
    entry = AuditEntry.objects.filter(action="transfer.draft").get()
    page = page_of(sign_in(auditor).get("/audit/?action=transfer.draft"))
    assert [pre.text_content() for pre in page.iter("pre")] == [entry.canonical]


def test_another_makers_draft_stays_out_of_the_log_they_read(
    sign_in: SignIn, drafted: Make, submitted: Make, maker: User, maker2: User, auditor: User
) -> None:
    secret, public = drafted(reason="Not yet"), submitted(reason="Asked")
    for who, sees in ((maker, True), (maker2, False), (auditor, True)):
        text = sign_in(who).get("/audit/").content.decode()
        assert (secret.subject in text) == sees
        assert public.subject in text


@pytest.mark.django_db(transaction=True)
def test_the_log_page_names_the_head_of_the_chain(sign_in: SignIn, auditor: User) -> None:
    sealed = chain.seal(at=timezone.now())
    text = sign_in(auditor).get("/audit/").content.decode()
    assert f"<strong>{sealed}</strong> entr" in text
    assert chain.head().batch.hex() in text
    assert "manage.py verify_audit" in text
