"""Settings, all from the environment; ``docs/settings.md`` lists every name.

``TREASURY_MODE=practice`` (the default) is a sandbox: practice users and simulated venues, the web server and
every connector on loopback only. ``TREASURY_MODE=real`` refuses to start with anything missing or weak.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from treasury.launch import postgres
from treasury.notices import ways

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("TREASURY_HOME", BASE_DIR / ".local"))

MODE = os.environ.get("TREASURY_MODE", "practice")
if MODE not in ("practice", "real"):
    raise ImproperlyConfigured(f"TREASURY_MODE is {MODE!r}; it must be 'practice' or 'real'.")
PRACTICE = MODE == "practice"

PRACTICE_SECRET_KEY = "practice-only-this-key-signs-nothing-of-value-0123456789"  # noqa: S105


def required(name: str, practice: str) -> str:
    """The environment's value, or NAME_FILE's content, or in practice mode the stand-in; never a silent default."""
    if file := os.environ.get(f"{name}_FILE"):
        return Path(file).read_text().strip()
    if value := os.environ.get(name):
        return value
    if PRACTICE:
        return practice
    raise ImproperlyConfigured(f"{name} (or {name}_FILE) is not set; TREASURY_MODE=real does not start without it.")


def amounts(name: str, default: str) -> dict[str, Decimal]:
    """ "USDT=10000,*=0" as {asset: amount}."""
    pairs = (pair.split("=") for pair in os.environ.get(name, default).split(",") if pair)
    try:
        found = {asset.strip().upper(): Decimal(amount) for asset, amount in pairs}
        if all(amount.is_finite() and amount >= 0 for amount in found.values()):
            return found
        raise ValueError("an amount is a plain number")
    except (ValueError, ArithmeticError):
        raise ImproperlyConfigured(f"{name} must read ASSET=AMOUNT,ASSET=AMOUNT, as in {default!r}.") from None


def whole(name: str, default: int) -> int:
    """A whole number of at least 1."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1_000_000):
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be a whole number of at least 1.")
    return int(text)


def whole_or_off(name: str, default: int) -> int:
    """A whole number; 0 turns it off."""
    return 0 if os.environ.get(name) == "0" else whole(name, default)


def spans(name: str) -> dict[str, timedelta]:
    """ "NAME=120,*=300", in seconds, as {name: length}."""
    pairs = (pair.partition("=") for pair in os.environ.get(name, "").split(",") if pair.strip())
    found = {}
    for what, _, text in pairs:
        seconds = text.strip()
        if not (what.strip() and seconds.isascii() and seconds.isdigit() and 0 < int(seconds) < 100_000_000):
            raise ImproperlyConfigured(f"{name} must read NAME=SECONDS,NAME=SECONDS, with whole seconds of at least 1.")
        found[what.strip()] = timedelta(seconds=int(seconds))
    return found


def code(name: str, default: str) -> str:
    """The code of a currency, in capitals."""
    text = (os.environ.get(name) or default).strip().upper()
    if not (text.isascii() and text.isalnum() and len(text) <= 10):
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be the code of a currency, as in {default!r}.")
    return text


def given(name: str) -> str:
    """The environment's value, or NAME_FILE's content, or an empty text."""
    return required(name, "") if PRACTICE or f"{name}_FILE" in os.environ else os.environ.get(name, "")


SECRET_KEY = required("SECRET_KEY", PRACTICE_SECRET_KEY)
if not PRACTICE and (SECRET_KEY == PRACTICE_SECRET_KEY or len(SECRET_KEY) < 50):
    raise ImproperlyConfigured("SECRET_KEY is the practice key or shorter than 50 characters; make a new one.")

# The keys that encrypt venue credentials at rest: one or more Fernet keys, comma separated, the newest first.
PRACTICE_CREDENTIALS_KEY = "cHJhY3RpY2Utb25seS1rZXktb2Ytbm8tdmFsdWUtMDE="
CREDENTIALS_KEYS = required("TREASURY_CREDENTIALS_KEYS", PRACTICE_CREDENTIALS_KEY).split(",")
if not PRACTICE and PRACTICE_CREDENTIALS_KEY in CREDENTIALS_KEYS:
    raise ImproperlyConfigured("TREASURY_CREDENTIALS_KEYS holds the practice key; make one with Fernet.generate_key().")

# Where the simulated venues listen, by venue; practice connections store no address of their own.
SIMULATORS: dict[str, str] = json.loads(os.environ.get("TREASURY_SIMULATORS", "{}"))
if SIMULATORS and not PRACTICE:
    raise ImproperlyConfigured(
        "TREASURY_SIMULATORS is set with TREASURY_MODE=real; simulated venues are practice only."
    )

DEBUG = False
ALLOWED_HOSTS = (
    ["localhost", "127.0.0.1", "[::1]"] if PRACTICE else required("ALLOWED_HOSTS", "").replace(" ", "").split(",")
)
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    "treasury",
    "treasury.admin.apps.TreasuryAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "treasury.web.middleware.PrivatePages",
    "treasury.web.middleware.NoNul",
    "treasury.web.middleware.SignedInOnly",
    "treasury.web.middleware.BoundedBodies",
]

ROOT_URLCONF = "treasury.urls"
WSGI_APPLICATION = "treasury.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "treasury.web.context.house",
            ],
        },
    },
]

_database = postgres.parse(required("DATABASE_URL", postgres.dsn(HOME / "postgres")))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **_database,
        "CONN_MAX_AGE": 0,
    }
}
# Threads of the web server share connections through psycopg's pool (measured: twice the requests of CONN_MAX_AGE).
# A process that is suspended in a transaction must not hold its locks, and the claims' lock, for as long as it sleeps.
IDLE_IN_TRANSACTION = whole("TREASURY_IDLE_IN_TRANSACTION_SECONDS", 15)
_options = f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION}s"
_database["OPTIONS"]["options"] = f"{_database['OPTIONS'].get('options', '')} {_options}".strip()
_database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 10, "timeout": 10}

AUTH_USER_MODEL = "treasury.User"
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign_in"
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_FAILURE_VIEW = "treasury.web.refusals.csrf_failure"
AUTH_PASSWORD_VALIDATORS = (
    []
    if PRACTICE
    else [
        {
            "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
            "OPTIONS": {"min_length": 15},
        },
        {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    ]
)

if not PRACTICE:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# Of a form without its files; treasury.controls.uploads bounds these, and treasury.web.middleware all of it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # bands: 8 for each account of a group, of which a bank's login may have 1000
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024  # evidence stays in memory; nothing of it is left on a disk

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = ["treasury.formats"]
TIME_ZONE = "UTC"  # any other would also become the process's TZ, and worker logs would disagree with the web's

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = PRACTICE
WHITENOISE_MAX_AGE = 60 if PRACTICE else 3600

# -- Celery: an alarm clock. The tables are the queue; a lost or doubled message changes nothing. -----------------
CELERY_BROKER_URL = os.environ.get(
    "CELERY_BROKER_URL", "pgmq://localhost"
)  # the host is a word kombu insists on; see conn_string
if CELERY_BROKER_URL.startswith("pgmq"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # The key=value form: kombu parses a URL with ?host= wrongly.
        "conn_string": postgres.keywords(_database),
        "init_extension": False,  # pgmq is installed by a migration, as plain SQL
        "visibility_timeout": 300,  # a task that takes longer is started again, and finds nothing left to claim
        "poll_interval_ms": 20,
        "wait_time_seconds": 1,
        "polling_interval": 0.02,
    }
CELERY_TASK_DEFAULT_QUEUE = "chores"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # its reply queue's name is longer than pgmq allows
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"

# Every declared wait of the product is divided by it, so that a rehearsal of a day takes minutes: here, and through
# treasury.pace elsewhere.
TIME_SCALE = whole("TREASURY_TIME_SCALE", 1)
if TIME_SCALE != 1 and not PRACTICE:
    raise ImproperlyConfigured("TREASURY_TIME_SCALE is for practice and tests; with TREASURY_MODE=real it must be 1.")

# -- Rules of the house ------------------------------------------------------------------------------------------
# One checker decides a transfer; above this amount of the asset, two. "*" stands for assets not named: with 0,
# an asset nobody thought of always takes two.
TWO_CHECKERS_ABOVE = amounts("TREASURY_TWO_CHECKERS_ABOVE", "USDT=10000,USDC=10000,EUR=10000,BTC=0.25,ETH=4,*=0")
# What may leave over one connection within 24 hours, by asset; an asset neither named nor under "*" has no limit.
DAILY_LIMITS = amounts("TREASURY_DAILY_LIMITS", "")
# What an account must keep, by asset: no transfer is sent that would leave less.
FLOORS = amounts("TREASURY_FLOORS", "")
MOVEMENT_TOLERANCE = Decimal(os.environ.get("TREASURY_MOVEMENT_TOLERANCE", "0"))  # share of a quiet account's total
APPROVAL_EXPIRES_AFTER = timedelta(hours=24) / TIME_SCALE  # from submit; covers deciding, sending and re-sending
BALANCE_MAX_AGE = timedelta(seconds=60) / TIME_SCALE  # an older stored balance is read again before a claim
BALANCE_STALE_AFTER = timedelta(minutes=5) / TIME_SCALE  # an older one is shown as stale, unless the venue differs
# By venue, before what its module declares; "*" takes the place of the line above.
STALE_AFTER = {venue: length / TIME_SCALE for venue, length in spans("TREASURY_STALE_AFTER").items()}
REPORTING_CURRENCY = code("TREASURY_REPORTING_CURRENCY", "EUR")  # what we hold is valued in it
PRICE_STALE_AFTER = timedelta(hours=whole("TREASURY_PRICE_STALE_AFTER_HOURS", 24)) / TIME_SCALE
REFRESH_EVERY = timedelta(seconds=30) / TIME_SCALE
# Snapshots of what we held: all of them for so many days, then one of each quarter of an hour until they are so
# many days old, then of each hour, then of each day for ever. These are ages and no waits: no rehearsal shortens them.
SNAPSHOTS_ALL_DAYS = whole("TREASURY_SNAPSHOTS_ALL_DAYS", 2)
SNAPSHOTS_QUARTER_HOURS_DAYS = whole("TREASURY_SNAPSHOTS_QUARTER_HOURS_DAYS", 14)
SNAPSHOTS_HOURS_DAYS = whole("TREASURY_SNAPSHOTS_HOURS_DAYS", 90)

# -- Plans -------------------------------------------------------------------------------------------------------
PLAN_LIMIT = whole("TREASURY_PLAN_LIMIT_SECONDS", 5)  # of searching for each group
PLAN_DRAFTABLE = timedelta(minutes=whole("TREASURY_PLAN_DRAFTABLE_MINUTES", 15)) / TIME_SCALE  # then compute again
# An account outside its band for so long leads to a plan; 0: to none.
DRIFT_PLAN_AFTER = timedelta(minutes=whole_or_off("TREASURY_DRIFT_PLAN_AFTER_MINUTES", 30)) / TIME_SCALE

# -- Doubt: when people are called, and when the product stops by itself ------------------------------------------
# How old a told doubt is.
DOUBT_TOLD_AFTER = timedelta(minutes=whole("TREASURY_DOUBT_TOLD_AFTER_MINUTES", 10)) / TIME_SCALE
DOUBT_TRIP_COUNT = whole("TREASURY_DOUBT_TRIP_COUNT", 3)  # so many unknown outcomes over one connection …
DOUBT_TRIP_WITHIN = timedelta(minutes=whole("TREASURY_DOUBT_TRIP_MINUTES", 15)) / TIME_SCALE  # … within so long stop it
SENDER_SILENT_AFTER = timedelta(seconds=60) / TIME_SCALE  # no sign of life for so long: every page says so
# Heads of the log's chain, kept outside the database: an older copy of the database is told by them.
ANCHOR_FILE = Path(os.environ.get("TREASURY_ANCHOR_FILE") or HOME / "anchors.jsonl")
RESOLVED_LOOKED_UP_FOR = timedelta(days=7) / TIME_SCALE  # what two people resolved is looked up for so long

# -- Being told: e-mail and a signed webhook, through an outbox ----------------------------------------------------
ADDRESS = required("TREASURY_ADDRESS", f"http://localhost:{os.environ.get('PORT') or 8000}")
EMAIL_URL, WEBHOOK_URL = required("TREASURY_EMAIL_URL", ""), given("TREASURY_WEBHOOK_URL")
WEBHOOK_SECRET = (
    required("TREASURY_WEBHOOK_SECRET", "practice-only-this-key-signs-no-message-of-value") if WEBHOOK_URL else ""
)
try:
    ADDRESS = ways.site(ADDRESS, practice=PRACTICE)
    mail = ways.mail_server(EMAIL_URL, practice=PRACTICE) if EMAIL_URL else None
    ways.insist_on_webhook(WEBHOOK_URL, WEBHOOK_SECRET, practice=PRACTICE)
except ways.Refused as refusal:
    raise ImproperlyConfigured(str(refusal)) from None
EMAIL_TIMEOUT = 10  # seconds for each step of a mail server
EMAIL_FILE_PATH = HOME / "mail"  # practice without a mail server: a file for each message
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if mail else 'filebased'}.EmailBackend"
if mail:
    EMAIL_HOST, EMAIL_PORT = mail.host, mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = mail.user, mail.password
    EMAIL_USE_SSL, EMAIL_USE_TLS = mail.tls_at_once, mail.starttls
DEFAULT_FROM_EMAIL = os.environ.get("TREASURY_EMAIL_FROM") or f"treasury@{ways.host_of(ADDRESS)}"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # httpx logs full addresses at INFO; a query may name accounts.
    "loggers": {"httpx": {"level": "WARNING"}, "django.request": {"level": "ERROR"}},
}
