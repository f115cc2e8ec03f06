"""What htmx does with an answer, done to a page without a browser: so that a swap can be compared with a reload."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse
from django.test import Client
from lxml import html

Page = html.HtmlElement

# Minted anew for each answer: the masked CSRF token and a draft's key say nothing about what is shown.
MINTED = {"csrfmiddlewaretoken", "draft_key"}


def page_of(response: HttpResponse) -> Page:
    return html.document_fromstring(response.content.decode())


def swapped(page: Page, response: HttpResponse, target: str) -> Page:
    """The page after htmx has put the answer in place of ``#target``, and what is marked beside it as well."""
    parts = [part for part in html.fragments_fromstring(response.content.decode()) if isinstance(part, Page)]
    beside = [part for part in parts if part.attrib.pop("hx-swap-oob", None)]
    (main,) = [part for part in parts if part not in beside]
    if "HX-Retarget" in response:
        place = by_id(page, response["HX-Retarget"].removeprefix("#"))
        assert response["HX-Reswap"] == "innerHTML"
        for child in list(place):
            place.remove(child)
        place.append(main)
    else:
        assert main.get("id") == target, "a part replaces itself, so its root carries the same id"
        replace(by_id(page, target), main)
    for part in beside:
        replace(by_id(page, str(part.get("id"))), part)
    return page


def by_id(page: Page, name: str) -> Page:
    found: list[Page] = page.xpath("//*[@id=$name]", name=name)
    assert len(found) == 1, f"#{name} is on the page {len(found)} times"
    return found[0]


def replace(old: Page, new: Page) -> None:
    parent = old.getparent()
    assert parent is not None
    new.tail = old.tail
    parent.replace(old, new)


def text_of(page: Page) -> str:
    """The page as a comparable text: tags, attributes in order, words without runs of white space."""
    lines: list[str] = []

    def walk(node: Any, depth: int) -> None:
        if not isinstance(node.tag, str):
            return
        attributes = dict(node.attrib)
        attributes.pop("nonce", None)  # of each answer its own
        if attributes.get("name") in MINTED:
            attributes["value"] = "…"
        told = " ".join(f'{name}="{value}"' for name, value in sorted(attributes.items()))
        lines.append(f"{'  ' * depth}<{node.tag} {told}>")
        for words in (node.text, *(piece for child in node for piece in (child, child.tail))):
            if isinstance(words, str):
                if flat := re.sub(r"[ \n\t]+", " ", words).strip():
                    lines.append(f"{'  ' * depth}  {flat}")
            elif words is not None:
                walk(words, depth + 1)

    walk(page, 0)
    return "\n".join(lines)


def htmx(client: Client, method: str, address: str, data: Any = None, *, page: str = "/") -> Any:
    """A request as htmx makes it from ``page``."""
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
    return getattr(client, method)(address, data or {}, headers=headers)
