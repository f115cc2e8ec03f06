"""What holds for every page: who may open it, and that it needs neither JavaScript nor anybody else's code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import allauth
import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from tests.house import person
from tests.web.swap import page_of
from treasury.controls import stops
from treasury.models import Connection, Transfer, User

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
TEMPLATES = Path(settings.BASE_DIR) / "templates"
ROLES = ("maker", "maker2", "checker", "auditor", "admin")


@pytest.fixture
def world(
    drafted: Make,
    submitted: Make,
    approved: Make,
    connection: Connection,
    operator: User,
    auditor: User,
    checker: User,
    maker2: User,
) -> dict[str, str]:
    """One transfer in each of three states, and a stop order."""
    stops.stop(connection=connection, reason="Maintenance", by=operator, at=timezone.now())
    return {"draft": drafted().reference, "waiting": submitted().reference, "approved": approved().reference}


def pages(world: dict[str, str]) -> list[str]:
    return [
        "/",
        "/transfers/",
        "/transfers/?state=held&text=x&asset=USDT",
        "/transfers/new/",
        "/approvals/",
        "/connections/",
        "/changes/",
        "/stops/",
        "/reconciliation/",
        "/prices/",
        "/prices/history/?asset=BTC&currency=EUR",
        "/rebalancing/",
        "/plans/",
        "/audit/",
        "/audit/?since=2020-01-01&until=2020-02-30",
        *(f"/transfers/{reference}/" for reference in world.values()),
        f"/transfers/{world['draft']}/edit/",
        "/sign-in/",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_every_page_answers_every_role(sign_in: SignIn, world: dict[str, str], role: str) -> None:
    client = sign_in(User.objects.get(username=role))
    status = {address: client.get(address).status_code for address in pages(world)}
    draft = f"/transfers/{world['draft']}/"
    assert status.pop("/sign-in/") == 302
    assert status.pop("/transfers/new/") == (200 if role in ("maker", "maker2") else 403)
    assert status.pop(f"{draft}edit/") == {"maker": 200, "auditor": 403}.get(role, 404)
    assert status.pop(draft) == (200 if role in ("maker", "auditor") else 404)
    assert set(status.values()) == {200}, status


def test_without_a_role_there_is_a_sentence_and_nothing_else(sign_in: SignIn, world: dict[str, str]) -> None:
    client = sign_in(person("nobody", is_superuser=True))
    overview = client.get("/")
    assert overview.status_code == 200
    assert "hold no role" in overview.content.decode()
    assert "USDT" not in overview.content.decode()
    for address in pages(world)[1:-1]:
        assert client.get(address).status_code == 403, address


def test_every_page_needs_a_session(world: dict[str, str]) -> None:
    for address in [*pages(world)[:-1], "/admin/", "/admin/login/", "/no-such-page/"]:
        response = Client().get(address)
        assert response.status_code == 302
        assert response.url.startswith("/sign-in/?next="), address


def test_steps_are_never_taken_by_get(sign_in: SignIn, world: dict[str, str], maker: User) -> None:
    client = sign_in(maker)
    for step in ("submit", "approve", "reject", "cancel", "draft-again"):
        assert client.get(f"/transfers/{world['waiting']}/{step}/").status_code == 405
    steps = [f"/connections/1/{step}/" for step in ("stop", "refresh", "test")]
    for address in ("/sign-out/", *steps, "/stops/1/release/", "/stops/new/"):
        assert client.get(address).status_code == 405
    assert client.post("/transfers/").status_code == 405


@pytest.mark.parametrize("role", ["maker", "checker", "admin", "auditor"])
def test_pages_carry_no_inline_code_and_work_without_javascript(
    sign_in: SignIn, world: dict[str, str], role: str
) -> None:
    client = sign_in(User.objects.get(username=role))
    for address in pages(world)[:-1]:
        page = page_of(client.get(address))
        for script in page.iter("script"):
            assert script.get("src", "").startswith("/static/")
            assert not (script.text or "").strip()
        assert not list(page.iter("style")), address
        for element in page.iter():
            inline = [name for name in element.attrib if name == "style" or re.match(r"on|hx-on", name)]
            assert not inline, (address, inline)
        for form in page.iter("form"):
            works_alone(form, address)
        for element in page.xpath("//*[@hx-get]"):
            polls = re.match(r"every \d+s", element.get("hx-trigger", ""))
            assert element.tag in ("form", "a", "select", "input") or polls, address
        ids = [element.get("id") for element in page.xpath("//*[@id]")]
        assert len(ids) == len(set(ids)), address


def works_alone(form: Any, address: str) -> None:
    """A browser without JavaScript sends it to the same place, with the token, by a button inside it."""
    assert form.xpath(".//button[not(@type) or @type='submit']"), address
    if form.get("hx-post"):
        assert form.get("hx-post") == form.get("action", address), address
        assert form.get("hx-disabled-elt") == "find button", "a double click must find the button asleep"
    if form.get("method") == "post":
        assert form.xpath(".//input[@name='csrfmiddlewaretoken']"), address
    for box in form.xpath(".//input[not(@type='hidden')] | .//select | .//textarea"):
        assert form.getroottree().xpath("//label[@for=$name]", name=box.get("id")), (address, box.get("name"))


def test_pages_are_private_and_guarded_by_the_policy(sign_in: SignIn, maker: User) -> None:
    for response in (sign_in(maker).get("/"), Client().get("/sign-in/")):
        assert "no-store" in response["Cache-Control"]
        assert "HX-Request" in response["Vary"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert "default-src 'none'" in response["Content-Security-Policy"]


def test_practice_mode_says_so_on_every_page(sign_in: SignIn, maker: User) -> None:
    for response in (sign_in(maker).get("/transfers/"), Client().get("/sign-in/")):
        assert "Practice mode." in response.content.decode()


def test_the_health_check_needs_no_session(db: None) -> None:
    response = Client().get("/healthz/")
    assert (response.status_code, response.content) == (200, b"ok")


def test_an_unknown_page_and_a_broken_one_say_so(sign_in: SignIn, maker: User) -> None:
    response = sign_in(maker).get("/no-such-page/")
    assert response.status_code == 404
    assert "There is no such page." in response.content.decode()


def test_a_broken_page_does_not_say_that_nothing_was_done(
    sign_in: SignIn, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("treasury.web.overview.context_of", breaks)
    response = sign_in(maker, raise_request_exception=False).get("/")
    assert response.status_code == 500
    assert "We cannot say whether your last step was done." in response.content.decode()


def test_the_admin_site_has_no_sign_in_of_its_own(sign_in: SignIn, maker: User) -> None:
    client = sign_in(maker)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "for auditors" in response.content.decode()
    assert client.post("/admin/login/", {"username": "x", "password": "y"}).status_code == 403


def test_no_template_is_an_orphan() -> None:
    """Each is named by a view, by another template, by a tag, or by the libraries whose pages it stands for."""
    theirs = "\n".join(path.read_text() for path in Path(allauth.__file__).parent.rglob("*.py"))
    code = "\n".join(path.read_text() for path in (Path(settings.BASE_DIR) / "treasury").rglob("*.py"))
    markup = "\n".join(path.read_text() for path in TEMPLATES.rglob("*.html"))
    for path in TEMPLATES.rglob("*.html"):
        name = str(path.relative_to(TEMPLATES))
        if name.startswith("admin/") or f'"{name.removesuffix("html")}' in theirs:
            continue
        assert f'"{name}"' in code + markup, f"nothing uses {name}"


def test_parts_have_one_root_with_an_id() -> None:
    swapped_in = re.findall(
        r'"([a-z]+/_[a-z_]+\.html)"',
        "\n".join(path.read_text() for path in (Path(settings.BASE_DIR) / "treasury/web").glob("*.py")),
    )
    for name in set(swapped_in) - {"house/_alert.html", "session/_prove.html"}:
        first = re.sub(r"\{%.*?%\}", "", (TEMPLATES / name).read_text()).lstrip()
        assert re.match(r'<\w+ id="', first), name


def test_nothing_on_a_page_comes_from_another_host() -> None:
    for path in [*TEMPLATES.rglob("*.html"), *(Path(settings.BASE_DIR) / "static").rglob("*")]:
        if path.is_file():
            for address in re.findall(r"https?://[^\s\"')]+", path.read_text()):
                assert address == "http://www.w3.org/2000/svg", (path, address)


def test_the_style_sheet_stays_small() -> None:
    assert (Path(settings.BASE_DIR) / "static/treasury.css").stat().st_size < 40_000


def test_the_health_check_says_when_the_database_is_gone(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OperationalError("no server")

    with monkeypatch.context() as while_it_is_gone:
        while_it_is_gone.setattr("treasury.web.health.connection.cursor", gone)
        response = Client().get("/healthz/")
    assert (response.status_code, response.content) == (503, b"no database")
