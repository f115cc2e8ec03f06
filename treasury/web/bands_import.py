"""Bands from a CSV file: looked at first, with what each row would change, and proposed only as it was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from treasury.controls import bands, bands_csv, changes
from treasury.controls.bands import SET, NotBands
from treasury.controls.bands_csv import Line, NotRead, Problem
from treasury.models import Change
from treasury.rebalancing import feasible
from treasury.web import differences, refusals
from treasury.web.bands import HERE
from treasury.web.factor import decides
from treasury.web.htmx import Request, answer, go, typed

IMPORT = "/bands/import/"
AGAIN = (
    "Nothing was proposed. What these rows would change is not what your page showed; look at it below, and propose it "
    "then."
)


@dataclass(frozen=True)
class Preview:
    """What the rows of a text would change. ``digest`` is of the text and of all that it would change."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: int
    foretold: list[str]
    digest: str

    @property
    def parts(self) -> list[tuple[str, list[str]]]:
        named = (("New bands", self.added), ("Changed", self.changed), ("Removed", self.removed))
        return [(title, sentences) for title, sentences in named if sentences]


@dataclass(frozen=True)
class Imported:
    """The page: a text, and either what is wrong in it or what it would change."""

    text: str = ""
    problems: Sequence[Problem] = ()
    preview: Preview | None = None
    refused: str = ""
    reason: str = ""
    columns: tuple[str, ...] = field(default=bands_csv.WRITTEN)

    @property
    def first_problems(self) -> Sequence[Problem]:
        return self.problems[: bands_csv.PROBLEMS_MOST]

    @property
    def more_problems(self) -> int:
        return len(self.problems) - len(self.first_problems)


@require_http_methods(["GET", "HEAD", "POST"])
@decides
def show(request: Request) -> HttpResponse:
    try:
        bands.insist_on_right(request.user)
    except refusals.REFUSALS as refusal:
        return refusals.refuse(request, refusal, action=SET, subject=f"page:{IMPORT}")
    if request.method != "POST":
        return shown(request, Imported())
    text = ""
    try:
        text = text_of(request)
        lines = bands_csv.read(text)
        preview = preview_of(text, lines)
    except NotRead as wrong:
        problems = sorted([*wrong.problems, *wrong_in(wrong.lines)], key=lambda one: one.row)
        return shown(request, Imported(text, problems), status=422)
    if request.POST.get("step") != "propose":
        return shown(request, Imported(text, preview=preview))
    return proposed(request, text, lines, preview)


def text_of(request: Request) -> str:
    """What was uploaded, or else pasted. Raises NotRead."""
    upload = request.FILES.get("file")
    if upload is None:
        return bands_csv.text_of(request.POST.get("text", "").encode("utf-8", "replace"))
    if (upload.size or 0) > bands_csv.SIZE_MOST:  # not read at all
        return bands_csv.text_of(bytes(bands_csv.SIZE_MOST + 1))
    return bands_csv.text_of(upload.read())


def preview_of(text: str, lines: Sequence[Line]) -> Preview:
    """Raises NotRead with what is wrong in which cell."""
    if problems := wrong_in(lines):
        raise NotRead(problems)
    rows = bands.rows_of([line.wanted for line in lines])
    words = {"bands": rows, "text": text}
    return Preview(
        added=[differences.sentence(row) for row in rows if row["was"] is None],
        changed=[differences.sentence(row) for row in rows if row["was"] is not None and not row["removed"]],
        removed=[differences.sentence(row) for row in rows if row["removed"]],
        unchanged=len(lines) - len(rows),
        foretold=differences.foretold(feasible.outlooks(differences.limits_of(rows))),
        digest=changes.digest_of(SET, bands.subject_of(rows) if rows else bands.ALL, words, ""),
    )


def wrong_in(lines: Sequence[Line]) -> list[Problem]:
    """What is wrong in the cells of rows that could be read."""
    try:
        bands.rows_of([line.wanted for line in lines])
    except NotBands as wrong:
        return [
            Problem(lines[number].row if number >= 0 else 0, column, sentence)
            for (number, column), sentence in wrong.problems.items()
        ]
    return []


def proposed(request: Request, text: str, lines: Sequence[Line], preview: Preview) -> HttpResponse:
    """Propose what was looked at; anything else is shown first."""
    page = Imported(text, preview=preview, reason=typed(request, "reason"))
    try:
        if request.POST.get("digest") != preview.digest:
            raise changes.OtherChange(AGAIN)
        change = propose(request, lines, page.reason)
    except refusals.REFUSALS as refusal:
        refusals.note(request, refusal, action=SET, subject=bands.ALL)
        return shown(request, replace(page, refused=str(refusal)), status=refusals.status_of(refusal))
    return go(request, f"{HERE}#change-{change.pk}")


def propose(request: Request, lines: Sequence[Line], reason: str) -> Change:
    wanted = [line.wanted for line in lines]
    return bands.propose(bands=wanted, reason=reason, by=request.user, at=timezone.now())


def shown(request: Request, imported: Imported, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "page": imported,
        "kilobytes": bands_csv.SIZE_MOST // 1024,
        "rows_most": bands_csv.ROWS_MOST,
    }
    return answer(request, "bands/import.html", "bands/_import.html", context, status=status)
