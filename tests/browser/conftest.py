"""The pages in a real browser: Chromium of this machine, nothing downloaded, and no error in its console."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from treasury.models import User

# Playwright keeps an event loop in the test's own thread; Django's ORM then has to be told that this is fine.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on PATH; .ci/run installs one"))


@pytest.fixture(autouse=True, scope="session")
def _somewhere_for_static_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings.STATIC_ROOT = tmp_path_factory.mktemp("static")


@pytest.fixture(scope="session")
def base_url() -> None:
    """In place of the plugin's own, which pytest 9 warns of; every address here comes from live_server."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    # Root in a container has no user namespaces to build the sandbox from.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": arguments}


@pytest.fixture
def quiet_page(page: Any, live_server: Any) -> Iterator[Any]:
    """A page whose console must stay silent; what a refusal's own status code makes it say is expected."""
    said: list[str] = []
    page.on("console", lambda words: said.append(words.text) if words.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_default_timeout(10_000)
    yield page
    assert [words for words in said if "the server responded with a status of 4" not in words] == []


@pytest.fixture
def open_as(quiet_page: Any, live_server: Any) -> Callable[[User, str], Any]:
    """Sign in as a person does, and open a page."""

    def make(person: User, path: str = "/") -> Any:
        quiet_page.context.clear_cookies()
        quiet_page.goto(f"{live_server.url}/sign-in/")
        quiet_page.get_by_label("User name").fill(person.username)
        quiet_page.get_by_label("Password").fill("practice")
        quiet_page.get_by_role("button", name="Sign in").click()
        quiet_page.wait_for_url(f"{live_server.url}/")
        if path != "/":
            quiet_page.goto(live_server.url + path)
        return quiet_page

    return make
