#!/bin/bash
# What clients see while the server is killed and paused under them: linearizable, and no watch lies.
# HANOK_TEST_KILLS says how often (default 12; a release takes 1,000), HANOK_TEST_SEED repeats a run.
. "$(dirname "$0")/../lib.sh"
mkdir -p "$TEST_DIR/data"
seed=${HANOK_TEST_SEED:-$((RANDOM))}
record() {
	local status=0
	python3 -B "$TEST_ROOT/test/api/history.py" "$HANOK" "$TEST_DIR/data" "$(free_port)" "${HANOK_TEST_KILLS:-12}" "$seed" || status=$?
	[ $status = 0 ] || tail -n 5 "$TEST_DIR/data/server.log"
	return $status
}
check "the judge says no to histories that are wrong" python3 -B "$TEST_ROOT/test/api/history_judge_test.py"
check_output "histories with kills and pauses" ' 0 violations' record
finish
