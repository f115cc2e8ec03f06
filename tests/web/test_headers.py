"""What browsers are told with every answer, and what they may report back."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from csp.constants import NONCE, SELF, UNSAFE_INLINE
from django.conf import settings
from django.core.checks import CheckMessage
from django.http import HttpResponse
from django.test import Client

from tests.web.swap import htmx, page_of
from treasury.models import AuditEntry, User
from treasury.web import checks, reports

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy_of(response: HttpResponse) -> dict[str, str]:
    parts = (part.partition(" ") for part in response["Content-Security-Policy"].split("; "))
    return {name: said for name, _, said in parts}


def nonces_of(response: HttpResponse) -> set[str | None]:
    return {script.get("nonce") for script in page_of(response).iter("script")}


def test_each_page_names_its_scripts_by_a_nonce_of_its_own(sign_in: SignIn, maker: User) -> None:
    client, seen = sign_in(maker), set()
    for response in (client.get("/"), client.get("/"), client.get("/transfers/"), Client().get("/sign-in/")):
        (nonce,) = nonces_of(response)
        assert nonce is not None and len(nonce) >= 22  # 128 bits
        assert policy_of(response)["script-src"] == f"'nonce-{nonce}'"
        seen.add(nonce)
    assert len(seen) == 4


def test_the_policy_is_the_narrowest_that_our_pages_need(sign_in: SignIn, maker: User) -> None:
    told = policy_of(sign_in(maker).get("/"))
    assert re.fullmatch(r"'nonce-[A-Za-z0-9+/=]{24}'", told.pop("script-src"))
    assert told == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "font-src": "'self'",
        "connect-src": "'self'",
        "object-src": "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "report-uri": "/reports/csp/",
    }


def test_what_names_no_script_may_run_none(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    for response in (htmx(client, "get", "/transfers/"), client.get("/healthz/"), Client().get("/")):
        assert policy_of(response)["script-src"] == "'none'"


def test_the_admins_windows_load_scripts_of_this_site_and_nothing_inline(sign_in: SignIn, auditor: User) -> None:
    response = sign_in(auditor).get("/admin/")
    assert response.status_code == 200
    assert policy_of(response)["script-src"] == "'self'"
    page = page_of(response)
    for script in page.iter("script"):
        assert script.get("src", "").startswith("/static/")
        assert not (script.text or "").strip()
    assert not list(page.iter("style"))
    assert not page.xpath("//@*[starts-with(name(), 'on')] | //@style")


def test_every_answer_says_who_may_embed_and_read_it(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    pages = [client.get(address) for address in ("/", "/no-such-page/", "/bands/export/", "/admin/", "/sign-out/")]
    strangers = [Client().get(address) for address in ("/", "/sign-in/", "/healthz/", "/reports/csp/")]
    files = [Client().get(f"/static/{name}") for name in ("treasury.css", "treasury.js", "favicon.svg")]
    assert [one.status_code for one in files] == [200, 200, 200]
    for response in (*pages, *strangers, *files):
        assert {name: response.headers.get(name) for name in ALWAYS} == ALWAYS, response
        assert "camera=()" in response["Permissions-Policy"]
        assert "publickey-credentials-get=(self)" in response["Permissions-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert policy_of(response)["frame-ancestors"] == "'none'"
        response.close()


def test_what_a_session_shows_is_kept_by_no_cache(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    for address in ("/", "/transfers/", "/balances/export/", "/prices/export/", "/no-such-page/"):
        assert client.get(address)["Cache-Control"] == "no-store", address
    assert "no-store" in Client().get("/sign-in/")["Cache-Control"]


def test_htmx_keeps_no_history_and_runs_no_text(sign_in: SignIn, maker: User) -> None:
    (said,) = page_of(sign_in(maker).get("/")).xpath("//meta[@name='htmx-config']/@content")
    config = json.loads(said)
    assert (config["historyCacheSize"], config["refreshOnHistoryMiss"]) == (0, True)
    assert (config["allowEval"], config["allowScriptTags"], config["selfRequestsOnly"]) == (False, False, True)
    scripts = page_of(sign_in(maker).get("/")).xpath("//script/@src")
    assert scripts[0].endswith("nothing-kept.js"), "htmx asks for storage as soon as it is read"
    assert all(script.get("defer") is not None for script in page_of(sign_in(maker).get("/")).iter("script"))


# -- what browsers report -----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _a_minute_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "allowance", reports.Allowance(3))


REPORT = {
    "csp-report": {
        "document-uri": "https://treasury.example/transfers/?text=secret",
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://evil.example/x.js?stolen=1#part",
        "line-number": 7,
        "script-sample": "steal()",
    }
}


def report(said: object = REPORT, kind: str = "application/csp-report", client: Client | None = None) -> Any:
    body = said if isinstance(said, str | bytes) else json.dumps(said)
    return (client or Client(enforce_csrf_checks=True)).post("/reports/csp/", body, content_type=kind)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "treasury.reports"]


def test_a_report_is_a_line_of_the_service_log_and_none_of_the_acts(caplog: pytest.LogCaptureFixture) -> None:
    before = AuditEntry.objects.count()
    response = report()
    assert (response.status_code, response.content, response.cookies) == (204, b"", {})
    (line,) = lines(caplog)
    assert json.loads(line.partition(": ")[2]) == {
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://evil.example/x.js",
        "document-uri": "https://treasury.example/transfers/",
        "line-number": "7",
    }
    assert AuditEntry.objects.count() == before


def test_reports_of_a_minute_are_few_and_what_is_left_out_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    assert [report().status_code for _ in range(5)] == [204, 204, 204, 429, 429]
    assert len(lines(caplog)) == 3
    reports.allowance.began -= 60
    assert report().status_code == 204
    assert "2 more reports of browsers were left out" in lines(caplog)[3]
    assert len(lines(caplog)) == 5


@pytest.mark.parametrize(
    ("said", "kind", "status"),
    [
        (REPORT, "text/plain", 415),
        (REPORT, "multipart/form-data; boundary=x", 415),
        ("x" * (reports.SIZE_MOST + 1), "application/csp-report", 413),
        ("", "application/csp-report", 415),  # Django's client sends no type with nothing
        ("{", "application/csp-report", 400),
        (b"\xff\xfe", "application/csp-report", 400),
        ("[" * 16000, "application/csp-report", 400),
        ([], "application/csp-report", 400),
        ({"csp-report": 5}, "application/csp-report", 400),
        ({"csp-report": {"other": 1}}, "application/csp-report", 400),
    ],
)
def test_what_is_no_report_is_not_written(
    caplog: pytest.LogCaptureFixture, said: object, kind: str, status: int
) -> None:
    assert report(said, kind).status_code == status
    assert lines(caplog) == []


def test_what_is_written_is_short_and_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    words = dict.fromkeys(reports.SAID, "evil\n2026-11-20 ERROR forged: line\x1b[31m\u202e" + "x" * 1000)
    words["blocked-uri"] = "http://[broken" + "y" * 1000
    assert report({"csp-report": words}).status_code == 204
    (line,) = lines(caplog)
    assert line.isprintable()
    assert len(line) < 2000


def test_a_report_needs_no_session_and_gives_none_away(sign_in: SignIn, maker: User) -> None:
    assert report(client=sign_in(maker)).status_code == 204
    assert Client().get("/reports/csp/").status_code == 405


def test_reports_are_written_where_the_service_writes(caplog: pytest.LogCaptureFixture) -> None:
    assert logging.getLogger("treasury.reports").isEnabledFor(logging.WARNING)


# -- what the checks find -----------------------------------------------------------------------------------------


def weakened(**directives: object) -> dict[str, object]:
    return {"DIRECTIVES": {**settings.CONTENT_SECURITY_POLICY["DIRECTIVES"], **directives}}


@pytest.mark.parametrize(
    "directives",
    [
        {"script-src": [NONCE, UNSAFE_INLINE]},
        {"script-src": [SELF]},
        {"style-src": [SELF, "https://elsewhere.example"]},
        {"object-src": [SELF]},
        {"frame-ancestors": []},
        {"default-src": [SELF]},
    ],
)
def test_a_weaker_policy_fails_the_check(monkeypatch: pytest.MonkeyPatch, directives: dict[str, object]) -> None:
    assert checks.pages_load_only_our_own() == []
    monkeypatch.setattr(settings, "CONTENT_SECURITY_POLICY", weakened(**directives))
    found: list[CheckMessage] = [*checks.pages_load_only_our_own()]
    assert found and found[0].is_serious()


def test_something_before_the_first_door_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.strangers_are_not_believed() == []
    monkeypatch.setattr(settings, "MIDDLEWARE", settings.MIDDLEWARE[1:])
    assert checks.strangers_are_not_believed()
