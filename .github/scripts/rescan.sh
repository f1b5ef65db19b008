#!/usr/bin/env bash
# Scans each image that runs in an environment, and fails where one has a vulnerability that a new version mends.
#   NAME        the environment's name in AWS, such as cpsite-dev
#   AWS_REGION  its region
#   GRYPE       path of grype
set -euo pipefail

# What has a fix is a failure, as before a deployment; what has none would fail each morning for nothing.
images=$(python -m deploy running --environment "$NAME" --service validator) || {
	echo "$images" # why, in words
	exit 1
}
python -m deploy log-in --environment "$NAME" --service validator
failed=
for image in $images; do
	echo "== $image"
	"$GRYPE" "registry:$image" --only-fixed --fail-on high --output table || failed+=" $image"
done
[ -z "$failed" ] || {
	echo "::error title=$NAME::run the pipelines of what was built from these again, with newer packages:$failed"
	exit 1
}
echo "nothing that runs in $NAME has a vulnerability with a fix"
