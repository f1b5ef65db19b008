#!/usr/bin/env bash
# Keeps a plan between the job that makes it and the one that applies it: beside the state, in its
# bucket. A plan holds what the state holds, and an artifact of a workflow can be read by whoever
# can read the repository.
#
#   saved_plan.sh save PLAN        replaces the one saved plan of the environment; outputs its key
#                                  and SHA-256
#   saved_plan.sh fetch KEY SHA256 PLAN
#   saved_plan.sh remove KEY
#
#   ENVIRONMENT   dev or prod
#   STATE_BUCKET  bucket of the states
set -euo pipefail

case "$1" in
save)
	key="plans/$ENVIRONMENT/${GITHUB_RUN_ID:-by-hand}-${GITHUB_RUN_ATTEMPT:-1}.tfplan"
	# One that waits for an approval would be stale.
	aws s3 rm --recursive --only-show-errors "s3://$STATE_BUCKET/plans/$ENVIRONMENT/"
	aws s3 cp --only-show-errors "$2" "s3://$STATE_BUCKET/$key"
	{
		echo "key=$key"
		echo "sha256=$(sha256sum "$2" | cut -d ' ' -f 1)"
	} | tee -a "${GITHUB_OUTPUT:-/dev/null}"
	;;
fetch)
	aws s3 cp --only-show-errors "s3://$STATE_BUCKET/$2" "$4" || {
		echo "::error::the plan $2 is gone: a newer one was made, or it was applied. Plan again"
		exit 1
	}
	# What is applied is what was approved, whoever can write to the bucket.
	echo "$3  $4" | sha256sum --check --quiet
	;;
remove)
	aws s3 rm --only-show-errors "s3://$STATE_BUCKET/$2"
	;;
*)
	echo "usage: $0 save PLAN | fetch KEY SHA256 PLAN | remove KEY" >&2
	exit 2
	;;
esac
