"""What may not be in a page or a part, found in its elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.http import HttpResponse
from lxml import html

ADDRESSES = ("src", "href", "action", "formaction", "data", "poster", "srcset", "xlink:href", "hx-get", "hx-post")
OUR_SCRIPTS = ("/static/", "/admin/jsi18n/")  # the latter is Django's own, and comes from this site too
DATA_BLOCKS = ("application/json",)  # text to a browser, whatever it holds


def faults(response: HttpResponse) -> list[str]:
    """Inline code and styles, other sites' addresses, scripts without the answer's nonce, writes without a token."""
    text = response.content.decode()
    if not text.strip():
        return []
    root = html.document_fromstring(text)
    policy = response["Content-Security-Policy"]
    return [*scripts(root, policy), *inline(root), *elsewhere(root), *tokenless(root)]


def scripts(root: html.HtmlElement, policy: str) -> Iterator[str]:
    for script in root.iter("script"):
        if script.get("type") in DATA_BLOCKS and script.get("src") is None:
            continue
        if (script.text or "").strip():
            yield f"inline script: {script.text[:60]}"
        if not script.get("src", "").startswith(OUR_SCRIPTS):
            yield f"a script that is not ours: {script.get('src')}"
        nonce = script.get("nonce")
        if not (f"'nonce-{nonce}'" in policy if nonce else "script-src 'self';" in f"{policy};"):
            yield f"a script without its nonce: {script.get('src')}"


def inline(root: html.HtmlElement) -> Iterator[str]:
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        if element.tag in ("style", "iframe", "object", "embed", "base", "applet"):
            yield f"<{element.tag}>"
        for name, value in element.attrib.items():
            if name == "style" or re.match(r"on|(data-)?hx-(on|vars|headers|ext)", name):
                yield f"{element.tag} {name}"
            if re.match(r"\s*(javascript|data|vbscript):", value, re.IGNORECASE):
                yield f"{element.tag} {name}={value[:40]}"


def elsewhere(root: html.HtmlElement) -> Iterator[str]:
    for element in root.iter():
        for name in ADDRESSES:
            if (address := element.get(name)) and urlsplit(address).netloc:
                yield f"{element.tag} {name}={address}"


def tokenless(root: html.HtmlElement) -> Iterator[str]:
    """Every write lies in a form that has its token; by htmx or without it."""
    for element in root.xpath("//*[@hx-post or @hx-put or @hx-patch or @hx-delete]"):
        if element.tag != "form":
            yield f"{element.tag} writes by itself"
    for form in root.xpath("//form[@hx-post or translate(@method, 'POST', 'post')='post']"):
        if not form.xpath(".//input[@name='csrfmiddlewaretoken' and string-length(@value) > 30]"):
            yield f"form without its token: {form.get('action')}"
