#!/bin/bash
# case.sh SCENARIO ID: one case of the function suite, as run.sh starts it: a session of its own, so that a case that is
# cut off goes with all that it started. run.sh has set CASE_NAMESPACE, STACK, PATIENT, the ssh key and the web server.
# shellcheck source=test/functions/lib.sh
. "$(dirname "$0")/lib.sh"

# What the case says it must put back (ID_end), and, where it failed, what there is.
case_end() {
	local status=$?
	trap - EXIT TERM
	set +e
	! declare -F "${ID}_end" >/dev/null || "${ID}_end"
	if [ $status != 0 ] && [ $status != 77 ]; then
		echo "--- exit code $status; this is there:"
		k get vm,vmi,dv,pvc,pod,vmsnapshot,vmrestore,vmclone -o wide
		k get events --sort-by=.lastTimestamp | tail -n 30
	fi
	exit $status
}

ID=$2
use_lab
TEST_NAMESPACE=(--namespace "$CASE_NAMESPACE")
# shellcheck source=/dev/null
. "$FUNCTIONS/scenarios/$1.sh"
trap case_end EXIT
trap 'exit 124' TERM
set -e
"$ID"
