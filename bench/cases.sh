# shellcheck shell=bash
# The measurements, one function each: bench_NAME.

# From exec to ready, without and with a data directory.
bench_start() {
	local data=$BENCH_DIR/start
	bench_title start "exec of hanok server until /readyz answers 200"
	bench_start_rounds start-fresh "fresh data directory: keys and certificates are made" 1000 7 "$data" || return
	bench_start_rounds start-existing "existing data directory" 150 11 "$data" || return
	bench_server "$data" && bench_api_load "$data/admin.kubeconfig" "$BENCH_SERVER" 50000 create >/dev/null ||
		{ bench_failed start-50000 "it could not be filled"; return; }
	bench_server_end
	bench_start_rounds start-50000 "existing data directory with 50,000 pods" 1000 5 "$data"
}

# bench_start_rounds NAME TEXT GOAL COUNT DATA: start-fresh begins each round without DATA.
bench_start_rounds() {
	local name=$1 text=$2 goal=$3 count=$4 data=$5 round port
	port=$(bench_free_port)
	for ((round = 1; round <= count; round++)); do
		[ "$name" != start-fresh ] || rm -rf "$data"
		"$BENCH_BUILD/bench/start-bench" "$HANOK" "$data" "$port" 2>"$BENCH_DIR/note" ||
			{ bench_failed "$name" "$(cat "$BENCH_DIR/note")" >&2; return 1; }
	done >"$BENCH_DIR/$name"
	bench_note "$text; $(cat "$BENCH_DIR/note")"
	bench_bound "$name" ms "$goal" <"$BENCH_DIR/$name"
}

# bench_server DATA [OPTION...]: a server without control loops, and without OPTIONs without scheduler and service
# accounts, BENCH_SERVER its PID; fails when it does not become ready.
bench_server() {
	local data=$1 port
	shift
	port=$(bench_free_port)
	[ $# -gt 0 ] || set -- --scheduler off --disable-admission-plugins ServiceAccount
	"$HANOK" server --data "$data" --listen "127.0.0.1:$port" --controllers '-*' "$@" 2>"$data.log" &
	BENCH_SERVER=$!
	lab_await 20 "the server is ready" curl -sSf --cacert "$data/pki/ca.crt" "https://127.0.0.1:$port/readyz" && return
	tail -n 3 "$data.log"
	kill -KILL $BENCH_SERVER
	wait $BENCH_SERVER 2>/dev/null
	return 1
}

bench_server_end() {
	kill -TERM "$BENCH_SERVER"
	wait "$BENCH_SERVER"
}

# The load has a CPU of its own.
bench_api_load() { bench_on_last "$BENCH_BUILD/bench/api-bench" "$@"; }
bench_on_last() { taskset -c $(($(nproc) - 1)) "$@"; }

# What the server adds to TLS and sockets, and what those who only wait cost it.
bench_transport() {
	local data=$BENCH_DIR/transport bare port round target=/api/v1/namespaces/default/configmaps/c
	bench_title transport "get of 4.4 KB, against epoll and OpenSSL alone answering as much; CPU of one request"
	bench_server "$data" || { bench_failed transport "the server did not start"; return; }
	"$BENCH_BUILD/bench/bare-server" "$data/pki/server.crt" "$data/pki/server.key" >"$data.port" &
	bare=$!
	lab_await 5 "the bare server listens" test -s "$data.port"
	port=$(cat "$data.port")
	kubectl --kubeconfig "$data/admin.kubeconfig" create configmap c --from-literal=k="$(head -c 4150 /dev/zero | tr '\\0' x)" >/dev/null
	for round in 1 2 3 4 5; do
		BENCH_ADDRESS=tcp://127.0.0.1:$port bench_http "$data" "$bare" get 50000 $target | sed s/hanok/peer/
		bench_http "$data" "$BENCH_SERVER" get 50000 $target
	done >"$data.get"
	bench_compare transport-get us 1.5 <"$data.get"
	for round in 1 2 3; do bench_http "$data" "$BENCH_SERVER" get2 50000 $target; done >"$data.get2"
	bench_bound transport-get-http2 us - <"$data.get2"
	bench_note "10,000 watches that wait, 250 on a connection"
	bench_http "$data" "$BENCH_SERVER" watch2 10000 "${target%/*}?watch=true&resourceVersion=1" >"$data.watch"
	bench_bound transport-watch bytes 4096 <"$data.watch"
	kill "$bare"
	wait "$bare" 2>/dev/null
	bench_server_end
}

# bench_http DATA PID MODE COUNT TARGET
bench_http() {
	local data=$1
	shift
	taskset -c $(($(nproc) - 1)) "$BENCH_BUILD/bench/http-bench" "$data/admin.kubeconfig" "$@" 2>/dev/null
}

bench_free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# What a durable write costs on top of what the disk asks for anyway.
bench_store() {
	local writers
	for writers in 1 16 64; do
		bench_title "store-$writers" "SQLite store, $writers writes outstanding, against a log with one fdatasync for $writers records"
		"$BENCH_BUILD/bench/store-bench" "$BENCH_DIR" $writers 5 >"$BENCH_DIR/store" 2>"$BENCH_DIR/store.note"
		bench_note "$(cat "$BENCH_DIR/store.note")"
		bench_compare "store-$writers" "us a write" - <"$BENCH_DIR/store"
	done
}

# bench_cpu_ticks PID
bench_cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# bench_cpu_share NAME TICKS_BEFORE TICKS_AFTER SECONDS
bench_cpu_share() {
	bench_bound "idle-cpu-$1" "% of a core" 0.5 <<<"hanok $(awk -v ticks=$(($3 - $2)) -v all=$(($(getconf CLK_TCK) * $4)) \
		'BEGIN { printf "%.3f", ticks * 100 / all }')"
}

# bench_resident NAME PID GOAL_KB
bench_resident() {
	local rss anon
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$2/status")
	anon=$(awk '/^RssAnon/ { print $2 }' "/proc/$2/status")
	bench_note "$1: resident $rss kB, of that its own (not shared files) $anon kB, $(awk '/^Pss:/ { print $2 }' "/proc/$2/smaps_rollup") kB proportional"
	bench_bound "memory-$1" MiB "$3" <<<"hanok $(awk -v kb="$rss" 'BEGIN { printf "%.2f", kb / 1024 }')"
}

bench_memory() {
	local server node child before_server before_node seconds=60
	bench_title memory "idle, with the sample (two containers, a virtual machine, a service) running"
	bench_lab || { bench_failed memory "the lab did not come up"; return; }
	bench_kubectl apply -f "$ROOT/samples" >/dev/null &&
		bench_kubectl rollout status deployment/web --timeout=120s >/dev/null &&
		bench_kubectl wait --for=condition=Ready vm/web-vm --timeout=180s >/dev/null ||
		{ bench_failed memory "the sample did not become ready"; return; }
	server=$(cut -d' ' -f1 "$LAB/run/server.pid")
	node=$(bench_lab_pid /run/lab/hanok-node.pid) || { bench_failed memory "no node agent"; return; }
	# What follows from becoming ready is not idleness yet.
	sleep 10
	before_server=$(bench_cpu_ticks "$server") before_node=$(bench_cpu_ticks "$node")
	sleep $seconds
	bench_resident server "$server" 16
	bench_resident node "$node" 12
	for child in $(pgrep -P "$node"); do
		bench_note "helper of the node: $(tr '\0' ' ' <"/proc/$child/cmdline")resident $(awk '/^VmRSS/ { print $2 }' "/proc/$child/status") kB, its own $(awk '/^RssAnon/ { print $2 }' "/proc/$child/status") kB"
	done
	bench_note "CPU over $seconds s, in percent of one core"
	bench_cpu_share server "$before_server" "$(bench_cpu_ticks "$server")" $seconds
	bench_cpu_share node "$before_node" "$(bench_cpu_ticks "$node")" $seconds
	bench_kubectl delete -f "$ROOT/samples" --wait --timeout=60s >/dev/null
}

# The runtime goes on cleaning up after a removal was answered: no side measures the other's traces.
bench_settle() { sleep 1; }

bench_pod() {
	local round out=$BENCH_DIR/pod
	bench_title pod "create to phase Running, against RunPodSandbox + CreateContainer + StartContainer alone"
	bench_lab || { bench_failed pod "the lab did not come up"; return; }
	# Once beforehand, so that both find the image present.
	bench_create pod.json bench-first >/dev/null || { bench_failed pod "a pod did not run"; return; }
	for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
		bench_settle
		bench_create pod.json "bench-$round" || { bench_broken pod; break; }
		bench_settle
		lab_exec 1 /tmp/bench/cri-bench unix:///run/containerd/containerd.sock /tmp/bench/pod.json \
			"peer-$round" /var/lib/hanok-bench 2>>"$out.parts" || { bench_broken pod; break; }
	done >"$out"
	bench_compare pod ms 1.3 <"$out"
}

# The peer's domain is hanok's own, from libvirt's mouth, with another name, uuid, address and disk.
bench_vm() {
	local round out=$BENCH_DIR/vm domain uid mac peer=6f3d9a52-0b6e-4c55-9d5f-3a1f6f0d7c11 dir=/var/lib/hanok-bench/vm
	bench_title vm "create to phase Running, against virsh create of the same XML"
	bench_lab || { bench_failed vm "the lab did not come up"; return; }
	bench_kubectl apply -f "$ROOT/bench/vmi.json" >/dev/null &&
		bench_kubectl wait --for=jsonpath='{.status.phase}'=Running vmi/bench --timeout=120s >/dev/null ||
		{ bench_failed vm "a virtual machine did not run"; return; }
	domain=$(bench_virsh list --name | grep -F bench | head -1)
	uid=$(bench_kubectl get vmi bench -o 'jsonpath={.metadata.uid}')
	bench_virsh dumpxml --inactive "$domain" >"$BENCH_DIR/hanok.xml" || { bench_failed vm "no domain '$domain'"; return; }
	bench_vm_disks "$dir" "$BENCH_DIR/hanok.xml" || { bench_failed vm "the disks could not be copied"; return; }
	bench_kubectl delete vmi bench --wait --timeout=60s >/dev/null
	mac=$(grep -o "<mac address='[^']*'" "$BENCH_DIR/hanok.xml" | head -1 | cut -d"'" -f2)
	sed -e "s|$BENCH_VM_OVERLAY|$dir/overlay.qcow2|g" -e "s|$BENCH_VM_BASE|$dir/base|g" -e "s/$uid/$peer/g" \
		-e "s|<name>$domain</name>|<name>bench-peer</name>|" -e "s/$mac/52:54:00:be:7c:01/g" \
		"$BENCH_DIR/hanok.xml" >"$LAB/node1/tmp/bench/peer.xml"
	for round in 1 2 3 4 5 6 7 8; do
		bench_settle
		bench_create vmi.json "bench-$round" || { bench_broken vm; break; }
		bench_settle
		lab_exec 1 bash -c '
			qemu-img create -q -f qcow2 -b '$dir'/base -F '"$BENCH_VM_FORMAT $dir"'/overlay.qcow2 || exit 1
			start=${EPOCHREALTIME/[.,]/}
			virsh -q -c qemu:///system create /tmp/bench/peer.xml >&2 || exit 1
			end=${EPOCHREALTIME/[.,]/}
			echo "peer $(((end - start) / 1000)).$(((end - start) / 100 % 10))"
			virsh -q -c qemu:///system destroy bench-peer >&2' || { bench_broken vm; break; }
	done >"$out" 2>"$out.log"
	bench_compare vm ms 1.2 <"$out" || tail -n 3 "$out.log"
}

# bench_vm_disks DIR XML: a copy of the first disk's base for the peer, and what the disk's files are called.
bench_vm_disks() {
	BENCH_VM_OVERLAY=$(grep -o "<source file='[^']*'" "$2" | head -1 | cut -d"'" -f2)
	BENCH_VM_BASE=$(lab_exec 1 qemu-img info -U --output json "$BENCH_VM_OVERLAY" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["full-backing-filename"])')
	BENCH_VM_FORMAT=$(lab_exec 1 qemu-img info -U --output json "$BENCH_VM_OVERLAY" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["backing-filename-format"])')
	lab_exec 1 sh -c "mkdir -p $1 && cp --reflink=auto '$BENCH_VM_BASE' $1/base"
}
