# shellcheck shell=bash
# bench_api: the API server under a load of plain calls; with --peer the same load on kube-apiserver and
# etcd right after, and ratios.

# PHASE RATE P99 CPU: what is asked of hanok against the peer. Rates: at least so many times; p99 and CPU
# of an operation (watches: of an event): at most this part; - = nothing is asked.
BENCH_API_GOALS="create 8 0.25 0.05
get 25 - 0.0333
patch 12 - 0.04
list 20 - 0.05
list-cached - - -
list-alone - - -
watch-initial - - -
watch-create 12 - 0.0833
watch-patch 12 - 0.0833
watch-delay - - -
delete 8 - 0.05"

bench_api() {
	local data=$BENCH_DIR/api
	bench_title api "16 TLS connections, JSON, 5000 pods of 1.5 KB; 100 watchers; no control loops"
	if [ -n "$BENCH_PEER" ]; then
		peer_build kube-apiserver || {
			tail -n 3 "$PEER_CACHE/build.log"
			bench_failed api "the peer could not be built: $PEER_CACHE/build.log"
			return
		}
	fi
	bench_server "$data" || { bench_failed api "hanok server did not become ready"; return; }
	bench_api_load "$data/admin.kubeconfig" "$BENCH_SERVER" 5000 >"$BENCH_DIR/api.hanok" ||
		bench_failed api "the load on hanok broke off"
	bench_note "$(awk '/^VmHWM|^VmRSS|^RssAnon/ { printf "%s %.1f MiB  ", $1, $2 / 1024 }' "/proc/$BENCH_SERVER/status")afterwards"
	bench_server_end
	: >"$BENCH_DIR/api.peer"
	if [ -n "$BENCH_PEER" ]; then
		peer_start "$BENCH_DIR/peer" || { bench_failed api "the peer did not become ready"; return; }
		bench_api_load "$PEER_CONFIG" "$(IFS=,; echo "${PEER_PIDS[*]}")" 5000 >"$BENCH_DIR/api.peer" ||
			bench_failed api "the load on the peer broke off"
		peer_stop
		rm -rf "$BENCH_DIR/peer"
	fi
	bench_api_table "$BENCH_DIR/api.hanok" "$BENCH_DIR/api.peer"
	bench_api_lines "$BENCH_DIR/api.hanok" "$BENCH_DIR/api.peer"
	bench_api_floor "$data" "$BENCH_DIR/api.hanok"
	[ -z "$BENCH_PEER" ] || bench_api_memory
}

# Both sides' figures for people.
bench_api_table() {
	local side
	printf '  %-14s %-6s %10s %9s %9s %11s %10s %12s %10s\n' "" "" "a second" "p50 ms" "p99 ms" "server us" "client us" \
		"server MiB" "first ms"
	while read -r phase _; do
		for side in "$@"; do
			awk -v phase="$phase" -v side="${side##*.}" '$1 == phase {
				printf "  %-14s %-6s %10s %9s %9s %11s %10s %12s %10s\n", phase, side, $2, $3, $4, $5, $6, $7, $9 }' "$side"
		done
	done <<<"$BENCH_API_GOALS"
}

# bench_api_figure FILE PHASE COLUMN: "-" when there is none.
bench_api_figure() { awk -v phase="$2" -v column="$3" '$1 == phase { print $column; found = 1 } END { if (!found) print "-" }' "$1"; }

bench_api_lines() {
	local phase rate p99 cpu
	while read -r phase rate p99 cpu; do
		bench_api_line "api-$phase-rate" "$1" "$2" "$phase" 2 "$rate" more
		bench_api_line "api-$phase-p99" "$1" "$2" "$phase" 4 "$p99" less
		bench_api_line "api-$phase-cpu" "$1" "$2" "$phase" 5 "$cpu" less
	done <<<"$BENCH_API_GOALS"
	bench_line api-list-first-ms "$(bench_api_figure "$1" list-alone 9)" - - 2
	bench_line api-watch-delay-p99-ms "$(bench_api_figure "$1" watch-delay 4)" - - 1.5
}

# bench_api_floor DATA FILE: what an event of that size costs without an API server; no goal.
bench_api_floor() {
	local floor bytes
	bytes=$(bench_api_figure "$2" watch-patch 8)
	floor=$("$BENCH_BUILD/bench/bare-watch" "$1/pki/server.crt" "$1/pki/server.key" "$bytes" 320000) ||
		{ bench_failed api-watch-floor "bare-watch broke off"; return; }
	bench_note "TLS and sockets alone, $bytes bytes to 100 watchers: events a second, server's and reader's us: $floor"
	bench_line api-watch-floor-us "$(bench_api_figure "$2" watch-patch 5)" "$(cut -d' ' -f2 <<<"$floor")" - -
}

# A rate's ratio is judged from below: its goal is the least.
bench_api_line() {
	local name=$1 hanok peer goal=$6 ratio=- verdict=info line
	hanok=$(bench_api_figure "$2" "$4" "$5")
	peer=$(bench_api_figure "$3" "$4" "$5")
	if [ "$peer" != - ] && [ "$hanok" != - ]; then
		ratio=$(awk -v a="$hanok" -v b="$peer" 'BEGIN { printf "%.4f", a / b }')
		[ "$goal" = - ] || verdict=$(awk -v ratio="$ratio" -v goal="$goal" -v sense="$7" \
			'BEGIN { print (sense == "more" ? ratio >= goal : ratio <= goal) ? "ok" : "MISSED" }')
	fi
	line="bench $name hanok=$hanok peer=$peer ratio=$ratio goal=$goal $verdict"
	BENCH_RESULTS+=("$line")
	echo "$line"
}

# Resident with 5,000 and 50,000 pods, of processes that did nothing else than take them, and the bytes of
# the objects as a list shows them.
bench_api_memory() {
	local count data=$BENCH_DIR/memory hanok peer
	for count in 5000 50000; do
		bench_server "$data" || { bench_failed api-memory "hanok server did not become ready"; return; }
		hanok=$(bench_api_load "$data/admin.kubeconfig" "$BENCH_SERVER" $count create | awk '{ print $7 }')
		bench_server_end
		rm -rf "$data"
		peer_start "$data" || { bench_failed api-memory "the peer did not become ready"; return; }
		peer=$(bench_api_load "$PEER_CONFIG" "$(IFS=,; echo "${PEER_PIDS[*]}")" $count create | awk '{ print $7 }')
		peer_stop
		rm -rf "$data"
		bench_line "api-memory-$count" "${hanok:--}" "${peer:--}" \
			"$(awk -v a="$hanok" -v b="$peer" 'BEGIN { if (b > 0) printf "%.4f", a / b; else print "-" }')" 0.05
	done
}
