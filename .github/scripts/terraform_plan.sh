#!/usr/bin/env bash
# Plans an environment: terraform_plan.sh DIRECTORY writes DIRECTORY/plan, and plan.txt for people.
#   ENVIRONMENT   dev or prod
#   STATE_BUCKET  bucket of the states, in AWS_REGION
# The plan changes nothing, and takes no lock: its role may only read. Applying a plan whose state
# has changed since is refused by Terraform.
set -euo pipefail
directory=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."

terraform -chdir=terraform init -input=false -no-color \
	-backend-config="bucket=$STATE_BUCKET" -backend-config="region=$AWS_REGION" \
	-backend-config="key=$ENVIRONMENT/terraform.tfstate"
terraform -chdir=terraform plan -input=false -no-color -lock=false \
	-var-file="environments/$ENVIRONMENT.tfvars" -out="$directory/plan"
# Values that Terraform knows to be sensitive are left out of this, unlike of the plan itself.
terraform -chdir=terraform show -no-color "$directory/plan" >"$directory/plan.txt"
