#!/usr/bin/env bash
# All that can be known before AWS is asked: make terraform-check.
#   TERRAFORM     terraform, or a wrapper that takes the same arguments
#   PYTHON        a Python with requirements/dev.txt
#   CHECKOV       checkov (requirements/checkov.txt)
#   REQUIRE_PLAN  when set, a plan that needs credentials is a failure, not a line
set -euo pipefail
cd "$(dirname "$0")/.."

: "${TERRAFORM:=terraform}" "${PYTHON:=.venv/bin/python}" "${CHECKOV:=.venv-checkov/bin/checkov}"
export TERRAFORM TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

title() { printf '\n== %s\n' "$*"; }
# Quiet while all is well.
quietly() { "$@" >"$work/output" 2>&1 || { cat "$work/output"; echo "failed: $*" >&2; return 1; }; }

title format
"$TERRAFORM" -chdir=terraform fmt -check -diff -recursive

title "tables in READMEs"
"$PYTHON" terraform/document.py --check

mapfile -t directories < <(find terraform -name '*.tf' -not -path '*/.terraform/*' -exec dirname {} + | sort -u)
for directory in "${directories[@]}"; do
	title "validate $directory"
	quietly "$TERRAFORM" -chdir="$directory" init -backend=false -input=false -no-color
	"$TERRAFORM" -chdir="$directory" validate -no-color
done

for directory in "${directories[@]}"; do
	title "test $directory"
	compgen -G "$directory/tests/*.tftest.hcl" >/dev/null || { echo "$directory has no tests" >&2; exit 1; }
	quietly "$TERRAFORM" -chdir="$directory" test -no-color
	tail -n 1 "$work/output"
done

for environment in dev prod; do
	title "plan $environment"
	if quietly "$TERRAFORM" -chdir=terraform init -input=false -no-color &&
		quietly "$TERRAFORM" -chdir=terraform plan -input=false -no-color -lock=false -refresh=false \
			-var-file="environments/$environment.tfvars" -var-file="testing/$environment.tfvars" -var github_repository=octo/cpsite -out="$work/$environment.tfplan"; then
		grep '^Plan:' "$work/output"
		"$TERRAFORM" -chdir=terraform show -json "$work/$environment.tfplan" >"$work/$environment.json"
	elif [ -n "${REQUIRE_PLAN:-}" ]; then
		exit 1
	else
		echo "not planned: no state bucket or no credentials. The plan with the mock provider stands in for it below."
	fi
done

title "contract between Terraform and the program; no secret in plans"
TERRAFORM_PLANS=$work CI=true "$PYTHON" -m pytest -q -p no:cacheprovider tests/terraform

title checkov
"$CHECKOV" --directory terraform --config-file terraform/.checkov.yaml | tee "$work/output"
# What it cannot read it leaves out, and passes.
if grep -q 'Parsing errors' "$work/output"; then
	LOG_LEVEL=WARNING "$CHECKOV" --directory terraform --config-file terraform/.checkov.yaml 2>&1 | grep -i 'pars' >&2 || true
	echo "checkov has left files out" >&2
	exit 1
fi

title "all passed"
