"""A file is what its content says: names and claims prove nothing, and only five kinds are taken."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from treasury.controls.changes import NotSaid
from treasury.controls.uploads import FILES_MOST, NAME_LONGEST, SIZE_MOST, accepted, all_accepted

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("statement.pdf", PDF, "application/pdf"),
        ("screen.png", PNG, "image/png"),
        ("screen.JPG", JPEG, "image/jpeg"),
        ("screen.jpeg", JPEG, "image/jpeg"),
        ("note.txt", "Überweisung – nichts bewegt\r\n\tzweite Zeile\n".encode(), "text/plain"),
        ("ledger.csv", b"\xef\xbb\xbfid,amount\n1,12.5\n", "text/plain"),
    ],
)
def test_what_is_taken_is_told_by_its_content_and_kept_byte_for_byte(
    name: str, content: bytes, media_type: str
) -> None:
    file = accepted(name, content)
    assert (file.name, file.media_type, file.content) == (name, media_type, content)


@pytest.mark.parametrize(
    "content",
    [
        b"MZ\x90\x00\x03",
        b"PK\x03\x04 a zip, an office document",
        b"GIF89a\x01\x00",
        b"\0\0\0\x18ftypmp42",
        b"text with a \0 in it",
        b"an \x1b[31m escape",
        b"a C1 control: \xc2\x9b31m",
        "latin-1: größe".encode("latin-1"),
        "utf-16".encode("utf-16"),
    ],
)
def test_anything_else_is_not_taken_whatever_it_is_called(content: bytes) -> None:
    with pytest.raises(NotSaid, match="only these are taken"):
        accepted("statement.pdf", content)


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("page.html", b"<script>alert(1)</script>", "page.html.txt"),
        ("run.exe", PDF, "run.exe.pdf"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "picture.svg.txt"),
        ("late.pdf", b"\n%PDF-1.7", "late.pdf.txt"),
        ("noending", PNG, "noending.png"),
        ("../../etc/passwd.txt", b"x", "passwd.txt"),
        ("C:\\Users\\me\\note.txt", b"x", "note.txt"),
        ("a\r\nSet-Cookie: x.txt", b"x", "aSet-Cookie: x.txt"),
        ("gnp.\u202etxt.exe", PNG, "gnp.txt.exe.png"),
        ("...", b"x", "file.txt"),
        ("", b"x", "file.txt"),
    ],
)
def test_a_name_is_cleaned_and_ends_in_what_it_is(name: str, content: bytes, kept: str) -> None:
    assert accepted(name, content).name == kept


@pytest.mark.parametrize(("name", "content"), [("a" * 300 + ".csv", b"x"), ("ä" * 300, JPEG)])
def test_a_long_name_fits_its_column_and_keeps_its_ending(name: str, content: bytes) -> None:
    kept = accepted(name, content).name
    assert len(kept) <= NAME_LONGEST
    assert kept.endswith((".csv", ".jpg"))


def test_an_empty_file_and_one_byte_too_many_are_sent_back() -> None:
    with pytest.raises(NotSaid, match=r"note\.txt is empty"):
        accepted("note.txt", b"")
    assert accepted("note.txt", b"x" * SIZE_MOST)
    with pytest.raises(NotSaid, match="larger than 5 MB"):
        accepted("note.txt", b"x" * (SIZE_MOST + 1))


def test_three_files_are_taken_and_a_fourth_is_not() -> None:
    files = [SimpleUploadedFile(f"{number}.txt", b"x") for number in range(FILES_MOST)]
    assert [one.name for one in all_accepted(files)] == ["0.txt", "1.txt", "2.txt"]
    with pytest.raises(NotSaid, match="at most 3 files; these are 4"):
        all_accepted([*files, SimpleUploadedFile("4.txt", b"x")])


def test_a_file_field_left_empty_is_no_file() -> None:
    assert all_accepted([]) == []


def test_the_claimed_type_is_not_believed() -> None:
    (kept,) = all_accepted([SimpleUploadedFile("x.html", b"<b>", content_type="application/pdf")])
    assert (kept.name, kept.media_type) == ("x.html.txt", "text/plain")
    with pytest.raises(NotSaid):
        all_accepted([SimpleUploadedFile("x.pdf", b"\0\1\2", content_type="application/pdf")])
