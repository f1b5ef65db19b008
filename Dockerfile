# One image for each service, on one base: `docker build --target validator .`, `--target uploader .`
#
# docs/deployment.md, step 4, has what ECS asks of them. Everything that is installed stands in
# requirements/*.txt with its hash, and comes as a wheel: nothing is compiled.

# Also taken as name@sha256:…, for a base that never changes.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

# --- What is installed ----------------------------------------------------------------------

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /opt/pip \
 && python -m venv --without-pip /opt/venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

# The containers cannot write bytecode, and without it a start takes more than twice as long. It is
# not compared with its source again: files may get other times on their way into an image.
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
# The default of what is kept on disk; in a container nothing is.
RUN mkdir var

# Neither service has the other's code, and CPSITE_SERVICE keeps Django from looking for it.
FROM program AS uploader-program
COPY uploader/ uploader/
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

FROM validator-packages AS validator-program
WORKDIR /app
COPY --from=program /app ./
COPY validator/ validator/
# Swagger UI comes with ReDoc, which no page uses, and both with maps for their own developers.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
 && CPSITE_SERVICE=validator /opt/venv/bin/python manage.py collectstatic --noinput --verbosity=0 \
      --ignore=redoc --ignore='*.map'

# --- What both images are -------------------------------------------------------------------

FROM ${PYTHON_IMAGE} AS base
# Neither is of use to the program; each would be to an intruder.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
      /usr/local/lib/python3*/site-packages/pip* \
 && groupadd --gid 10001 cpsite \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin cpsite
# A container's network is its own: what is published decides who can reach HOST and METRICS_HOST.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    METRICS_HOST=0.0.0.0 \
    LOG_FORMAT=json
WORKDIR /app
# The one place that is written to; the rest may be read-only. Fargate gives an empty volume the
# owner and mode that the image has here.
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
