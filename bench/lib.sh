# shellcheck shell=bash
# What the measurements share. Figures come as lines "SIDE VALUE"; SIDE is hanok or peer.
#
#   bench_title NAME TEXT
#   bench_compare NAME UNIT GOAL      figures on stdin; GOAL: the ratio hanok/peer not to pass, - = none
#   bench_bound NAME UNIT GOAL        hanok's figures alone, whose median must not pass GOAL
#   bench_note TEXT...
#
# Each ends with a line for machines: bench NAME hanok=N peer=N ratio=N goal=N ok|MISSED|info
# (medians; "-" where there is nothing to say). bench_result sums up.

BENCH_RESULTS=()
BENCH_SKIPPED=()

bench_title() { printf '\n%s%s%s: %s\n' "$UI_BOLD" "$1" "$UI_PLAIN" "$2"; }
bench_note() { printf '  %s\n' "$*"; }

# bench_line NAME HANOK PEER RATIO GOAL: judged by the ratio, or without a peer by the figure itself.
bench_line() {
	local judged=$4 verdict=info line
	[ "$judged" != - ] || judged=$2
	if [ "$5" != - ]; then
		verdict=$(awk -v value="$judged" -v goal="$5" 'BEGIN { print value <= goal ? "ok" : "MISSED" }')
	fi
	line="bench $1 hanok=$2 peer=$3 ratio=$4 goal=$5 $verdict"
	BENCH_RESULTS+=("$line")
	echo "$line"
}

# bench_spread SIDE UNIT: a line for people about stdin's figures of that side, and on descriptor 3 their median.
bench_spread() {
	awk -v side="$1" '$1 == side { print $2 }' | sort -g | awk -v side="$1" -v unit="$2" '
		{ value[NR] = $1 }
		END {
			if (NR == 0) exit 1
			middle = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
			printf "  %-6s min %s  median %.6g  max %s %s  (%d rounds)\n", side, value[1], middle, value[NR], unit, NR
			printf "%.6g\n", middle >"/dev/fd/3"
		}'
}

bench_median() { bench_spread "$1" - 3>&1 >/dev/null; }

bench_compare() {
	local name=$1 unit=$2 goal=$3 figures hanok peer
	figures=$(cat)
	bench_spread hanok "$unit" 3>/dev/null <<<"$figures" && bench_spread peer "$unit" 3>/dev/null <<<"$figures" ||
		{ bench_failed "$name" "no figures of both sides"; return 1; }
	hanok=$(bench_median hanok <<<"$figures")
	peer=$(bench_median peer <<<"$figures")
	bench_line "$name" "$hanok" "$peer" "$(awk -v a="$hanok" -v b="$peer" 'BEGIN { printf "%.3g", a / b }')" "$goal"
}

bench_bound() {
	local name=$1 unit=$2 goal=$3 figures
	figures=$(cat)
	bench_spread hanok "$unit" 3>/dev/null <<<"$figures" || { bench_failed "$name" "no figures"; return 1; }
	bench_line "$name" "$(bench_median hanok <<<"$figures")" - - "$goal"
}

# bench_failed NAME WHY
bench_failed() {
	echo "  not measured: $2"
	BENCH_SKIPPED+=("$1: $2")
}

# bench_broken NAME: from inside a loop of rounds, whose output are the figures.
bench_broken() { bench_failed "$1" "a round broke off" >&2; }

# What ./dev bench ends with. Not measured counts as failed, a missed goal does not: it is a figure.
bench_summary() {
	local line
	printf '\n%ssummary%s\n' "$UI_BOLD" "$UI_PLAIN"
	for line in "${BENCH_RESULTS[@]}"; do echo "  $line"; done
	for line in "${BENCH_SKIPPED[@]}"; do echo "  not measured: $line"; done
	[ ${#BENCH_SKIPPED[@]} = 0 ]
}
