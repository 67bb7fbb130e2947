#!/bin/bash
# A run of the function suite that is told to end: its cases end, their guests go, and what is known is said.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../lib.sh"
use_lab

LOGS=$TEST_DIR/logs
# Of this run, whoever started them: each has the run's log directory in its environment.
processes() { grep -lsz "^HANOK_FUNCTION_LOGS=$LOGS\$" /proc/[0-9]*/environ | cut -d/ -f3; }
scene() { k get namespaces -o name | sed -n 's|^namespace/\(fn-06-b-.*-1\)$|\1|p' | grep -vxF "$BEFORE"; }
guest_runs() { matches '^running$' lab_virsh domstate "$(scene)_sleeper"; }
no_process() { matches '^$' processes; }
no_namespace() { ! k get namespace "$SCENE" 2>/dev/null; }
no_guest() {
	local all
	all=$(lab_virsh list --all --name) && ! grep "^${SCENE}_" <<<"$all"
}

# ended_by SIGNAL: ./dev alone gets it.
ended_by() {
	local pid status=0
	# What another run has at the same time is not looked at.
	BEFORE=$(k get namespaces -o name | sed 's|^namespace/||')
	# Not ignored, as it would be for a job of this script.
	HANOK_TEST_LAB=$LAB HANOK_BIN=$HANOK HANOK_FUNCTION_LOGS=$LOGS HANOK_FUNCTION_REPORT=$TEST_DIR/report.html \
		env --default-signal=INT "$TEST_ROOT/dev" test functions --stack B K08 >"$TEST_DIR/run.out" 2>&1 &
	pid=$!
	check "$1: a case has a guest" eventually 120 guest_runs
	SCENE=$(scene)
	kill -"$1" $pid
	wait $pid || status=$?
	check "$1: the run says that it did not end by itself" [ $status != 0 ]
	check "$1: what is known is said" grep -q '^# all ' "$TEST_DIR/run.out"
	check "$1: nothing of the run goes on" eventually 10 no_process
	check "$1: the case's namespace goes" eventually 60 no_namespace
	check "$1: its guest goes" eventually 60 no_guest
}
ended_by TERM
ended_by INT
finish
