# shellcheck shell=bash
# bench_services: one endpoint of one of 10,000 services is replaced; how soon the kernel's rules follow, and what that
# costs. hanok's part for services (its watches and netd) and, with --peer, kube-proxy 1.20.2 in iptables mode, one after
# the other, each in a network namespace of its own without a way out, at the same API server, which has a third one.

BENCH_SERVICES=${BENCH_SERVICES:-10000}
BENCH_SERVICES_CHANGES=20

bench_services() {
	local data=$BENCH_DIR/services out=$BENCH_DIR/services.out ns=hanok-bench-$$
	bench_title services "$BENCH_SERVICES services, $((BENCH_SERVICES * 3)) endpoints; one endpoint of one service replaced, $BENCH_SERVICES_CHANGES times"
	if [ -n "$BENCH_PEER" ]; then
		peer_build kube-proxy || { bench_failed services "the peer could not be built: $PEER_CACHE/build.log"; return; }
		command -v iptables-restore >/dev/null || apt-get install -y --no-install-recommends iptables >"$data.apt" 2>&1 ||
			{ bench_failed services "iptables can't be installed: $(tail -n 1 "$data.apt")"; return; }
	fi
	bench_services_in "$data" "$ns" >"$out" || bench_failed services "it broke off: $(tail -n 1 "$data.error" 2>/dev/null)"
	bench_services_namespaces_end "$ns"
	bench_services_figures <"$out"
}

# bench_services_in DATA NAMESPACE: lines "SIDE FIGURE VALUE".
bench_services_in() {
	local data=$1 ns=$2 status=1 bench=$BENCH_BUILD/bench/services-bench
	bench_services_namespaces "$ns" || return
	ip netns exec "$ns-api" "$HANOK" server --data "$data" --listen 0.0.0.0:6443 --tls-san 10.98.1.1 --tls-san 10.98.2.1 \
		--controllers '-*' --scheduler off --disable-admission-plugins ServiceAccount 2>"$data.log" &
	# shellcheck disable=SC2034
	BENCH_SERVER=$!
	if lab_await 20 "the server is ready" ip netns exec "$ns-api" curl -sSf --cacert "$data/pki/ca.crt" https://127.0.0.1:6443/readyz >&2; then
		sed 's|server:.*|server: https://10.98.1.1:6443|' "$data/admin.kubeconfig" >"$data.hanok"
		sed 's|server:.*|server: https://10.98.2.1:6443|' "$data/admin.kubeconfig" >"$data.peer"
		sed 's|server:.*|server: https://127.0.0.1:6443|' "$data/admin.kubeconfig" >"$data.api"
		ip netns exec "$ns-api" "$bench" load "$data.api" "$BENCH_SERVICES" 2>"$data.error" &&
			ip netns exec "$ns-hanok" "$bench" measure hanok "$data.hanok" "$BENCH_SERVICES_CHANGES" 50 "$BENCH_SERVICES" \
				"$bench" agent "$data.hanok" "$HANOK" 2>"$data.error" &&
			{ [ -z "$BENCH_PEER" ] || bench_services_peer "$data" "$ns" "$bench"; } && status=0
	fi
	bench_server_end
	return $status
}

# Debian's iptables of the kernel's own tables: those over nftables take longer for as many rules. The peer has no least
# time between two of its synchronisations.
bench_services_peer() {
	local data=$1 name
	mkdir -p "$data.bin"
	for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
		ln -sf "$(command -v "${name/tables/tables-legacy}")" "$data.bin/$name"
	done
	PATH=$data.bin:$PATH ip netns exec "$2-peer" "$3" measure peer "$data.peer" "$BENCH_SERVICES_CHANGES" 5000 "$BENCH_SERVICES" \
		sh -c 'log=$1; shift; exec "$@" 2>"$log"' - "$data.peer.log" \
		"$PEER_CACHE/bin/kube-proxy" --kubeconfig "$data.peer" --proxy-mode iptables --iptables-min-sync-period 0 \
		--bind-address 10.98.2.2 --healthz-bind-address 127.0.0.1:10256 --metrics-bind-address 127.0.0.1:10249 \
		--cluster-cidr 10.244.0.0/16 --hostname-override node-1 --conntrack-max-per-core 0 \
		--conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 2>"$data.error"
}

# NAME-api is linked with NAME-hanok and NAME-peer; those have the addresses of both endpoints.
bench_services_namespaces() {
	local side number=1
	ip netns add "$1-api" && ip -n "$1-api" link set lo up || return
	for side in hanok peer; do
		ip netns add "$1-$side" && ip -n "$1-$side" link set lo up &&
			ip -n "$1-api" link add "$side" type veth peer name api netns "$1-$side" &&
			ip -n "$1-api" address add 10.98.$number.1/24 dev "$side" && ip -n "$1-api" link set "$side" up &&
			ip -n "$1-$side" address add 10.98.$number.2/24 dev api && ip -n "$1-$side" link set api up &&
			ip -n "$1-$side" address add 10.244.0.1/32 dev lo && ip -n "$1-$side" address add 10.244.0.2/32 dev lo &&
			ip -n "$1-$side" address add 10.244.0.3/32 dev lo &&
			ip -n "$1-$side" route add 10.96.0.0/16 dev api src 10.244.0.1 || return
		number=$((number + 1))
	done
}

bench_services_namespaces_end() {
	local side
	for side in api hanok peer; do ip netns delete "$1-$side" 2>/dev/null; done
}

bench_services_figures() {
	local lines figure unit
	lines=$(cat)
	for figure in change_ms request_ms cpu_ms resident_mib load_ms; do
		unit=${figure##*_}
		[ "$unit" = mib ] && unit=MiB
		bench_note "$figure"
		if [ -n "$BENCH_PEER" ]; then
			awk -v figure=$figure '$2 == figure { print $1, $3 }' <<<"$lines" | bench_compare "services-$figure" "$unit" -
		else
			awk -v figure=$figure '$2 == figure { print $1, $3 }' <<<"$lines" | bench_bound "services-$figure" "$unit" -
		fi
	done
	bench_note "own_ms: hanok's own part, from the watch event until the kernel has it"
	awk '$2 == "own_ms" { print $1, $3 }' <<<"$lines" | bench_bound services-own_ms ms 2
}
