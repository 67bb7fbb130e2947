#!/bin/bash
# The scheduler of the server, seen by kubectl: where pods and machines go, what is said of those that fit nowhere,
# who makes room for whom, and which volumes claims get. The nodes are objects only.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=on
raw /version >/dev/null
merge=(-X PATCH -H 'Content-Type: application/merge-patch+json' -o /dev/null)

# node NAME CPU LABELS: ready, with nothing on it
node() {
	k create -f - >/dev/null <<END
{apiVersion: v1, kind: Node, metadata: {name: $1, labels: {kubernetes.io/hostname: $1, $3}}}
END
	raw "/api/v1/nodes/$1/status" "${merge[@]}" -d '{"status":{"allocatable":{"cpu":"'"$2"'","memory":"4Gi","pods":"20"},
		"capacity":{"cpu":"'"$2"'","memory":"4Gi","pods":"20"},"conditions":[{"type":"Ready","status":"True"}]}}'
	raw "/api/v1/nodes/$1" "${merge[@]}" -d '{"spec":{"taints":null}}'
}

# pod NAME SPEC [CPU]: one container, and what else the spec has
pod() {
	k create -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: ${1%-*}}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: i, resources: {requests: {cpu: ${3:-100m}}}}]$2}
END
}
node_of() { k get pod "$1" -o 'jsonpath={.spec.nodeName}'; }
message_of() { k get pod "$1" -o 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'; }

pod early ''
eventually 20 matches 'no nodes available to schedule pods' message_of early
node n1 2 'disk: ssd, zone: a'
node n2 4 'disk: hdd, zone: b'
check "a pod that waits goes to the first node" eventually 20 matches '^n[12]$' node_of early
check "PodScheduled is True" matches '^True$' k get pod early -o 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].status}'
check "the event" eventually 20 matches 'Successfully assigned default/early to n[12]' k get events --field-selector reason=Scheduled

pod select ', nodeSelector: {disk: ssd}'
check "by node selector" eventually 20 matches '^n1$' node_of select
pod lost ', nodeSelector: {disk: tape}'
check "nothing matches" eventually 20 matches "^0/2 nodes are available: 2 node\\(s\\) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.\$" message_of lost
pod big '' 5
check "too big" eventually 20 matches '^0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.$' message_of big
check "kubectl describe says why" eventually 20 matches 'Warning +FailedScheduling .*default-scheduler +0/2 nodes are available: 2 Insufficient cpu' k describe pod big
check_output "kubectl get shows Pending" 'big +0/1 +Pending' k get pod big
k taint node n2 only=vms:NoSchedule >/dev/null
pod mixed '' 3
check "different reasons" eventually 20 matches '^0/2 nodes are available: 1 Insufficient cpu, 1 node\(s\) had untolerated taint \{only: vms\}. preemption: ' message_of mixed
k taint node n2 only=vms:NoSchedule- >/dev/null
check "it goes when the taint goes" eventually 20 matches '^n2$' node_of mixed
k delete pod mixed big lost early --force --grace-period=0 >/dev/null 2>&1
k cordon n1 >/dev/null
pod cordoned ', nodeSelector: {disk: ssd}'
check "a cordoned node" eventually 20 matches "1 node\\(s\\) were unschedulable" message_of cordoned
k uncordon n1 >/dev/null
check "an uncordoned one" eventually 20 matches '^n1$' node_of cordoned
k delete pod cordoned select --force --grace-period=0 >/dev/null 2>&1

pod mine ', schedulerName: mine'
pod gated ', schedulingGates: [{name: example.com/wait}]'
check "gates are shown" eventually 20 matches 'SchedulingGated' k get pod gated
anti='affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}'
for n in 1 2 3; do pod db-$n ", $anti"; done
two_nodes() { [ "$(for n in 1 2 3; do node_of db-$n; echo; done | grep -c . || true)" = 2 ]; }
check "anti-affinity: one on each node" eventually 20 two_nodes
refused_db() { for n in 1 2 3; do message_of db-$n; done; }
check "and none more" eventually 20 matches "2 node\\(s\\) didn't match pod anti-affinity rules. preemption: 0/2 nodes are available: 2 No preemption victims" refused_db
k delete pod db-1 db-2 db-3 --force --grace-period=0 >/dev/null 2>&1
spread='topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]'
for n in 1 2 3 4; do pod web-$n ", $spread"; done
even() { [ "$(for n in 1 2 3 4; do node_of web-$n; echo; done | sort | uniq -c | tr -d ' \n')" = 2n12n2 ]; }
check "spread over zones" eventually 20 even
k delete pod web-1 web-2 web-3 web-4 --force --grace-period=0 >/dev/null 2>&1
check_output "gates wait" '^$' node_of gated
k patch pod gated --type=json -p '[{"op":"remove","path":"/spec/schedulingGates"}]' >/dev/null
check "until they are gone" eventually 20 matches '^n[12]$' node_of gated
check_output "another scheduler's pod is left alone" '^$' node_of mine
k delete pod gated mine --force --grace-period=0 >/dev/null 2>&1

k create priorityclass high --value=1000 >/dev/null
k create priorityclass polite --value=1000 --preemption-policy=Never >/dev/null
pod low1 ', nodeSelector: {disk: ssd}' 2
pod low2 ', nodeSelector: {disk: hdd}' 4
check "nodes are full" eventually 20 matches '^n2$' node_of low2
pod polite ', priorityClassName: polite' 2
check "who does not preempt" eventually 20 matches 'preemption: not eligible due to preemptionPolicy=Never.$' message_of polite
k delete pod polite --force --grace-period=0 >/dev/null 2>&1
k create -f - >/dev/null <<'END'
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guard}
spec: {minAvailable: 1, selector: {matchLabels: {app: low1}}}
END
pod high ', priorityClassName: high' 1
check "a node is chosen and made free" eventually 20 matches '^n2$' node_of high
check_output "the budget is respected" '^n1$' node_of low1
check_fails "the victim is gone" k get pod low2
check "it was told" eventually 20 matches 'Preempted by pod [0-9a-f-]+ on node n2' k get events --field-selector reason=Preempted
k delete pod high low1 --force --grace-period=0 >/dev/null 2>&1

k create -f - >/dev/null <<'END'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk-on-n2}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: {path: /mnt/x}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n2]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: more}
spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 2Gi}}}
END
volume() { echo ", volumes: [{name: v, persistentVolumeClaim: {claimName: $1}}]"; }
pod claimless "$(volume none)"
check "a claim that is not there" eventually 20 matches '^0/2 nodes are available: persistentvolumeclaim "none" not found. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.$' message_of claimless
pod unbound "$(volume more)"
check "no volume for it" eventually 20 matches "^0/2 nodes are available: 2 node\\(s\\) didn't find available persistent volumes to bind. preemption: " message_of unbound
pod stateful "$(volume data)"
check "the volume is promised to the claim" eventually 20 matches '^default/data$' \
	k get pv disk-on-n2 -o 'jsonpath={.spec.claimRef.namespace}/{.spec.claimRef.name}'
check_output "the pod waits until it is bound" '^$' node_of stateful
# What the volume controller would do.
raw "/api/v1/namespaces/default/persistentvolumeclaims/data" "${merge[@]}" \
	-d '{"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"}},"spec":{"volumeName":"disk-on-n2"}}'
check "and goes where the volume is" eventually 20 matches '^n2$' node_of stateful

k create -f - >/dev/null <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: pinned}
spec: {domain: {cpu: {cores: 1, dedicatedCpuPlacement: true}, memory: {guest: 64Mi}, devices: {}}}
END
vm_says() { k get vmi pinned -o 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}{.status.nodeName}'; }
check "a machine with own processors needs a node that has them to give" eventually 20 matches "didn't match Pod's node affinity/selector" vm_says
k label node n1 cpumanager=true >/dev/null
check "one that has" eventually 20 matches '^n1$' vm_says

raw /metrics >"$TEST_DIR/metrics"
check "figures: attempts" grep -q 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} [1-9]' "$TEST_DIR/metrics"
# What has just changed may have some of them tried again.
check "figures: who waits" eventually 20 matches 'scheduler_pending_pods.queue="unschedulable". [1-9]' raw /metrics
check "figures: preemption" grep -q 'scheduler_preemption_victims 1' "$TEST_DIR/metrics"
finish
