#!/usr/bin/env bash
# Checks the workflows, the Dockerfile and every shell script: make workflows-check.
# actionlint, zizmor, hadolint and shellcheck are on the path (requirements/workflows.txt).
set -euo pipefail
cd "$(dirname "$0")/../.."

title() { printf '\n== %s\n' "$*"; }

title actionlint
actionlint -shellcheck shellcheck -pyflakes=
echo "$(find .github/workflows -name '*.yml' | wc -l) workflows"

# What it would ask GitHub for, tests/pipelines/test_workflows.py and Dependabot look at.
title zizmor
zizmor --offline --no-progress .github

title hadolint
mapfile -t dockerfiles < <(git ls-files --cached --others --exclude-standard '*Dockerfile')
hadolint "${dockerfiles[@]}"
printf '%s\n' "${dockerfiles[@]}"

title shellcheck
mapfile -t scripts < <(git grep --untracked -lE '^#!.*[/ ](ba)?sh$')
shellcheck "${scripts[@]}"
printf '%s\n' "${scripts[@]}"
