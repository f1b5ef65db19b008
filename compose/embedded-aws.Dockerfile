# MiniStack, an SQS and S3 that need no account: for compose.yaml, at the version of `make run`.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm
FROM ${PYTHON_IMAGE}
COPY requirements/devstack.txt /opt/requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /opt/venv \
 && /opt/venv/bin/pip install --disable-pip-version-check --root-user-action=ignore --cache-dir=/var/cache/pip \
      --only-binary=:all: --require-hashes --requirement /opt/requirements.txt \
 && mkdir --mode=0700 /data && chown 10001:10001 /data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_PORT=4566 \
    BIND_HOST=0.0.0.0 \
    SERVICES=sqs,s3,ssm \
    LOG_LEVEL=WARNING \
    PERSIST_STATE=1 STATE_DIR=/data/state \
    S3_PERSIST=1 S3_DATA_DIR=/data/s3
USER 10001:10001
VOLUME /data /tmp
EXPOSE 4566
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"GATEWAY_PORT\"]}/_ministack/health', timeout=4)"]
CMD ["ministack"]
