#!/bin/bash
# The function suite: see README.md beside.
#
#   run.sh [--stack A|B] [--group GROUP] [--quarter N|auto] [--list] [--html FILE] [--keep] [ID...]
#
# Prints TAP, a line a case and stack (a case that this host or stack can't have is skipped with its reason), then the
# sums by group and stack; --html writes the same as one file.
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
KEEP_MACHINES=
while [ $# -gt 0 ]; do
	case $1 in
	--stack) STACKS=$2 && shift ;;
	--group) GROUPS_WANTED=$2 && shift ;;
	--quarter) QUARTER=$2 && shift ;;
	--html) HTML=$2 && shift ;;
	--list) LIST=1 ;;
	--keep) KEEP_MACHINES=1 ;;
	-*) echo "run.sh: unknown option $1" >&2 && exit 2 ;;
	*) IDS+=("$1") ;;
	esac
	shift
done
for stack in $STACKS; do
	[[ $stack == [AB] ]] || { echo "run.sh: --stack A or B, not '$stack'" >&2; exit 2; }
done

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

RESULTS=$TEST_DIR/results
: >"$RESULTS"
LOGS=${HANOK_FUNCTION_LOGS:-$TEST_DIR/logs}
mkdir -p "$LOGS"

[ -z "$QUARTER" ] || echo "# quarter $QUARTER of 4"
use_lab
SSH_KEY_FILE=$TEST_DIR/key
ssh-keygen -q -t ed25519 -N '' -C functions -f "$SSH_KEY_FILE" 2>/dev/null && SSH_KEY=$(cat "$SSH_KEY_FILE.pub")

# The stacks' images, in the lab's registry.
stack_images() {
	local fabric cache=$TEST_ROOT/.cache/images/debian
	[ "$1" = A ] || return 0
	"$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache" --disk "$TEST_DIR/debian.qcow2" || return
	fabric=$(lab_pid fabric) || return
	nsenter -t "$fabric" -n "$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache" \
		--push-disk "$LAB_FABRIC_ADDRESS:5000/debian-vm:latest" --plain-http
}

# run_case STACK FILE ID TITLE NEEDS
run_case() {
	local id=$3 title=$4 needs=$5 log=$LOGS/$1-$3.log word why started=$SECONDS status=0
	for word in $needs; do
		why=$("need_$word") || { result skip "$1" "$2" "$id" "$title" 0 "$why"; return; }
	done
	# Not in a condition: set -e would mean nothing there.
	(
		trap - EXIT
		set -e
		"$id"
	) >"$log" 2>&1 </dev/null &
	CASE_PID=$!
	wait $CASE_PID
	status=$?
	if [ $status = 77 ]; then
		result skip "$1" "$2" "$id" "$title" $((SECONDS - started)) "$(sed -n 's/^NOT AVAILABLE: //p' "$log" | tail -n 1)"
	elif [ $status = 0 ]; then
		result ok "$1" "$2" "$id" "$title" $((SECONDS - started)) ""
	else
		result "not ok" "$1" "$2" "$id" "$title" $((SECONDS - started)) "$(tail -n 3 "$log" | tr '\n|' '  ' | cut -c1-400)"
	fi
}

result() {
	local what=$1 stack=$2 group=$3 id=$4 title=$5 seconds=$6 why=$7
	TEST_COUNT=$((TEST_COUNT + 1))
	case $what in
	ok) echo "ok $TEST_COUNT - $stack $id $title ($seconds s)" ;;
	skip) echo "ok $TEST_COUNT - $stack $id $title # SKIP not available: $why" ;;
	*)
		TEST_FAILED=$((TEST_FAILED + 1))
		echo "not ok $TEST_COUNT - $stack $id $title ($seconds s)"
		tail -n 25 "$LOGS/$stack-$id.log" | cut -c1-300 | sed 's/^/#   /'
		;;
	esac
	printf '%s|%s|%s|%s|%s|%s|%s\n' "$what" "$stack" "$group" "$id" "$title" "$seconds" "$why" >>"$RESULTS"
}

sums() {
	awk -F'|' '
		{ key = $3 "|" $2; if (!(key in seen)) { seen[key] = 1; order[++n] = key } count[key "|" $1]++; total[$1]++ }
		END {
			printf "# %-10s %-5s %7s %7s %14s\n", "group", "stack", "passed", "failed", "not available"
			for (i = 1; i <= n; i++) { split(order[i], k, "|"); printf "# %-10s %-5s %7d %7d %14d\n", k[1], k[2], count[order[i] "|ok"], count[order[i] "|not ok"], count[order[i] "|skip"] }
			printf "# %-10s %-5s %7d %7d %14d\n", "all", "", total["ok"], total["not ok"], total["skip"]
		}' "$RESULTS"
}

html() {
	python3 - "$RESULTS" "$(date -u '+%Y-%m-%d %H:%M UTC')" "$("$LAB/bin/hanok" version)" >"$1" <<-'END'
		import collections, html, sys
		rows = [line.rstrip("\n").split("|", 6) for line in open(sys.argv[1])]
		names = {"ok": "passed", "not ok": "failed", "skip": "not available"}
		sums = collections.OrderedDict()
		for what, stack, group, *_ in rows:
		    sums.setdefault((group, stack), collections.Counter())[what] += 1
		e = html.escape
		print("<!doctype html><meta charset=utf-8><title>hanok: function suite</title><style>body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}.ok{color:#16702e}.not{color:#b3261e}.skip{color:#7a6000}td.n{text-align:right}</style>")
		print(f"<h1>Function suite</h1><p>{e(sys.argv[3])}, {e(sys.argv[2])}</p><table><tr><th>Group<th>Stack<th>Passed<th>Failed<th>Not available")
		for (group, stack), c in sums.items():
		    print(f"<tr><td>{e(group)}<td>{stack}<td class=n>{c['ok']}<td class=n>{c['not ok']}<td class=n>{c['skip']}")
		print("</table><table><tr><th>Case<th>Stack<th>What<th>Result<th>Seconds<th>Why")
		for what, stack, group, id, title, seconds, why in rows:
		    print(f"<tr><td>{e(id)}<td>{stack}<td>{e(title)}<td class={what.split()[0]}>{names[what]}<td class=n>{seconds}<td>{e(why)}")
		print("</table>")
	END
}

scenario_end() {
	[ -n "${TEST_NAMESPACE[*]}" ] || return 0
	[ -n "$KEEP_MACHINES" ] || HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" delete namespace "$(k_namespace)" --timeout=180s >>"$LOGS/end.log" 2>&1
	TEST_NAMESPACE=()
}

run_stack() {
	local STACK=$1 file group scenario id title needs last='' wanted
	export STACK
	# Until Debian answers it has used ten times the processor time of busybox.
	PATIENT=$(if [ "$STACK" = A ]; then echo 1800s; else echo 600s; fi)
	while IFS='|' read -r -u 6 file group scenario id title needs; do
		if [ "$file" != "$last" ]; then
			last=$file
			wanted=
			scenario_end
		fi
		is_wanted "$STACK" "$group" "$id" || continue
		if [ -z "$wanted" ]; then
			wanted=1
			echo "# stack $STACK, $group: $scenario"
			rm -rf "$TEST_DIR/disk.qcow2"
			use_namespace "fn-${file%%-*}-${STACK,,}-$((BASHPID % 10000))" || exit 1
			# shellcheck source=/dev/null
			. "$FUNCTIONS/scenarios/$file.sh"
		fi
		run_case "$STACK" "$group" "$id" "$title" "$needs"
	done 6< <(functions_cases)
	scenario_end
}

web_up >"$LOGS/web.log" 2>&1
for stack in $STACKS; do
	if ! stack_images "$stack" >"$LOGS/images-$stack.log" 2>&1; then
		TEST_COUNT=$((TEST_COUNT + 1))
		TEST_FAILED=$((TEST_FAILED + 1))
		echo "not ok $TEST_COUNT - the images of stack $stack"
		tail -n 10 "$LOGS/images-$stack.log" | sed 's/^/#   /'
	else
		run_stack "$stack"
	fi
done
[ -z "${WEB_PID:-}" ] || kill "$WEB_PID" 2>/dev/null
sums
[ -z "$HTML" ] || html "$HTML"
finish
