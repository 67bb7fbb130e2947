#!/bin/bash
# What admission plugins put into objects, and what they refuse, in Kubernetes' words.
. "$(dirname "$0")/../lib.sh"
# Claims are bound by hand here.
start_server '--controllers=*,-persistentvolume-binder'
use_namespace admission-test

# pod NAME [SPEC-LINE...]: a pod of one container, with more lines in its spec.
pod() {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n' "$1"
	shift
	[ $# -gt 0 ] || set -- 'containers: [{name: c, image: i}]'
	printf '  %s\n' "$@"
}
apply() { k create -f -; }
pod_create() { pod "$@" | k create -f -; }
object() { k create -f - <<<"$1"; }

# Accounts and tokens.
check "a pod of a new namespace waits for its account" pod_create first
check_output "it runs as the default account" '^default default$' k_field pod/first .spec.serviceAccountName .spec.serviceAccount
check_output "tolerations of nodes that are gone for five minutes" \
	'^node.kubernetes.io/not-ready Exists NoExecute 300 node.kubernetes.io/unreachable$' k_field pod/first \
	'.spec.tolerations[0].key' '.spec.tolerations[0].operator' '.spec.tolerations[0].effect' \
	'.spec.tolerations[0].tolerationSeconds' '.spec.tolerations[1].key'
check_refused "another account must exist" \
	'pods "second" is forbidden: error looking up service account admission-test/nobody: serviceaccount "nobody" not found' \
	pod_create second 'serviceAccountName: nobody' 'containers: [{name: c, image: i}]'
object '{apiVersion: v1, kind: ServiceAccount, metadata: {name: puller}, imagePullSecrets: [{name: registry}], automountServiceAccountToken: false}' >/dev/null
check "an account of one's own" pod_create puller 'serviceAccountName: puller' 'containers: [{name: c, image: i}]'
check_output "its pull secrets, and no token" '^registry $' k_field pod/puller '.spec.imagePullSecrets[*].name' '.spec.volumes'
if k create token default >/dev/null 2>&1; then
	check_output "the token's volume" '^kube-api-access-[a-z0-9]{5} 3607 token kube-root-ca.crt namespace metadata.namespace 420$' k_field pod/first \
		'.spec.volumes[0].name' '.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds' \
		'.spec.volumes[0].projected.sources[0].serviceAccountToken.path' '.spec.volumes[0].projected.sources[1].configMap.name' \
		'.spec.volumes[0].projected.sources[2].downwardAPI.items[0].path' \
		'.spec.volumes[0].projected.sources[2].downwardAPI.items[0].fieldRef.fieldPath' '.spec.volumes[0].projected.defaultMode'
	check_output "is mounted where clients look" '^/var/run/secrets/kubernetes.io/serviceaccount true$' k_field pod/first \
		'.spec.containers[0].volumeMounts[0].mountPath' '.spec.containers[0].volumeMounts[0].readOnly'
fi
check "every namespace knows the cluster's authority" eventually 20 matches 'BEGIN CERTIFICATE' k get configmap kube-root-ca.crt -o yaml
k delete configmap kube-root-ca.crt >/dev/null
check "and gets it back" eventually 20 k get configmap kube-root-ca.crt
k patch configmap kube-root-ca.crt --type merge -p '{"data":{"ca.crt":"other"}}' >/dev/null
check "and right again" eventually 20 matches 'BEGIN CERTIFICATE' k get configmap kube-root-ca.crt -o yaml
mirror() {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: mirror, annotations: {kubernetes.io/config.mirror: x}}\nspec:\n'
	printf '  %s\n' "$@" 'nodeName: node-1' 'containers: [{name: c, image: i}]'
}
mirror_create() { mirror "$@" | k create -f -; }
check_refused "a mirror pod has no account" 'a mirror pod may not reference service accounts' mirror_create 'serviceAccountName: default'
check_refused "and no secrets" 'a mirror pod may not reference secrets' mirror_create 'volumes: [{name: v, secret: {secretName: s}}]'
check "it is left as it is" mirror_create
check_output "without a token" '^ $' k_field pod/mirror .spec.serviceAccountName .spec.volumes

# Limits.
k create namespace limited >/dev/null
use_namespace limited
object '{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [
  {type: Container, default: {cpu: 500m, memory: 128Mi}, defaultRequest: {cpu: 250m, memory: 64Mi}, max: {cpu: "1", memory: 256Mi}, min: {cpu: 100m}, maxLimitRequestRatio: {cpu: 4}},
  {type: Pod, max: {cpu: 1500m}},
  {type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 10Gi}}]}}' >/dev/null
check "a container that asks for nothing" pod_create plain
check_output "gets the defaults" '^250m 64Mi 500m 128Mi Burstable LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c$' \
	k_field pod/plain '.spec.containers[0].resources.requests.cpu' '.spec.containers[0].resources.requests.memory' \
	'.spec.containers[0].resources.limits.cpu' '.spec.containers[0].resources.limits.memory' .status.qosClass \
	'.metadata.annotations.kubernetes\.io/limit-ranger'
limited() { pod_create "$1" "containers: [{name: c, image: i, resources: $2}]"; }
check_refused "too much" 'pods "p" is forbidden: \[?maximum cpu usage per Container is 1, but limit is 2' limited p '{limits: {cpu: 2}, requests: {cpu: 1}}'
check_refused "too little" 'minimum cpu usage per Container is 100m, but request is 50m' limited p '{requests: {cpu: 50m}, limits: {cpu: 200m}}'
check_refused "too far apart" 'cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000' limited p '{requests: {cpu: 100m}, limits: {cpu: 1}}'
check_refused "too much together" 'pods "p" is forbidden: maximum cpu usage per Pod is 1500m, but limit is 2' \
	pod_create p 'containers: [{name: a, image: i, resources: {limits: {cpu: 1}}}, {name: b, image: i, resources: {limits: {cpu: 1}}}]'
check_refused "any number of containers is told of by the first" 'pods "p" is forbidden: \[maximum cpu usage per Container is 1, but limit is 2, .*, \.\.\.\]$' \
	pod_create p "containers: [$(seq -s, -f '{name: c%.0f, image: i, resources: {limits: {cpu: 2}}}' 1000)]"
claim() { object "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: $2}}${3:+, $3}}}"; }
check_refused "a claim too large" 'persistentvolumeclaims "big" is forbidden: maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi' claim big 20Gi
check_refused "a claim too small" 'minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi' claim small 1Mi

# Storage classes.
check "a claim before there is a default class" claim early 2Gi
object '{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: std, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/p}' >/dev/null
check "and after" claim late 2Gi
check_output "the default class is filled in" '^std$' k_field pvc/late .spec.storageClassName
check "no class is a choice, too" claim none 2Gi 'storageClassName: ""'
check_output "that stays" '^""$' k get pvc none -o 'jsonpath="{.spec.storageClassName}"'
claim_status() { raw /api/v1/namespaces/limited/persistentvolumeclaims/late/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$1"; }
claim_status '{"status":{"phase":"Bound"}}' >/dev/null
check_refused "a claim grows only where its class can" \
	'persistentvolumeclaims "late" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize' \
	k patch pvc late --type merge -p '{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}'
k patch storageclass std -p '{"allowVolumeExpansion":true}' >/dev/null
check "and it does there" k patch pvc late --type merge -p '{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}'

# What is in use stays.
check_output "claims are protected" '^kubernetes.io/pvc-protection$' k_field pvc/late '.metadata.finalizers[*]'
object '{apiVersion: v1, kind: Pod, metadata: {name: user}, spec: {nodeName: node-1, volumes: [{name: v, persistentVolumeClaim: {claimName: late}}], containers: [{name: c, image: i}]}}' >/dev/null
k delete pvc late none --wait=false >/dev/null
check "a claim that no pod has goes" k wait --for=delete pvc/none --timeout=120s
check_output "one that a pod runs with stays" 'Terminating' k describe pvc late
k delete pod user --grace-period=0 --force >/dev/null 2>&1
check "as long as the pod does" k wait --for=delete pvc/late --timeout=120s
object '{apiVersion: v1, kind: PersistentVolume, metadata: {name: vol}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}}' >/dev/null
check_output "volumes are protected" '^kubernetes.io/pv-protection$' k_field pv/vol '.metadata.finalizers[*]'
check "and go when no claim has them" k delete pv vol --timeout=120s

# Priorities.
use_namespace admission-test
object '{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000, preemptionPolicy: Never}' >/dev/null
check_output "no class: no priority" '^0 PreemptLowerPriority$' k_field pod/first .spec.priority .spec.preemptionPolicy
check "a class" pod_create high 'priorityClassName: high' 'containers: [{name: c, image: i}]'
check_output "is worked out" '^1000 Never$' k_field pod/high .spec.priority .spec.preemptionPolicy
check_refused "an unknown class" 'pods "p" is forbidden: no PriorityClass with name nothing was found' pod_create p 'priorityClassName: nothing' 'containers: [{name: c, image: i}]'
check_refused "priorities are not chosen freely" 'the integer value of priority \(5\) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name' \
	pod_create p 'priority: 5' 'containers: [{name: c, image: i}]'
check "the system's classes" pod_create system 'priorityClassName: system-node-critical' 'containers: [{name: c, image: i}]'
check_output "have their values" '^2000001000$' k_field pod/system .spec.priority
object '{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: usual}, value: 7, globalDefault: true}' >/dev/null
check "a default class" pod_create usual
check_output "is filled in" '^usual 7$' k_field pod/usual .spec.priorityClassName .spec.priority
k delete priorityclass usual >/dev/null
check "is gone when it is deleted" pod_create unusual
check_output "at once" '^ 0$' k_field pod/unusual .spec.priorityClassName .spec.priority

# Runtime classes.
object '{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: kata}, handler: kata, overhead: {podFixed: {cpu: 100m, memory: 64Mi}},
  scheduling: {nodeSelector: {kata: "yes"}, tolerations: [{key: kata, operator: Exists, effect: NoSchedule}]}}' >/dev/null
check "a runtime class" pod_create kata 'runtimeClassName: kata' 'containers: [{name: c, image: i}]'
check_output "adds its overhead, selector and tolerations" '^100m yes kata$' k_field pod/kata .spec.overhead.cpu .spec.nodeSelector.kata '.spec.tolerations[?(@.key=="kata")].key'
check_refused "an unknown one" 'pods "p" is forbidden: pod rejected: RuntimeClass "none" not found' pod_create p 'runtimeClassName: none' 'containers: [{name: c, image: i}]'
check_refused "overhead of one's own" 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead' pod_create p 'overhead: {cpu: 1}' 'containers: [{name: c, image: i}]'
check_refused "a selector that contradicts" 'conflict: runtimeClass.scheduling.nodeSelector\[kata\] = yes; pod.spec.nodeSelector\[kata\] = no' \
	pod_create p 'runtimeClassName: kata' 'nodeSelector: {kata: "no"}' 'containers: [{name: c, image: i}]'

# Pod Security.
k create namespace secured >/dev/null
use_namespace secured
security() { k label --overwrite namespace secured "${@/#/pod-security.kubernetes.io/}"; }
fine='securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}'
check "without labels everything goes" pod_create root 'hostPID: true' 'containers: [{name: c, image: i, securityContext: {privileged: true}}]'
check "likewise" pod_create root2 'hostPID: true' 'containers: [{name: c, image: i, securityContext: {privileged: true}}]'
check_output "a stricter level tells of pods that are there" \
	'existing pods in namespace "secured" violate the new PodSecurity enforce level "baseline:latest".*Warning: root \(and 1 other pod\): host namespaces, privileged' \
	security enforce=baseline
check_refused "a pod that may not be" \
	'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged \(container "c" must not set securityContext.privileged=true\)$' \
	pod_create p 'containers: [{name: c, image: i, securityContext: {privileged: true}}]'
check "others may" pod_create p
check_refused "changes are looked at, too" 'violates PodSecurity "baseline:latest": host namespaces' k set image pod/root c=other
check "those that do not matter are not" k label pod root a=b
check_refused "debugging containers, too" 'violates PodSecurity "baseline:latest": privileged \(container "e" must not set' \
	k patch pod p --subresource=ephemeralcontainers --type strategic -p '{"spec":{"ephemeralContainers":[{"name":"e","image":"i","securityContext":{"privileged":true}}]}}'
check_refused "levels have names" 'metadata.labels\[pod-security.kubernetes.io/warn\]: Invalid value: "strict": must be one of privileged, baseline, restricted' security warn=strict
check_refused "versions have a form" 'Invalid value: "1.25": must be "latest" or "v1.x"' security enforce-version=1.25
security warn=restricted warn-version=v1.25 >/dev/null
check_output "a warning" 'Warning: would violate PodSecurity "restricted:v1.25": allowPrivilegeEscalation != false \(container "c" must set securityContext.allowPrivilegeEscalation=false\), unrestricted capabilities \(container "c" must set securityContext.capabilities.drop=\["ALL"\]\), runAsNonRoot != true \(pod or container "c" must set securityContext.runAsNonRoot=true\), seccompProfile \(pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"\)' \
	pod_create warned
check_output "none for good pods" '^pod/good created$' pod_create good "containers: [{name: c, image: i, $fine}]"
check_output "of templates, too" 'Warning: would violate PodSecurity "restricted:v1.25"' k create deployment d --image=i
check_output "and of templates deep inside" 'Warning: would violate PodSecurity "restricted:v1.25"' k create cronjob j --image=i '--schedule=0 * * * *'
security warn=privileged enforce=restricted >/dev/null
check_output "templates are never refused" '^deployment.apps/e created$' k create deployment e --image=i
check "but the pods that come of them" eventually 20 matches 'pods "e-.* is forbidden: violates PodSecurity "restricted:latest"' k get events

# Nodes.
use_namespace admission-test
object '{apiVersion: v1, kind: Node, metadata: {name: new}}' >/dev/null
check_output "a new node takes no pods yet" 'node.kubernetes.io/not-ready:NoSchedule|NoSchedule' k_field node/new '.spec.taints[*].effect'

# Namespaces.
check_refused "some namespaces stay" 'namespaces "kube-system" is forbidden: this namespace may not be deleted' k delete namespace kube-system
check_output "namespaces are labelled by name" '^admission-test$' k_field namespace/admission-test '.metadata.labels.kubernetes\.io/metadata\.name'

# Volumes of nodes: each its own.
node_volume() { # NAME NODE [SPEC-MEMBERS [PROVISIONER]]
	printf '{apiVersion: v1, kind: PersistentVolume, metadata: {name: %s, annotations: {pv.kubernetes.io/provisioned-by: %s}}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]}]}}, %s}}' \
		"$1" "${4:-hanok.io/local}" "$2" "${3:-local: {path: /srv/$1}}"
}
as_node() { k --as "system:node:$1" --as-group system:nodes "${@:2}"; }
node_creates() { node_volume "${@:2}" | as_node "$1" create -f -; }
check "a node makes a volume of its directory" node_creates n1 pvc-1 n1
check_refused "not one of another node" 'persistentvolumes "pvc-2" is forbidden: node "n1" may write .* spec.nodeAffinity does not tie it to kubernetes.io/hostname "n1"' node_creates n1 pvc-2 n2
check_refused "nor one of any node" 'does not tie it' node_creates n1 pvc-2 'n1, n2'
check_refused "nor by another name" 'metadata.name does not begin with pvc-' node_creates n1 mine n1
check_refused "nor of another provisioner" 'is not "hanok.io/local"' node_creates n1 pvc-2 n1 'local: {path: /srv/x}' example.com/disks
check_refused "nor of another sort" 'spec.local is missing' node_creates n1 pvc-2 n1 'hostPath: {path: /srv/x}'
check "it grows its volume" as_node n1 patch pv pvc-1 --type=merge -p '{"spec":{"capacity":{"storage":"2Gi"}}}'
check_refused "nobody else's" 'persistentvolumes "pvc-1" is forbidden: node "n2" may' as_node n2 patch pv pvc-1 --type=merge -p '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
check_refused "nor gives it away" 'is not "hanok.io/local"' as_node n1 patch pv pvc-1 --type=merge -p '{"metadata":{"annotations":{"pv.kubernetes.io/provisioned-by":"x"}}}'
check_refused "deletes nobody else's" 'persistentvolumes "pvc-1" is forbidden: node "n2" may' as_node n2 delete pv pvc-1 --wait=false
check "and its own" as_node n1 delete pv pvc-1 --wait=false
k create -f - >/dev/null <<END
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: nas}, provisioner: hanok.io/nfs, parameters: {server: nas, share: /vms}}
END
of_nas() { echo "storageClassName: nas, nfs: {server: $1, path: $2}"; }
check "it makes one on the server of a class" node_creates n1 pvc-3 n1 "$(of_nas nas /vms/pvc-3)" hanok.io/nfs
check_refused "on no other server" 'persistentvolumes "pvc-4" is forbidden: node "n1" may write volumes on NFS servers only where their StorageClass says so' \
	node_creates n1 pvc-4 n1 "$(of_nas other /vms/pvc-4)" hanok.io/nfs
check_refused "in no other directory" 'only where their StorageClass says so' node_creates n1 pvc-4 n1 "$(of_nas nas /etc/pvc-4)" hanok.io/nfs
check_refused "and not in another volume's" 'only where their StorageClass says so' node_creates n1 pvc-4 n1 "$(of_nas nas /vms/pvc-3)" hanok.io/nfs
k delete storageclass nas >/dev/null
check_refused "nor when there is no such class" 'only where their StorageClass says so' node_creates n1 pvc-5 n1 "$(of_nas nas /vms/pvc-5)" hanok.io/nfs
check "what it made it takes away" as_node n1 delete pv pvc-3 --wait=false
node_volume mine n1 | k create -f - >/dev/null
check_refused "an administrator's is none of its own" 'does not begin with pvc-' as_node n1 delete pv mine --wait=false
check_refused "who is called after no node" 'is called after no node' k --as bob --as-group system:nodes delete pv mine --wait=false

# A write that waits for its account: by apply as by POST, and what admission had put in by then is nobody's wish.
stop_server
echo 'token-of-ann,ann,uid-ann' >"$TEST_DIR/tokens"
start_server '--controllers=-*' --token-auth-file "$TEST_DIR/tokens"
k create clusterrolebinding ann --clusterrole=cluster-admin --user=ann >/dev/null # who is counted among the requests under way
# waits NAMESPACE POD METHOD TYPE: the account comes while the request is under way, which waits a second for it; on a
# busy machine that is not always enough.
waits() {
	local try
	for try in {1..20}; do
		waits_once "$1-$try" "${@:2}" >"$TEST_DIR/waited"
		grep -q 'error looking up service account' "$TEST_DIR/waited" || break
	done
	cat "$TEST_DIR/waited"
}
has_come() { ! kill -0 "$1" 2>/dev/null || matches 'mutating"\} [1-9]' raw /metrics; }
waits_once() {
	local pods=/api/v1/namespaces/$1/pods name=$2 pid
	k create namespace "$1" >/dev/null
	raw "/api/v1/namespaces/$1/limitranges" -H 'Content-Type: application/json' -o /dev/null \
		-d '{"metadata":{"name":"l"},"spec":{"limits":[{"type":"Container","defaultRequest":{"cpu":"10m"}}]}}'
	[ "$3" = PATCH ] && pods="$pods/$name?fieldManager=me"
	curl -sS --cacert "$TEST_DIR/ca.crt" -H 'Authorization: Bearer token-of-ann' "$SERVER_URL$pods" -X "$3" -H "Content-Type: $4" --data-binary "$(pod "$name")" >"$TEST_DIR/waits" &
	pid=$!
	eventually 10 has_come "$pid" >/dev/null
	raw "/api/v1/namespaces/$1/serviceaccounts" -H 'Content-Type: application/json' -d '{"metadata":{"name":"default"}}' -o /dev/null
	wait $pid
	cat "$TEST_DIR/waits"
}
check_output "a waiting POST: the default is there, and not the client's" '^[^#]*"f:resources":\{\}[^#]*"cpu":"10m"' waits late1 p POST application/yaml
check_output "a waiting apply" '^[^#]*"manager":"me"[^#]*"cpu":"10m"' waits late2 p PATCH application/apply-patch+yaml

# Plugins by option.
stop_server
check_refused "an unknown plugin is told" "there is no admission plugin 'Nonsense'" "$HANOK" server --data "$TEST_DIR/none" --enable-admission-plugins Nonsense
check_refused "an unknown controller" "there is no controller 'nonsense'" "$HANOK" server --data "$TEST_DIR/none" --controllers nonsense
check_refused "a range that is none" "service-cidr 'x': want an IPv4 range" "$HANOK" server --data "$TEST_DIR/none" --service-cidr x
echo nonsense >"$TEST_DIR/bad-tokens"
check_refused "a token file that is none" "bad-tokens': line 1: want token,user,uid" "$HANOK" server --data "$TEST_DIR/none" --token-auth-file "$TEST_DIR/bad-tokens"
check_fails "before anything is written" test -e "$TEST_DIR/none"
start_server --disable-admission-plugins=Priority,LimitRanger --enable-admission-plugins=DenyServiceExternalIPs
check "plugins can be left out" pod_create free 'priority: 5' 'containers: [{name: c, image: i}]'
check_refused "and added" 'services "s" is forbidden: Use of external IPs is denied by admission control' \
	object '{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}], externalIPs: [192.0.2.1]}}'
finish
