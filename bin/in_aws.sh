#!/usr/bin/env bash
# For the scripts beside it: calls of AWS that depend on nobody's settings, and a task that runs once.

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

check_region() {
	[ -n "${AWS_REGION:-}" ] || fail "AWS_REGION is not set: name the region that the environment is in"
}

# Neither the command line's own region nor its own output format are asked.
in_aws() { aws --region "$AWS_REGION" --no-cli-pager "$@"; }

# run_once NAME TASK SERVICE REVISION OVERRIDES: runs a revision of TASK with overrides (JSON), in the network of SERVICE.
# Prints its log. Fails where it does not end with 0.
run_once() {
	local name=$1 network task ended code reason
	network=$(in_aws ecs describe-services --cluster "$name" --services "$name-$3" \
		--query 'services[0].networkConfiguration' --output json) || fail "ECS does not describe $name-$3"
	task=$(in_aws ecs run-task --cluster "$name" --task-definition "$4" --launch-type FARGATE \
		--network-configuration "$network" --overrides "$5" --query 'tasks[0].taskArn' --output text) ||
		fail "ECS has not started $4"
	[ -n "$task" ] && [ "$task" != None ] || fail "ECS has not started $4"
	in_aws ecs wait tasks-stopped --cluster "$name" --tasks "$task" || fail "$task has not ended; it goes on"
	in_aws logs tail "/$name/$2" --since 15m --format short || true
	ended=$(in_aws ecs describe-tasks --cluster "$name" --tasks "$task" \
		--query 'tasks[0].[containers[0].exitCode, stoppedReason]' --output text) || fail "ECS does not describe $task"
	read -r code reason <<<"$ended"
	[ "$code" = 0 ] || {
		echo "${0##*/}: $task ended with ${code/None/no exit code}: ${reason:-no reason given}" >&2
		return 1
	}
}
