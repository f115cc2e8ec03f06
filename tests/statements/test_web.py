"""The web: rights of pages and fields, policy of content, cookies, tokens, caches, exports, proxies and uploads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from tests.house import give
from tests.statements.proves import proves
from tests.test_settings import REAL, start
from tests.web.crawl import NOBODY, STRANGER, World, a_world
from tests.web.scan import faults
from tests.web.swap import page_of
from tests.web.test_crawl import ANYBODY, POSTS, STEP, TABLE
from treasury.balances import snapshots
from treasury.controls import bands_csv, uploads
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, ROLES
from treasury.launch import sbom
from treasury.models import Account, AuditEntry, Balance, Change, State, Transfer, User
from treasury.models.cells import BEGINS_A_FORMULA
from treasury.web import sign_in_limits

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]


@pytest.fixture
def world(drafted: Make, unified: Account, fund: Account) -> World:
    return a_world(drafted, unified, fund)


# -- rights -------------------------------------------------------------------------------------------------------


@proves(
    "S41",
    "treasury/web/middleware.py:SignedInOnly",
    "treasury/transfers/queries.py:visible_to",
    "treasury/web/refusals.py:note",
    "treasury/admin/window.py:Window.lookup_allowed",
    "treasury/admin/site.py:guessed",
)
def test_s41_rights_are_checked_on_the_server_for_step_page_and_row(world: World) -> None:
    """Function: whoever holds no role takes no step, with a valid token. Object: a draft is its maker's. Field: a
    column that a page does not show cannot be asked for. Each attempt is in the log."""
    steps = [route for route, row in TABLE.items() if row == STEP and not route.endswith(ONES_OWN)]
    client = token_of(world, STRANGER)
    before = states()
    answers = {route: client.post(world.address(route)).status_code for route in steps}
    assert len(answers) > 30
    assert set(answers.values()) <= {403, 404}, answers
    assert states() == before
    attempts = AuditEntry.objects.filter(actor="stranger", result="refused")
    assert attempts.count() >= list(answers.values()).count(403)

    draft = world.things["transfers/<reference:reference>/edit/ reference"]
    checker = world.browser(CHECKERS)
    for address in (f"/transfers/{draft}/", f"/transfers/{draft}/edit/", "/transfers/TR-999999/"):
        noted = AuditEntry.objects.filter(result="refused").count()
        assert checker.get(address).status_code == 404, address
        assert AuditEntry.objects.filter(result="refused").count() == noted + 1
    auditor = world.browser(AUDITORS)
    guess = auditor.get("/admin/treasury/user/?password__startswith=a")
    assert guess.status_code == 400
    entry = AuditEntry.objects.filter(result="refused").latest("pk")
    assert (entry.actor, entry.facts["path"]) == (world.people[AUDITORS].username, "/admin/treasury/user/")
    assert "password" not in entry.canonical, "what was guessed is not kept"


ONES_OWN = ("sign-out/", "admin/logout/", "account/sessions/<int:session_id>/end/")  # whoever is signed in may


def token_of(world: World, who: str) -> Client:
    """A browser whose every POST carries the token that its own page gave it."""
    client = world.browser(who)
    (token,) = set(page_of(client.get("/")).xpath("//input[@name='csrfmiddlewaretoken']/@value"))
    client.defaults["HTTP_X_CSRFTOKEN"] = token
    return client


def states() -> list[tuple[Any, ...]]:
    return [*Transfer.objects.order_by("pk").values_list("pk", "state"), *Change.objects.values_list("pk", "ruling")]


@proves("S42", "treasury/web/drafts.py:new", "treasury/web/steps.py:approve", "treasury/transfers/draft.py:draft")
def test_s42_fields_that_a_form_does_not_have_are_not_set_by_posting_them(world: World, unified: Account) -> None:
    maker, other = world.people[MAKERS], world.people[CHECKERS]
    client = Client()
    client.force_login(maker)
    draft_key = page_of(client.get("/transfers/new/")).xpath("//input[@name='draft_key']/@value")[0]
    more = {
        "state": "SETTLED",
        "status": "approved",
        "maker": other.pk,
        "maker_id": other.pk,
        "reference": "TR-777777",
        "digest": "0" * 64,
        "round": 9,
        "policy": 99,
        "submitted_at": "2020-01-01",
        "is_superuser": "1",
        "id": 5,
    }
    fund = unified.connection.accounts.get(address="FUND")
    said = {"source": unified.pk, "destination": fund.pk, "asset": "USDT", "amount": "3", "reason": "Top up"}
    known = set(Transfer.objects.values_list("pk", flat=True))
    assert client.post("/transfers/new/", {**said, **more, "draft_key": draft_key}).status_code in (302, 303)
    (made,) = Transfer.objects.exclude(pk__in=known)
    assert (made.state, made.maker, made.digest, made.amount) == (State.DRAFT, maker, None, Decimal("3"))
    assert made.reference != "TR-777777"
    edited = client.post(f"/transfers/{made.reference}/edit/", {**said, **more, "amount": "4", "draft_key": draft_key})
    assert edited.status_code in (302, 303)
    made.refresh_from_db()
    assert (made.state, made.maker, made.digest, made.amount) == (State.DRAFT, maker, None, Decimal("4"))
    client.post(f"/transfers/{made.reference}/submit/", {**more, "maker": other.pk})
    made.refresh_from_db()
    assert (made.state, made.maker, made.submitted_at is not None) == (State.SUBMITTED, maker, True)
    assert not User.objects.filter(is_superuser=True, pk=maker.pk).exists()


# -- the content policy -------------------------------------------------------------------------------------------


@proves(
    "S43",
    "treasury/web/browsers.py:Promises",
    "treasury/web/reports.py:csp",
    "treasury/web/checks.py:pages_load_only_our_own",
)
def test_s43_the_policy_of_content_has_nonces_and_no_unsafe_source_and_is_reported_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.browser(OPERATORS)
    seen = set()
    for address in ("/", "/", "/transfers/", "/changes/", "/policy/", "/no-such-page/"):
        response = client.get(address)
        policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
        assert "unsafe" not in response["Content-Security-Policy"]
        assert "*" not in response["Content-Security-Policy"] and "http" not in response["Content-Security-Policy"]
        never = {policy[name] for name in ("default-src", "object-src", "base-uri", "frame-ancestors")}
        assert never == {"'none'"}
        assert policy["script-src"].startswith("'nonce-") and " " not in policy["script-src"]
        assert policy["report-uri"] == "/reports/csp/"
        seen.add(policy["script-src"])
        assert faults(response) == []
    assert len(seen) == 6, "each answer has its own"
    before = AuditEntry.objects.count()
    report = {"csp-report": {"effective-directive": "script-src-elem", "blocked-uri": "inline"}}
    sent = Client().post("/reports/csp/", json.dumps(report), content_type="application/csp-report")
    assert sent.status_code == 204
    assert "script-src-elem" in caplog.text
    assert AuditEntry.objects.count() == before


LOOK = """
import django; django.setup()
from django.test import Client
c = Client(REMOTE_ADDR="10.0.0.7", HTTP_HOST="treasury.example")
plain = c.get("/sign-in/")
print(plain.status_code, plain.get("Location"))
r = c.get("/sign-in/", HTTP_X_FORWARDED_PROTO="https")
print(r.status_code)
for name in ("Strict-Transport-Security", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"):
    print(name + ": " + r[name])
from django.conf import settings
print(sorted(name for name in c.cookies), settings.SESSION_COOKIE_NAME)
for name, morsel in c.cookies.items():
    print(name, *(morsel[part] for part in ("secure", "httponly", "samesite", "path", "domain")))
print(*(getattr(settings, f"SESSION_COOKIE_{part}") for part in ("SECURE", "HTTPONLY", "SAMESITE", "PATH", "DOMAIN")))
"""


@proves(
    "S44", "treasury/environment.py:networks", "treasury/web/browsers.py:Promises", "treasury/web/proxies.py:Forwarded"
)
def test_s44_a_real_houses_cookies_and_headers_are_bound_to_it() -> None:
    code, said = start(LOOK, **REAL, PYTHONWARNINGS="ignore")
    assert code == 0, said
    assert said.splitlines() == [
        "301 https://treasury.example/sign-in/",
        "200",
        "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: same-origin",
        "Cross-Origin-Opener-Policy: same-origin",
        "['__Host-csrf'] __Host-session",
        "__Host-csrf True True Lax / ",
        "True True Lax / None",
    ]


# -- tokens, caches and scripts -----------------------------------------------------------------------------------


@proves("S45", "treasury/settings.py:MIDDLEWARE", "treasury/web/refusals.py:csrf_failure")
def test_s45_no_get_changes_anything_and_every_write_has_its_token(world: World) -> None:
    """Somebody who holds every role asks for every address by GET, HEAD and OPTIONS; the database itself counts what
    was written."""
    person = world.people[MAKERS]
    give(person, *(role for role in ROLES if role != MAKERS))
    client = world.browser(MAKERS)
    client.get("/")
    changed: dict[str, set[str]] = {}
    for route in TABLE:
        for method in ("get",) if route.startswith("admin/treasury") else ("get", "head", "options"):
            before = written()
            getattr(client, method)(world.address(route))
            touched = {table for table, count in written().items() if count != before.get(table, 0)}
            if touched := touched - NO_STATE:
                changed[f"{method} {route}"] = touched
    assert changed == {}
    refused = {client.post(world.address(route)).status_code for route in TABLE if route not in POSTS}
    assert refused == {403}
    for address in ("/", "/transfers/new/", "/stops/", "/changes/", "/policy/edit/", "/people/new/"):
        assert faults(client.get(address)) == []


# What the log says of who looked at what, a session's own row, the note that a worker is to ask a venue which assets
# move between two accounts, and counters of tries.
NO_STATE = {"treasury_auditentry", "django_session", "usersessions_usersession", "treasury_route", "treasury_cache"}


def written() -> dict[str, int]:
    """How many rows this transaction has written so far, by table: taken back or not."""
    with database.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables")
        return dict(cursor.fetchall())


@proves(
    "S46",
    "treasury/web/middleware.py:PrivatePages",
    "static/nothing-kept.js:setItem",
    "templates/base.html:historyCacheSize",
)
def test_s46_pages_with_money_are_kept_by_no_cache_and_no_storage(world: World) -> None:
    for who in (MAKERS, OPERATORS, AUDITORS, STRANGER):
        client = world.browser(who)
        for route, row in TABLE.items():
            if row in (ANYBODY, STEP) or route.startswith(("admin/treasury", "account")):
                continue
            assert "no-store" in client.get(world.address(route))["Cache-Control"], (who, route)
    page = page_of(world.browser(MAKERS).get("/"))
    config = json.loads(page.xpath("//meta[@name='htmx-config']/@content")[0])
    assert config["historyCacheSize"] == 0 and config["refreshOnHistoryMiss"]
    assert page.xpath("//script/@src")[0].endswith("nothing-kept.js")
    text = (settings.BASE_DIR / "static" / "nothing-kept.js").read_text()
    assert "Storage.prototype.setItem" in text and "throw" in text  # tests/browser/test_storage.py: in a browser


@proves("S47", "treasury/web/browsers.py:scripts_of", "templates/base.html:csp_nonce")
def test_s47_every_script_is_our_own(world: World) -> None:
    names = set()
    for who, address in ((MAKERS, "/"), (AUDITORS, "/admin/"), (NOBODY, "/sign-in/"), (OPERATORS, "/account/")):
        response = world.browser(who).get(address)
        names |= {str(one) for one in page_of(response).xpath("//script/@src")}
        assert faults(response) == []
    assert len(names) > 3
    for name in names:
        assert name.startswith("/static/")
        served = Client().get(name)
        assert served.status_code == 200
        served.close()


# -- what comes out and what comes in -----------------------------------------------------------------------------


@proves(
    "S53",
    "treasury/models/cells.py:inert",
    "treasury/web/balances_export.py:row",
    "treasury/balances/price_sheets.py:sheet",
)
def test_s53_exports_open_as_text_and_negative_numbers_stay_numbers(world: World, unified: Account) -> None:
    evil = "=HYPERLINK(1)"
    Balance.objects.create(account=unified, asset="DEBT", total="-12.5", movable="0", observed_at=timezone.now())
    snapshots.keep(unified.connection, at=timezone.now())
    operator = Client()
    operator.force_login(world.people[OPERATORS])
    said = {"asset": "USDT", "price": "0.86", "currency": "EUR", "source": evil, "as_of": timezone.now().isoformat()}
    text = ",".join(said) + "\n" + ",".join(said.values()) + "\n"
    shown = operator.post("/prices/import/", {"text": text})
    digest = page_of(shown).xpath("//input[@name='digest']/@value")[0]
    assert operator.post("/prices/import/", {"text": text, "digest": digest, "sure": "yes"}).status_code in (302, 303)
    cells = []
    for address in ("/prices/export/", "/balances/export/", "/bands/export/"):
        response = operator.get(address)
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response["Content-Disposition"].startswith("attachment; ")
        cells += [cell for row in csv.reader(io.StringIO(response.content.decode("utf-8-sig"))) for cell in row]
    assert f"'{evil}" in cells
    assert "-12.5" in cells, "a number that is negative is no formula, and has no apostrophe"
    alive = [cell for cell in cells if cell.startswith(BEGINS_A_FORMULA) and not is_number(cell)]
    assert alive == []


def is_number(cell: str) -> bool:
    try:
        return Decimal(cell).is_finite()
    except ArithmeticError:
        return False


@proves(
    "S54",
    "treasury/web/proxies.py:Forwarded",
    "treasury/web/middleware.py:PrivatePages",
    "treasury/web/sign_in_limits.py:counters_of",
)
def test_s54_forwarded_headers_of_strangers_reach_neither_log_nor_limits(
    monkeypatch: pytest.MonkeyPatch, maker: User
) -> None:
    monkeypatch.setattr(settings, "TRUSTED_PROXIES", [ip_network("10.0.0.7")])
    monkeypatch.setattr(sign_in_limits, "ADDRESS_MOST", 3)

    def tried(peer: str, said: str, name: str) -> tuple[int, str | None, str | None]:
        """A wrong password from there: the answer's status, and the origin that the log has of it."""
        sent = {"HTTP_X_FORWARDED_FOR": said, "HTTP_FORWARDED": f"for={said}", "HTTP_X_REAL_IP": said}
        response = Client(REMOTE_ADDR=peer, **sent).post("/sign-in/", {"username": name, "password": "wrong"})
        origin = json.loads(AuditEntry.objects.latest("pk").canonical)["origin"]
        return response.status_code, origin["peer"], origin["client"]

    stranger = [tried("203.0.113.9", f"6.6.6.{number}", f"name{number}") for number in range(5)]
    assert {(peer, client) for _, peer, client in stranger} == {("203.0.113.9", None)}
    assert "6.6.6." not in "".join(AuditEntry.objects.values_list("canonical", flat=True))
    assert refused_untried("203.0.113.9", "6.6.6.99"), "another word in the header is no other address"
    # Behind the trusted proxy each client is counted by itself, and the log has both, apart.
    assert [tried("10.0.0.7", f"198.51.100.{number}", f"other{number}")[1:] for number in range(5)] == [
        ("10.0.0.7", f"198.51.100.{number}") for number in range(5)
    ]
    assert not refused_untried("10.0.0.7", "198.51.100.77")


def refused_untried(peer: str, said: str) -> bool:
    client = Client(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=said)
    response = client.post("/sign-in/", {"username": "somebody-else", "password": "wrong"})
    return "too many" in response.content.decode()


@proves(
    "S55",
    "treasury/controls/uploads.py:all_accepted",
    "treasury/controls/bands_csv.py:text_of",
    "treasury/web/prices.py:text_of",
    "treasury/web/middleware.py:BoundedBodies",
)
def test_s55_an_uploads_size_type_rows_and_encoding_are_checked_before_it_is_read(world: World) -> None:
    client = Client()
    client.force_login(world.people[OPERATORS])
    binary, latin = b"\x89PNG\r\n\x1a\n\x00\x01", "asset,größe\n".encode("latin-1")
    for address in ("/bands/import/", "/prices/import/"):
        for content in (binary, latin, b"a,b\n\x1b[31m,2\n", b"x" * 300_000):
            answer = client.post(address, {"file": SimpleUploadedFile("sheet.csv", content, "text/csv")})
            assert answer.status_code == 422, (address, content[:10])
            words = page_of(answer).text_content()
            assert "no text in UTF-8" in words or "larger than" in words or "too large" in words
        rows = "asset\n" * (bands_csv.ROWS_MOST + 50)
        assert client.post(address, {"file": SimpleUploadedFile("s.csv", rows.encode())}).status_code == 422
    for content in (b"MZ\x90\x00", b"PK\x03\x04", b"", b"x" * (uploads.SIZE_MOST + 1)):
        with pytest.raises(Exception, match="Nothing was proposed"):
            uploads.all_accepted([SimpleUploadedFile("paper.pdf", content, "application/pdf")])
    large = client.post("/bands/import/", CONTENT_LENGTH=str(uploads.BODY_MOST + 1))
    assert large.status_code == 413


@proves("S56", "treasury/launch/sbom.py:bill", "treasury/environment.py:required")
def test_s56_what_it_is_made_of_is_listed_and_nothing_of_the_inside_is_open(world: World) -> None:
    assert sbom.BILL.read_text() == sbom.bill(sbom.LOCK.read_text())
    names = {one["name"] for one in json.loads(sbom.BILL.read_text())["components"]}
    assert {"django", "cryptography", "celery", "psycopg"} <= names
    assert settings.DEBUG is False
    assert "django.contrib.admindocs" not in settings.INSTALLED_APPS
    code, said = start(
        "import django; django.setup(); from django.conf import settings; print(settings.DEBUG)",
        **{**REAL, "DEBUG": "1", "DJANGO_DEBUG": "1"},
    )
    assert (code, said) == (0, "False")
    client = world.browser(OPERATORS)
    for address in (
        "/admin/doc/",
        "/metrics",
        "/debug/",
        "/.git/config",
        "/.env",
        "/static/../settings.py",
        "/server-status",
    ):
        assert client.get(address).status_code == 404, address
    health = Client().get("/healthz/")
    assert health.content == b"ok" and "Server" not in health
