#!/bin/bash
# Upstream's kube-controller-manager and kube-scheduler 1.20.2 in place of hanok's own loops, on nodes that
# bench/hollow plays: what they do, and that nothing in their logs speaks of the API. Built by
# ./dev bench --peer scheduler (bench/peer.sh); without them there is nothing to run here.
. "$(dirname "$0")/../lib.sh"
PEER=${HANOK_PEER_CACHE:-/var/cache/hanok-peer}/bin
HOLLOW=$(dirname "$HANOK")/bench/hollow
MANIFESTS=$TEST_ROOT/test/api/upstream

skip() {
	echo "1..0 # SKIP $1"
	# shellcheck disable=SC2034 # lib.sh looks at them
	TEST_COUNT=1 TEST_FINISHED=1
	exit 0
}
for program in "$PEER/kube-controller-manager" "$PEER/kube-scheduler" "$HOLLOW"; do
	[ -x "$program" ] || skip "there is no $program"
done

start_server '--controllers=-*' --scheduler=off
config=$SERVER_DIR/admin.kubeconfig
pki=$SERVER_DIR/pki

# end_all PID...: ended with the script.
PIDS=()
end_all() {
	kill "${PIDS[@]}" 2>/dev/null
	wait "${PIDS[@]}" 2>/dev/null
	test_at_exit
}
trap 'end_all' EXIT

hollow() { "$HOLLOW" --lease 2 --cpu 4 --memory 8Gi "$@" "$config" >"$TEST_DIR/hollow.log" 2>&1 & }
hollow --nodes 3
PIDS+=($!)
hollow --nodes 1 --prefix silent-
silent=$!
PIDS+=("$silent")

mkdir "$TEST_DIR/tmp" "$TEST_DIR/flex"
TMPDIR=$TEST_DIR/tmp "$PEER/kube-controller-manager" --kubeconfig "$config" --leader-elect=false --port=0 --secure-port=0 \
	--use-service-account-credentials --controllers='*,bootstrapsigner,tokencleaner' \
	--service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
	--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
	--flex-volume-plugin-dir "$TEST_DIR/flex" --feature-gates TTLAfterFinished=true,CronJobControllerV2=true \
	--node-monitor-period 1s --node-monitor-grace-period 8s --pvclaimbinder-sync-period 2s \
	--horizontal-pod-autoscaler-sync-period 3s --resource-quota-sync-period 5s --kube-api-qps 500 --kube-api-burst 500 \
	--v 2 >"$TEST_DIR/controllers.log" 2>&1 &
PIDS+=($!)
cat >"$TEST_DIR/scheduler.yaml" <<-END
	apiVersion: kubescheduler.config.k8s.io/v1beta1
	kind: KubeSchedulerConfiguration
	clientConnection: {kubeconfig: $config, qps: 500, burst: 500}
	leaderElection: {leaderElect: true}
	healthzBindAddress: 127.0.0.1:$(free_port)
	metricsBindAddress: 127.0.0.1:$(free_port)
END
"$PEER/kube-scheduler" --config "$TEST_DIR/scheduler.yaml" --secure-port 0 --v 2 >"$TEST_DIR/scheduler.log" 2>&1 &
PIDS+=($!)

log() { grep -a "$1" "$TEST_DIR"/controllers.log; }
check "the caches of kube-controller-manager are in" eventually 30 log 'all resource monitors have synced'
check "kube-scheduler leads by a Lease" eventually 30 k -n kube-system get lease kube-scheduler

# ---- accounts, and what every namespace gets ----

k create namespace work >/dev/null
# shellcheck disable=SC2034 # of k
TEST_NAMESPACE=(--namespace work)
account() { k get serviceaccount default -o 'jsonpath={.secrets[0].name}' | grep .; }
check "a service account with a token of its own" eventually 30 account
check "the root CA" eventually 30 k get configmap kube-root-ca.crt
token=$(k get secret "$(account)" -o 'jsonpath={.data.token}' | base64 -d)
whoami() { curl -sS --cacert "$pki/ca.crt" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
	-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' \
	"https://127.0.0.1:$SERVER_PORT/apis/authentication.k8s.io/v1/selfsubjectreviews"; }
check_output "which hanok takes" '"username":"system:serviceaccount:work:default"' whoami

TEST_NAMESPACE=()
check "work" k apply -f "$MANIFESTS/cluster.yaml"
# shellcheck disable=SC2034 # of k
TEST_NAMESPACE=(--namespace work)
check "is given" k apply -f "$MANIFESTS/work.yaml"

# A run that was missed is made up for, so that none has to be waited for.
k patch cronjob minutely --subresource=status --type=merge \
	-p "{\"status\":{\"lastScheduleTime\":\"$(date -u -d '-2 minutes' +%FT%TZ)\"}}" >/dev/null

# ---- workloads ----

fields() { [ "$(k_field "${@:2}")" = "$1" ]; }
has() { matches "$1" k_field "${@:2}"; }
check "Deployment" k rollout status deployment/web --timeout=120s
check "ReplicationController" eventually 30 fields '2 2' rc/old .status.replicas .status.readyReplicas
check "DaemonSet" eventually 30 fields '4 4' daemonset/everywhere .status.desiredNumberScheduled .status.numberReady
check "StatefulSet" k rollout status statefulset/db --timeout=120s
check_output "whose claims wait for their pods' nodes" '^Bound Bound$' \
	k get pvc data-db-0 data-db-1 -o 'jsonpath={.items[0].status.phase} {.items[1].status.phase}'
check "Job" k wait --for=condition=Complete job/sums --timeout=120s
check "a Job that fails" eventually 30 has BackoffLimitExceeded job/fails .status.conditions[*].reason
gone() { ! k get "$1" --ignore-not-found -o name | grep .; }
check "a Job that ended is taken away" eventually 30 gone job/short-lived
made() { k get jobs -o name | grep job.batch/minutely; }
check "CronJob" eventually 30 made
addresses() { k get endpoints web -o 'jsonpath={.subsets[0].addresses[*].ip}' 2>/dev/null | wc -w; }
check "Endpoints" eventually 30 matches '^3$' addresses
slices() { k get endpointslices.v1.discovery.k8s.io -l kubernetes.io/service-name=web -o 'jsonpath={.items[*].endpoints[*].conditions.ready} {.items[0].ports[0].port}'; }
check "EndpointSlices" eventually 30 matches '^true true true 8080$' slices
check "PersistentVolumeClaim" eventually 30 fields 'Bound static' pvc/static .status.phase .spec.volumeName
check "ResourceQuota" eventually 30 has '"pods":"[1-9]' quota/counts .status.used
check "PodDisruptionBudget" eventually 30 fields '3 0' pdb/web .status.currentHealthy .status.disruptionsAllowed
check "HorizontalPodAutoscaler tells that there are no metrics" eventually 30 has FailedGetResourceMetric hpa/web .status.conditions[*].reason
check "roles that others are made of" eventually 30 matches widgets k get clusterrole view -o yaml
check "cluster-info is signed" eventually 30 matches jws-kubeconfig-abcdef k -n kube-public get configmap cluster-info -o yaml
check "a bootstrap token ends" eventually 30 gone secret/bootstrap-token-over00

set_image() { k set image deployment/web "web=web:$1" && k rollout status deployment/web --timeout=120s; }
check "a new image" set_image 2
check "and back" k rollout undo deployment/web
check "which comes to an end" k rollout status deployment/web --timeout=120s

# ---- certificates ----

openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$TEST_DIR/c.key" -out "$TEST_DIR/c.csr" -subj /CN=jane 2>/dev/null
k create -f - >/dev/null <<-END
	{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: jane},
	spec: {request: $(base64 -w0 <"$TEST_DIR/c.csr"), signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}
END
k certificate approve jane >/dev/null
signed() { k get csr jane -o 'jsonpath={.status.certificate}' | base64 -d | openssl x509 -noout -subject; }
check "an approved certificate is signed" eventually 30 matches 'CN = jane' signed

# ---- the scheduler ----

check "what does not fit, and why" eventually 30 has '0/4 nodes are available: 4 Insufficient cpu' pod/giant .status.conditions[0].message
k apply -f - >/dev/null <<-END
	{apiVersion: v1, kind: Pod, metadata: {name: victim}, spec: {nodeName: "", nodeSelector: {kubernetes.io/hostname: hollow-00002},
	containers: [{name: c, image: i, resources: {requests: {cpu: "3"}}}]}}
END
check "a pod takes most of a node" k wait --for=condition=Ready pod/victim --timeout=120s
k apply -f - >/dev/null <<-END
	{apiVersion: v1, kind: Pod, metadata: {name: preemptor}, spec: {priorityClassName: high, nodeSelector: {kubernetes.io/hostname: hollow-00002},
	containers: [{name: c, image: i, resources: {requests: {cpu: "3"}}}]}}
END
check "and gives it to one of higher priority" k wait --for=condition=Ready pod/preemptor --timeout=120s
check "that was put out" gone pod/victim
check "as an event tells" eventually 20 matches 'Preempted' k get events -o 'jsonpath={.items[*].reason}'

# ---- what goes ----

evict() { k create --raw "/api/v1/namespaces/work/pods/$1/eviction" -f <(echo "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$1\"}}"); }
pod=$(k get pods -l app=web -o name | head -1)
check_refused "an eviction that the budget forbids" 'Cannot evict pod|disruption budget' evict "${pod#pod/}"
k scale deployment/web --replicas=4 >/dev/null
check "room for one" eventually 30 fields 1 pdb/web .status.disruptionsAllowed
check "an eviction" evict "${pod#pod/}"

k delete pvc static --wait=false >/dev/null
check_output "a claim in use stays" pvc-protection k_field pvc/static .metadata.finalizers
k delete pod uses-claim >/dev/null
check "until it is not" eventually 30 gone pvc/static

k delete deployment web --cascade=orphan >/dev/null
orphan() { k get replicasets -l app=web -o 'jsonpath={.items[*].metadata.ownerReferences}'; }
check "orphans" eventually 30 matches '^$' orphan
check "which live" eventually 30 matches . k get replicasets -l app=web -o name
check "foreground deletion" k delete rc old --cascade=foreground --timeout=120s
check "leaves no pods" gone "pods -l app=old"
k delete daemonset everywhere --wait=false >/dev/null
no_pods() { [ "$(k_count pods -l "app=$1")" = 0 ]; }
check "background deletion" eventually 30 no_pods everywhere

# ---- a node that falls silent ----

k apply -f - >/dev/null <<-END
	{apiVersion: v1, kind: Pod, metadata: {name: evicted}, spec: {nodeSelector: {kubernetes.io/hostname: silent-00000},
	containers: [{name: c, image: i}],
	tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}]}}
END
k wait --for=condition=Ready pod/evicted --timeout=120s >/dev/null
kill $silent
check "a silent node is unknown" eventually 30 has Unknown node/silent-00000 '.status.conditions[?(@.type=="Ready")].status'
check "and tainted" eventually 30 has 'unreachable.*NoExecute' node/silent-00000 .spec.taints
check "its pods are sent away" eventually 30 has . pod/evicted .metadata.deletionTimestamp
hollow --nodes 1 --prefix silent-
PIDS+=($!)
check "when it is back it is ready" eventually 30 has True node/silent-00000 '.status.conditions[?(@.type=="Ready")].status'
untainted() { [ -z "$(k_field node/silent-00000 .spec.taints)" ]; }
check "without taints" eventually 30 untainted
check "and ends what was sent away" eventually 30 gone pod/evicted

before_the_end() { wc -c <"$TEST_DIR/$1.log"; }
controllers_end=$(before_the_end controllers) scheduler_end=$(before_the_end scheduler)
check "a namespace ends with all that is in it" k delete namespace work --timeout=120s

# ---- what they wrote ----

# Errors that are not about the API, each with its reason:
#   no cloud provider           there is none
#   could not find v1.Pers...   a pod was seen before its claim: there is a watch for each
#   has been modified           it wrote by what its cache showed, and tries again
#   horizontal.go               there are no metrics, as was checked above
#   not found                   what it is about is gone already
#   already exists              its cache had not shown yet what it had made
#   startTime                   it begins a job that its cache shows without a beginning; refused since 1.32, it tries again
#   series.count                its first series of an event counts to 1; Kubernetes asks for 2 since there are series
explained='no cloud provider provided|the object has been modified|horizontal.go| not found$|already exists$'
explained="$explained|startTime cannot be removed for unsuspended job$|could not find v1.PersistentVolumeClaim|series.count: Invalid value: \"\": should be at least 2"
# While the namespace goes, its objects in no order:
#   because it is being ...     what goes is made anew until its controller sees that
#   pvc ... is being deleted    a StatefulSet's claim went before the StatefulSet
while_it_goes="$explained|because it is being terminated|pvc [a-z0-9-]+ is being deleted$"
errors_in() { grep -aE '^[EF][0-9]{4} ' | grep -avE "$1" || true; }
# errors PROGRAM BYTES: of its log so many are from before that.
errors() {
	head -c "$2" "$TEST_DIR/$1.log" | errors_in "$explained"
	tail -c "+$(($2 + 1))" "$TEST_DIR/$1.log" | errors_in "$while_it_goes"
}
check_output "nothing unexplained in kube-controller-manager's log" '^$' errors controllers "$controllers_end"
check_output "nor in kube-scheduler's" '^$' errors scheduler "$scheduler_end"
finish
