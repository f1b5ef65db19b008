#!/usr/bin/env bash
# Fails where AWS is not what the committed code says: terraform_drift.sh DIRECTORY
#   ENVIRONMENT, STATE_BUCKET, AWS_REGION  as for terraform_plan.sh, which leaves its plan in DIRECTORY
set -euo pipefail

REFRESH=true "$(dirname "$0")/terraform_plan.sh" "$1"
if ! grep -q '^No changes\.' "$1/plan.txt"; then
	echo "::error title=drift in $ENVIRONMENT::AWS is not what the code says: the summary has the plan." \
		"Apply it, or put into the code what was changed by hand"
	exit 1
fi
echo "$ENVIRONMENT is what the code says"
