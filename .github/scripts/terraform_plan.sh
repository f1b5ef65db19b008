#!/usr/bin/env bash
# Plans an environment: terraform_plan.sh DIRECTORY writes DIRECTORY/plan, and plan.txt for people.
#   ENVIRONMENT   dev or prod
#   STATE_BUCKET  bucket of the states, in AWS_REGION
#   REFRESH       false plans against the state as it was last written, and asks AWS for nothing
#                 that is in it
# Refreshing reads every parameter with decryption: who may do that can read all secrets. So a pull
# request, which runs the code of its branch, plans with REFRESH=false and a role that cannot decrypt.
# The plan changes nothing, and takes no lock. Applying a plan whose state has changed since is
# refused by Terraform.
set -euo pipefail
directory=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."

# Without it each run would take the newest provider there is, and whatever is in it.
[ -f terraform/.terraform.lock.hcl ] || {
	echo "::error::terraform/.terraform.lock.hcl is not committed: docs/deployment.md, step 3"
	exit 1
}

terraform -chdir=terraform init -input=false -no-color -lockfile=readonly \
	-backend-config="bucket=$STATE_BUCKET" -backend-config="region=$AWS_REGION" \
	-backend-config="key=$ENVIRONMENT/terraform.tfstate"
terraform -chdir=terraform plan -input=false -no-color -lock=false -refresh="${REFRESH:-true}" \
	-var-file="environments/$ENVIRONMENT.tfvars" -out="$directory/plan"
if [ "${REFRESH:-true}" = false ]; then
	echo "Compared with the state as it was last written: what has changed in AWS since is not looked at here." \
		>"$directory/plan.txt"
fi
# Values that Terraform knows to be sensitive are left out of this, unlike of the plan itself.
terraform -chdir=terraform show -no-color "$directory/plan" >>"$directory/plan.txt"
