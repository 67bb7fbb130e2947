# shellcheck shell=bash
# ./dev test: builds, runs everything, and adds up.
#
#   units   every program that meson knows as a test; each cmocka case counts
#   api     test/api/*.sh: unmodified kubectl and curl against a hanok server
#   e2e     test/e2e/*.sh: in a lab of its own beside any other, which must leave nothing when it ends
#
# Whatever does not print TAP counts by its exit code. A program that fails without naming a failed case
# (a crash, a sanitizer's report, a timeout) counts as one failure more.
#
# When all runs, a script that failed while others had the machine too is run again when they are through, alone and in
# another lab. That run counts. What failed in company only is said, with its log: it is a fault, of the script or of
# hanok, if a small one.

TEST_PASSED=0
TEST_FAILED=0
TEST_UNIT_SECONDS=600 # of one program, at least

# test_count LOG STATUS NAME: adds up one program; shows what failed, and lines "# note: TEXT".
test_count() {
	local log=$1 status=$2 name=$3 ok not_ok
	ok=$(grep '^ok ' "$log" | grep -vc '# SKIP')
	not_ok=$(grep '^not ok ' "$log" | grep -vc '# SKIP')
	if [ "$status" != 0 ] && [ "$not_ok" = 0 ]; then
		not_ok=1
		echo "not ok - $name: $(test_status_text "$status")" >>"$log"
	elif [ "$status" = 0 ] && [ "$ok" = 0 ] && [ "$not_ok" = 0 ]; then
		ok=1
	fi
	TEST_PASSED=$((TEST_PASSED + ok))
	TEST_FAILED=$((TEST_FAILED + not_ok))
	sed -n "s|^# note: |$UI_CLEAR  $name: |p" "$log"
	[ "$not_ok" -gt 0 ] || return 0
	printf '%s  %s%s: %d failed%s (%s)\n' "$UI_CLEAR" "$UI_RED" "$name" "$not_ok" "$UI_PLAIN" "$log"
	if grep -q '^not ok ' "$log"; then
		grep -A 12 '^not ok ' "$log" | grep -v '^ok ' | head -n 60 | sed 's/^/    /'
	else
		tail -n 20 "$log" | sed 's/^/    /'
	fi
}

test_status_text() {
	case $1 in
	124 | 137) echo "ran out of time, or was killed" ;;
	139) echo "segmentation fault" ;;
	134) echo "aborted" ;;
	*) echo "exit code $1" ;;
	esac
}

# test_took NAME SECONDS: for the log, a line each, and for who wants to know what a whole test waits for.
test_took() { printf '%d %s\n' "$2" "$1" >>"$UI_LOGS/test/times"; }

# test_run NAME SECONDS COMMAND...: runs one program, its output to a log.
test_run() {
	local name=$1 seconds=$2 log status began=$SECONDS
	shift 2
	log=$UI_LOGS/test/${name//\//-}.log
	[ -z "$UI_TTY" ] || printf '%s  %s' "$UI_CLEAR" "$name"
	timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null
	status=$?
	test_took "$name" $((SECONDS - began))
	test_count "$log" $status "$name"
}

# Programs that do not disturb each other run side by side, one for each CPU and one more for when others
# wait, and are counted in the order in which they were started:
#
#   test_start NAME SECONDS COMMAND...
#   test_wait
TEST_JOBS=$(($(nproc) + 1))
TEST_SIDE_BY_SIDE=
TEST_ORDER=()
declare -A TEST_PIDS=() TEST_ENDED=() TEST_BEGAN=()
# Scripts that need a lab get one each that no other has meanwhile: TEST_FREE_LABS has those.
# Three where the machine has room: what scripts do most is to wait.
TEST_LAB_COUNT=$(awk -v cpus="$(nproc)" '/^MemTotal:/ { print (cpus >= 2 && $2 >= 8000000) ? 3 : 2 }' /proc/meminfo)
TEST_LABS=()
TEST_FREE_LABS=()
declare -A TEST_LAB_OF=()

# Scripts that failed in company, and the labs that they had.
TEST_AGAIN=()
TEST_AGAIN_MOST=4 # more than that is no matter of company
declare -A TEST_LAB_WAS=()

test_start() {
	local name=$1 seconds=$2 log
	shift 2
	log=$UI_LOGS/test/${name//\//-}.log
	while [ ${#TEST_PIDS[@]} -ge "$TEST_JOBS" ]; do test_wait_one; done
	[ -z "$UI_TTY" ] || printf '%s  %s' "$UI_CLEAR" "$name"
	HANOK_TEST_LAB=${TEST_FREE_LABS[0]:-} timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null &
	TEST_PIDS[$!]=$name
	TEST_BEGAN[$!]=$SECONDS
	if [ ${#TEST_FREE_LABS[@]} -gt 0 ]; then
		TEST_LAB_OF[$!]=${TEST_FREE_LABS[0]}
		TEST_LAB_WAS[$name]=${TEST_FREE_LABS[0]}
		TEST_FREE_LABS=("${TEST_FREE_LABS[@]:1}")
	fi
	TEST_ORDER+=("$name")
	TEST_SIDE_BY_SIDE=1
	trap test_end EXIT
}

test_wait_one() {
	local pid status=0
	wait -n -p pid "${!TEST_PIDS[@]}" || status=$?
	TEST_ENDED[${TEST_PIDS[$pid]}]=$status
	test_took "${TEST_PIDS[$pid]}" $((SECONDS - TEST_BEGAN[$pid]))
	[ -z "${TEST_LAB_OF[$pid]:-}" ] || TEST_FREE_LABS+=("${TEST_LAB_OF[$pid]}")
	unset "TEST_PIDS[$pid]" "TEST_LAB_OF[$pid]" "TEST_BEGAN[$pid]"
	while [ ${#TEST_ORDER[@]} -gt 0 ] && [ -n "${TEST_ENDED[${TEST_ORDER[0]}]:-}" ]; do
		test_count_or_again "${TEST_ORDER[0]}"
		TEST_ORDER=("${TEST_ORDER[@]:1}")
	done
}

test_count_or_again() {
	local name=$1 log=$UI_LOGS/test/${1//\//-}.log
	if { [ "${TEST_ENDED[$name]}" != 0 ] || grep '^not ok ' "$log" | grep -qv '# SKIP'; } && test_may_run_again "$name"; then
		TEST_AGAIN+=("$name")
	else
		test_count "$log" "${TEST_ENDED[$name]}" "$name"
	fi
}

test_may_run_again() {
	[ ${#TEST_NAMES[@]} = 0 ] || return 1
	case $1 in
	api/*) ;;
	e2e/lab-*) return 1 ;;
	e2e/*) [ ${#TEST_LABS[@]} -gt 1 ] ;;
	*) return 1 ;;
	esac
}

# Those that failed in company, now that there is none.
test_run_again() {
	local name log lab other failed seconds=$1
	[ ${#TEST_AGAIN[@]} -gt 0 ] || return 0
	for name in "${TEST_AGAIN[@]}"; do
		log=$UI_LOGS/test/${name//\//-}
		if [ ${#TEST_AGAIN[@]} -gt $TEST_AGAIN_MOST ]; then
			test_count "$log.log" "${TEST_ENDED[$name]}" "$name"
			continue
		fi
		other=
		for lab in "${TEST_LABS[@]}"; do [ "$lab" = "${TEST_LAB_WAS[$name]}" ] || other=$lab; done
		mv "$log.log" "$log-first.log"
		failed=$TEST_FAILED
		HANOK_TEST_LAB=$other test_run "$name" "$seconds" bash "$ROOT/test/$name.sh"
		[ "$failed" != "$TEST_FAILED" ] ||
			printf '%s  %s: failed beside others, passed alone: %s\n' "$UI_CLEAR" "$name" "$log-first.log"
		grep '^not ok ' "$log-first.log" | head -n 5 | cut -c1-300 | sed 's/^/    then: /'
	done
	TEST_AGAIN=()
}

test_wait() {
	[ -n "$TEST_SIDE_BY_SIDE" ] || return 0
	while [ ${#TEST_PIDS[@]} -gt 0 ]; do test_wait_one; done
	TEST_SIDE_BY_SIDE=
}

# Background jobs do not hear of an interrupt by themselves; labs outlive it.
test_end() {
	local status=$?
	[ ${#TEST_PIDS[@]} = 0 ] || kill "${!TEST_PIDS[@]}" 2>/dev/null
	wait
	test_end_labs
	exit $status
}

test_heading() {
	[ -z "$UI_TTY" ] || printf '%s' "$UI_CLEAR"
	printf '%s%s%s\n' "$UI_BOLD" "$1" "$UI_PLAIN"
}

test_subtotal() {
	[ -z "$UI_TTY" ] || printf '%s' "$UI_CLEAR"
	printf '  %s: %d passed, %d failed\n' "$1" $((TEST_PASSED - $2)) $((TEST_FAILED - $3))
}

# One line a test: name, timeout, command.
test_list_units() {
	meson introspect --tests "$1" | python3 -c '
import json, shlex, sys
for test in json.load(sys.stdin):
    environment = [f"{name}={value}" for name, value in test["env"].items()]
    print(test["name"].replace(" ", "-"), test["timeout"], shlex.join(["env", *environment, *test["cmd"]]), sep="\t")
'
}

test_units() {
	local name seconds command passed=$TEST_PASSED failed=$TEST_FAILED
	test_heading units
	export CMOCKA_MESSAGE_OUTPUT=TAP
	# A descriptor of its own: the tests' programs must not read the list.
	while IFS=$'\t' read -r -u 7 name seconds command; do
		test_is_meant "unit/$name" || continue
		# Against what hangs; what is slow since others have the machine is not wrong.
		eval "test_start unit/$name $((seconds > TEST_UNIT_SECONDS ? seconds : TEST_UNIT_SECONDS)) $command"
	done 7< <(test_list_units "$BUILD_DIR")
	test_wait
	test_subtotal units "$passed" "$failed"
}

# Those that take longest begin first, so that no one of them goes on alone at the end.
TEST_LONG="api/commands api/upstream_controllers api/kubectl_versions api/sets api/auth api/event_ttl
	e2e/kills e2e/operation_kills e2e/snapshot_kills e2e/functions e2e/vm_disk_kills e2e/vm_networks e2e/machine_control e2e/disks e2e/boot
	e2e/guest_agent e2e/applications e2e/vm_kills e2e/resume e2e/runtime_kills e2e/upstream e2e/autoscaler"

# --quick has its word in under three minutes: what takes long for what it covers is for the whole test.
TEST_NOT_QUICK="api/commands api/upstream_controllers api/kubectl_versions api/sets api/event_ttl api/applications
	api/scheduler api/cron_job api/quota api/clone_rights api/backup api/durability api/history api/inflight"

# test_scripts HOW DIRECTORY SECONDS: those of TEST_NAMES, or all; HOW: test_run, one by one, or test_start.
test_scripts() {
	local how=$1 directory=$2 seconds=$3 script name names=() left_out=0 passed=$TEST_PASSED failed=$TEST_FAILED
	test_heading "$directory"
	for name in $TEST_LONG; do [ "${name%%/*}" != "$directory" ] || names+=("${name#*/}"); done
	for script in "$ROOT/test/$directory"/*.sh; do
		name=$(basename "$script" .sh)
		[[ " ${names[*]} " == *" $name "* ]] || names+=("$name")
	done
	for name in "${names[@]}"; do
		script=$ROOT/test/$directory/$name.sh
		[ -e "$script" ] || continue
		test_is_meant "$directory/$name" || continue
		if [ -n "${HANOK_TEST_QUICK:-}" ] && [ ${#TEST_NAMES[@]} = 0 ] && grep -qw "$directory/$name" <<<"$TEST_NOT_QUICK"; then
			left_out=$((left_out + 1))
			continue
		fi
		"$how" "$directory/$name" "$seconds" bash "$script"
	done
	test_wait
	test_run_again "$seconds"
	test_subtotal "$directory" "$passed" "$failed"
	[ $left_out = 0 ] || echo "  $left_out scripts are left out: ./dev test has them"
}

# Labs of the tests' own, so that several scripts run at a time. Their coming up and their leaving nothing behind are tests
# too. The first one builds the images; the others come up together, on ports that are theirs.
test_e2e() {
	local n count=$TEST_LAB_COUNT lab port=16443
	[ ${#TEST_NAMES[@]} = 0 ] || [ "$(printf '%s\n' "${TEST_NAMES[@]}" | grep -c '^e2e/')" -ge "$count" ] || count=1
	trap test_end EXIT
	for ((n = 1; n <= count; n++)); do
		lab=$(mktemp -d /tmp/hanok-test-lab.XXXXXX)
		TEST_LABS+=("$lab")
		test_heading "e2e: lab in $lab"
		while ss -Hltn "sport = :$port" | grep -q .; do port=$((port + 1)); done
		test_start "e2e/lab-up-$n" 600 env HANOK_LAB="$lab" HANOK_PORT=$port "$ROOT/test/lab/up.sh" 1
		[ $n -gt 1 ] || test_wait
		port=$((port + 1))
	done
	test_wait
	for lab in "${TEST_LABS[@]}"; do [ ! -s "$lab/kubeconfig" ] || TEST_FREE_LABS+=("$lab"); done
	TEST_JOBS=${#TEST_FREE_LABS[@]}
	[ "$TEST_JOBS" = 0 ] || test_scripts test_start e2e 1800
	test_end_labs
	trap - EXIT
}
test_end_labs() {
	local n=0 lab failed=$TEST_FAILED
	for lab in "${TEST_LABS[@]}"; do
		n=$((n + 1))
		HANOK_LAB=$lab test_run "e2e/lab-down-$n" 120 "$ROOT/test/lab/down.sh"
		if [ "$failed" = 0 ] && [ "$failed" = "$TEST_FAILED" ]; then rm -rf "$lab"; else echo "  the lab's logs are kept in $lab"; fi
	done
	TEST_LABS=()
}

# test_names [NAME...]: fills TEST_NAMES with what is meant, as the report has it: unit/NAME, api/NAME, e2e/NAME. A
# bare NAME is that of a script.
test_names() {
	local name directory found
	TEST_NAMES=()
	for name in "$@"; do
		found=
		if [[ $name == unit/?* ]]; then
			TEST_NAMES+=("$name")
			continue
		fi
		for directory in api e2e; do
			[ -f "$ROOT/test/$directory/${name#"$directory"/}.sh" ] || continue
			TEST_NAMES+=("$directory/${name#"$directory"/}")
			found=1
		done
		[ -n "$found" ] || ui_usage "test: there is no '$name': the scripts are api/NAME and e2e/NAME, as in test/api and test/e2e; the programs unit/NAME"
	done
}

test_is_meant() {
	[ ${#TEST_NAMES[@]} = 0 ] || [[ " ${TEST_NAMES[*]} " == *" $1 "* ]]
}

# test_wants DIRECTORY: something of it is among TEST_NAMES, or nothing is named.
test_wants() {
	[ ${#TEST_NAMES[@]} = 0 ] || [[ " ${TEST_NAMES[*]}" == *" $1/"* ]]
}

cmd_test() {
	local quick='' started=$SECONDS
	if [ "${1:-}" = functions ]; then
		shift
		cmd_functions "$@"
		return
	fi
	if [ "${1:-}" = --quick ]; then
		quick=1
		shift
	fi
	test_names "$@"
	if [ -n "$quick" ] && ! test_wants unit && ! test_wants api; then
		ui_usage "test: --quick leaves out ${TEST_NAMES[*]}"
	fi
	[ -n "$quick" ] || need_root "the whole test"
	# Every kubectl there is, not the oldest and the newest alone.
	[ -n "$quick" ] || export KUBECTL_ALL=1
	[ -z "$quick" ] || export HANOK_TEST_QUICK=1
	ui_begin 2
	local packages="$DEPS_BUILD $DEPS_SERVER $DEPS_TEST kubernetes-client"
	[ -n "$quick" ] || packages="$packages $DEPS_NODE $DEPS_LAB"
	# shellcheck disable=SC2086
	step packages deps_install $packages
	build_select "${HANOK_TEST_BUILD:-}"
	step build build_directory "$BUILD_DIR" "${BUILD_OPTIONS[@]}"
	export HANOK_BIN=$BUILD_DIR/hanok
	rm -rf "$UI_LOGS/test"
	mkdir -p "$UI_LOGS/test"
	! test_wants unit || test_units
	! test_wants api || test_scripts test_start api 1200
	[ -n "$quick" ] || ! test_wants e2e || test_e2e
	ui_give_back -R "$UI_LOGS/test"
	[ -z "$UI_TTY" ] || printf '%s' "$UI_CLEAR"
	[ $((TEST_PASSED + TEST_FAILED)) -gt 0 ] || echo "nothing of this name ran: ${TEST_NAMES[*]}"
	[ ! -e "$UI_LOGS/test/times" ] || echo "longest: $(sort -rn "$UI_LOGS/test/times" | head -n 5 | sed 's/\([0-9]*\) \(.*\)/\2 \1 s/' | paste -sd, | sed 's/,/, /g')"
	echo "in $((SECONDS - started)) s"
	echo "$TEST_PASSED passed, $TEST_FAILED failed"
	[ $TEST_FAILED = 0 ] && [ $TEST_PASSED -gt 0 ]
}
