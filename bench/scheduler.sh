# shellcheck shell=bash
# bench_scheduler: 5,000 pods on 1,000 hollow nodes, from the first POST to the last binding; with --peer
# upstream's kube-scheduler does it in turns, on hanok's own API server, whose scheduler is off.

# FIGURE RATIO BOUND: what is asked of hanok's figure against the peer's, and of hanok's alone; - = nothing.
# Rates: at least so many times, at least so much; others: at most.
BENCH_SCHEDULER_GOALS="rate 15 4000
create_rate - -
p50_ms - -
p99_ms - -
cpu_us - -
resident_mib - -
cpu_deviation 1 -
memory_deviation 1 -
unbalance 1 -
zone_skew - -
host_most 1 -"
# On a machine with other work: BENCH_REALTIME=1 lets both sides, and what loads them, run before all of it.
bench_urgent() { if [ -n "${BENCH_REALTIME:-}" ]; then chrt -r 10 "$@"; else "$@"; fi; }
BENCH_SCHEDULER_NODES=${BENCH_SCHEDULER_NODES:-1000}
BENCH_SCHEDULER_PODS=${BENCH_SCHEDULER_PODS:-5000}

bench_scheduler() {
	local round figure ratio bound out=$BENCH_DIR/scheduler rounds=${BENCH_SCHEDULER_ROUNDS:-3}
	bench_title scheduler "$BENCH_SCHEDULER_PODS pods, $BENCH_SCHEDULER_NODES hollow nodes, ten services; 64 TLS connections create"
	if [ -n "$BENCH_PEER" ]; then
		peer_build kube-scheduler kube-controller-manager || {
			tail -n 3 "$PEER_CACHE/build.log"
			bench_failed scheduler "the peer could not be built: $PEER_CACHE/build.log"
			return
		}
	fi
	: >"$out"
	for ((round = 1; round <= rounds; round++)); do
		bench_scheduler_round hanok >>"$out" || { bench_failed scheduler "a round broke off"; return; }
		[ -z "$BENCH_PEER" ] || bench_scheduler_round peer >>"$out" || { bench_failed scheduler "a round of the peer broke off"; return; }
	done
	while read -r figure ratio bound; do
		bench_scheduler_figure "$figure" "$ratio" "$bound" "$out"
	done <<<"$BENCH_SCHEDULER_GOALS"
}

# bench_scheduler_round SIDE: lines "SIDE FIGURE VALUE". A server with empty data for each.
bench_scheduler_round() {
	local side=$1 data=$BENCH_DIR/scheduler.data config=$BENCH_DIR/scheduler.data/admin.kubeconfig scheduler=off pids hollow peer='' status=0
	[ "$side" = peer ] || scheduler=on
	rm -rf "$data" "$data".*
	bench_server "$data" --scheduler $scheduler --disable-admission-plugins ServiceAccount,TaintNodesByCondition >&2 || return
	pids=$BENCH_SERVER
	bench_on_last "$BENCH_BUILD/bench/hollow" --idle --nodes "$BENCH_SCHEDULER_NODES" "$config" >"$data.hollow" 2>&1 &
	hollow=$!
	lab_await 60 "the nodes are there" grep -q ^ready "$data.hollow" || status=1
	if [ "$side" = peer ]; then
		bench_kube_scheduler "$data" "$config" &
		peer=$!
		pids=$pids,$peer
	fi
	[ -z "${BENCH_REALTIME:-}" ] || chrt -a -r -p 10 "$BENCH_SERVER"
	[ $status != 0 ] || bench_urgent taskset -c $(($(nproc) - 1)) "$BENCH_BUILD/bench/scheduler-bench" "$config" "$BENCH_SCHEDULER_PODS" "$pids" >"$data.figures" || status=1
	# Memory of whoever schedules: the server itself, or the peer beside it.
	[ $status != 0 ] || awk -v side="$side" -v last="$([ "$side" = peer ] && echo 1 || echo 0)" '
		$1 == "resident_mib_" last { $1 = "resident_mib" }
		{ print side, $1, $2 }' "$data.figures"
	kill $hollow $peer
	wait $hollow $peer 2>/dev/null
	bench_server_end
	return $status
}

bench_kube_scheduler() {
	local data=$1 ports
	ports=("$(bench_free_port)" "$(bench_free_port)")
	cat >"$data.yaml" <<-END
		apiVersion: kubescheduler.config.k8s.io/v1beta1
		kind: KubeSchedulerConfiguration
		clientConnection: {kubeconfig: $2, qps: 10000, burst: 10000}
		leaderElection: {leaderElect: false}
		healthzBindAddress: 127.0.0.1:${ports[0]}
		metricsBindAddress: 127.0.0.1:${ports[1]}
	END
	exec $([ -z "${BENCH_REALTIME:-}" ] || echo chrt -r 10) "$PEER_CACHE/bin/kube-scheduler" --config "$data.yaml" --secure-port 0 >"$data.peer.log" 2>&1
}

# bench_scheduler_figure FIGURE RATIO BOUND FILE
bench_scheduler_figure() {
	local figure=$1 goal=$2 bound=$3 lines hanok peer=- ratio=- verdict=info sense=less line
	lines=$(awk -v figure="$figure" '$2 == figure { print $1, $3 }' "$4")
	printf '  %s\n' "$figure"
	bench_spread hanok "" 3>/dev/null <<<"$lines"
	hanok=$(bench_median hanok <<<"$lines")
	if [ -n "$BENCH_PEER" ]; then
		bench_spread peer "" 3>/dev/null <<<"$lines"
		peer=$(bench_median peer <<<"$lines")
		ratio=$(awk -v a="$hanok" -v b="$peer" 'BEGIN { if (b > 0) printf "%.4f", a / b; else print "-" }')
	fi
	[[ $figure != *rate ]] || sense='more'
	[ "$ratio" = - ] || [ "$goal" = - ] || verdict=$(bench_scheduler_judge "$ratio" "$goal" $sense)
	line="bench scheduler-$figure hanok=$hanok peer=$peer ratio=$ratio goal=$goal $verdict"
	BENCH_RESULTS+=("$line")
	echo "$line"
	[ "$bound" = - ] || {
		line="bench scheduler-$figure-alone hanok=$hanok peer=- ratio=- goal=$bound $(bench_scheduler_judge "$hanok" "$bound" $sense)"
		BENCH_RESULTS+=("$line")
		echo "$line"
	}
}

# bench_scheduler_judge VALUE GOAL more|less
bench_scheduler_judge() {
	awk -v value="$1" -v goal="$2" -v sense="$3" 'BEGIN { print (sense == "more" ? value >= goal : value <= goal) ? "ok" : "MISSED" }'
}
