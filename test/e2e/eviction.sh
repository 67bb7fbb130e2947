#!/bin/bash
# A node that is short of something: what it gives back, whom it ends, whom it refuses, in which words; and its
# graceful shutdown.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-eviction

KUBELET=$LAB/node1/kubelet.yaml
BUS=/run/dbus/system_bus_socket
[ ! -e "$KUBELET" ] || cp "$KUBELET" "$TEST_DIR/kubelet.before"

# What follows goes by the node's own configuration again.
restore() {
	local pid
	if [ -e "$TEST_DIR/kubelet.before" ]; then cp "$TEST_DIR/kubelet.before" "$KUBELET"; else rm -f "$KUBELET"; fi
	on_node 1 umount -l /var/log/pods 2>/dev/null
	for pid in fake-logind system-bus; do lab_service_end node1 $pid 2>/dev/null; done
	lab_node_end 1
	lab_node_up 1
}
# shellcheck disable=SC2317
at_exit() {
	[ -n "$TEST_FINISHED" ] || restore
	test_at_exit
}
trap at_exit EXIT

# configure LINE...: starts the agent anew with these lines of a KubeletConfiguration.
configure() {
	printf '%s\n' "apiVersion: kubelet.config.k8s.io/v1beta1" "kind: KubeletConfiguration" \
		"evictionPressureTransitionPeriod: 1s" "$@" >"$KUBELET"
	lab_node_end 1
	lab_node_up 1
}
condition() { k get node node1 -o "jsonpath={.status.conditions[?(@.type==\"$1\")].status} {.status.conditions[?(@.type==\"$1\")].reason}"; }
events() { k get events -n default --field-selector "involvedObject.name=node1,reason=$1" -o 'jsonpath={.items[*].message}'; }
# pod NAME SPEC-IN-JSON: on node1, whatever the scheduler would say, for what it may not place.
pod() {
	k apply -f - <<<"{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {$2}}"
}
C='name: c, image: "registry.lab:5000/web:latest"'
status() { k_field "pod/$1" .status.phase .status.reason .status.message; }
# The control group's usage or, where there is none to see, the host's: as the agent reckons.
# shellcheck disable=SC2016
available() {
	on_node 1 sh -c '
		number() { sed -n "s/^$1:* *\([0-9]*\).*/\1/p" "$2"; }
		total=$(($(number MemTotal /proc/meminfo) * 1024))
		if [ -e /sys/fs/cgroup/memory/memory.usage_in_bytes ]; then
			used=$(cat /sys/fs/cgroup/memory/memory.usage_in_bytes)
			cold=$(number total_inactive_file /sys/fs/cgroup/memory/memory.stat)
		else
			used=$((total - $(number MemFree /proc/meminfo) * 1024))
			cold=$(($(number "Inactive(file)" /proc/meminfo) * 1024))
		fi
		echo $((total - used + cold))'
}
# 1 or 0
on_disk() { on_node 1 ctr -n k8s.io images ls -q | awk -v name="registry.lab:5000/$1:" 'index($0, name) == 1 { n++ } END { print n + 0 }'; }

# Refused pods, pods beyond their limits of the disk, one that takes all memory, and an image that nobody uses: all at
# once, since each is looked at every ten seconds.
on_node 1 ctr -n k8s.io images pull --plain-http registry.lab:5000/vm-kernel:latest >/dev/null 2>&1
check_output "an image that nobody uses" '^1' on_disk vm-kernel
configure "imageGCHighThresholdPercent: 2" "imageGCLowThresholdPercent: 1" \
	"evictionHard: {memory.available: '$(($(available) - 150 * 1024 * 1024))'}"
check "pods that do not fit" pod fat "nodeName: node1, containers: [{$C, resources: {requests: {cpu: 4k}}}]"
check "a pod for another node" pod wrong "nodeName: node1, nodeSelector: {no: where}, containers: [{$C}]"
check "a pod with a host port" pod port1 "nodeName: node1, containers: [{$C, ports: [{containerPort: 80, hostPort: 18080}]}]"
eventually 20 matches '^Running' status port1
check "another one with the same" pod port2 "nodeName: node1, containers: [{$C, ports: [{containerPort: 80, hostPort: 18080}]}]"
check "a pod with a small emptyDir" pod dir "volumes: [{name: v, emptyDir: {sizeLimit: 10Mi}}], containers: [{$C,
	command: [sh, -c, 'head -c 20000000 /dev/zero >/v/x; sleep 1000'], volumeMounts: [{name: v, mountPath: /v}]}]"
check "a pod with a small layer" pod layer "containers: [{$C, resources: {limits: {ephemeral-storage: 20Mi}},
	command: [sh, -c, 'head -c 30000000 /dev/zero >/x; sleep 1000']}, {name: d, image: registry.lab:5000/web:latest,
	command: [sleep, '1000'], resources: {limits: {ephemeral-storage: 100Mi}}}]"
check "a modest pod" pod small "containers: [{$C, command: [sleep, '1000'], resources: {requests: {memory: 20Mi}}}]"
check "a pod that takes all memory" pod big "containers: [{$C, command: [sh, -c, '(head -c 300000000 /dev/zero; sleep 1000) | tail']}]"
check "too much CPU" eventually 10 matches \
	"^Failed OutOfcpu Pod was rejected: Node didn't have enough resource: cpu, requested: 4000000, used: [0-9]+, capacity: [0-9]+$" status fat
check "not the node it wants" eventually 10 matches '^Failed NodeAffinity Pod was rejected: Predicate NodeAffinity failed$' status wrong
check "a port that is taken" eventually 10 matches '^Failed NodePorts Pod was rejected: Predicate NodePorts failed$' status port2
check "an emptyDir beyond its limit" eventually 25 matches \
	'^Failed Evicted Usage of EmptyDir volume "v" exceeds the limit "10Mi". $' status dir
check "a container beyond its limit" eventually 15 matches \
	'^Failed Evicted Container c exceeded its local ephemeral storage limit "20Mi". $' status layer
check_output "an event says so" 'Usage of EmptyDir volume "v" exceeds the limit "10Mi"' \
	k get events --field-selector reason=Evicted,involvedObject.name=dir
check "the one that takes all memory" eventually 30 matches \
	'^Failed Evicted The node was low on resource: memory. Threshold quantity: [0-9]+(Ki)?, available: [0-9]+(Ki)?. Container c was using [0-9]+(Ki)?, request is 0, has larger consumption of memory. $' status big
check_output "as the target of a disruption" '^True TerminationByKubelet$' k get pod big -o \
	'jsonpath={.status.conditions[?(@.type=="DisruptionTarget")].status} {.status.conditions[?(@.type=="DisruptionTarget")].reason}'
check_output "the modest one runs on" '^Running 0$' k_field pod/small .status.phase '.status.containerStatuses[0].restartCount'
check "the node says what it does" eventually 20 matches 'Attempting to reclaim memory' events EvictionThresholdMet
check "and how it is" eventually 20 matches 'Node node1 status is now: NodeHasInsufficientMemory' events NodeHasInsufficientMemory
check "the unused image has gone" eventually 10 matches '^0' on_disk vm-kernel
check_output "the used ones are there" '^1' on_disk web
check_output "the sandboxes' too" '^1' on_disk pause
check_output "less was free than wanted" 'Failed to garbage collect required amount of images. Attempted to free [0-9]+ bytes, but only found [0-9]+ bytes eligible to free.' \
	events FreeDiskSpaceFailed
check "memory is enough again" eventually 25 matches '^False KubeletHasSufficientMemory$' condition MemoryPressure
k delete pod fat wrong port1 port2 dir layer big --grace-period=1 --wait=false >/dev/null

# Disk: a small file system for logs, and one pod that fills it. How full the machine's own is does not matter.
on_node 1 mount -t tmpfs -o size=20m tmpfs /var/log/pods
configure "evictionHard: {nodefs.available: 2400Ki}"
check "a pod that says much" pod chatty "containers: [{$C, command: [sh, -c, 'yes \$(printf %01000d 0) | head -c 18500000; sleep 1000']}]"
check "it is evicted for its logs" eventually 30 matches \
	'^Failed Evicted The node was low on resource: ephemeral-storage. Threshold quantity: [0-9]+(Ki)?, available: [0-9]+(Ki)?. Container c was using [0-9]+(Ki)?, request is 0, has larger consumption of ephemeral-storage. $' status chatty
check_output "the node says so" '^True KubeletHasDiskPressure$' condition DiskPressure
check "no other pod comes meanwhile" pod late "nodeName: node1, containers: [{$C, resources: {requests: {memory: 1Mi}}}]"
check "and is told why" eventually 10 matches \
	'^Failed Evicted Pod was rejected: The node had condition: \[DiskPressure\]. $' status late
check "its logs are given back, that is enough" eventually 25 matches '^False KubeletHasNoDiskPressure$' condition DiskPressure
check_output "the modest one still runs on" '^Running 0$' k_field pod/small .status.phase '.status.containerStatuses[0].restartCount'
k delete pod chatty late --grace-period=1 --wait=false >/dev/null
on_node 1 umount -l /var/log/pods

# Shutdown, as logind tells of it.
if [ ! -x "$(dirname "$HANOK")/node/shutdown/fake_logind" ] || ! command -v dbus-daemon >/dev/null; then
	echo "ok $((TEST_COUNT += 1)) - graceful shutdown # SKIP not available on this host: libsystemd's headers or dbus-daemon are missing"
	restore
	finish
	exit
fi
# Where the host sees it, wherever the clone is.
cp "$(dirname "$HANOK")/node/shutdown/fake_logind" "$LAB/bin/fake_logind"
logind_says() { on_node 1 grep -x "$1" /var/log/fake-logind.log; }
on_node 1 mkdir -p /run/dbus /etc/systemd/logind.conf.d
lab_service node1 system-bus dbus-daemon --config-file="$TEST_ROOT/test/lab/system_bus.conf" --nofork --address "unix:path=$BUS"
eventually 10 on_node 1 test -S $BUS
lab_service node1 fake-logind /run/lab/bin/fake_logind 5 /etc/systemd/logind.conf.d/99-hanok-node.conf
eventually 10 logind_says serving
MANIFESTS=$LAB/node1/etc/kubernetes/manifests
mkdir -p "$MANIFESTS" && rm -f "$MANIFESTS"/*
cat >"$MANIFESTS/of-file.yaml" <<-END
	{apiVersion: v1, kind: Pod, metadata: {name: of-file, namespace: e2e-eviction}, spec: {terminationGracePeriodSeconds: 1, containers: [{$C}]}}
END
configure "shutdownGracePeriod: 20s" "shutdownGracePeriodCriticalPods: 8s" "staticPodPath: /etc/kubernetes/manifests" \
	"$(lab_thresholds)"
check "logind holds the host up for the agent" eventually 15 logind_says 'inhibit shutdown hanok-node delay'
check "a critical pod" pod critical "priorityClassName: system-node-critical, containers: [{$C}]"
eventually 20 matches '^Running' status critical
check "a static pod runs" eventually 30 matches '^Running' status of-file-node1
# shellcheck disable=SC2016
on_node 1 sh -c 'kill -USR1 $(set -- $(cat /run/lab/fake-logind.pid); echo $1)'
check "the modest one ends" eventually 15 matches \
	'^Failed Terminated Pod was terminated in response to imminent node shutdown.$' status small
check "the static one, too" eventually 15 matches '^Failed Terminated' status of-file-node1
check "then the critical one" eventually 15 matches \
	'^Failed Terminated Pod was terminated in response to imminent node shutdown.$' status critical
check "the host is let go" eventually 10 logind_says released
check_output "the node is not ready" '^False KubeletNotReady node is shutting down$' k get node node1 -o \
	'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason} {.status.conditions[?(@.type=="Ready")].message}'
check "a new pod" pod later "nodeName: node1, tolerations: [{operator: Exists}], containers: [{$C}]"
check "it is refused" eventually 10 matches \
	'^Failed NodeShutdown Pod was rejected: Pod was rejected as the node is shutting down.$' status later
# shellcheck disable=SC2016
on_node 1 sh -c 'kill -USR2 $(set -- $(cat /run/lab/fake-logind.pid); echo $1)'
check "called off: the node is ready again" eventually 10 matches '^True KubeletReady$' condition Ready
check "and the static pod runs again" eventually 30 matches '^Running *$' status of-file-node1
rm -f "$MANIFESTS"/*

k delete pod --all --grace-period=1 --wait=false >/dev/null
restore
check "the node is as before" eventually 20 matches '^True KubeletReady$' condition Ready
finish
