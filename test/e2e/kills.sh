#!/bin/bash
# kill -9 of server and node agent: containers and virtual machines run on and are adopted, nothing starts twice.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-kills
ROUNDS=${KILL_ROUNDS:-5}

cp "$TEST_ROOT"/samples/web.yaml "$TEST_DIR/web.yaml"
sed -i '/nodePort:/d; s/type: NodePort/type: ClusterIP/' "$TEST_DIR/web.yaml"
check "apply" k apply -f "$TEST_DIR/web.yaml"
check "containers are rolled out" k rollout status deployment/web --timeout=90s
check "the machine is Ready" k wait --for=condition=Ready vm/web-vm --timeout=120s

# Processes of the workloads, by PID and start time: neither may change.
workload() { on_node 1 sh -c 'for p in /proc/[0-9]*; do case $(tr "\0" " " <$p/cmdline 2>/dev/null) in httpd*|*"/bin/web "*|*qemu-system*guest=*) cut -d" " -f1,22 $p/stat;; esac; done' | sort; }
tasks() { on_node 1 ctr -n k8s.io tasks ls -q | sort; }
before=$(workload) before_tasks=$(tasks)
check "there is a workload to look at" test "$(wc -l <<<"$before")" -ge 5

kill_server_process() { kill -9 "$(cut -d' ' -f1 "$LAB/run/server.pid")"; }
kill_node_process() { on_node 1 sh -c 'kill -9 $(cut -d" " -f1 /run/lab/hanok-node.pid)'; }
everything_ready() { k wait --for=condition=Ready node/node1 --timeout=1s && k wait --for=condition=Ready vm/web-vm --timeout=1s && k rollout status deployment/web --timeout=1s; }

for ((round = 1; round <= ROUNDS; round++)); do
	case $((round % 3)) in
	0) kill_server_process && kill_node_process ;;
	1) kill_node_process ;;
	2) kill_server_process ;;
	esac
	check "round $round: killed and started again" eventually 20 lab_server_up
	check "round $round: node" lab_node_up 1
	check "round $round: all is Ready" eventually 40 everything_ready
done
check "the same processes run as before" test "$(workload)" = "$before"
check "and no container more or less" test "$(tasks)" = "$before_tasks"
check_output "no restart was counted" '^0 0$' k get pods -l app=web -o 'jsonpath={.items[*].status.containerStatuses[0].restartCount}'

kill_node_process
check "while the agent is away a pod is deleted" k delete pod --wait=false "$(k get pods -l runs-in=container -o 'jsonpath={.items[0].metadata.name}')"
check "agent back" lab_node_up 1
check "the deletion is completed and the pod replaced" eventually 60 everything_ready
check_output "two containers again" '^2$' k_count pods -l runs-in=container
check "delete" k delete -f "$TEST_DIR/web.yaml" --timeout=90s
finish
