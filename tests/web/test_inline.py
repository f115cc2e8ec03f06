"""Nothing in any page, for anybody: no inline code or style, no other site's address, no write without its token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.http import HttpResponse

from tests.web.crawl import NOBODY, WHO, World, a_world
from tests.web.scan import faults
from tests.web.test_crawl import TABLE
from treasury.models import Account, Transfer

pytestmark = pytest.mark.django_db

# Pages that say more when they are asked more.
ASKED = (
    "transfers/?state=held&text=x",
    "rebalancing/what-if/?connection={connection_id}&asset=USDT",
    "prices/history/?asset=BTC&currency=EUR",
    "audit/?since=2020-01-01&until=2020-02-30",
    "bands/edit/?connection={connection_id}&asset=USDT",
    "balances/?at=2026-01-01",
    "no-such-page/",
)


@pytest.fixture
def world(drafted: Callable[..., Transfer], unified: Account, fund: Account) -> World:
    return a_world(drafted, unified, fund)


@pytest.mark.parametrize("who", WHO)
def test_no_page_and_no_part_holds_what_it_may_not(world: World, who: str) -> None:
    browser, found, pages = world.browser(who), {}, 0
    addresses = [world.address(route) for route in TABLE if "sign-out" not in route]
    addresses += [f"/{one.format(**world.things)}" for one in ASKED]
    for address in addresses:
        headers = [{}] if address.startswith("/admin") else [{}, {"HX-Request": "true"}]
        for header in headers:
            response = browser.get(address, headers=header)
            if "text/html" in response.get("Content-Type", "") and response.content:
                pages += 1
                if wrong := faults(response):
                    found[address] = wrong
    assert found == {}
    assert pages > (5 if who == NOBODY else 60)


@pytest.mark.parametrize(
    "body",
    [
        "<script>go()</script>",
        '<script src="https://elsewhere.example/x.js" nonce="n"></script>',
        '<script src="/static/x.js"></script>',
        '<script src="/static/x.js" nonce="other"></script>',
        '<p style="color: red">x</p>',
        "<style>p {color: red}</style>",
        '<p onclick="go()">x</p>',
        '<p hx-on:click="go()">x</p>',
        '<a href="javascript:go()">x</a>',
        '<img src="data:image/png;base64,x">',
        '<img src="//elsewhere.example/x.png">',
        '<a href="https://elsewhere.example/">x</a>',
        '<button hx-post="/x/">x</button>',
        '<form method="POST" action="/x/"><button>x</button></form>',
        '<form hx-post="/x/"><input name="csrfmiddlewaretoken" value=""><button>x</button></form>',
        '<iframe src="/"></iframe>',
    ],
)
def test_the_scan_finds_each_of_these(body: str) -> None:
    response = HttpResponse(f"<html><body>{body}</body></html>")
    response["Content-Security-Policy"] = "script-src 'nonce-n'; object-src 'none'"
    assert faults(response)


def test_the_scan_takes_what_our_pages_hold() -> None:
    token = "t" * 64
    response = HttpResponse(
        '<script src="/static/x.js" nonce="n" defer></script><script type="application/json">{"a": 1}</script>'
        f'<form hx-post="/x/" method="post"><input name="csrfmiddlewaretoken" value="{token}"></form>'
        '<a href="/transfers/?a=b#c">x</a><form method="get" hx-get="/x/"></form>'
    )
    response["Content-Security-Policy"] = "script-src 'nonce-n'; object-src 'none'"
    assert faults(response) == []
