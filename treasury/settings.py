"""Settings, all from the environment; ``docs/settings.md`` lists every name.

``TREASURY_MODE=practice`` (the default) is a sandbox: practice users and simulated venues, the web server and
every connector on loopback only. ``TREASURY_MODE=real`` refuses to start with anything missing or weak.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from treasury.environment import (
    PRACTICE,
    PROXIES,
    PROXIES_SAY,
    addresses,
    amounts,
    code,
    database,
    existing,
    given,
    hosts,
    insist_on,
    keys,
    level,
    needed_with,
    networks,
    origin_of,
    required,
    share,
    spans,
    switch,
    whole,
    whole_or_off,
)
from treasury.launch import postgres
from treasury.notices import ways

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("TREASURY_HOME", BASE_DIR / ".local"))

# The application's role owns nothing; the owner's address is for what manage.py does as the owner, and nothing else.
DATABASE_SETTING = (
    "TREASURY_OWNER_DATABASE_URL"
    if os.environ.get("TREASURY_AS_OWNER") == "1" and given("TREASURY_OWNER_DATABASE_URL")
    else "DATABASE_URL"
)
insist_on(
    *("SECRET_KEY", "TREASURY_CREDENTIALS_KEYS", DATABASE_SETTING),
    *("ALLOWED_HOSTS", "TREASURY_ADDRESS", "TREASURY_EMAIL_URL", PROXIES),
)

PRACTICE_SECRET_KEY = "practice-only-this-key-signs-nothing-of-value-0123456789"  # noqa: S105
SECRET_KEY = required("SECRET_KEY", PRACTICE_SECRET_KEY)
if not PRACTICE and (SECRET_KEY == PRACTICE_SECRET_KEY or len(SECRET_KEY) < 50):
    raise ImproperlyConfigured("SECRET_KEY is the practice key or shorter than 50 characters; make a new one.")

# The keys that encrypt venue credentials at rest: one or more Fernet keys, comma separated, the newest first.
PRACTICE_CREDENTIALS_KEY = "cHJhY3RpY2Utb25seS1rZXktb2Ytbm8tdmFsdWUtMDE="
CREDENTIALS_KEYS = keys("TREASURY_CREDENTIALS_KEYS", PRACTICE_CREDENTIALS_KEY)
if not PRACTICE and PRACTICE_CREDENTIALS_KEY in CREDENTIALS_KEYS:
    raise ImproperlyConfigured("TREASURY_CREDENTIALS_KEYS holds the practice key; make one with Fernet.generate_key().")

# Where the simulated venues listen, by venue; practice connections store no address of their own.
SIMULATORS = addresses("TREASURY_SIMULATORS")
if SIMULATORS and not PRACTICE:
    raise ImproperlyConfigured(
        "TREASURY_SIMULATORS is set with TREASURY_MODE=real; simulated venues are practice only."
    )

DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"] if PRACTICE else hosts("ALLOWED_HOSTS")
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
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]

MIDDLEWARE = [
    "treasury.web.proxies.Forwarded",
    "treasury.web.browsers.Promises",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "treasury.web.middleware.PrivatePages",
    "treasury.web.middleware.NoNul",
    "treasury.web.gates.BoundedSessions",
    "treasury.web.middleware.SignedInOnly",
    "treasury.web.gates.FactorsFirst",
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

_database = database(DATABASE_SETTING, postgres.dsn(HOME / "postgres"))
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
# The link by which somebody who has no password chooses one.
PASSWORD_RESET_TIMEOUT = 24 * 60 * 60
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "treasury.notices.links.Tokens"  # noqa: S105  (the name of a class)
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_FAILURE_VIEW = "treasury.web.refusals.csrf_failure"

# -- Signing in: docs/sign-in.md -----------------------------------------------------------------------------------
# A second factor for everybody, and a passkey for those who decide or govern.
STRONG_SIGN_IN = switch("TREASURY_STRONG_SIGN_IN", default=not PRACTICE)
if not (STRONG_SIGN_IN or PRACTICE):
    raise ImproperlyConfigured("TREASURY_STRONG_SIGN_IN=0 is for practice; with TREASURY_MODE=real it must be 1.")
FRESH_FACTOR_MINUTES = whole("TREASURY_FRESH_FACTOR_MINUTES", 5)  # how recently a decision's factor was used
IDLE_MINUTES = whole("TREASURY_IDLE_MINUTES", 30)  # a session that is not used for longer is over …
SESSION_HOURS = whole("TREASURY_SESSION_HOURS", 12)  # … and any session so long after it began
SESSION_COOKIE_AGE = SESSION_HOURS * 60 * 60
STEPS_A_MINUTE = whole("TREASURY_STEPS_A_MINUTE", 120)  # of one person: decisions and what governs
READ_SECONDS = whole_or_off(
    "TREASURY_READ_SECONDS", 1
)  # a decision that comes sooner after its page was read by nobody
if not (READ_SECONDS or PRACTICE):
    raise ImproperlyConfigured("TREASURY_READ_SECONDS=0 is for practice; with TREASURY_MODE=real it must be 1 or more.")

PASSWORD_LEAST = 15  # characters; nothing else is asked of them
BREACHED_PASSWORDS = existing("TREASURY_BREACHED_PASSWORDS")  # sorted SHA-1 hashes, one a line; None: no such list
_of_django = "django.contrib.auth.password_validation"
PASSWORD_VALIDATORS = [
    {"NAME": f"{_of_django}.MinimumLengthValidator", "OPTIONS": {"min_length": PASSWORD_LEAST}},
    {"NAME": f"{_of_django}.CommonPasswordValidator"},  # a list of 20 000 that Django brings
    {"NAME": "treasury.controls.passwords.BreachedPasswordValidator"},
    {"NAME": "treasury.controls.passwords.ContextWordsValidator"},
]
AUTH_PASSWORD_VALIDATORS = PASSWORD_VALIDATORS  # in practice, too: the people that it makes are seeded, not typed

# What counts tries, and codes that were used, for every process.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "treasury_cache",  # made by a migration
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},  # past it, counters that still count would be dropped
    }
}

# The identity provider (OpenID Connect), if the house has one.
OIDC_ISSUER = os.environ.get("TREASURY_OIDC_ISSUER", "").strip()
OIDC_NAME = os.environ.get("TREASURY_OIDC_NAME") or "your company's sign-in"
OIDC_TRUST_AMR = switch("TREASURY_OIDC_TRUST_AMR", default=False)
if OIDC_ISSUER and not (OIDC_ISSUER.startswith("https://") or PRACTICE):
    raise ImproperlyConfigured("TREASURY_OIDC_ISSUER must begin with https://.")
SOCIALACCOUNT_PROVIDERS = (
    {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": OIDC_NAME,
                    "client_id": needed_with("TREASURY_OIDC_CLIENT_ID", "TREASURY_OIDC_ISSUER"),
                    "secret": needed_with("TREASURY_OIDC_CLIENT_SECRET", "TREASURY_OIDC_ISSUER"),
                    "settings": {"server_url": OIDC_ISSUER, "fetch_userinfo": False},
                }
            ],
        }
    }
    if OIDC_ISSUER
    else {}
)

ACCOUNT_ADAPTER = "treasury.web.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]  # sign-up is closed; allauth derives its sign-in form from it
ACCOUNT_PASSWORD_MIN_LENGTH = PASSWORD_LEAST  # allauth's own least would be another, were there no validators
ACCOUNT_EMAIL_VERIFICATION = "none"  # an address is governed: two people say what it is
ACCOUNT_REAUTHENTICATION_TIMEOUT = 0  # seconds: what is fresh, and of which kind, is treasury.web.factor's to say
ACCOUNT_LOGIN_TIMEOUT = 600  # seconds from the password to the second factor
# Wrong passwords and codes are counted by treasury.web.sign_in_limits, where nobody can lock a colleague out.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "",
    "reauthenticate": "30/m/user",
    "change_password": "5/m/user",
    "reset_password_from_key": "20/m/ip",
}
ACCOUNT_FORMS = {
    "change_password": "treasury.web.account_forms.ChangePasswordForm",
    "set_password": "treasury.web.account_forms.SetPasswordForm",
    "reset_password_from_key": "treasury.web.account_forms.ResetPasswordKeyForm",
    "reauthenticate": "treasury.web.account_forms.PasswordForm",
}
MFA_ADAPTER = "treasury.web.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["recovery_codes", "totp", "webauthn"]
MFA_FORMS = {
    "authenticate": "treasury.web.account_forms.AuthenticateForm",
    "reauthenticate": "treasury.web.account_forms.ReauthenticateForm",
    "activate_totp": "treasury.web.account_forms.ActivateForm",
    "edit_webauthn": "treasury.web.account_forms.RenameForm",
}
MFA_WEBAUTHN_USER_VERIFICATION = "required"  # a fingerprint, a face or a PIN: a passkey that was found proves nobody
MFA_TOTP_TOLERANCE = 0  # steps of 30 s before or after
MFA_ALLOW_UNVERIFIED_EMAIL = True  # allauth keeps no addresses here
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = PRACTICE  # http://localhost
USERSESSIONS_ADAPTER = "treasury.web.adapter.SessionsAdapter"
SOCIALACCOUNT_ADAPTER = "treasury.web.provider.ProviderAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_STORE_TOKENS = False

# Of a form without its files; treasury.controls.uploads bounds these, and treasury.web.middleware all of it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # bands: 8 for each account of a group, of which a bank's login may have 1000
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024  # evidence stays in memory; nothing of it is left on a disk

# -- What browsers are told, and whom the web believes: docs/security.md ------------------------------------------
# Whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses and networks of the proxies in front.
TRUSTED_PROXIES = networks(PROXIES)
if not (TRUSTED_PROXIES or PRACTICE):
    raise ImproperlyConfigured(PROXIES_SAY)
ALLAUTH_TRUSTED_PROXY_COUNT = 1  # treasury.web.proxies leaves one address in that header, or takes it away

if not PRACTICE:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz/$"]  # asked for by the launcher and by watchdogs on this computer
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/"
CSRF_COOKIE_SAMESITE = "Lax"  # Strict would give whoever comes by a link in a letter a token that no open page has
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # words of ours lie in no cookie

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
PERMISSIONS_POLICY = {
    **dict.fromkeys(("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer"), "()"),
    **dict.fromkeys(("microphone", "midi", "payment", "serial", "usb", "xr-spatial-tracking"), "()"),
    **dict.fromkeys(("publickey-credentials-create", "publickey-credentials-get"), "(self)"),  # passkeys
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [NONCE],  # what a page of ours names, and nothing else; the admin's windows: web/browsers.py
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        # A form's redirect counts as its target, and the identity provider's page is where one goes on.
        "form-action": [SELF, *([origin_of(OIDC_ISSUER)] if OIDC_ISSUER else [])],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "report-uri": ["/reports/csp/"],
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
# These three fill the first policy (controls.policy.first), and govern nothing after that.
# One checker decides a transfer; above this amount of the asset, two. "*" stands for assets not named: with 0,
# an asset nobody thought of always takes two.
TWO_CHECKERS_ABOVE = amounts("TREASURY_TWO_CHECKERS_ABOVE", "USDT=10000,USDC=10000,EUR=10000,BTC=0.25,ETH=4,*=0")
# What may leave over one connection within 24 hours, by asset; an asset neither named nor under "*" has no limit.
DAILY_LIMITS = amounts("TREASURY_DAILY_LIMITS", "")
# What an account must keep, by asset: no transfer is sent that would leave less.
FLOORS = amounts("TREASURY_FLOORS", "")
MOVEMENT_TOLERANCE = share("TREASURY_MOVEMENT_TOLERANCE", "0")  # share of a quiet account's total
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
# A stop takes one person; within so long a second one has looked at it, or operators and auditors are told.
STOP_REVIEW_WITHIN = timedelta(hours=whole("TREASURY_STOP_REVIEW_HOURS", 24)) / TIME_SCALE
DOUBT_TRIP_COUNT = whole("TREASURY_DOUBT_TRIP_COUNT", 3)  # so many unknown outcomes over one connection …
DOUBT_TRIP_WITHIN = timedelta(minutes=whole("TREASURY_DOUBT_TRIP_MINUTES", 15)) / TIME_SCALE  # … within so long stop it
SENDER_SILENT_AFTER = timedelta(seconds=60) / TIME_SCALE  # no sign of life for so long: every page says so
# Heads of the log's chain, kept outside the database: an older copy of the database is told by them.
ANCHOR_FILE = Path(os.environ.get("TREASURY_ANCHOR_FILE") or HOME / "anchors.jsonl")
RESOLVED_LOOKED_UP_FOR = timedelta(days=7) / TIME_SCALE  # what two people resolved is looked up for so long

# -- Being told: e-mail and a signed webhook, through an outbox ----------------------------------------------------
ADDRESS = required("TREASURY_ADDRESS", f"http://localhost:{os.environ.get('PORT') or 8000}")
EMAIL_URL, WEBHOOK_URL = required("TREASURY_EMAIL_URL", ""), given("TREASURY_WEBHOOK_URL")
# Wanted where the environment names a webhook; two people may name one later, and it is signed by the same key.
WEBHOOK_SECRET = (
    required("TREASURY_WEBHOOK_SECRET", "practice-only-this-key-signs-no-message-of-value")
    if WEBHOOK_URL or PRACTICE
    else given("TREASURY_WEBHOOK_SECRET")
)
try:
    ADDRESS = ways.site(ADDRESS, practice=PRACTICE)
    mail = ways.mail_server(EMAIL_URL, practice=PRACTICE) if EMAIL_URL else None
    ways.insist_on_webhook(WEBHOOK_URL, WEBHOOK_SECRET, practice=PRACTICE)
except ways.Refused as refusal:
    raise ImproperlyConfigured(str(refusal)) from None
EMAIL_TIMEOUT = 10  # seconds for each step of a mail server
EMAIL_FILE_PATH = HOME / "mail"  # practice without a mail server: a file for each message
EMAIL_BACKEND = "treasury.outbound.EmailBackend" if mail else "django.core.mail.backends.filebased.EmailBackend"
if mail:
    EMAIL_HOST, EMAIL_PORT = mail.host, mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = mail.user, mail.password
    EMAIL_USE_SSL, EMAIL_USE_TLS = mail.tls_at_once, mail.starttls
# Hosts of the identity provider besides the one that its address names: where tokens and keys lie, if elsewhere.
OIDC_HOSTS = [host for host in os.environ.get("TREASURY_OIDC_HOSTS", "").replace(" ", "").split(",") if host]
# Credentials of a venue that are in use for longer are shown as old.
CREDENTIALS_OLD_AFTER = timedelta(days=whole("TREASURY_CREDENTIALS_OLD_DAYS", 90))
DEFAULT_FROM_EMAIL = os.environ.get("TREASURY_EMAIL_FROM") or f"treasury@{ways.host_of(ADDRESS)}"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": level("LOG_LEVEL", "INFO")},
    # They log full addresses and headers, httpx at INFO; a query may name accounts or hold a secret.
    "loggers": {
        **{name: {"level": "WARNING"} for name in ("httpx", "httpcore", "urllib3")},
        "django.request": {"level": "ERROR"},
    },
}
