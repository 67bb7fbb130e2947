#!/bin/bash
# Workloads, autoscaling, disruption budgets, storage and limits: kubectl's generators, tables, scale,
# what may change, and refusals in Kubernetes' words. Controllers are off, so that nothing moves.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off --disable-admission-plugins=StorageObjectInUseProtection
k delete storageclass hanok-local >/dev/null # claims would get it
json=(-H 'Content-Type: application/json')

apply() { k apply --validate=strict -f - >"$TEST_DIR/apply.out" 2>&1 <<<"$1" || { cat "$TEST_DIR/apply.out"; return 1; }; }
create() { k create --validate=strict -f - <<<"$1"; }
refused() { check_refused "$1" "$2" create "$3"; }
field() { k get "$1" "$2" -o "jsonpath=$3"; }

# ---- generators ----
check "create job" k create job j --image=busybox -- sleep 1
check "create cronjob" k create cronjob c --image=busybox --schedule='*/5 * * * *' -- date
check "a job of a cron job" k create job from-c --from=cronjob/c
check_output "belongs to it" '^CronJob c$' k get job from-c -o 'jsonpath={.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name}'
check "create quota" k create quota q --hard=cpu=1,pods=2 --scopes=NotBestEffort
check "create poddisruptionbudget" k create pdb b --selector=app=x --min-available=50%
check "create deployment" k create deployment d --image=nginx
check "autoscale" k autoscale deployment d --min=2 --max=5 --cpu-percent=50

# ---- defaults ----
check_output "a job's defaults" '^6 NonIndexed 1 1 false TerminatingOrFailed false$' field job j \
	'{.spec.backoffLimit} {.spec.completionMode} {.spec.completions} {.spec.parallelism} {.spec.suspend} {.spec.podReplacementPolicy} {.spec.manualSelector}'
uid=$(field job j '{.metadata.uid}')
check_output "its selector is its uid" "^$uid $uid $uid j j\$" field job j \
	'{.spec.selector.matchLabels.batch\.kubernetes\.io/controller-uid} {.spec.template.metadata.labels.controller-uid} {.spec.template.metadata.labels.batch\.kubernetes\.io/controller-uid} {.spec.template.metadata.labels.job-name} {.spec.template.metadata.labels.batch\.kubernetes\.io/job-name}'
check_output "a cron job's template keeps what was said" '^\{"containers":.*$' field cronjob c '{.spec.jobTemplate.spec.template.spec}'
check_output "a cron job's defaults" '^Allow 3 1 false$' field cronjob c \
	'{.spec.concurrencyPolicy} {.spec.successfulJobsHistoryLimit} {.spec.failedJobsHistoryLimit} {.spec.suspend}'

sts='apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s}
spec:
  serviceName: s
  selector: {matchLabels: {app: s}}
  template:
    metadata: {labels: {app: s}}
    spec: {containers: [{name: a, image: nginx, volumeMounts: [{name: data, mountPath: /d}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}'
check "a stateful set" apply "$sts"
check_output "its defaults" '^1 OrderedReady RollingUpdate 0 10 Retain Retain Filesystem Pending PersistentVolumeClaim v1$' field sts s \
	'{.spec.replicas} {.spec.podManagementPolicy} {.spec.updateStrategy.type} {.spec.updateStrategy.rollingUpdate.partition} {.spec.revisionHistoryLimit} {.spec.persistentVolumeClaimRetentionPolicy.whenDeleted} {.spec.persistentVolumeClaimRetentionPolicy.whenScaled} {.spec.volumeClaimTemplates[0].spec.volumeMode} {.spec.volumeClaimTemplates[0].status.phase} {.spec.volumeClaimTemplates[0].kind} {.spec.volumeClaimTemplates[0].apiVersion}'
ds='apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec:
  selector: {matchLabels: {app: ds}}
  template:
    metadata: {labels: {app: ds}}
    spec: {nodeSelector: {disk: ssd}, containers: [{name: a, image: nginx}]}'
check "a daemon set" apply "$ds"
check_output "its defaults" '^RollingUpdate 1 0 10 1$' field ds ds \
	'{.spec.updateStrategy.type} {.spec.updateStrategy.rollingUpdate.maxUnavailable} {.spec.updateStrategy.rollingUpdate.maxSurge} {.spec.revisionHistoryLimit} {.metadata.annotations.deprecated\.daemonset\.template\.generation}'
check "its template changes" k set image ds/ds a=nginx:2
check_output "and is counted" '^2 2$' field ds ds '{.metadata.generation} {.metadata.annotations.deprecated\.daemonset\.template\.generation}'
check "volumes, claims and limits" apply 'apiVersion: v1
kind: PersistentVolume
metadata: {name: pv}
spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce, ReadOnlyMany], hostPath: {path: /x}, claimRef: {namespace: default, name: pvc}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: pvc}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, dataSource: {kind: PersistentVolumeClaim, name: other}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: l, namespace: kube-public}
spec: {limits: [{type: Container, max: {cpu: 2, memory: 1Gi}, min: {cpu: 100m}}]}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: t}
template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: img}]}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: r, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: s, uid: u, controller: true}]}
data: {spec: 1}
revision: 3'
check_output "a volume's defaults" '^Retain Filesystem Pending$' field pv pv '{.spec.persistentVolumeReclaimPolicy} {.spec.volumeMode} {.status.phase}'
check_output "a claim's source has both names" '^other$' field pvc pvc '{.spec.dataSourceRef.name}'
check_output "limits become defaults" '^2 2 1Gi$' k get limits l -n kube-public -o \
	'jsonpath={.spec.limits[0].default.cpu} {.spec.limits[0].defaultRequest.cpu} {.spec.limits[0].defaultRequest.memory}'

# ---- tables ----
check_output "jobs" '^j +Running +0/1 +[0-9]+[sm] +j +busybox +batch.kubernetes.io/controller-uid=' k get jobs j -o wide --no-headers
check_output "cron jobs" '^c +\*/5 \* \* \* \* +<none> +False +0 +<none> +[0-9]+[sm] +c +busybox +<none>$' k get cj -o wide --no-headers
check_output "stateful sets" '^s +0/1 +[0-9]+[sm] +a +nginx$' k get sts -o wide --no-headers
check_output "daemon sets" '^ds +0 +0 +0 +0 +0 +disk=ssd +[0-9]+[sm] +a +nginx:2 +app=ds$' k get ds -o wide --no-headers
check_output "autoscalers" '^d +Deployment/d +cpu: <unknown>/50% +2 +5 +0 ' k get hpa --no-headers
check_output "budgets" '^b +50% +N/A +0 ' k get pdb --no-headers
check_output "volumes" '^pv +5Gi +RWO,ROX +Retain +Pending +default/pvc +<unset> +[0-9]+[sm] +Filesystem$' k get pv -o wide --no-headers
check_output "claims" '^pvc +Pending +<unset> +[0-9]+[sm] +Filesystem$' k get pvc -o wide --no-headers
check_output "revisions" '^r +statefulset.apps/s +3 ' k get controllerrevisions --no-headers
check_output "templates" '^t +x +img +a=b$' k get podtemplates --no-headers
check_output "limits" 'CREATED AT' k get limits -n kube-public
check "a quota's status" k patch quota q --subresource=status --type merge -p '{"status":{"hard":{"requests.cpu":"1","limits.cpu":"2","pods":"2"},"used":{"requests.cpu":"500m","pods":"1"}}}'
check_output "quotas" '^q +pods: 1/2, requests.cpu: 500m/1 +limits.cpu: 0/2 ' k get quota --no-headers
check "a job's status" k patch job j --subresource=status --type merge -p '{"status":{"active":1,"ready":0,"startTime":"2020-01-01T00:00:00Z"}}'
check_output "how long it runs" '^j +Running +0/1 +[0-9]+(d|y)' k get job j --no-headers
check_output "no component has a status to tell" 'No resources found' k get componentstatuses

# ---- scale, versions, selectors ----
check "scale" k scale sts s --replicas=3
check_output "scaled" '^3 2$' field sts s '{.spec.replicas} {.metadata.generation}'
check_output "the scale of a stateful set" '"spec":\{"replicas":3\}.*"selector":"app=s"' raw /apis/apps/v1/namespaces/default/statefulsets/s/scale
check_refused "a daemon set has none" 'could not find the requested resource' k scale ds ds --replicas=1
check_output "an autoscaler's old form" '"targetCPUUtilizationPercentage":50' raw /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/d
check "one made in the old form" create 'apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: old, annotations: {autoscaling.alpha.kubernetes.io/metrics: "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"hits\",\"targetAverageValue\":\"10\"}}]"}}
spec: {maxReplicas: 3, targetCPUUtilizationPercentage: 70, scaleTargetRef: {kind: Deployment, name: d}}'
check_output "has all in the new one" '^Pods hits 10 70 $' field hpa old \
	'{.spec.metrics[0].type} {.spec.metrics[0].pods.metric.name} {.spec.metrics[0].pods.target.averageValue} {.spec.metrics[1].resource.target.averageUtilization} {.metadata.annotations}'
check_output "and again in the old one" '"autoscaling.alpha.kubernetes.io/metrics":"\[\{\\"type\\":\\"Pods\\".*"targetCPUUtilizationPercentage":70' \
	raw /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/old
check_output "jobs by their successes" '^job.batch/j$' k get jobs --field-selector=status.successful=0,metadata.name=j -o name

# ---- what may change ----
check_refused "a job's template may not" 'spec.template: Invalid value: .*: field is immutable' k patch job j --type=json -p '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"x"}]'
check_refused "nor its completions" 'spec.completions: Invalid value: 3: field is immutable' k patch job j -p '{"spec":{"completions":3}}'
check "its parallelism may" k patch job j -p '{"spec":{"parallelism":0,"suspend":true}}'
check_refused "a stateful set's service may not" "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden" k patch sts s -p '{"spec":{"serviceName":"other"}}'
check_refused "nor a daemon set's selector" 'spec.selector: Invalid value: .*: field is immutable' k patch ds ds --type=merge -p '{"spec":{"selector":{"matchLabels":{"b":"c"}},"template":{"metadata":{"labels":{"b":"c"}}}}}'
check_refused "nor a revision's data" 'data: Invalid value: .*: field is immutable' k patch controllerrevision r --type=merge -p '{"data":{"spec":2}}'
check_refused "nor a claim that is not bound" 'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims' k patch pvc pvc -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'
check_refused "nor a volume's source" 'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation' k patch pv pv -p '{"spec":{"hostPath":{"path":"/y"}}}'
check_refused "nor a quota's scopes" 'spec.scopes: Invalid value: .*: field is immutable' k patch quota q -p '{"spec":{"scopes":["BestEffort"],"hard":{"cpu":null}}}'
check_refused "a finished job needs its times" 'status.completionTime: Required value: completionTime is required for Complete jobs' k patch job j --subresource=status --type merge -p '{"status":{"active":0,"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}}'
check_refused "a budget is updated with its revision" 'metadata.resourceVersion: Invalid value: .*: must be specified for an update' \
	raw /apis/policy/v1/namespaces/default/poddisruptionbudgets/b -X PUT --fail-with-body "${json[@]}" \
	-d '{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"b"},"spec":{"minAvailable":2,"selector":{}}}'

# ---- refusals ----
pod_spec='containers: [{name: a, image: b}], restartPolicy: Never'
job() { printf 'apiVersion: batch/v1\nkind: Job\nmetadata: {name: bad}\nspec: {%s template: {spec: {%s}}}\n' "$1" "${2:-$pod_spec}"; }
cron() { printf 'apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: bad}\nspec: {schedule: "%s", %s jobTemplate: {spec: {%s template: {spec: {%s}}}}}\n' "$1" "$2" "$3" "$pod_spec"; }
refused "pods of jobs end" 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"' "$(job '' 'containers: [{name: a, image: b}]')"
refused "an indexed job has a number" 'spec.completions: Required value: when completion mode is Indexed' "$(job 'completionMode: Indexed, parallelism: 2,')"
refused "a limit per index needs indexes" 'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode' "$(job 'backoffLimitPerIndex: 1,')"
refused "a failure policy's rules say when" 'spec.podFailurePolicy.rules\[0\]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required' "$(job 'podFailurePolicy: {rules: [{action: FailJob}]},')"
refused "and on which codes" 'onExitCodes.values\[0\]: Invalid value: 0: must not be 0 for the In operator' "$(job 'podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [0, 1]}}]},')"
refused "a success policy's indexes exist" 'succeededIndexes: Invalid value: "0-9": error parsing succeededIndexes: too large index: "9"' "$(job 'completionMode: Indexed, completions: 3, successPolicy: {rules: [{succeededIndexes: 0-9}]},')"
refused "who manages it has a domain" 'spec.managedBy: Invalid value: "me": must be a domain-prefixed path \(such as "acme.io/foo"\)' "$(job 'managedBy: me,')"
refused "selectors are the server's" '`selector` not auto-generated|must be ' "$(job 'selector: {matchLabels: {batch.kubernetes.io/controller-uid: mine}},')"
refused "a schedule has five fields" 'spec.schedule: Invalid value: "\* \* \*": expected exactly 5 fields, found 3: \[\* \* \*\]' "$(cron '* * *' '' '')"
refused "in their bounds" 'spec.schedule: Invalid value: "61 \* \* \* \*": end of range \(61\) above maximum \(59\): 61' "$(cron '61 * * * *' '' '')"
refused "or a known word" 'unrecognized descriptor: @never' "$(cron '@never' '' '')"
check "such as" create "$(cron '@daily' 'timeZone: Etc/UTC,' '' | sed 's/name: bad/name: daily/')"
refused "a time zone exists" 'spec.timeZone: Invalid value: "Middle/Earth": unknown time zone Middle/Earth' "$(cron '@daily' 'timeZone: Middle/Earth,' '')"
refused "and has its field" 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead' "$(cron 'TZ=UTC 0 0 * * *' '' '')"
refused "a template has no selector" 'spec.jobTemplate.spec.selector: Invalid value: .*: `selector` will be auto-generated' "$(cron '@daily' '' 'selector: {matchLabels: {a: b}},')"
refused "a set's selector fits its template" 'spec.template.metadata.labels: Invalid value: .*: `selector` does not match template `labels`' "$(sed 's/matchLabels: {app: s}/matchLabels: {app: z}/; s/name: s}/name: s2}/' <<<"$sts")"
refused "and is there" 'empty selector is invalid for statefulset' "$(sed 's/{matchLabels: {app: s}}/{}/; s/name: s}/name: s2}/' <<<"$sts")"
refused "its name is one of hosts" 'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label' "$(sed 's/name: s}/name: a.b}/' <<<"$sts")"
refused "a rolling daemon set moves" 'maxUnavailable: Required value: cannot be 0 when maxSurge is 0' "${ds/name: ds/name: ds2}
  updateStrategy: {rollingUpdate: {maxUnavailable: 0}}"
hpa() { printf 'apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: bad}\nspec: {scaleTargetRef: {kind: Deployment, name: d}, %s}\n' "$1"; }
refused "an autoscaler's bounds" 'spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`' "$(hpa 'minReplicas: 3, maxReplicas: 2')"
refused "a metric's source" 'spec.metrics\[0\].pods: Required value: must populate information for the given metric source' "$(hpa 'maxReplicas: 2, metrics: [{type: Pods}]')"
refused "a metric's target" 'averageUtilization: Required value: must set either a target raw value or a target utilization' "$(hpa 'maxReplicas: 2, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization}}}]')"
refused "a behaviour's period" 'periodSeconds: Invalid value: 9999: must be less than or equal to 1800' "$(hpa 'maxReplicas: 2, behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 9999}]}}')"
refused "a budget has one bound" 'spec: Invalid value: .*: minAvailable and maxUnavailable cannot be both set' 'apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bad}
spec: {minAvailable: 1, maxUnavailable: 1, selector: {}}'
refused "of at most all" 'spec.minAvailable: Invalid value: "120%": must not be greater than 100%' 'apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bad}
spec: {minAvailable: 120%, selector: {}}'
pv() { printf 'apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: bad}\nspec: {%s}\n' "$1"; }
refused "a volume is of one type" 'spec: Required value: must specify a volume type' "$(pv 'capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce]')"
refused "and not of two" 'spec.nfs: Forbidden: may not specify more than 1 volume type' "$(pv 'capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}, nfs: {server: a, path: /b}')"
refused "a local one is on a node" 'spec.nodeAffinity: Required value: Local volume requires node affinity' "$(pv 'capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], local: {path: /x}')"
refused "a claim asks for something" 'spec.resources\[storage\]: Required value' 'apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: bad}
spec: {accessModes: [ReadWriteOnce]}'
refused "in a way that there is" 'spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"' 'apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: bad}
spec: {accessModes: [Sometimes], resources: {requests: {storage: 1Gi}}}'
refused "limits are in order" 'spec.limits\[0\].min\[cpu\]: Invalid value: .*: min value 2 is greater than max value 1' 'apiVersion: v1
kind: LimitRange
metadata: {name: bad}
spec: {limits: [{type: Pod, min: {cpu: 2}, max: {cpu: 1}}]}'
refused "a quota counts what there is" 'spec.hard\[things\]: Invalid value: "things": must be a standard resource for quota' 'apiVersion: v1
kind: ResourceQuota
metadata: {name: bad}
spec: {hard: {things: 1}}'
refused "a key is in one of the two" 'data\[a\]: Invalid value: "a": duplicate of key present in binaryData' 'apiVersion: v1
kind: ConfigMap
metadata: {name: bad}
data: {a: b}
binaryData: {a: Yg==}'
refused "a private key has something in it" 'data\[ssh-privatekey\]: Required value' 'apiVersion: v1
kind: Secret
metadata: {name: bad}
type: kubernetes.io/ssh-auth
data: {ssh-privatekey: ""}'

# ---- deletion ----
check "delete them all" k delete job,cronjob,sts,ds,hpa,pdb,quota,pvc,pv,podtemplate,controllerrevision --all
check_output "gone" '^$' k get job,cronjob,sts,ds,hpa,pdb,quota,pvc,pv,podtemplate,controllerrevision -o name
finish
