#!/bin/bash
# The node by itself: its configuration, its port, its metrics, static pods.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-node

HOST=$LAB/node1
MANIFESTS=$HOST/etc/kubernetes/manifests
IMAGE=$LAB_REGISTRY/web:latest

# node_restart: the agent anew, with what is in kubelet.yaml now.
node_restart() { lab_node_end 1 && lab_node_up 1; }

# at_node PATH [CURL-OPTION...]: the node's port, asked directly.
at_node() {
	local path=$1
	shift
	on_node 1 curl -sk --max-time 10 -w '\n%{http_code}' "$@" "https://127.0.0.1:10250$path"
}
by_proxy() { k get --raw "/api/v1/nodes/node1/proxy$1"; }

# pod_manifest NAME [GRACE [ENV]]: to a file beside, then into place at once.
pod_manifest() {
	cat >"$TEST_DIR/manifest" <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, namespace: e2e-node}
		spec:
		  terminationGracePeriodSeconds: ${2:-0}
		  containers:
		  - name: c
		    image: $IMAGE
		    imagePullPolicy: IfNotPresent
		    env: [{name: WORD, value: "${3:-first}"}]
		    resources: {limits: {cpu: 500m, memory: 64Mi}}
	END
	install -m 644 "$TEST_DIR/manifest" "$MANIFESTS/.$1.new" && mv "$MANIFESTS/.$1.new" "$MANIFESTS/$1.yaml"
}
container_of() { k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}'; }
is_other() { [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; }

# ---- configuration ----

cat >"$TEST_DIR/bad.yaml" <<-END
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	maxPods: -4
END
check_refused "a value out of range is refused with file, field, value and what to give" \
	'bad.yaml: maxPods: -4: give a whole number of at least 0' \
	"$HANOK" node --kubeconfig /nonexistent --config "$TEST_DIR/bad.yaml"
echo 'apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPod: 4' >"$TEST_DIR/bad.yaml"
check_refused "an unknown field is refused" 'unknown field .*maxPod' \
	"$HANOK" node --kubeconfig /nonexistent --config "$TEST_DIR/bad.yaml"

mkdir -p "$MANIFESTS"
rm -f "$MANIFESTS"/*
pod_manifest fixed
cat >"$HOST/kubelet.yaml" <<-END
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	maxPods: 77
	staticPodPath: /etc/kubernetes/manifests
	nodeLabels: {example.com/rack: r1}
	cpuManagerPolicy: none
	authorization: {webhook: {cacheUnauthorizedTTL: 1ms}}
END
lab_thresholds >>"$HOST/kubelet.yaml"
check "the agent starts with a configuration" node_restart
check "it comes back" k wait --for=condition=Ready node/node1 --timeout=120s
check_output "/configz says what is in force" '"maxPods":77' by_proxy /configz
check_output "what is known and not used is named in one warning" 'fields=cpuManagerPolicy' \
	grep 'have no effect here' "$HOST/var/log/hanok-node.log"
check "labels of the configuration are on the Node" \
	eventually 10 matches '^r1$' k get node node1 -o 'jsonpath={.metadata.labels.example\.com/rack}'

# ---- static pods ----

check "a pod from a file runs, and is in the API" \
	eventually 30 matches '^True$' k get pod fixed-node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
check_output "it says where it comes from" '^file true$' k get pod fixed-node1 -o \
	'jsonpath={.metadata.annotations.kubernetes\.io/config\.source} {.metadata.ownerReferences[0].controller}' \
	--allow-missing-template-keys=true
FIRST=$(container_of fixed-node1)
UID1=$(k get pod fixed-node1 -o 'jsonpath={.metadata.uid}')
check_output "exec goes to it" '^first$' k exec fixed-node1 -- sh -c 'echo $WORD'
check "the API takes its deletion" k delete pod fixed-node1 --wait=false
mirror_is_new() { is_other "$UID1" "$(k get pod fixed-node1 -o 'jsonpath={.metadata.uid}')"; }
check "its mirror is made again" eventually 15 mirror_is_new
same_container() { [ "$(container_of fixed-node1)" = "$FIRST" ]; }
check "and its container was not touched" eventually 10 same_container

echo 'kind: [' >"$MANIFESTS/broken.yaml"
sed 's/image:/envFrom: [{secretRef: {name: s}}]\n    image:/' "$MANIFESTS/fixed.yaml" >"$MANIFESTS/secret.yaml"
sed 's/first/twin/' "$MANIFESTS/fixed.yaml" >"$MANIFESTS/twin.yaml"
pod_manifest other
check "a file beside broken ones runs" eventually 30 matches True \
	k get pod other-node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
check "references to the API's objects are refused, and told by an event" \
	eventually 10 matches 'secret.yaml: static pods may not reference secrets' k get events -A --field-selector reason=FailedStaticPod
check_output "a second file of a name, too" 'another file has a pod of this name' \
	k get events -A --field-selector reason=FailedStaticPod
check "the others are not touched" same_container
rm "$MANIFESTS"/{broken,secret,twin}.yaml

pod_manifest fixed 0 second
container_is_new() { is_other "$FIRST" "$(container_of fixed-node1)"; }
check "a file that changed is another pod" eventually 30 container_is_new
check "with what it says now" eventually 15 matches '^second$' k exec fixed-node1 -- sh -c 'echo $WORD'
SECOND=$(container_of fixed-node1)
rm "$MANIFESTS/other.yaml"
check "a pod ends when its file goes" eventually 30 matches NotFound sh -c "! $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-node get pod other-node1 && echo NotFound"

# ---- without the API ----

lab_node_end 1
lab_server_end
pod_manifest alone
lab_node_up 1
runs_alone() {
	on_node 1 sh -c 'ls -d /var/log/pods/e2e-node_alone-node1_*/c/0.log'
}
check "a static pod starts while the server is away" eventually 30 runs_alone
health() { on_node 1 curl -s http://127.0.0.1:10248/healthz; }
check_output "the agent is healthy at 127.0.0.1:10248" '^ok$' health
check_output "a token can't be checked then" '401$' at_node /pods -H 'Authorization: Bearer some'
check "the server comes back" lab_server_up
check "the pod appears in the API" eventually 30 matches True \
	k get pod alone-node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
check_output "what ran on is the same container" "^$SECOND\$" container_of fixed-node1
rm "$MANIFESTS/alone.yaml"

# ---- the port ----

k create serviceaccount reader >/dev/null
TOKEN=$(k create token reader)
AUTH="Authorization: Bearer $TOKEN"
check_output "nobody is refused" '^Unauthorized.401$' at_node /metrics
check_output "a bad token is refused" '^Unauthorized.401$' at_node /metrics -H 'Authorization: Bearer x'
check_output "a user without rights is refused with the reason" \
	'^Forbidden \(user=system:serviceaccount:e2e-node:reader, verb=get, resource=nodes, subresource=metrics\).403$' \
	at_node /metrics -H "$AUTH"
k create clusterrole e2e-node-reader --verb=get --resource=nodes/metrics,nodes/pods >/dev/null
k create clusterrolebinding e2e-node-reader --clusterrole=e2e-node-reader \
	--serviceaccount=e2e-node:reader >/dev/null
check_output "a right lets in" 'kubelet_node_name\{node="node1"\} 1' at_node /metrics -H "$AUTH"
check_output "a finer right lets in where there is one" '"kind":"PodList"' at_node /pods -H "$AUTH"
check_output "but not elsewhere" '403$' at_node /exec/e2e-node/fixed-node1/c -H "$AUTH"
check_output "/runningpods/" '"name":"fixed-node1"' by_proxy /runningpods/
check_output "/healthz/syncloop" '^ok$' by_proxy /healthz/syncloop
check_output "/logs/ lists the host's logs" 'href="pods/"' by_proxy /logs/
check_output "/logs/ gives a file" 'containerd' by_proxy /logs/containerd.log
ln -sf /etc/passwd "$HOST/var/log/escape"
check_refused "/logs/ does not leave the directory" '[Ff]orbidden|403' by_proxy /logs/escape
rm "$HOST/var/log/escape"
run_command() {
	k create --raw "/api/v1/nodes/node1/proxy/run/e2e-node/fixed-node1/c?cmd=echo%20done" -f - <<<'{}'
}
check_output "/run runs a command" '^done$' run_command

# ---- metrics ----

figure() { by_proxy "$1" | grep -E "$2"; }
check_output "operations of the runtime are counted" ' [1-9]' \
	figure /metrics '^kubelet_runtime_operations_total\{operation_type="create_container"\}'
check_output "what runs is counted" ' [1-9]' figure /metrics '^kubelet_running_pods '
for name in container_cpu_usage_seconds_total container_memory_working_set_bytes container_memory_rss \
	container_spec_memory_limit_bytes container_start_time_seconds container_cpu_cfs_periods_total \
	container_threads; do
	check_output "/metrics/cadvisor has $name" ' [0-9.]+ [0-9]+' \
		figure /metrics/cadvisor "^$name\{container=\"c\",id=\"[^\"]+\",image=\"[^\"]+\",name=\"[0-9a-f]{64}\",namespace=\"e2e-node\",pod=\"fixed-node1\""
done
for name in container_cpu_usage_seconds_total container_memory_working_set_bytes container_threads; do
	check_output "and $name of the pod" ' [0-9.]*[1-9]' figure /metrics/cadvisor \
		"^$name\{container=\"\",id=\"/[^\"]*pod[^\"]+\",image=\"\",name=\"\",namespace=\"e2e-node\",pod=\"fixed-node1\""
	check_output "and of all pods" ' [0-9.]*[1-9]' figure /metrics/cadvisor \
		"^$name\{container=\"\",id=\"/[^\"]*kubepods[^\"/]*\",image=\"\",name=\"\",namespace=\"\",pod=\"\""
done
check_output "and the network of the pod" ' [1-9]' figure /metrics/cadvisor \
	'^container_network_receive_bytes_total\{container="",.*pod="fixed-node1",interface="eth0"\}'
check_output "what was started is counted" ' [1-9]' figure /metrics '^kubelet_started_containers_total{container_type="container"}'
for line in '^kubelet_desired_pods\{static="true"\}' '^kubelet_active_pods\{static="true"\}' '^kubelet_mirror_pods ' \
	'^rest_client_requests_total\{code="200",host="[0-9.]+:6443",method="GET"\}' \
	'^kubelet_cgroup_manager_duration_seconds_count\{operation_type="(create|update)"\}' \
	'^kubelet_http_requests_total\{long_running="false",method="GET",path="metrics",server_type="readwrite"\}'; do
	check_output "there is ${line%%[ \\]*}" ' [1-9]' figure /metrics "$line"
done
check_output "and the machine" ' [1-9]' figure /metrics/cadvisor '^machine_cpu_cores '

# ---- network policies hold for static pods, too ----

# shellcheck disable=SC2016
reaches() { k exec fixed-node1 -- sh -c 'timeout 3 wget -q -O /dev/null http://10.96.0.1:443/ 2>/dev/null; [ $? = 143 ] && echo no || echo yes'; }
check "a static pod reaches others" eventually 30 matches '^yes$' reaches
printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none}\nspec: {podSelector: {}, policyTypes: [Egress]}\n' | k apply -f - >/dev/null
check "a policy denies it" eventually 30 matches '^no$' reaches
k delete networkpolicy none >/dev/null
check "and no more when it goes" eventually 30 matches '^yes$' reaches

# ---- control groups that nobody knows ----

# As a runtime leaves them that was killed in the midst of a start: with a process in one of them.
LOST=kubepods/besteffort/pod0b3d4f5e-0000-4000-8000-000000000001
lost_groups() { on_node 1 find /sys/fs/cgroup -type d -path "*/$LOST*"; }
# shellcheck disable=SC2016
on_node 1 sh -c '
	for parent in $(find /sys/fs/cgroup -type d -path "*/kubepods/besteffort"); do mkdir -p "$parent/${1##*/}/c"; done
	group=$(find /sys/fs/cgroup -type d -path "*/$1/c" | grep -E "/(pids|freezer)/|cgroup/kubepods" | head -n 1)
	setsid sh -c "echo \$\$ >$group/cgroup.procs && exec sleep 300" </dev/null >/dev/null 2>&1 &' - "$LOST"
check_output "control groups of a pod that nobody knows" "$LOST/c" lost_groups
check "go" eventually 60 matches '^$' lost_groups

# ---- as it was ----

rm -f "$MANIFESTS"/*.yaml "$HOST/kubelet.yaml"
check "the agent starts without a configuration" node_restart
check "what was static is gone" eventually 30 matches '^$' k get pods -o name
k delete clusterrole,clusterrolebinding e2e-node-reader >/dev/null
k label node node1 example.com/rack- >/dev/null
check "the node is ready" k wait --for=condition=Ready node/node1 --timeout=120s
finish
