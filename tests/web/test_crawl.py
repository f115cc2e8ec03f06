"""Who gets what at every address: a table, and a walk that finds each address where Django itself looks.

A pattern that is not in the table fails: whoever adds an address says here who may open it. Columns, in this order:
nobody, maker, checker, policy editor, user administrator, operator, auditor, and somebody who is signed in and holds
no role. What a page is asked for by GET; a POST without its token is refused alike everywhere, see POSTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from django.test import Client

from tests.web.crawl import NOBODY, WHO, World, a_world, routes
from treasury.models import Account, Transfer

pytestmark = pytest.mark.django_db

ROLE = "302 200 200 200 200 200 200 403"
PERSON = "302 200 200 200 200 200 200 200"
STEP = "302 405 405 405 405 405 405 405"
ELSEWHERE = "302 302 302 302 302 302 302 302"
PEOPLE = "302 403 403 403 200 200 200 403"
USER_ADMINISTRATOR = "302 403 403 403 200 403 403 403"
OPERATOR = "302 403 403 403 403 200 403 403"
ANYBODY = "200 200 200 200 200 200 200 200"
WINDOW = "302 302 302 302 200 200 200 302"
WINDOW_SHUT = "302 302 302 302 403 403 403 302"
WINDOW_GONE = "302 302 302 302 404 404 404 302"

OURS = {
    "": PERSON,
    "approvals/": ROLE,
    "approvals/plans/<plan:reference>/": "302 403 200 403 403 403 403 403",
    "audit/": ROLE,
    "balances/": ROLE,
    "balances/changes/": ROLE,
    "balances/export/": ROLE,
    "bands/": ROLE,
    "bands/changes/<int:change_id>/": ROLE,
    "bands/edit/": "302 200 403 403 403 200 403 403",
    "bands/export/": ROLE,
    "bands/import/": "302 200 403 403 403 200 403 403",
    "changes/": ROLE,
    "changes/<int:change_id>/confirm/": STEP,
    "changes/<int:change_id>/decline/": STEP,
    "changes/<int:change_id>/files/<int:file_id>/": ROLE,
    "changes/<int:change_id>/withdraw/": STEP,
    "connections/": ROLE,
    "connections/<int:connection_id>/accounts/": OPERATOR,
    "connections/<int:connection_id>/balances/": "302 200 403 403 403 200 403 403",
    "connections/<int:connection_id>/credentials/": OPERATOR,
    "connections/<int:connection_id>/live/": "302 302 302 302 302 302 302 403",
    "connections/<int:connection_id>/refresh/": STEP,
    "connections/<int:connection_id>/stop/": STEP,
    "connections/<int:connection_id>/test/": STEP,
    "connections/new/": OPERATOR,
    "connections/proposals/": "302 302 302 302 302 302 302 403",
    "connections/proposals/<int:change_id>/look/": STEP,
    "healthz/": ANYBODY,
    "house/": ELSEWHERE,
    "people/": PEOPLE,
    "people/<int:user_id>/": PEOPLE,
    "people/<int:user_id>/deactivate/": USER_ADMINISTRATOR,
    "people/<int:user_id>/details/": USER_ADMINISTRATOR,
    "people/<int:user_id>/reopen/": USER_ADMINISTRATOR,
    "people/<int:user_id>/reset/": USER_ADMINISTRATOR,
    "people/<int:user_id>/roles/": USER_ADMINISTRATOR,
    "people/<int:user_id>/sign-out/": STEP,
    "people/conflicts/": PEOPLE,
    "people/new/": USER_ADMINISTRATOR,
    "people/pairs/": ROLE,
    "plans/": ROLE,
    "plans/<plan:reference>/": ROLE,
    "plans/<plan:reference>/draft/": STEP,
    "plans/<plan:reference>/inputs/<int:group_id>/": ROLE,
    "plans/<plan:reference>/submit/": STEP,
    "policy/": ROLE,
    "policy/changes/<int:change_id>/": "302 404 404 404 404 404 404 403",
    "policy/edit/": "302 403 403 200 403 403 403 403",
    "policy/propose/": STEP,
    "policy/versions/<int:number>/": ROLE,
    "policy/versions/<int:number>/json/": ROLE,
    "prices/": ROLE,
    "prices/enter/": STEP,
    "prices/export/": ROLE,
    "prices/history/": ROLE,
    "prices/import/": OPERATOR,
    "rebalancing/": ROLE,
    "rebalancing/plan/": STEP,
    "rebalancing/read/": STEP,
    "rebalancing/what-if/": "302 404 404 403 403 404 403 403",
    "reconciliation/": ROLE,
    "reconciliation/sign-off/": STEP,
    "refresh/": STEP,
    "reports/csp/": "405 405 405 405 405 405 405 405",
    "settings/": ROLE,
    "settings/<slug:name>/": STEP,
    "sign-in/": "200 302 302 302 302 302 302 302",
    "sign-out/": STEP,
    "stops/": ROLE,
    "stops/<int:stop_id>/release/": STEP,
    "stops/changes/<int:change_id>/confirm/": STEP,
    "stops/changes/<int:change_id>/decline/": STEP,
    "stops/changes/<int:change_id>/withdraw/": STEP,
    "stops/new/": STEP,
    "transfers/": ROLE,
    "transfers/<reference:reference>/": ROLE,
    "transfers/<reference:reference>/approve/": STEP,
    "transfers/<reference:reference>/by-hand/": STEP,
    "transfers/<reference:reference>/cancel/": STEP,
    "transfers/<reference:reference>/changes/<int:change_id>/confirm/": STEP,
    "transfers/<reference:reference>/changes/<int:change_id>/decline/": STEP,
    "transfers/<reference:reference>/changes/<int:change_id>/withdraw/": STEP,
    "transfers/<reference:reference>/contradictions/<int:contradiction_id>/close/": STEP,
    "transfers/<reference:reference>/draft-again/": STEP,
    "transfers/<reference:reference>/edit/": "302 200 404 404 404 404 403 403",
    "transfers/<reference:reference>/live/": ELSEWHERE,
    "transfers/<reference:reference>/reject/": STEP,
    "transfers/<reference:reference>/resolve/": STEP,
    "transfers/<reference:reference>/submit/": STEP,
    "transfers/<reference:reference>/why/": ROLE,
    "transfers/<reference:reference>/withdraw/": STEP,
    "transfers/new/": "302 200 403 403 403 403 403 403",
}
ACCOUNT = {
    "account/": PERSON,
    "account/<slug:provider_id>/login/": "404 404 404 404 404 404 404 404",
    "account/<slug:provider_id>/login/callback/": "404 404 404 404 404 404 404 404",
    "account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": ANYBODY,
    "account/factors/app/add/": ELSEWHERE,
    "account/factors/app/remove/": ELSEWHERE,
    "account/factors/codes/": ELSEWHERE,
    "account/factors/codes/download/": ELSEWHERE,
    "account/factors/codes/new/": ELSEWHERE,
    "account/factors/passkeys/": PERSON,
    "account/factors/passkeys/<int:pk>/edit/": ELSEWHERE,
    "account/factors/passkeys/<int:pk>/remove/": ELSEWHERE,
    "account/factors/passkeys/add/": ELSEWHERE,
    "account/factors/passkeys/prove/": ELSEWHERE,
    "account/factors/prove/": ELSEWHERE,
    "account/factors/sign-in/": ELSEWHERE,
    "account/inactive/": ANYBODY,
    "account/password/change/": PERSON,
    "account/password/reset/done/": ANYBODY,
    "account/password/set/": ELSEWHERE,
    "account/prove/": PERSON,
    "account/sessions/": PERSON,
    "account/sessions/<int:session_id>/end/": STEP,
    "account/sign-in/": "200 302 302 302 302 302 302 302",
    "account/sign-out/": STEP,
}
ADMIN = {
    "admin/": WINDOW,
    "admin/(?P<url>.*)$": WINDOW_GONE,
    "admin/^(?P<app_label>treasury)/$": WINDOW,
    "admin/autocomplete/": WINDOW_SHUT,
    "admin/jsi18n/": WINDOW,
    "admin/login/": "302 403 403 403 403 403 403 403",
    "admin/logout/": STEP,
    "admin/password_change/": WINDOW_SHUT,
    "admin/password_change/done/": WINDOW_SHUT,
    "admin/r/<path:content_type_id>/<path:object_id>/": WINDOW_GONE,
}

# Each window of the admin has the same six addresses; a row of its own is shown to whoever may see that row.
WINDOWS = {
    *("account", "assessment", "attempt", "auditbatch", "auditentry", "balance", "change", "connection"),
    *("contradiction", "decision", "demand", "heartbeat", "home", "housesetting", "lookup", "mark", "match"),
    *("membership", "movement", "notice", "policy", "resolution", "route", "snapshot", "stoporder", "transfer", "user"),
}
EMPTY = {  # of which this house has no row yet: the admin leads back to its first page
    *("attempt", "auditbatch", "contradiction", "decision", "home", "housesetting", "lookup", "match", "movement"),
    *("resolution", "route"),
}
OF_A_WINDOW = {
    "": WINDOW,
    "add/": WINDOW_SHUT,
    "<path:object_id>/": ELSEWHERE,
    "<path:object_id>/change/": WINDOW,
    "<path:object_id>/delete/": WINDOW_SHUT,
    "<path:object_id>/history/": ELSEWHERE,
}
ROWS = {f"admin/treasury/{name}/{page}": got for name in WINDOWS for page, got in OF_A_WINDOW.items()}
ROWS |= {f"admin/treasury/{name}/<path:object_id>/change/": ELSEWHERE for name in EMPTY}
# The first transfer is somebody's draft: of these three, only auditors see it.
ROWS["admin/treasury/transfer/<path:object_id>/change/"] = "302 302 302 302 302 302 200 302"

TABLE: Mapping[str, str] = {**OURS, **ACCOUNT, **ADMIN, **ROWS}

# A POST without its token: nobody is asked to sign in, everybody else is refused, and nothing is done.
POSTED = "302 403 403 403 403 403 403 403"
OPEN = "403 403 403 403 403 403 403 403"  # pages that need no session
POSTS = {
    "account/<slug:provider_id>/callback/": OPEN,
    "account/<slug:provider_id>/login/": OPEN,
    "account/<slug:provider_id>/login/callback/": OPEN,
    "account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": OPEN,
    "account/factors/sign-in/": OPEN,
    "account/inactive/": OPEN,
    "account/password/reset/done/": OPEN,
    "account/sign-in/": OPEN,
    "healthz/": OPEN,
    "sign-in/": OPEN,
    "reports/csp/": "415 415 415 415 415 415 415 415",  # browsers send no token; a form is no report
}


@pytest.fixture
def world(drafted: Callable[..., Transfer], unified: Account, fund: Account) -> World:
    return a_world(drafted, unified, fund)


def test_every_address_is_in_the_table_and_nothing_else_is() -> None:
    found = set(routes())
    assert sorted(found - set(TABLE)) == [], "say in the table who may open it"
    assert sorted(set(TABLE) - found) == [], "there is no such address any more"
    assert set(POSTS) <= found | {"account/<slug:provider_id>/callback/"}
    assert {len(row.split()) for row in [*TABLE.values(), *POSTS.values()]} == {len(WHO)}


@pytest.mark.parametrize("who", WHO)
def test_each_address_answers_each_of_them_as_the_table_says(world: World, who: str) -> None:
    browser, wrong = world.browser(who), {}
    for route, row in TABLE.items():
        got = browser.get(world.address(route)).status_code
        if got != (expected := int(row.split()[WHO.index(who)])):
            wrong[route] = f"{got}, and the table says {expected}"
    assert wrong == {}


@pytest.mark.parametrize("who", WHO)
def test_a_post_without_its_token_is_refused_everywhere(world: World, who: str) -> None:
    browser, wrong = world.browser(who), {}
    for route in TABLE:
        got = browser.post(world.address(route), headers={"HX-Request": "true"}).status_code
        expected = int(POSTS.get(route, POSTED).split()[WHO.index(who)])
        # htmx follows no redirect: it is told where to go in a header of a page that says nothing
        if got != (200 if expected == 302 else expected):
            wrong[route] = f"{got}, and the table says {expected}"
    assert wrong == {}


def test_nobody_reaches_what_lies_behind_a_session_by_any_method(world: World) -> None:
    browser: Client = world.browser(NOBODY)
    for route, row in TABLE.items():
        if row.split()[0] != "302" or POSTS.get(route) == OPEN:
            continue
        for method in ("head", "options", "put", "patch", "delete", "trace"):
            response = getattr(browser, method)(world.address(route))
            assert (route, method, response.status_code) == (route, method, 302)
            assert response.url.startswith("/sign-in/?next=")
