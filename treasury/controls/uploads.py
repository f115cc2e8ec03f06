"""Files that people hand in as evidence: what they are is read from their content, never from a name or a claim."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from django.core.files.uploadedfile import UploadedFile

from treasury.controls.changes import File, NotSaid

FILES_MOST = 3
SIZE_MOST = 5 * 1024 * 1024  # bytes of one file
BODY_MOST = FILES_MOST * SIZE_MOST + 1024 * 1024  # bytes of a whole form: the files, and what is typed beside them
NAME_LONGEST = 120

TEXT = "text/plain"  # CSV too: its content is text, and its name says the rest
BEGINNINGS = {b"%PDF-": "application/pdf", b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
# A name may end only in what fits the content: what is saved as ".html" would be opened as a page.
ENDINGS = {
    "application/pdf": (".pdf",),
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    TEXT: (".txt", ".csv"),
}


def all_accepted(uploads: Iterable[UploadedFile[Any]]) -> list[File]:
    """The files of one form. Raises changes.NotSaid: too many, too large, empty, or not of a kind that is taken."""
    given = [one for one in uploads if one.name]
    if len(given) > FILES_MOST:
        raise NotSaid(f"Nothing was proposed. Choose at most {FILES_MOST} files; these are {len(given)}.")
    for one in given:
        insist_on_size(cleaned(one.name or ""), one.size or 0)
    return [accepted(one.name or "", one.read()) for one in given]


def accepted(name: str, content: bytes, limit: int = SIZE_MOST) -> File:
    """One file. Raises changes.NotSaid, with the sentence for the form."""
    shown = cleaned(name)
    insist_on_size(shown, len(content), limit)
    found = media_type(content)
    if found is None:
        raise NotSaid(f"Nothing was proposed. {shown} is no PDF, PNG, JPEG, plain text or CSV; only these are taken.")
    return File(name=ending_fits(shown, found), media_type=found, content=content)


def insist_on_size(name: str, size: int, limit: int = SIZE_MOST) -> None:
    if size == 0:
        raise NotSaid(f"Nothing was proposed. {name} is empty.")
    if size > limit:
        raise NotSaid(f"Nothing was proposed. {name} is larger than {limit // (1024 * 1024)} MB.")


def media_type(content: bytes) -> str | None:
    """What the content is; None for what is not taken."""
    for beginning, kind in BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    return TEXT if is_text(content) else None


def is_text(content: bytes) -> bool:
    """UTF-8 without control characters but tab and the ends of lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return not any(unicodedata.category(letter) == "Cc" and letter not in "\t\r\n" for letter in text)


def cleaned(name: str) -> str:
    """The last part of a path, with what can be seen of it, no longer than the column."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    seen = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return shortened(seen or "file")


def ending_fits(name: str, kind: str) -> str:
    allowed = ENDINGS[kind]
    return name if PurePosixPath(name).suffix.lower() in allowed else shortened(name + allowed[0])


def shortened(name: str) -> str:
    """At most NAME_LONGEST characters, its ending kept."""
    if len(name) <= NAME_LONGEST:
        return name
    ending = PurePosixPath(name).suffix[-10:]
    return name[: NAME_LONGEST - len(ending)] + ending
