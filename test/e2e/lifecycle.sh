#!/bin/bash
# Lives of pods, with an unmodified kubectl on real containers: ephemeral containers, failures of the
# start, probes, readiness gates, hooks, sidecars, deadlines.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-lifecycle
image=registry.lab:5000/web:latest

# pod NAME YAML: a pod whose spec is YAML, beside what all of them have.
pod() {
	printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n' "$1"
	printf '  terminationGracePeriodSeconds: %s\n' "${GRACE:-2}"
	sed 's/^/  /'
}
{
	pod plain <<-END
		containers: [{name: main, image: $image}]
	END
	pod crash <<-END
		containers: [{name: main, image: $image, command: [sh, -c, "echo last words >/dev/termination-log; exit 3"]}]
	END
	pod nothing <<-END
		containers: [{name: main, image: $image, command: [/no/such/program]}]
	END
	pod nothing-once <<-END
		restartPolicy: Never
		containers: [{name: main, image: $image, command: [/no/such/program]}]
	END
	pod no-key <<-END
		containers: [{name: main, image: $image, env: [{name: A, valueFrom: {configMapKeyRef: {name: absent, key: k}}}]}]
	END
	pod bad-hook <<-END
		containers: [{name: main, image: $image, lifecycle: {postStart: {exec: {command: [sh, -c, exit 7]}}}}]
	END
	pod gated <<-END
		readinessGates: [{conditionType: example.com/lit}]
		containers: [{name: main, image: $image}]
	END
	GRACE=20 pod hooked <<-END
		containers:
		- name: main
		  image: $image
		  command: [sh, -c, "trap 'echo asked to end; exit 0' TERM; while :; do sleep 0.1; done"]
		  lifecycle: {preStop: {exec: {command: [sh, -c, "echo hook begins >/proc/1/fd/1; sleep 3; echo hook ends >/proc/1/fd/1"]}}}
	END
	pod probed <<-END
		containers:
		- name: away
		  image: $image
		  command: [sh, -c, "head -c 100000 /dev/zero >/w/big.html; echo yes >/w/good.html; exec httpd -f -p 81 -h /w"]
		  ports: [{name: web, containerPort: 81}]
		  startupProbe: {httpGet: {path: /big.html, port: 81}, periodSeconds: 1}
		  livenessProbe: {httpGet: {path: /cgi-bin/home, port: web}, periodSeconds: 1}
		  readinessProbe: {httpGet: {path: /cgi-bin/away, port: web}, periodSeconds: 1}
		  volumeMounts: [{name: w, mountPath: /w}, {name: cgi, mountPath: /w/cgi-bin}]
		- name: sick
		  image: $image
		  command: [sleep, "1000"]
		  livenessProbe: {tcpSocket: {port: 82}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}
		- name: rpc
		  image: $image
		  command: [sleep, "1000"]
		  readinessProbe: {grpc: {port: 83}, periodSeconds: 1}
		- name: unready
		  image: $image
		  command: [sleep, "1000"]
		  readinessProbe: {exec: {command: [sh, -c, "echo not yet; exit 1"]}, periodSeconds: 1}
		volumes: [{name: w, emptyDir: {}}, {name: cgi, configMap: {name: cgi, defaultMode: 0755}}]
	END
	pod sidecar <<-END
		restartPolicy: Never
		initContainers:
		- {name: side, image: $image, restartPolicy: Always, command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"], startupProbe: {exec: {command: ["true"]}, periodSeconds: 1}}
		containers: [{name: main, image: $image, command: [sleep, "1"]}]
	END
	pod sized <<-END
		containers:
		- {name: live, image: $image, resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 100m, memory: 32Mi}}}
		- {name: anew, image: $image, command: [sleep, "1000"], resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}], resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 100m, memory: 32Mi}}}
	END
	pod late <<-END
		activeDeadlineSeconds: 1000
		containers: [{name: main, image: $image}]
	END
} >"$TEST_DIR/pods.yaml"
# Redirects: one leads to another host, one to another page of this one.
cat >>"$TEST_DIR/pods.yaml" <<'END'
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cgi}
data:
  away: |
    #!/bin/sh
    printf 'HTTP/1.0 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n'
  home: |
    #!/bin/sh
    printf 'HTTP/1.0 302 Found\r\nLocation: ../good.html\r\n\r\n'
END
check "apply" k apply -f "$TEST_DIR/pods.yaml"

# ---- ephemeral containers ----
check "plain pod is ready" k wait --for=condition=Ready pod/plain --timeout=120s
check "debug --target" k debug plain --image=$image --target=main -c debugger -- sh -c 'echo I am here; exec sleep 1000'
ephemeral() { k get pod plain -o "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='$1')].state}"; }
check "the ephemeral container runs" eventually 20 matches '"running"' ephemeral debugger
check_output "it sees the target's processes" 'httpd -f' k exec plain -c debugger -- ps
check_output "logs of it" '^I am here$' k logs plain -c debugger
check "one that ends" k debug plain --image=$image -c once -- sh -c 'exit 5'
check "stays ended" eventually 20 matches '"terminated":.*"exitCode":5' ephemeral once
check_output "and the pod is as ready as before" '^Running True 0$' k_field pod/plain .status.phase '.status.conditions[?(@.type=="Ready")].status' '.status.containerStatuses[0].restartCount'
# The runtime detaches when stdin ends: it must not before the answer is there.
interactive() {
	{ echo 'echo I am $((6 * 7)); exit'; eventually 15 grep -q 42 "$TEST_DIR/dialogue"; } |
		k debug plain -i -q --image=$image --target=main -c dialogue -- sh >"$TEST_DIR/dialogue" 2>&1
	cat "$TEST_DIR/dialogue"
}
check_output "debug -i" 'I am 42' interactive
check "debug --copy-to" k debug plain --copy-to=copy --image=$image --share-processes -c helper -- sleep 1000
check "the copy is ready" k wait --for=condition=Ready pod/copy --timeout=120s
check_output "and shares processes" 'httpd -f' k exec copy -c helper -- ps

# ---- failures of the start ----
state() { k get pod "$1" -o "jsonpath={.status.containerStatuses[0].$2}"; }
check "CrashLoopBackOff" eventually 30 matches '"message":"back-off (10|20)s restarting failed container=main pod=crash_e2e-lifecycle\(.*"reason":"CrashLoopBackOff"' state crash state
check_output "with its last state" '"exitCode":3.*"message":"last words.*"reason":"Error"' state crash lastState
check "a program that is not there" eventually 30 matches '"reason":"(RunContainerError|CrashLoopBackOff)"' state nothing state
check "is a StartError" eventually 20 matches '"exitCode":128.*"reason":"StartError"' state nothing lastState
check "once: it is the end" eventually 20 matches '"exitCode":128.*"reason":"StartError"' state nothing-once state
check_output "and the pod has failed" '^Failed$' k_field pod/nothing-once .status.phase
check "a missing ConfigMap" eventually 20 matches '"message":"configmap \\"absent\\" not found","reason":"CreateContainerConfigError"' state no-key state
events_of() { k get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}'; }
check "a failing postStart hook" eventually 30 matches 'FailedPostStartHook: PostStartHook failed' events_of bad-hook
check "ends its container" eventually 20 matches 'Killing: FailedPostStartHook' events_of bad-hook

# ---- probes and gates ----
ready() { k get pod "$1" -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason} {.message}{end}'; }
check "a gate that nobody opened" eventually 20 matches '^False ReadinessGatesNotReady corresponding condition of pod readiness gate "example.com/lit" does not exist.$' ready gated
check "shut" k patch pod gated --subresource=status -p '{"status":{"conditions":[{"type":"example.com/lit","status":"False"}]}}'
check "says its value" eventually 10 matches '^False ReadinessGatesNotReady the status of pod readiness gate "example.com/lit" is not "True", but False$' ready gated
check "open" k patch pod gated --subresource=status -p '{"status":{"conditions":[{"type":"example.com/lit","status":"True"}]}}'
check "makes it ready" k wait --for=condition=Ready pod/gated --timeout=60s
probed() { k get pod probed -o "jsonpath={range .status.containerStatuses[?(@.name=='$1')]}{.ready} {.restartCount}{end}"; }
check "a redirect elsewhere is good" eventually 20 matches '^true 0$' probed away
check "and worth a warning" eventually 10 matches 'ProbeWarning: Readiness probe warning: Probe terminated redirects' events_of probed
check "a dead port" eventually 20 matches 'Unhealthy: Liveness probe failed: dial tcp [0-9.]+:82: connect: connection refused' events_of probed
check "is a reason to restart" eventually 20 matches 'Killing: Container sick failed liveness probe, will be restarted' events_of probed
check "and it is restarted" eventually 20 matches ' [1-9]' probed sick
check "a dead gRPC port" eventually 20 matches 'Unhealthy: Readiness probe failed: timeout: failed to connect service "[0-9.]+:83" within 1s: Connection refused' events_of probed
check "what a probe printed" eventually 20 matches 'Unhealthy: Readiness probe failed: not yet' events_of probed
check_output "who is not ready is named" '^False ContainersNotReady containers with unready status: \[.*unready\]$' ready probed

check_output "results of probes are counted" 'prober_probe_total\{container="away",namespace="e2e-lifecycle",pod="probed",pod_uid="[0-9a-f-]+",probe_type="Readiness",result="successful"\} [0-9]+' k get --raw "/api/v1/nodes/$(k_field pod/probed .spec.nodeName)/proxy/metrics/probes"
check_output "and how long they took" 'prober_probe_duration_seconds_count\{container="away",namespace="e2e-lifecycle",pod="probed",probe_type="Readiness"\} [1-9]' k get --raw "/api/v1/nodes/$(k_field pod/probed .spec.nodeName)/proxy/metrics/probes"

check_output "how long pods took to start is counted" 'kubelet_pod_start_sli_duration_seconds_count [1-9]' k get --raw "/api/v1/nodes/$(k_field pod/probed .spec.nodeName)/proxy/metrics"

# ---- resize ----
resize() { k patch pod sized --subresource=resize -p "{\"spec\":{\"containers\":[{\"name\":\"$1\",\"resources\":$2}]}}"; }
sizes() { k get pod sized -o "jsonpath={range .status.containerStatuses[?(@.name=='$1')]}{.restartCount} {.allocatedResources.cpu} {.resources.limits.memory}{end}"; }
limit() { k exec sized -c "$1" -- sh -c 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes'; }
resizes() { k get pod sized -o 'jsonpath={range .status.conditions[*]}{.type} {.reason} {.message};{end}'; }
check "the pod to resize is ready" k wait --for=condition=Ready pod/sized --timeout=120s
check "more memory, in place" resize live '{"requests":{"cpu":"20m"},"limits":{"memory":"64Mi"}}'
check "is in force" eventually 20 matches '^0 20m 64Mi$' sizes live
check_output "in the kernel" '^67108864$' limit live
check "more memory, with a restart" resize anew '{"limits":{"memory":"48Mi"}}'
check "is there after it" eventually 20 matches '^1 10m 48Mi$' sizes anew
check_output "in the kernel, too" '^50331648$' limit anew
check "more than the node has" resize live '{"requests":{"cpu":"5000"},"limits":{"cpu":"5000"}}'
check "is infeasible" eventually 10 matches "PodResizePending Infeasible Node didn't have enough capacity: cpu, requested: 5000010, capacity: [0-9]+;" resizes
check_output "and changes nothing" '^0 20m 64Mi$' sizes live
check "taken back" resize live '{"requests":{"cpu":"20m"},"limits":{"cpu":"100m"}}'
no_resize() { ! resizes | grep -q Resize; }
check "nothing is pending" eventually 10 no_resize

# ---- ends ----
check_output "a deadline is brought forward" 'patched' k patch pod late --type=merge -p '{"spec":{"activeDeadlineSeconds":1}}'
check "and kept" k wait --for=jsonpath='{.status.reason}'=DeadlineExceeded pod/late --timeout=120s
check_output "when all has ended" '^Failed [^ ]+ Pod was active on the node longer than the specified deadline$' k_field pod/late .status.phase '.status.containerStatuses[0].state.terminated.exitCode' .status.message
check "a pod with a sidecar succeeds" k wait --for=jsonpath='{.status.phase}'=Succeeded pod/sidecar --timeout=120s
check_output "with the sidecar ended after the others" '^0$' k_field pod/sidecar '.status.initContainerStatuses[0].state.terminated.exitCode'
files() { on_node 1 ls "/var/lib/hanok/pods/$(k_field "pod/$1" .metadata.uid)"; }
no_volumes() { files "$1" && ! files "$1" | grep -q volumes; } >/dev/null
check_output "a pod that runs has volumes" volumes files hooked
check "its volumes are gone" eventually 10 no_volumes sidecar
check "its log is not" k logs sidecar -c "$(k_field pod/sidecar '.spec.initContainers[0].name')"
check "the hooked pod is ready" k wait --for=condition=Ready pod/hooked --timeout=120s
k logs -f hooked >"$TEST_DIR/hooked.log" 2>&1 &
follower=$!
check "delete" k delete pod hooked --timeout=120s
wait $follower
check_output "the hook came first, and to its end" 'hook begins hook ends asked to end' paste -sd ' ' "$TEST_DIR/hooked.log"
k delete pods --all --wait=false >/dev/null
finish
