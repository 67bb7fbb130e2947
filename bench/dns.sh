# shellcheck shell=bash
# bench_dns: queries for names of 1,000 services by UDP; beside it dnsmasq with the same names in its tables.

BENCH_DNS_SERVICES=1000

bench_dns() {
	local data=$BENCH_DIR/dns port dns
	bench_title dns "$BENCH_DNS_SERVICES services; A, SRV and names that are not there, 100 clients; CPU time of one query (50 us are 20,000 a second and core)"
	dpkg-query -W dnsperf dnsmasq-base >/dev/null 2>&1 ||
		apt-get install -y --no-install-recommends dnsperf dnsmasq-base >"$data.apt" 2>&1 ||
		{ bench_failed dns "dnsperf can't be installed: $(tail -n 1 "$data.apt")"; return; }
	bench_server "$data" || { bench_failed dns "the server did not start"; return; }
	bench_dns_names "$data.names" "$data.hosts" | kubectl --kubeconfig "$data/admin.kubeconfig" create -f - >"$data.made" ||
		{ bench_failed dns "the services could not be made"; return; }
	port=$(bench_free_port)
	taskset -c 0 "$HANOK-dns" --kubeconfig "$data/admin.kubeconfig" --listen 127.0.0.1 --port "$port" \
		--resolver 127.0.0.1:1 2>"$data.dns" >"$data.ready" &
	dns=$!
	lab_await 10 "hanok-dns serves" grep -q ready "$data.ready" || { bench_failed dns "$(tail -n 1 "$data.dns")"; return; }
	local peer_port peer
	peer_port=$(bench_free_port)
	taskset -c 0 dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --addn-hosts="$data.hosts" --local=/cluster.local/ \
		--bind-interfaces --listen-address=127.0.0.1 --port="$peer_port" --pid-file= --user=root --log-facility=- 2>"$data.dnsmasq" &
	peer=$!
	for _ in 1 2 3; do
		bench_dns_load hanok "$dns" "$port" "$data.names"
		bench_dns_load peer "$peer" "$peer_port" "$data.names"
	done >"$data.out"
	bench_note "queries a second: hanok $(awk '$1 == "hanok" { print $3 }' "$data.out" | sort -n | sed -n 2p), dnsmasq $(awk '$1 == "peer" { print $3 }' "$data.out" | sort -n | sed -n 2p)"
	awk '{ print $1, $2 }' "$data.out" | bench_compare dns us 1.2
	awk '$1 == "hanok" { print $1, $2 }' "$data.out" | bench_bound dns-core us 50
	bench_resident dns "$dns" 40
	kill "$dns" "$peer"
	wait "$dns" "$peer" 2>/dev/null
	bench_server_end
}

# bench_dns_names QUERIES HOSTS: the services on standard output; what is asked, and the names as a hosts file.
bench_dns_names() {
	python3 - "$BENCH_DNS_SERVICES" "$1" "$2" <<-'END'
		import json, sys
		count, queries, hosts = int(sys.argv[1]), open(sys.argv[2], "w"), open(sys.argv[3], "w")
		items = []
		for n in range(count):
		    ip = f"10.96.{1 + n // 250}.{n % 250}"
		    items.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"svc-{n}", "namespace": "default"},
		                  "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80}]}})
		    name = f"svc-{n}.default.svc.cluster.local"
		    print(f"{ip} {name}", file=hosts)
		    for query in (f"{name} A", f"{name} A", f"{name} AAAA", f"svc-{n}.default.default.svc.cluster.local A", f"_http._tcp.{name} SRV"):
		        print(query, file=queries)
		print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
	END
}

# bench_dns_load SIDE PID PORT QUERIES: "SIDE MICROSECONDS RATE"
bench_dns_load() {
	local before after completed rate
	before=$(bench_cpu_ticks "$2")
	bench_on_last dnsperf -s 127.0.0.1 -p "$3" -d "$4" -c 100 -l 4 >"$BENCH_DIR/dnsperf" 2>&1
	after=$(bench_cpu_ticks "$2")
	completed=$(awk '/Queries completed/ { print $3 }' "$BENCH_DIR/dnsperf")
	rate=$(awk '/Queries per second/ { printf "%d", $4 }' "$BENCH_DIR/dnsperf")
	awk -v side="$1" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="${completed:-0}" -v rate="$rate" \
		'BEGIN { if (!n) exit 1; printf "%s %.2f %s\n", side, ticks / hz * 1e6 / n, rate }'
}
