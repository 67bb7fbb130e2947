#!/bin/bash
# The function suite: see README.md beside.
#
#   run.sh [--stack A|B] [--group GROUP] [--quarter N|auto] [--jobs N] [--resume] [--list] [--html FILE] [--keep] [ID...]
#
# Prints TAP, a line a case and stack (a case that this host or stack can't have is skipped with its reason), then the
# sums by group and stack; --html writes the same as one file. --resume: what the log directory says has passed, or is not
# available, is not run again unless it is named.
# shellcheck source=test/functions/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=guest/images.sh
. "$TEST_ROOT/guest/images.sh"

STACKS="B A" # the quick one first
GROUPS_WANTED=
QUARTER=
IDS=()
HTML=
LIST=
RESUME=
KEEP_MACHINES=
JOBS=$(($(nproc) < 4 ? $(nproc) : 4)) # scenarios side by side
while [ $# -gt 0 ]; do
	case $1 in
	--stack) STACKS=$2 && shift ;;
	--group) GROUPS_WANTED=$2 && shift ;;
	--quarter) QUARTER=$2 && shift ;;
	--jobs) JOBS=$2 && shift ;;
	--html) HTML=$2 && shift ;;
	--list) LIST=1 ;;
	--resume) RESUME=1 ;;
	--keep) KEEP_MACHINES=1 ;;
	-*) echo "run.sh: unknown option $1" >&2 && exit 2 ;;
	*) IDS+=("$1") ;;
	esac
	shift
done
for stack in $STACKS; do
	[[ $stack == [AB] ]] || { echo "run.sh: --stack A or B, not '$stack'" >&2; exit 2; }
done
[[ $JOBS =~ ^[1-9][0-9]?$ ]] || { echo "run.sh: --jobs 1 to 99, not '$JOBS'" >&2; exit 2; }

# functions_cases: a line each: SCENARIO-FILE, GROUP, SCENARIO, ID, TITLE, NEEDS, between them a bar.
functions_cases() {
	awk '
		FNR == 1 { file = FILENAME; sub(/.*\//, "", file); sub(/\.sh$/, "", file) }
		/^#@@ / { split(substr($0, 5), head, / *\| */) }
		/^#@ / { split(substr($0, 4), one, / *\| */); print file "|" head[1] "|" head[2] "|" one[1] "|" one[2] "|" one[3]; delete one }
	' "$FUNCTIONS"/scenarios/*.sh
}

# What of the suite every change must pass, in four parts, is the file "quarters"; which part is next is known by the
# number of commits.
if [ "$QUARTER" = auto ]; then
	QUARTER=$(($(git -C "$TEST_ROOT" rev-list --count HEAD 2>/dev/null || date +%j) % 4 + 1))
fi
if [ -n "$QUARTER" ] && [[ $QUARTER != [1-4] ]]; then
	echo "run.sh: --quarter 1 to 4, or auto" >&2
	exit 2
fi
QUARTER_CASES=
if [ -n "$QUARTER" ]; then
	QUARTER_CASES=$(awk -v q="$QUARTER" '$1 == q { for (i = 3; i <= NF; i++) printf "%s:%s ", $2, $i }' "$FUNCTIONS/quarters")
	STACKS=$(awk -v q="$QUARTER" '$1 == q && !seen[$2]++ { printf "%s ", $2 }' "$FUNCTIONS/quarters")
fi
is_wanted() {
	local stack=$1 group=$2 id=$3
	[ -z "$GROUPS_WANTED" ] || [ "$group" = "$GROUPS_WANTED" ] || return 1
	[ ${#IDS[@]} = 0 ] || [[ " ${IDS[*]} " == *" $id "* ]] || return 1
	[ -z "$QUARTER" ] || [[ " $QUARTER_CASES" == *" $stack:$id "* ]]
}

if [ -n "$LIST" ]; then
	functions_cases | awk -F'|' '
		$2 != group { group = $2; printf "\n## %s\n", group }
		$3 != scenario { scenario = $3; printf "\n%s\n\n| ID | Case | Needs |\n|---|---|---|\n", scenario }
		{ printf "| %s | %s | %s |\n", $4, $5, $6; count++ }
		END { printf "\n%d cases\n", count }'
	TEST_FINISHED=1
	TEST_COUNT=1
	exit 0
fi

RUN_DIR=$TEST_DIR # of the whole run; each scenario has its own TEST_DIR in it
LOGS=${HANOK_FUNCTION_LOGS:-$RUN_DIR/logs}
CASES=$RUN_DIR/cases  # of functions_cases
RESULTS=$LOGS/results # a line each: ok|not ok|skip, STACK, GROUP, ID, TITLE, SECONDS, WHY
PLAN=$RUN_DIR/plan    # a line each: STACK, SCENARIO-FILE, GROUP, ID, TITLE, NEEDS
mkdir -p "$LOGS" "$RUN_DIR/.kube"
functions_cases >"$CASES"
# What is to be run in any case has no result yet.
known_results() {
	local what stack group id rest
	while IFS='|' read -r what stack group id rest; do
		if [[ " $STACKS " == *" $stack "* ]] && { [ "$what" = "not ok" ] || [ ${#IDS[@]} -gt 0 ]; }; then
			# shellcheck disable=SC2310
			! is_wanted "$stack" "$group" "$id" || continue
		fi
		echo "$what|$stack|$group|$id|$rest"
	done
}
: >"$RESULTS.new"
[ -z "$RESUME" ] || [ ! -e "$RESULTS" ] || known_results <"$RESULTS" >"$RESULTS.new"
mv "$RESULTS.new" "$RESULTS"

# result LINE: takes down a result, shows it.
result() {
	local what stack id title seconds why
	IFS='|' read -r what stack _ id title seconds why <<<"$1"
	TEST_COUNT=$((TEST_COUNT + 1))
	case $what in
	ok) echo "ok $TEST_COUNT - $stack $id $title ($seconds s)" ;;
	skip) echo "ok $TEST_COUNT - $stack $id $title # SKIP not available: $why" ;;
	*)
		TEST_FAILED=$((TEST_FAILED + 1))
		echo "not ok $TEST_COUNT - $stack $id $title ($seconds s): $why"
		[ ! -e "$LOGS/$stack-$id.log" ] || tail -n 60 "$LOGS/$stack-$id.log" | cut -c1-300 | sed 's/^/#   /'
		;;
	esac
}
has_result() { grep -q "^[^|]*|$1|[^|]*|$2|" "$RESULTS"; }

sums() { python3 "$FUNCTIONS/report.py" text "$CASES" "$RESULTS"; }
html() {
	python3 "$FUNCTIONS/report.py" html "$CASES" "$RESULTS" "$LOGS" \
		"hanok=$("$LAB/bin/hanok" version)" \
		"When=$(date -u '+%Y-%m-%d %H:%M UTC'), $((SECONDS / 60)) min $((SECONDS % 60)) s${RESUME:+ since it was resumed}" \
		"Host=$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), Linux $(uname -r), $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/^MemTotal/ { print int($2 / 1048576) }' /proc/meminfo) GiB" \
		"Machines=$(lab_virsh version | sed -n 's/^Using library: //p; s/^Running hypervisor: //p' | paste -sd, | sed 's/,/, /'), $(guests_are)" >"$1"
}
guests_are() { if grep -qE '\b(vmx|svm)\b' /proc/cpuinfo; then echo KVM; else echo "emulated: the CPU has no vmx or svm"; fi; }

# Whatever ends the run: nothing goes on behind it, and what is known is said.
functions_at_exit() {
	local status=$?
	trap - EXIT INT TERM
	IFS=$' \t\n' # that of the "read" that a signal may have come in
	if [ -n "${IMAGES_PID:-}" ]; then
		kill -- "-$IMAGES_PID" 2>/dev/null
		wait "$IMAGES_PID"
	fi
	if [ -n "${WORKERS_PID:-}" ]; then
		kill "$WORKERS_PID" 2>/dev/null
		wait "$WORKERS_PID"
	fi
	[ -z "${WEB_PID:-}" ] || kill "$WEB_PID" 2>/dev/null
	sums
	[ -z "$HTML" ] || html "$HTML"
	(exit $status)
	test_at_exit
}
trap functions_at_exit EXIT

[ -z "$QUARTER" ] || echo "# note: quarter $QUARTER of 4 of the function suite: $(wc -w <<<"$QUARTER_CASES") cases on stack $STACKS"
use_lab
SSH_KEY_FILE=$RUN_DIR/key
ssh-keygen -q -t ed25519 -N '' -C functions -f "$SSH_KEY_FILE" 2>/dev/null && SSH_KEY=$(cat "$SSH_KEY_FILE.pub")
export SSH_KEY SSH_KEY_FILE WEB_PORT HANOK_TEST_LAB=$LAB

while IFS= read -r line; do result "$line"; done <"$RESULTS"
for stack in $STACKS; do
	while IFS='|' read -r file group _ id title needs; do
		# shellcheck disable=SC2310
		! is_wanted "$stack" "$group" "$id" || has_result "$stack" "$id" || echo "$stack|$file|$group|$id|$title|$needs"
	done <"$CASES"
done >"$PLAN"

# The stacks' images, in the lab's registry. As a job of its own, which a run that is cut off needs not wait for.
images() {
	local status=0
	set -m
	stack_images "$1" >"$LOGS/images-$1.log" 2>&1 &
	IMAGES_PID=$!
	set +m
	wait $IMAGES_PID || status=$?
	IMAGES_PID=
	return $status
}
stack_images() {
	local fabric cache=$TEST_ROOT/.cache/images/debian
	[ "$1" = A ] || return 0
	"$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache" --disk "$RUN_DIR/debian.qcow2" || return
	fabric=$(lab_pid fabric) || return
	nsenter -t "$fabric" -n "$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache" \
		--push-disk "$LAB_FABRIC_ADDRESS:5000/debian-vm:latest" --plain-http
}

# A scene: a namespace and a directory for a scenario. A case that failed leaves its scene to nobody.
scene_begin() {
	SCENE_COUNT=$((${SCENE_COUNT:-0} + 1))
	SCENE=fn-${SCENARIO%%-*}-${STACK,,}-$(($$ % 100000))-$SCENE_COUNT
	TEST_DIR=$RUN_DIR/$SCENE
	mkdir "$TEST_DIR"
	ln -s "$RUN_DIR/web" "$TEST_DIR/web"
	ln -s "$RUN_DIR/.kube" "$TEST_DIR/.kube"
	use_namespace "$SCENE"
}
scene_end() {
	TEST_NAMESPACE=()
	rm -rf "${TEST_DIR:?}"
	TEST_DIR=$RUN_DIR
	[ -n "$KEEP_MACHINES" ] || k delete namespace "$SCENE" --wait=false >>"$LOGS/end.log" 2>&1
}

# run_case GROUP ID TITLE NEEDS: prints its result.
run_case() {
	local group=$1 id=$2 title=$3 needs=$4 log=$LOGS/$STACK-$2.log word why started=$SECONDS status=0 ended
	for word in $needs; do
		why=$("need_$word") || { echo "skip|$STACK|$group|$id|$title|0|$why"; return; }
	done
	if [[ " $needs " == *" alone "* ]]; then flock -x "$ALONE"; else flock -s "$ALONE"; fi
	started=$SECONDS
	CASE_NAMESPACE=$SCENE HANOK_TEST_DIR=$TEST_DIR setsid bash "$FUNCTIONS/case.sh" "$SCENARIO" "$id" >"$log" 2>&1 </dev/null &
	CASE_PID=$!
	sleep "$CASE_SECONDS" >/dev/null &
	LIMIT_PID=$!
	wait -n -p ended $CASE_PID $LIMIT_PID
	status=$?
	if [ "$ended" = $LIMIT_PID ]; then
		status=124
		case_cut
	fi
	kill $LIMIT_PID 2>/dev/null
	wait $LIMIT_PID
	LIMIT_PID=
	kill -KILL -- -$CASE_PID 2>/dev/null
	CASE_PID=
	flock -u "$ALONE"
	case $status in
	0) echo "ok|$STACK|$group|$id|$title|$((SECONDS - started))|" ;;
	77) echo "skip|$STACK|$group|$id|$title|$((SECONDS - started))|$(sed -n 's/^NOT AVAILABLE: //p' "$log" | tail -n 1)" ;;
	124) echo "not ok|$STACK|$group|$id|$title|$((SECONDS - started))|it had not ended after $CASE_SECONDS s" ;;
	*) echo "not ok|$STACK|$group|$id|$title|$((SECONDS - started))|$(sed '/^--- exit code/,$d' "$log" | tail -n 3 | tr -s '[:cntrl:]|' ' ' | cut -c1-400)" ;;
	esac
	[ $status = 0 ] || [ $status = 77 ]
}
# The case, with all that it started, ends: it may say what there is, then it must be gone.
case_cut() {
	local n
	kill -TERM -- -$CASE_PID 2>/dev/null
	for ((n = 0; n < 200; n++)); do
		kill -0 -- -$CASE_PID 2>/dev/null || return
		sleep 0.1
	done
	kill -KILL -- -$CASE_PID 2>/dev/null
}

# scenario STACK FILE: its cases in turn.
scenario() {
	local stack file group id title needs
	STACK=$1
	SCENARIO=$2
	export STACK PATIENT
	CASE_PID=''
	LIMIT_PID=''
	trap '[ -z "$CASE_PID" ] || case_cut; [ -z "$LIMIT_PID" ] || kill $LIMIT_PID; scene_end; exit 143' TERM INT
	exec {ALONE}>"$RUN_DIR/alone"
	scene_begin >"$LOGS/scene-$STACK-$SCENARIO.log" 2>&1
	while IFS='|' read -r -u 6 stack file group id title needs; do
		[ "$stack|$file" = "$STACK|$SCENARIO" ] || continue
		run_case "$group" "$id" "$title" "$needs" && continue
		scene_end
		scene_begin >>"$LOGS/scene-$STACK-$SCENARIO.log" 2>&1
	done 6<"$PLAN"
	scene_end
}

# All scenarios of a stack, as many side by side as are meant to be.
scenarios() {
	local file ended
	local -A running=()
	trap 'kill "${!running[@]}" 2>/dev/null; wait; exit 143' TERM INT
	for file in $(awk -F'|' -v stack="$1" '$1 == stack && !seen[$2]++ { print $2 }' "$PLAN"); do
		if [ ${#running[@]} -ge "$JOBS" ]; then
			wait -n -p ended "${!running[@]}"
			unset "running[$ended]"
		fi
		scenario "$1" "$file" &
		running[$!]=1
	done
	wait
}

web_up >"$LOGS/web.log" 2>&1
for stack in $STACKS; do
	# Until Debian answers it has used ten times the processor time of busybox.
	if [ "$stack" = A ]; then
		PATIENT=1800s
		CASE_SECONDS=3600
	else
		PATIENT=600s
		CASE_SECONDS=1200
	fi
	why="the scenario ended before it; see $LOGS"
	# shellcheck disable=SC2310
	if images "$stack"; then
		exec {workers}< <(scenarios "$stack")
		WORKERS_PID=$!
		while IFS= read -r -u "$workers" line; do
			echo "$line" >>"$RESULTS"
			result "$line"
		done
		exec {workers}<&-
		WORKERS_PID=
	else
		why="the images of stack $stack could not be built: $(tail -n 1 "$LOGS/images-$stack.log" | tr '|' ' ')"
	fi
	while IFS='|' read -r -u 5 _ _ group id title _; do
		has_result "$stack" "$id" && continue
		line="not ok|$stack|$group|$id|$title|0|$why"
		echo "$line" >>"$RESULTS"
		result "$line"
	done 5< <(grep "^$stack|" "$PLAN")
done
# Namespaces go with all that was in them, while the next scenario runs.
all_gone() { ! k get namespaces -o name | grep "/fn-.*-$(($$ % 100000))-"; }
[ -n "$KEEP_MACHINES" ] || check "what the cases made is gone" eventually 60 all_gone
finish
