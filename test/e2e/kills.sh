#!/bin/bash
# kill -9 of the server, the node agent, or both, 100 times under load: no acknowledged write is lost; containers and
# virtual machines run on and are adopted; nothing starts twice.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-kills
ROUNDS=${KILL_ROUNDS:-100}
STARTS=$LAB/node1/var/lib/e2e-kills # as a pod's hostPath it is /var/lib/e2e-kills

sed '/nodePort:/d; s/type: NodePort/type: ClusterIP/' "$TEST_ROOT/samples/web.yaml" >"$TEST_DIR/web.yaml"
check "apply" k apply -f "$TEST_DIR/web.yaml"
check "containers are rolled out" k rollout status deployment/web --timeout=240s
check "the machine is Ready" k wait --for=condition=Ready vm/web-vm --timeout=180s

# The workload as the kernel, containerd and libvirt know it: processes with their start times, containers, domains.
workload() {
	on_node 1 sh -c '
		for task in $(ctr -n k8s.io containers ls -q "labels.\"io.kubernetes.pod.namespace\"==e2e-kills,labels.\"io.kubernetes.pod.name\"~=^web-"); do
			pid=$(ctr -n k8s.io tasks ls | awk -v task=$task "\$1 == task { print \$2 }")
			echo container $task $(cut -d" " -f1,22 /proc/$pid/stat)
		done
		for file in /proc/[0-9]*/cmdline; do
			case $(tr "\0" " " <$file 2>/dev/null) in
			/usr/bin/qemu-system*guest=e2e-kills*) echo guest $(cut -d" " -f1,22 ${file%cmdline}stat) ;;
			esac
		done' | sort
}
before=$(workload)
check_output "there is a workload to look at: containers and their sandboxes, a guest" '^4 1$' \
	awk '{ n[$1]++ } END { print n["container"], n["guest"] }' <(echo "$before")

# A pod that tells each of its starts; it must be started exactly once.
mkdir -p "$STARTS"
rm -f "$STARTS/starts"
start_pod() {
	k create -f - <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: once-$1, labels: {once: "yes"}}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 0
		  containers:
		  - name: c
		    image: registry.lab:5000/web:latest
		    imagePullPolicy: IfNotPresent
		    command: [sh, -c, "echo \$(hostname) >>/starts/starts"]
		    volumeMounts: [{name: starts, mountPath: /starts}]
		  volumes: [{name: starts, hostPath: {path: /var/lib/e2e-kills, type: Directory}}]
	END
}
starts() { sort "$STARTS/starts"; }
wanted_starts() { seq 1 5 $ROUNDS | sed 's/^/once-/' | sort; }

python3 "$TEST_ROOT/test/e2e/writers.py" "$KUBECONFIG_FILE" e2e-kills 4 "$TEST_DIR/stop" >"$TEST_DIR/writers.log" 2>&1 &
writers=$!

# Waits until it is gone: what is still on its way out would be taken for running, and not be started again.
kill_server_process() { "$LAB_PROC" alive "$LAB/run/server.pid" && "$LAB_PROC" end "$LAB/run/server.pid" 0; }
kill_node_process() { on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0'; }
vm_ready() { k wait --for=condition=Ready node/node1 --timeout=1s && k wait --for=condition=Ready vm/web-vm --timeout=1s; }
everything_ready() { vm_ready && k rollout status deployment/web --timeout=1s; }
one_round() {
	case $(($1 % 3)) in
	0) kill_server_process && kill_node_process ;;
	1) kill_node_process ;;
	2) kill_server_process ;;
	esac || return
	eventually 20 lab_server_up || return
	eventually 20 lab_node_up 1 || return
	# A different moment of the agent's start is hit each time.
	sleep "0.$(($1 * 37 % 100 * 8 + 100))"
}

round=0
while [ $round -lt "$ROUNDS" ]; do
	first=$((round + 1))
	failed_rounds=0
	while :; do
		round=$((round + 1))
		one_round $round || failed_rounds=$((failed_rounds + 1))
		[ $((round % 5)) != 1 ] || eventually 20 start_pod $round || failed_rounds=$((failed_rounds + 1))
		[ $((round % 20)) != 0 ] && [ $round -lt "$ROUNDS" ] || break
	done
	check "rounds $first to $round: killed and started again" test $failed_rounds = 0
	check "all is Ready after round $round" eventually 60 everything_ready
done
touch "$TEST_DIR/stop"
writers_result() { wait $writers; local status=$?; cat "$TEST_DIR/writers.log"; return $status; }
check "no acknowledged write was lost, no deleted object came back, no revision went back" writers_result
sed 's/^/# /' "$TEST_DIR/writers.log"
check "the same containers and guest run as before" test "$(workload)" = "$before"
check_output "no restart was counted" '^0 0$' k get pods -l app=web -o 'jsonpath={.items[*].status.containerStatuses[0].restartCount}'
# An agent that dies while the runtime starts a container may take that start with it: the pod has failed then, as
# its restartPolicy says. None may start twice.
ended() { [ "$(k get pods -l once=yes -o 'jsonpath={.items[*].status.phase}' | tr ' ' '\n' | grep -cE 'Succeeded|Failed')" = "$(wanted_starts | wc -l)" ]; }
succeeded() { k get pods -l once=yes --field-selector status.phase=Succeeded -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}' | sort; }
check "every pod that came meanwhile has ended" eventually 60 ended
check "nearly all of them well" test "$(succeeded | wc -l)" -ge $((ROUNDS / 5 * 8 / 10))
check_output "none was started twice" '^$' uniq -d <(starts)
check_output "each that succeeded was started" '^$' comm -23 <(succeeded) <(starts)
check_output "the guest was defined and started once" '^1$' k get events \
	--field-selector involvedObject.kind=VirtualMachineInstance,reason=Started -o 'jsonpath={.items[*].count}'
check_output "no container was taken for unready because the agent came back" '^$' k get events \
	--field-selector reason=NodeNotReady -o name

kill_node_process
check "while the agent is away a pod is deleted" k delete pod --wait=false "$(k get pods -l runs-in=container -o 'jsonpath={.items[0].metadata.name}')"
check "agent back" lab_node_up 1
check "the deletion is completed and the pod replaced" eventually 60 everything_ready
two_containers() { [ "$(k_count pods -l runs-in=container)" = 2 ]; }
check "two containers again" eventually 30 two_containers
check "delete" k delete -f "$TEST_DIR/web.yaml" --timeout=240s
check "and the rest" k delete namespace e2e-kills --timeout=240s
rm -rf "$STARTS"
finish
