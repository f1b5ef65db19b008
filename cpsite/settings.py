"""All configuration, from the environment alone.

Environments differ in values, not in code. The defaults work in a plain checkout. When a service
starts, system checks require the settings that it needs (`cpsite/checks.py`,
`validator/checks.py`, `uploader/checks.py`). A value of the wrong type stops every command with one
line that names the variable.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from botocore.config import Config
from environs import Env, validate

from cpsite import __version__

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = Env()


def _at_least(minimum: float) -> list[validate.Validator]:
    return [validate.Range(min=minimum)]


# --- Django ---------------------------------------------------------------------------------

#: Without DJANGO_SECRET_KEY each process makes up its own key. That is enough for a command, but
#: not for the validator, whose workers must share one (cpsite.E005).
SECRET_KEY = env.str("DJANGO_SECRET_KEY", "") or f"django-insecure-{secrets.token_urlsafe(40)}"
DEBUG = env.bool("DJANGO_DEBUG", default=False)
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", [])

#: The service whose apps a process loads: `validator` or `uploader`. Empty means both, for commands
#: in a checkout. gunicorn's configuration and `manage.py run_uploader` set it for themselves; the
#: images set it for every command.
CPSITE_SERVICE = env.str(
    "CPSITE_SERVICE", "", validate=[validate.OneOf(["", "validator", "uploader"])]
)

#: What the validator's process serves: the `api` for clients, the `admin` for operators, or `both`.
#: Apart, each can have its own network and role, and the API's need read neither objects nor dead
#: letters. Apps with tables are loaded in each, so that any of them can migrate.
VALIDATOR_SERVES = env.str(
    "VALIDATOR_SERVES", "both", validate=[validate.OneOf(["api", "admin", "both"])]
)
SERVES_API = VALIDATOR_SERVES != "admin"
SERVES_ADMIN = VALIDATOR_SERVES != "api"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "cpsite",
    "cpsite.audit",
    "cpsite.dead_letters",
]
if CPSITE_SERVICE != "uploader":
    ROOT_URLCONF = "cpsite.urls"
    INSTALLED_APPS += [
        # The simple one loads no pages.
        "django.contrib.admin" if SERVES_ADMIN else "django.contrib.admin.apps.SimpleAdminConfig",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django_prometheus",
        # Counts wrong passwords.
        "axes",
        "validator",
    ]
    if SERVES_API:
        INSTALLED_APPS += [
            "rest_framework",
            "drf_spectacular",
            # Swagger UI's files for /docs/.
            "drf_spectacular_sidecar",
        ]
if CPSITE_SERVICE != "validator":
    INSTALLED_APPS += ["uploader"]

# Of every request but those that send a message (validator/message_handler.py).
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "cpsite.web.middleware.RequestIdMiddleware",
    "cpsite.web.middleware.ContentLengthMiddleware",
    "validator.middleware.TransportMiddleware",
    "cpsite.web.middleware.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Only the admin needs sessions, host checks, users and flash messages: the API skips them.
    "cpsite.web.middleware.AdminSessionMiddleware",
    "cpsite.web.middleware.AdminCommonMiddleware",
    # Global, but it skips csrf_exempt views, and all views of the API are exempt.
    "django.middleware.csrf.CsrfViewMiddleware",
    "cpsite.web.middleware.AdminAuthenticationMiddleware",
    "cpsite.web.middleware.AdminMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "cpsite.web.middleware.PrometheusAfterMiddleware",
]

if not SERVES_ADMIN:
    MIDDLEWARE = [name for name in MIDDLEWARE if "middleware.Admin" not in name]

WSGI_APPLICATION = "cpsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # cpsite comes before the admin in INSTALLED_APPS, so its templates can replace the admin's.
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
CSRF_FAILURE_VIEW = "cpsite.web.error_views.csrf_failure"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
if CPSITE_SERVICE != "uploader":  # its image has no gevent, and nobody logs in there
    PASSWORD_HASHERS = ["cpsite.web.password_hashing.PBKDF2AsidePasswordHasher"]
AUTHENTICATION_BACKENDS = [
    # Refuses logins from an address that has sent too many wrong passwords.
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
#: Wrong passwords that an address, or IPv6 network of 64 bits, may send before it is locked out.
#: They are not counted by user: anybody who knows a name could lock that user out.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "cpsite.web.admin_login.address"
AXES_USERNAME_CALLABLE = "cpsite.web.admin_login.username"
# Attempts during a lockout do not extend it: their passwords are not checked.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# Our log lines already record logins, without what was typed. A row for each login would make the
# table grow for ever.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# axes' middleware is not needed: the login page itself answers a locked-out address
# (cpsite/web/admin_login.py).
SILENCED_SYSTEM_CHECKS = ["axes.W002"]
if not SERVES_ADMIN:
    # Django's admin asks for middleware that only its pages need.
    SILENCED_SYSTEM_CHECKS += ["admin.E408", "admin.E409", "admin.E410"]
# HSTS's includeSubDomains and preload are off unless asked for, below.
SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W021"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
# Serve assets straight from the packages when `collectstatic` has not been run.
WHITENOISE_USE_FINDERS = not STATIC_ROOT.is_dir()

#: Number of proxies in front that append to X-Forwarded-For (an ALB is 1). With 0 the header is
#: ignored, because then a client could write it itself.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0, validate=_at_least(0))

#: True when clients reach the service over HTTPS, terminated by a proxy that sets
#: X-Forwarded-Proto.
HTTPS = env.bool("DJANGO_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # The load balancer's health checks come over plain HTTP, from the internal network.
    SECURE_REDIRECT_EXEMPT = [r"^health/"]
    SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", 31_536_000, validate=_at_least(0))
    # Both speak for other hosts than this one, so they are for the domain's owner to decide.
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("DJANGO_HSTS_INCLUDE_SUBDOMAINS", default=False)
    SECURE_HSTS_PRELOAD = env.bool("DJANGO_HSTS_PRELOAD", default=False)
X_FRAME_OPTIONS = "DENY"

# --- Database: the audit log and the admin's users ------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", "") or f"sqlite:///{VAR_DIR / 'cpsite.sqlite3'}"


#: Connections in a process's pool. 0 means no pool: one connection for each thread that needs it.
#: gunicorn's configuration sets it for the validator, whose requests are greenlets.
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", 0, validate=_at_least(0))


def _database(url: str) -> dict[str, Any]:
    """Return Django's settings for a database URL, with bounded waits."""
    config: dict[str, Any] = dict(
        dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    )
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"].endswith("sqlite3"):
        # WAL lets the admin read while both services write. IMMEDIATE takes the write lock when
        # a transaction begins, and waits for it. A transaction that upgrades later fails at once.
        options |= {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": env.float("SQLITE_TIMEOUT_SECONDS", 20.0, validate=_at_least(0)),
        }
        Path(config["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    else:
        # A database that is unreachable, before or after connecting, must not hang its callers
        # (libpq parameters: seconds, and milliseconds for tcp_user_timeout).
        bounds = {
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
        }
        config["OPTIONS"] = bounds | options
        if DATABASE_POOL_SIZE:
            # Without a pool, each of many short-lived greenlets would open its own connection.
            config["CONN_MAX_AGE"] = 0
            config["OPTIONS"]["pool"] = {
                "min_size": 0,
                "max_size": DATABASE_POOL_SIZE,
                "timeout": bounds["connect_timeout"],
            }
    return config


DATABASES = {"default": _database(DATABASE_URL)}

#: What the audit log holds: `all`, or only what was refused or has failed (cpsite/audit/scope.py).
AUDIT_EVENTS = env.str("AUDIT_EVENTS", "all", validate=[validate.OneOf(["all", "failures"])])

# --- AWS ------------------------------------------------------------------------------------
# Credentials and AWS_ENDPOINT_URL are read by boto3 itself, from the same environment.

AWS_REGION = env.str("AWS_REGION", "us-east-1")
SQS_QUEUE_URL = env.str("SQS_QUEUE_URL", "")
SQS_DLQ_URL = env.str("SQS_DLQ_URL", "")
#: Longest time in seconds that publishing one message may take: the wait for the batch before
#: it, and two attempts of its own.
SQS_PUBLISH_TIMEOUT_SECONDS = env.float("SQS_PUBLISH_TIMEOUT_SECONDS", 8.0, validate=_at_least(2))
S3_BUCKET = env.str("S3_BUCKET", "")
#: The bucket's region, where it is not the queue's.
S3_REGION = env.str("S3_REGION", "") or AWS_REGION
S3_PREFIX = env.str(
    "S3_PREFIX",
    "messages/",
    validate=validate.Regexp(
        # The characters that AWS calls safe in keys, without segments such as `..` that a path
        # would normalise.
        r"(?:(?!\.{1,2}/)[A-Za-z0-9!_.*'()=-]+/)*\Z",
        error="must be path segments that each end with a slash, such as messages/",
    ),
)
#: Longest time in seconds that one attempt to write one object may take.
S3_TIMEOUT_SECONDS = env.float("S3_TIMEOUT_SECONDS", 5.0, validate=_at_least(1))
#: Attempts of one write, and the longest pause in seconds between two of them.
S3_ATTEMPTS = 2
S3_BACKOFF_SECONDS = 1.0
#: When set, objects go to this directory instead of S3. For development only.
MESSAGES_DIRECTORY = env.str("MESSAGES_DIRECTORY", "")

STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "messages": (
        {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": MESSAGES_DIRECTORY,
                # As in S3, a redelivered message must overwrite its own object.
                "allow_overwrite": True,
            },
        }
        if MESSAGES_DIRECTORY
        else {
            "BACKEND": "cpsite.storage.MessageS3Storage",
            "OPTIONS": {
                "bucket_name": S3_BUCKET,
                "region_name": S3_REGION,
                # Seconds for which the admin's links to objects work.
                "querystring_expire": 60,
                "client_config": Config(
                    signature_version="s3v4",
                    connect_timeout=3.0,
                    read_timeout=S3_TIMEOUT_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": S3_ATTEMPTS},
                    max_pool_connections=64,
                ),
            },
        }
    ),
}

# --- API ------------------------------------------------------------------------------------

API_TOKENS = env.str("API_TOKENS", "")
API_TOKENS_PARAMETER = env.str("API_TOKENS_PARAMETER", "")
API_TOKENS_REFRESH_SECONDS = env.float("API_TOKENS_REFRESH_SECONDS", 60.0, validate=_at_least(1))

#: Longest request body in bytes. SQS takes 1 MiB, and on the queue text grows up to three times
#: (non-ASCII becomes \u escapes), so cpsite.E006 refuses more than a third of that.
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", 327_680, validate=_at_least(1))
#: Dotted name of the module that declares the contracts.
CONTRACT_MODULE = env.str("CONTRACT_MODULE", "validator.contract") or "validator.contract"
#: Longest field in characters (Unicode code points).
MAX_FIELD_LENGTH = env.int("MAX_FIELD_LENGTH", 65_536, validate=_at_least(1))

#: Seconds for which an Idempotency-Key is remembered.
IDEMPOTENCY_KEY_SECONDS = env.float("IDEMPOTENCY_KEY_SECONDS", 86_400.0, validate=_at_least(60))

#: Requests that a client may make, and refusals that an address may cause, before it gets 429. DRF
#: rates such as "100/s" or "60/min"; empty means no limit. Each process counts for itself.
_rate = validate.Regexp(
    r"(?:[1-9]\d*/(?:s|sec|second|m|min|minute|h|hour|d|day))?\Z",
    error="must be a rate such as 100/s or 60/min, or empty",
)
THROTTLE_CLIENT_RATE = env.str("THROTTLE_CLIENT_RATE", "", validate=_rate) or None
THROTTLE_REFUSED_RATE = env.str("THROTTLE_REFUSED_RATE", "60/min", validate=_rate) or None

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # One entry for each client and each refused address.
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

REST_FRAMEWORK = {
    # DRF's defaults suit browsers and sessions. Everything that this API needs is set explicitly.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_PARSER_CLASSES": ["validator.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "validator.pages.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "validator.negotiation.ContentNegotiation",
    "EXCEPTION_HANDLER": "validator.exceptions.exception_handler",
    # No `?format=`: it would do the same as the Accept header.
    "URL_FORMAT_OVERRIDE": None,
    # OPTIONS would describe the contract to unauthenticated callers.
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "cpsite",
    "DESCRIPTION": "Takes small JSON messages and stores each in S3, once and unchanged.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "PREPROCESSING_HOOKS": ["validator.openapi.completion.without_slashless"],
    "POSTPROCESSING_HOOKS": ["validator.openapi.completion.complete"],
}

# --- Uploader -------------------------------------------------------------------------------

#: Upload threads. One write to S3 takes 20 to 60 ms, nearly all of it waiting.
UPLOADER_CONCURRENCY = env.int("UPLOADER_CONCURRENCY", 16, validate=_at_least(1))
#: Threads that receive, each up to ten messages at a time.
UPLOADER_RECEIVERS = env.int("UPLOADER_RECEIVERS", 1, validate=_at_least(1))
#: One object for each message, or for a batch of messages (uploader/layouts.py). A batch is
#: complete at so many messages, at so many bytes before compression, or after so many seconds.
UPLOADER_LAYOUT = env.str(
    "UPLOADER_LAYOUT", "object", validate=[validate.OneOf(["object", "batch"])]
)
UPLOADER_BATCH_MESSAGES = env.int("UPLOADER_BATCH_MESSAGES", 1_000, validate=_at_least(1))
UPLOADER_BATCH_BYTES = env.int("UPLOADER_BATCH_BYTES", 8_388_608, validate=_at_least(1))
UPLOADER_BATCH_SECONDS = env.float("UPLOADER_BATCH_SECONDS", 10.0, validate=_at_least(0.1))
#: Seconds that a stop may take. Then the process ends, even if something hangs. ECS kills after 30
#: by default (stopTimeout).
UPLOADER_STOP_SECONDS = env.float("UPLOADER_STOP_SECONDS", 20.0, validate=_at_least(4))
#: Seconds of one SQS long poll. The AWS limit is 20, but a stop first waits for the current poll,
#: and then finishes what is in flight.
UPLOADER_WAIT_SECONDS = env.int(
    "UPLOADER_WAIT_SECONDS", 5, validate=[validate.Range(min=1, max=10)]
)
#: Seconds before a message is delivered again if it failed while others were stored; doubled after
#: each further delivery, up to 900.
UPLOADER_RETRY_SECONDS = env.int(
    "UPLOADER_RETRY_SECONDS", 30, validate=[validate.Range(min=0, max=900)]
)
#: Empty: the file that uploader/liveness.py names.
UPLOADER_HEARTBEAT_FILE = env.str("UPLOADER_HEARTBEAT_FILE", "")

# --- Metrics and logs -----------------------------------------------------------------------

#: Address on which the metrics ports listen. They are for the internal network only.
METRICS_HOST = env.str("METRICS_HOST", "127.0.0.1")
VALIDATOR_METRICS_PORT = env.int("VALIDATOR_METRICS_PORT", 9100)
UPLOADER_METRICS_PORT = env.int("UPLOADER_METRICS_PORT", 9101)
#: The commit that an image was built from, for `cpsite_build_info`.
CPSITE_REVISION = env.str("CPSITE_REVISION", "") or "unknown"
# Metrics about this project's few migrations are not worth a database connection at each start.
PROMETHEUS_EXPORT_MIGRATIONS = False

LOG_FORMAT = env.str("LOG_FORMAT", "text", validate=[validate.OneOf(["json", "text"])])
LOG_LEVEL = env.str(
    "LOG_LEVEL", "INFO", validate=[validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])]
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "cpsite.observability.logging.RequestIdFilter"},
        "exceptions": {"()": "cpsite.observability.logging.ExceptionsOnly"},
    },
    "formatters": {
        "json": {"()": "cpsite.observability.logging.json_formatter"},
        "text": {"()": "cpsite.observability.logging.TextFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["request_id"],
        },
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        # Drops lines such as "Unauthorized: /": our own log line and audit event record a refusal.
        "django.request": {"level": "ERROR", "filters": ["exceptions"]},
        # It quotes the Host and Origin of strangers: cpsite/web/refusals.py logs what is refused.
        "django.security": {"handlers": ["nowhere"], "propagate": False},
        # axes logs the user names that were typed, which may be passwords.
        "axes": {"level": "ERROR"},
        # At DEBUG these log request bodies and signatures: keep them quiet whatever LOG_LEVEL is.
        # It warns, with tracebacks, of each look-up of credentials that fails. Our own line does.
        "botocore": {"level": "ERROR"},
        "boto3": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        # It warns of every retried connection; our own lines log the outcome.
        "urllib3": {"level": "ERROR"},
    },
}
