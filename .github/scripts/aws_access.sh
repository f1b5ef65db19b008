#!/usr/bin/env bash
# Says which way a job gets into AWS, as the output `way`: role, or key.
#   ENVIRONMENT  name of the GitHub environment, for the messages
#   ROLE         its variable AWS_ROLE_ARN
#   KEY_ID, KEY  its secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
#   arguments    names of further variables that must have a value
# Fails where there is no way. With OPTIONAL=1 the output is then none, and the exit code 0.
set -euo pipefail

stop() {
	printf '::error title=GitHub environment %s::%s\n' "$ENVIRONMENT" "$*"
	exit 1
}

if [ -n "${ROLE:-}" ]; then
	way=role
elif [ -n "${KEY_ID:-}" ] && [ -n "${KEY:-}" ]; then
	way=key
elif [ -n "${KEY_ID:-}${KEY:-}" ]; then
	stop "only one of the secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set"
elif [ -n "${OPTIONAL:-}" ]; then
	way=none
else
	stop "no way into AWS: set the variable AWS_ROLE_ARN, or the secrets AWS_ACCESS_KEY_ID and" \
		"AWS_SECRET_ACCESS_KEY (docs/deployment.md, step 8)"
fi

if [ "$way" != none ]; then
	for name in "$@"; do
		[ -n "${!name:-}" ] || stop "the variable $name is not set (docs/deployment.md, step 8)"
	done
fi

echo "way=$way" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
