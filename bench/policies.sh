# shellcheck shell=bash
# bench_policies: network policies on a node of a cluster with 10,000 pods and 1,000 policies: how soon after the API's answer
# packets pass or are dropped, and what the rules cost a packet. hanok's part for policies alone (its watches and netd), in a
# network namespace without a way out, with one pod of the node and one of another node on either side.

BENCH_POLICIES=${BENCH_POLICIES:-1000}
BENCH_POLICIES_PODS=${BENCH_POLICIES_PODS:-10000}
BENCH_POLICIES_CHANGES=${BENCH_POLICIES_CHANGES:-100}

bench_policies() {
	local data=$BENCH_DIR/policies out=$BENCH_DIR/policies.out ns=hanok-bench-$$
	bench_title policies "$BENCH_POLICIES policies, $BENCH_POLICIES_PODS pods, 110 of them on the node; $BENCH_POLICIES_CHANGES changes each"
	bench_policies_in "$data" "$ns" >"$out" || bench_failed policies "it broke off: $(tail -n 1 "$data.error" 2>/dev/null)"
	bench_policies_namespaces_end "$ns"
	bench_policies_figures <"$out"
}

# bench_policies_in DATA NAMESPACE: lines "hanok FIGURE VALUE".
bench_policies_in() {
	local data=$1 ns=$2 status=1 bench=$BENCH_BUILD/bench/policies-bench
	bench_policies_namespaces "$ns" || return
	ip netns exec "$ns-api" "$HANOK" server --data "$data" --listen 0.0.0.0:6443 --tls-san 10.98.1.1 \
		--controllers '-*' --scheduler off --disable-admission-plugins ServiceAccount 2>"$data.log" &
	# shellcheck disable=SC2034
	BENCH_SERVER=$!
	if lab_await 20 "the server is ready" ip netns exec "$ns-api" curl -sSf --cacert "$data/pki/ca.crt" https://127.0.0.1:6443/readyz >&2; then
		sed 's|server:.*|server: https://10.98.1.1:6443|' "$data/admin.kubeconfig" >"$data.hanok"
		sed 's|server:.*|server: https://127.0.0.1:6443|' "$data/admin.kubeconfig" >"$data.api"
		ip netns exec "$ns-api" "$bench" load "$data.api" "$BENCH_POLICIES" "$BENCH_POLICIES_PODS" 2>"$data.error" &&
			nsenter --net="/run/netns/$ns-node" "$bench" measure "$data.hanok" "$BENCH_POLICIES_CHANGES" "$ns-client" "$ns-server" \
				"$bench" agent "$data.hanok" "$HANOK" 2>"$data.error" && status=0
	fi
	bench_server_end
	return $status
}

# NAME-node is linked with NAME-api and has the bridge, NAME-server behind it, and a road to NAME-client.
bench_policies_namespaces() {
	local side
	for side in api node client server; do
		ip netns add "$1-$side" && ip -n "$1-$side" link set lo up || return
	done
	ip -n "$1-api" link add node type veth peer name api netns "$1-node" &&
		ip -n "$1-api" address add 10.98.1.1/24 dev node && ip -n "$1-api" link set node up &&
		ip -n "$1-node" address add 10.98.1.2/24 dev api && ip -n "$1-node" link set api up &&
		ip -n "$1-node" link add hanok0 type bridge && ip -n "$1-node" link set hanok0 up &&
		ip -n "$1-node" address add 10.244.0.1/24 dev hanok0 &&
		ip -n "$1-node" link add server type veth peer name eth0 netns "$1-server" &&
		ip -n "$1-node" link set server master hanok0 && ip -n "$1-node" link set server up &&
		ip -n "$1-server" address add 10.244.0.2/24 dev eth0 && ip -n "$1-server" link set eth0 up &&
		ip -n "$1-server" route add default via 10.244.0.1 &&
		ip -n "$1-node" link add client type veth peer name eth0 netns "$1-client" &&
		ip -n "$1-node" address add 10.244.1.1/24 dev client && ip -n "$1-node" link set client up &&
		ip -n "$1-client" address add 10.244.1.2/24 dev eth0 && ip -n "$1-client" link set eth0 up &&
		ip -n "$1-client" route add default via 10.244.1.1 &&
		ip netns exec "$1-node" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

bench_policies_namespaces_end() {
	local side
	for side in api node client server; do ip netns delete "$1-$side" 2>/dev/null; done
}

bench_policies_figures() {
	local lines figure unit goal
	lines=$(cat)
	for figure in bare_ns rules_ns back_bare_ns back_rules_ns bare_kpps rules_kpps back_bare_kpps back_rules_kpps load_ms resident_mib request_policy_ms request_label_ms; do
		unit=${figure##*_}
		[ "$unit" = mib ] && unit=MiB
		[ "$unit" = kpps ] && unit="1000 packets/s and core"
		bench_note "$figure"
		awk -v figure=$figure '$2 == figure { print $1, $3 }' <<<"$lines" | bench_bound "policies-$figure" "$unit" -
	done
	for figure in policy_ms label_ms; do
		goal=5
		bench_note "$figure: from the API's answer to the first packet that passes, or is dropped"
		awk -v figure=$figure '$2 == figure { print $1, $3 }' <<<"$lines" | bench_bound "policies-$figure" ms $goal
		bench_note "$figure, p99"
		awk -v figure=$figure '$2 == figure { print $3 }' <<<"$lines" | sort -g |
			awk '{ v[NR] = $1 } END { if (NR) print "hanok", v[int((NR - 1) * 0.99) + 1] }' | bench_bound "policies-${figure}_p99" ms 100
	done
}
