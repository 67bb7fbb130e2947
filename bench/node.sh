# shellcheck shell=bash
# bench_node: a node with 110 pods. Their start beside the runtime's part of it alone, memory and idle CPU of the
# agent, what it spends on an answer to who asks for figures, and what an agent that is killed and started again does
# to them: nothing.
#
# The start is from kubectl create of one file to the last Running of a watch, on both sides with as much at once as
# comes. (Not kubectl wait: it asks for one pod after the other, 5 times a second at most, which for 110 pods that all
# run already takes 20 s.) Beside the time, the CPU seconds of the lab (API server, node, runtime, containers; of the
# other side: runtime and containers) tell what the work of others on the machine does not change much.

BENCH_NODE_PODS=110

bench_node() {
	local round out=$BENCH_DIR/node node seconds=${BENCH_NODE_IDLE:-60} rounds=${BENCH_NODE_ROUNDS:-3}
	bench_title node "$BENCH_NODE_PODS pods made at once until all run, against RunPodSandbox + CreateContainer + StartContainer of as many, all at once"
	bench_lab || { bench_failed node "the lab did not come up"; return; }
	cp "$BENCH_BUILD/bench/cri_many-bench" "$LAB/node1/tmp/bench/"
	bench_node_pods >"$BENCH_DIR/pods.json"
	bench_create pod.json bench-first >/dev/null || { bench_failed node "a pod did not run"; return; }
	node=$(bench_lab_pid /run/lab/hanok-node.pid)
	bench_note "agent without pods: resident $(bench_node_memory "$node" VmRSS) kB, its own $(bench_node_memory "$node" RssAnon) kB"
	local empty
	empty=$(bench_node_memory "$node" RssAnon)
	for ((round = 1; round <= rounds; round++)); do
		bench_settle
		bench_node_bare || { bench_broken node; return; }
		bench_settle
		bench_node_start || { bench_broken node; return; }
		[ $round = $rounds ] || bench_node_end || { bench_broken node; return; }
	done >"$out"
	bench_compare node-start ms 1.3 <"$out"
	bench_compare node-start-cpu ms - < <(sed -n 's/^cpu-//p' "$out")

	# What follows from a start is not idleness yet.
	sleep 20
	local before
	before=$(bench_cpu_ticks "$node")
	sleep $seconds
	bench_bound node-idle-cpu "% of a core" 2 <<<"hanok $(awk -v ticks=$(($(bench_cpu_ticks "$node") - before)) -v all=$(($(getconf CLK_TCK) * seconds)) \
		'BEGIN { printf "%.3f", ticks * 100 / all }')"
	bench_resident node-$BENCH_NODE_PODS "$node" 20
	bench_bound node-pod-memory "kB a pod" 80 <<<"hanok $((($(bench_node_memory "$node" RssAnon) - empty) / BENCH_NODE_PODS))"

	local path
	for path in metrics/cadvisor metrics/resource stats/summary; do
		bench_bound "node-${path#*/}" "ms of CPU an answer" 20 <<<"hanok $(bench_node_scrape "$node" "$path")"
	done

	local tasks now started
	tasks=$(lab_exec 1 ctr -n k8s.io tasks ls -q | sort | md5sum)
	lab_service_end node1 hanok-node 0 # SIGKILL, and waits until it is gone
	started=$(date +%s%N)
	lab_node_up 1 && lab_await 30 "the pods are known again" bench_node_adopted || { bench_failed node-adopt "the agent did not take them up"; return; }
	now=$(date +%s%N)
	bench_bound node-adopt ms 1000 <<<"hanok $(((now - started) / 1000000))"
	[ "$tasks" = "$(lab_exec 1 ctr -n k8s.io tasks ls -q | sort | md5sum)" ] || bench_failed node-adopt "containers changed"
	bench_node_end
}

# bench_node_scrape PROCESS PATH: milliseconds of the agent's CPU for one of 50 answers.
bench_node_scrape() {
	local before round
	before=$(bench_cpu_ticks "$1")
	for ((round = 0; round < 50; round++)); do
		bench_kubectl get --raw "/api/v1/nodes/node1/proxy/$2" >/dev/null
	done
	awk -v ticks=$(($(bench_cpu_ticks "$1") - before)) -v hertz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", ticks * 1000 / hertz / 50 }'
}

bench_node_memory() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }

bench_node_pods() {
	python3 - "$ROOT/bench/pod.json" $BENCH_NODE_PODS <<-'END'
		import copy, json, sys
		pod = json.load(open(sys.argv[1]))
		items = []
		for n in range(int(sys.argv[2])):
		    one = copy.deepcopy(pod)
		    one["metadata"]["name"] = f"many-{n}"
		    one["metadata"]["labels"] = {"app": "many"}
		    one["spec"]["nodeName"] = "node1"
		    # The node would refuse what is beyond its CPUs.
		    one["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1m"
		    items.append(one)
		print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
	END
}

# bench_node_cpu: milliseconds of CPU that the lab has used.
bench_node_cpu() {
	local file=/sys/fs/cgroup/cpuacct/$LAB_CGROUP/cpuacct.usage
	if [ -r "$file" ]; then
		echo $(($(cat "$file") / 1000000))
	else
		awk '$1 == "usage_usec" { printf "%d\n", $2 / 1000 }' "/sys/fs/cgroup/$LAB_CGROUP/cpu.stat"
	fi
}

# bench_node_bare: "peer MS", "cpu-peer MS". What was started is removed after the CPU is read.
bench_node_bare() {
	local cpu hold line status
	[ -p "$BENCH_DIR/hold" ] || mkfifo "$BENCH_DIR/hold" || return
	exec {hold}<>"$BENCH_DIR/hold"
	cpu=$(bench_node_cpu)
	lab_exec 1 /tmp/bench/cri_many-bench unix:///run/containerd/containerd.sock /tmp/bench/pod.json $BENCH_NODE_PODS <&"$hold" | {
		read -r line && echo "$line" && echo "cpu-peer $(($(bench_node_cpu) - cpu))"
		echo >&"$hold"
	}
	status=${PIPESTATUS[0]}
	exec {hold}<&-
	return "$status"
}

# bench_node_start: "hanok MS" from the first request to the last pod Running, and "cpu-hanok MS".
bench_node_start() {
	local start cpu watch watcher name phase
	local -A running=()
	cpu=$(bench_node_cpu)
	start=$(date +%s%N)
	exec {watch}< <(exec kubectl --kubeconfig "$LAB/kubeconfig" --cache-dir "$LAB/kubectl-cache" get pod -l app=many --watch -o 'jsonpath={.metadata.name} {.status.phase}{"\n"}')
	watcher=$!
	bench_kubectl create -f "$BENCH_DIR/pods.json" >/dev/null || return
	while [ ${#running[@]} -lt $BENCH_NODE_PODS ]; do
		read -r -t 300 name phase <&"$watch" || return
		[ "$phase" != Running ] || running[$name]=1
	done
	echo "hanok $((($(date +%s%N) - start) / 1000000))"
	echo "cpu-hanok $(($(bench_node_cpu) - cpu))"
	kill "$watcher"
	exec {watch}<&-
}

bench_node_end() { bench_kubectl delete pod -l app=many --wait --timeout=300s >/dev/null; }

bench_node_adopted() {
	bench_kubectl get --raw /api/v1/nodes/node1/proxy/metrics 2>/dev/null |
		awk -v pods=$BENCH_NODE_PODS '/^kubelet_running_pods/ { found = $2 >= pods } END { exit !found }'
}
