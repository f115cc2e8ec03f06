"""Nobody decides faster than anybody reads: a form that decides says, signed, when it was shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from treasury.models import User
from treasury.web import refusals
from treasury.web.htmx import Request

P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponse]

READ = "read"  # the form's field
SALT = "treasury.read"


def read_first(view: View[P]) -> View[P]:
    """For decisions: nobody reads in less than TREASURY_READ_SECONDS what they decide on. The form says, signed, when
    it was shown; see the template tag ``read_at``."""

    @wraps(view)
    def unhurried(request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method == "POST" and settings.READ_SECONDS and not was_read(request):
            sentence = "Nothing was decided. It was sent before anybody could have read it; read it, then decide."
            refusals.noted(request, sentence)
            return refusals.beside(request, sentence, 409)
        return view(request, *args, **kwargs)

    return cast("View[P]", unhurried)


def was_read(request: HttpRequest) -> bool:
    """Whether the form was shown to this person, with these words, long enough ago."""
    try:
        who, what, shown = signing.loads(request.POST.get(READ, ""), salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return False
    digest = request.POST.get("digest", what)
    passed = timezone.now().timestamp() - shown / 1000
    return bool(who == request.user.pk and what == digest and passed >= settings.READ_SECONDS)


def shown_now(user: User, what: str) -> str:
    """What a form says of when it was shown, and of which words: for ``was_read``, in milliseconds."""
    return signing.dumps([user.pk, what, int(timezone.now().timestamp() * 1000)], salt=SALT)
