#!/bin/bash
# Jobs, with pods that end as the test says.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=*,-nodelifecycle'
use_namespace jobs

patch_status() { raw "$1/status" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$2" --fail-with-body -o /dev/null; }
k create -f - >/dev/null <<-END
	{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
END
raw /api/v1/nodes/n1 -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"spec": {"taints": null}}' -o /dev/null
patch_status /api/v1/nodes/n1 '{"status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "500"}, "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2100-01-01T00:00:00Z"}]}}'

# end_pod NAME PHASE [EXIT-CODE]
end_pod() {
	local now
	now=$(date -u +%FT%TZ)
	patch_status "/api/v1/namespaces/jobs/pods/$1" '{"status": {"phase": "'"$2"'", "containerStatuses": [{"name": "c", "image": "i", "imageID": "",
		"ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": '"${3:-0}"', "finishedAt": "'"$now"'"}}}]}}'
}
# job NAME MEMBERS-OF-SPEC
job() {
	k create -f - <<-END
		{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$1"}, "spec": {${2:+$2,}
		"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
	END
}
# The running pods of a job.
pods_of() { k get pods -l "job-name=$1" --field-selector 'status.phase!=Succeeded,status.phase!=Failed' -o name | sed 's|^pod/||' | sort; }
has_pods() { [ "$(pods_of "$1" | wc -l)" = "$2" ]; }
end_all() { for pod in $(pods_of "$1"); do end_pod "$pod" "${@:2}"; done; }

check "a job" job one ''
check "has its pod" eventually 20 has_pods one 1
check_output "whose name and labels say whose it is" '^pod/one-[a-z0-9]{5} one one$' \
	k get pods -l batch.kubernetes.io/job-name=one -o 'jsonpath=pod/{.items[0].metadata.name} {.items[0].metadata.labels.job-name} {.items[0].metadata.labels.batch\.kubernetes\.io/job-name}'
check_output "which is tracked" 'batch.kubernetes.io/job-tracking' k get pods -l job-name=one -o 'jsonpath={.items[0].metadata.finalizers}'
check "it is placed" eventually 20 matches 'n1' k get pods -l job-name=one -o 'jsonpath={.items[0].spec.nodeName}'
end_all one Succeeded
check "it completes" k wait --for=condition=Complete --timeout=120s job/one
check_output "with what kubectl shows" '^one +Complete +1/1 ' k get job one --no-headers
check_output "and its conditions in order" '^SuccessCriteriaMet Complete$' k_field job/one '.status.conditions[*].type'
check_output "its pod is let go" '^$' k get pods -l job-name=one -o 'jsonpath={.items[0].metadata.finalizers}'
# Those of one second stand in any order.
check "an event says that its pod was made" eventually 20 matches 'SuccessfulCreate.*Created pod: one-' k describe job one
check "and one that it has ended" eventually 20 matches 'Completed.*Job completed' k describe job one
check_output "the pod goes with the job" 'deleted' k delete job one --wait=true
check "soon" eventually 20 matches '^$' k get pods -l job-name=one -o name

job indexed '"completionMode": "Indexed", "completions": 5, "parallelism": 3' >/dev/null
check "an indexed job" eventually 20 has_pods indexed 3
check_output "gives indexes from below" '0 1 2' k get pods -l job-name=indexed --sort-by=.metadata.name -o 'jsonpath={.items[*].metadata.annotations.batch\.kubernetes\.io/job-completion-index}'
check_output "in names, labels and variables" '^indexed-0 0 JOB_COMPLETION_INDEX metadata.labels\[.batch.kubernetes.io/job-completion-index.\]$' k get pods -l job-name=indexed,batch.kubernetes.io/job-completion-index=0 \
	-o 'jsonpath={.items[0].spec.hostname} {.items[0].metadata.labels.batch\.kubernetes\.io/job-completion-index} {.items[0].spec.containers[0].env[0].name} {.items[0].spec.containers[0].env[0].valueFrom.fieldRef.fieldPath}'
end_all indexed Succeeded
check "and goes on" eventually 20 has_pods indexed 2
check "saying how far it is" eventually 20 matches '^0-2 3$' k_field job/indexed .status.completedIndexes .status.succeeded
end_all indexed Succeeded
check "to its end" k wait --for=condition=Complete --timeout=120s job/indexed

job fails '"backoffLimit": 0' >/dev/null
check "a job whose pod fails" eventually 20 has_pods fails 1
end_all fails Failed 3
check "has failed" k wait --for=condition=Failed --timeout=120s job/fails
check_output "by its limit" '^FailureTarget Failed BackoffLimitExceeded Job has reached the specified backoff limit 1$' k_field job/fails '.status.conditions[*].type' '.status.conditions[1].reason' '.status.conditions[1].message' .status.failed

job policy '"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}, "parallelism": 2, "completions": 2' >/dev/null
check "a job with a failure policy" eventually 20 has_pods policy 2
end_pod "$(pods_of policy | head -1)" Failed 42
eventually 20 matches FailureTarget k_field job/policy '.status.conditions[*].type'
check_output "deletes the other pod, says why" '^FailureTarget PodFailurePolicy Container c for pod jobs/policy-[a-z0-9]{5} failed with exit code 42 matching FailJob rule at index 0$' \
	k_field job/policy '.status.conditions[*].type' '.status.conditions[0].reason' '.status.conditions[0].message'
check "and has not failed before that is gone" eventually 20 matches '^1$' k_field job/policy .status.terminating
k delete pod --grace-period=0 --force -l job-name=policy --wait=false >/dev/null 2>&1
check "but then" k wait --for=condition=Failed --timeout=120s job/policy

job pause '"parallelism": 2, "completions": 4' >/dev/null
eventually 20 has_pods pause 2
k patch job pause -p '{"spec": {"suspend": true}}' >/dev/null
check "a suspended job" k wait --for=condition=Suspended --timeout=120s job/pause
for pod in $(pods_of pause); do k delete pod "$pod" --grace-period=0 --force --wait=false >/dev/null 2>&1; done
check "has no pods" eventually 20 has_pods pause 0
k patch job pause -p '{"spec": {"suspend": false}}' >/dev/null
check "and has them again" eventually 20 has_pods pause 2
check "with nothing counted as failed" eventually 20 matches '^False  2$' k_field job/pause '.status.conditions[0].status' .status.failed .status.active

check "kubectl makes them, too" k create job simple --image=i -- true
finish
