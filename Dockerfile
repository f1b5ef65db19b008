# One image for each service, on one base: `docker build --target validator .`, `--target uploader .`
#
# docs/deployment.md, step 4, says what ECS requires of them. Every package is listed in
# requirements/*.txt with its hash and is installed as a wheel: no package is built from source.

# Can also be name@sha256:…, for a base image that never changes.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

# --- Packages -------------------------------------------------------------------------------

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /opt/pip \
 && python -m venv --without-pip /opt/venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

# Compile bytecode here: the containers cannot write it, and without it a start takes more than
# twice as long. Python must not compare it with its source, because files may get other times on
# their way into an image.
FROM packages AS validator-packages
COPY requirements/validator.txt /opt/requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python install \
      --no-compile --only-binary=:all: --require-hashes --requirement /opt/requirements.txt \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM packages AS uploader-packages
COPY requirements/uploader.txt /opt/requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python install \
      --no-compile --only-binary=:all: --require-hashes --requirement /opt/requirements.txt \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# --- The program ----------------------------------------------------------------------------

FROM ${PYTHON_IMAGE} AS program
WORKDIR /app
COPY manage.py ./
COPY cpsite/ cpsite/
# The default directory for data on disk. Containers keep none there.
RUN mkdir var

# Neither image contains the other service's code. CPSITE_SERVICE keeps Django from loading it.
FROM program AS uploader-program
COPY uploader/ uploader/
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

FROM validator-packages AS validator-program
WORKDIR /app
COPY --from=program /app ./
COPY validator/ validator/
# Swagger UI's package includes ReDoc, which no page uses, and source maps of both.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
 && CPSITE_SERVICE=validator /opt/venv/bin/python manage.py collectstatic --noinput --verbosity=0 \
      --ignore=redoc --ignore='*.map'

# --- The base of both images ----------------------------------------------------------------

FROM ${PYTHON_IMAGE} AS base
# The program does not need pip and ensurepip; an intruder could use them.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
      /usr/local/lib/python3*/site-packages/pip* \
 && groupadd --gid 10001 cpsite \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin cpsite
# Listening on all addresses is safe in a container: only published ports can be reached.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    METRICS_HOST=0.0.0.0 \
    LOG_FORMAT=json
WORKDIR /app
# The only directory that is written to; the rest may be read-only. Fargate gives an empty volume
# the owner and mode of this directory in the image.
VOLUME /tmp
STOPSIGNAL SIGTERM
LABEL org.opencontainers.image.licenses="MIT"

# --- The images -----------------------------------------------------------------------------

FROM base AS validator
COPY --from=validator-packages /opt/venv /opt/venv
COPY --from=validator-program /app ./
USER 10001:10001
ENV CPSITE_SERVICE=validator \
    PORT=8000
EXPOSE 8000 9100
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=4)"]
CMD ["python", "-m", "gunicorn", "--config", "python:cpsite.gunicorn"]
# Last, because they change with each commit.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="cpsite validator" \
      org.opencontainers.image.description="Checks small JSON messages and puts them on SQS" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
ENV CPSITE_REVISION=${REVISION}

FROM base AS uploader
COPY --from=uploader-packages /opt/venv /opt/venv
COPY --from=uploader-program /app ./
USER 10001:10001
ENV CPSITE_SERVICE=uploader \
    UPLOADER_HEARTBEAT_FILE=/tmp/uploader-heartbeat
EXPOSE 9101
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-m", "uploader.liveness"]
CMD ["python", "manage.py", "run_uploader"]
# Last, because they change with each commit.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="cpsite uploader" \
      org.opencontainers.image.description="Writes messages from SQS to S3" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
ENV CPSITE_REVISION=${REVISION}
