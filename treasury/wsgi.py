"""The web server's way in."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "treasury.settings")
application = get_wsgi_application()

# Models can be imported only after the line above.
from django.conf import settings  # noqa: E402

from treasury.controls.database_role import insist_on_an_ordinary_role  # noqa: E402
from treasury.controls.people import insist_on_no_practice_data  # noqa: E402

if not settings.PRACTICE:
    insist_on_no_practice_data()
    insist_on_an_ordinary_role()
