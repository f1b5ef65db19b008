#!/usr/bin/env bash
# Applies a saved plan, and nothing else: terraform_apply.sh PLAN
#   ENVIRONMENT, STATE_BUCKET, AWS_REGION  as for terraform_plan.sh
set -euo pipefail
plan=$(realpath "$1")
cd "$(dirname "$0")/../.."

# Without it each run would take the newest provider there is, and whatever is in it.
[ -f terraform/.terraform.lock.hcl ] || {
	echo "::error::terraform/.terraform.lock.hcl is not committed: docs/deployment.md, step 3"
	exit 1
}

terraform -chdir=terraform init -input=false -no-color -lockfile=readonly \
	-backend-config="bucket=$STATE_BUCKET" -backend-config="region=$AWS_REGION" \
	-backend-config="key=$ENVIRONMENT/terraform.tfstate"
terraform -chdir=terraform apply -input=false -no-color -lock-timeout=5m "$plan"
