#!/bin/bash
# What a pod may say, what may change of it, and its subresources ephemeralcontainers, resize and eviction.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
json=(-H 'Content-Type: application/json')

pod() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: x}}\nspec: {%s}\n' "$1" "$2"; }
create() { k create --validate=strict -f - <<<"$1"; }
refused() { check_refused "$1" "$2" create "$(pod bad "$3")"; }
container() { printf 'containers: [{name: a, image: b, %s}]' "$1"; }

# ---- containers ----
refused "names differ among all containers" 'spec.initContainers\[0\].name: Duplicate value: "a"' 'containers: [{name: a, image: b}], initContainers: [{name: a, image: c}]'
refused "names of ports do" 'spec.containers\[0\].ports\[1\].name: Duplicate value: "p"' "$(container 'ports: [{name: p, containerPort: 1}, {name: p, containerPort: 2}]')"
refused "ports of the node do" 'spec.containers\[0\].ports\[1\].hostPort: Duplicate value: "TCP//80"' "$(container 'ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]')"
refused "on the node's network ports are the node's" 'ports\[0\].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true' "hostNetwork: true, $(container 'ports: [{containerPort: 1, hostPort: 2}]')"
refused "a variable has one source" 'env\[0\].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`' "$(container 'env: [{name: A, valueFrom: {}}]')"
refused "a field of the pod that exists" 'env\[0\].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name"' "$(container 'env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]')"
refused "or is none" 'error converting fieldPath: field label not supported: spec.nothing' "$(container 'env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nothing}}}]')"
refused "a resource that exists" 'resourceFieldRef.resource: Unsupported value: "limits.luck"' "$(container 'env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.luck}}}]')"
refused "a mount has a volume" 'spec.containers\[0\].volumeMounts\[0\].name: Not found: "v"' "$(container 'volumeMounts: [{name: v, mountPath: /x}]')"
refused "a mount's path is its own" 'volumeMounts\[1\].mountPath: Invalid value: "/x": must be unique' "$(container 'volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /x}]'), volumes: [{name: v, emptyDir: {}}]"
refused "a sub path stays in the volume" 'volumeMounts.subPath: Invalid value: "../y": must not contain '"'..'" "$(container 'volumeMounts: [{name: v, mountPath: /x, subPath: ../y}]'), volumes: [{name: v, emptyDir: {}}]"
refused "mounts of the node are for the privileged" 'Bidirectional mount propagation is available only to privileged containers' "$(container 'volumeMounts: [{name: v, mountPath: /x, mountPropagation: Bidirectional}]'), volumes: [{name: v, emptyDir: {}}]"
refused "a probe has one handler" 'livenessProbe: Required value: must specify a handler type' "$(container 'livenessProbe: {}')"
refused "and not two" 'livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type' "$(container 'livenessProbe: {exec: {command: [x]}, tcpSocket: {port: 1}}')"
refused "a program has a name" 'livenessProbe.exec.command: Required value' "$(container 'livenessProbe: {exec: {}}')"
refused "alive is alive" 'livenessProbe.successThreshold: Invalid value: 2: must be 1' "$(container 'livenessProbe: {exec: {command: [x]}, successThreshold: 2}')"
refused "a sleep fits the grace period" 'lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than terminationGracePeriodSeconds \(30\)' "$(container 'lifecycle: {preStop: {sleep: {seconds: 60}}}')"
refused "what is asked for fits the limit" 'spec.containers\[0\].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1' "$(container 'resources: {requests: {cpu: 2}, limits: {cpu: 1}}')"
refused "resources have known names" 'resources.limits\[luck\]: Invalid value: "luck": must be a standard resource for containers' "$(container 'resources: {limits: {luck: 1}}')"
refused "huge pages come with memory" 'resources: Forbidden: HugePages require cpu or memory' "$(container 'resources: {limits: {hugepages-2Mi: 4Mi}}')"
refused "in whole pages" '3Mi is not positive integer multiple of hugepages-2Mi' "$(container 'resources: {limits: {hugepages-2Mi: 3Mi, memory: 1Gi}}')"
refused "devices in whole pieces" 'resources.limits\[example.com/gpu\]: Invalid value: "500m": must be an integer' "$(container 'resources: {limits: {example.com/gpu: 500m}}')"
refused "and as many as the limit" 'limits: Required value: Limit must be set for non overcommitable resources' "$(container 'resources: {requests: {example.com/gpu: 1}}')"
refused "first containers have no probes" 'spec.initContainers\[0\].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always' 'containers: [{name: a, image: b}], initContainers: [{name: c, image: d, livenessProbe: {exec: {command: [x]}}}]'
check "unless they stay" create "$(pod sidecar 'containers: [{name: a, image: b}], initContainers: [{name: c, image: d, restartPolicy: Always, livenessProbe: {exec: {command: [x]}}}]')"
refused "others do not say that they stay" 'spec.containers\[0\].restartPolicy: Forbidden: may not be set for non-init containers' "$(container 'restartPolicy: Always')"
refused "a name without spaces" 'image: Invalid value: " b": must not have leading or trailing whitespace' 'containers: [{name: a, image: " b"}]'
refused "privileged is not without privileges" 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true' "$(container 'securityContext: {privileged: true, allowPrivilegeEscalation: false}')"

# ---- the pod ----
c='containers: [{name: a, image: b}]'
refused "a volume is of one type" 'spec.volumes\[0\].hostPath: Forbidden: may not specify more than 1 volume type' "$c, volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]"
refused "a map has a name" 'spec.volumes\[0\].configMap.name: Required value' "$c, volumes: [{name: v, configMap: {}}]"
refused "modes are octal" 'defaultMode: Invalid value: 1000: must be a number between 0 and 0777 \(octal\), both inclusive' "$c, volumes: [{name: v, secret: {secretName: s, defaultMode: 1000}}]"
refused "paths are relative" 'items\[0\].path: Invalid value: "/x": must be a relative path' "$c, volumes: [{name: v, secret: {secretName: s, items: [{key: k, path: /x}]}}]"
refused "sources do not overlap" 'spec.volumes\[0\].projected: Invalid value: "t": conflicting duplicate paths' "$c, volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: t, items: [{key: k, path: p}]}}]}}]"
refused "tokens live for a while" 'expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes' "$c, volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: p, expirationSeconds: 60}}]}}]"
refused "a claim of its own is complete" 'volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required' "$c, volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1}}}}}}]"
refused "affinity has weights" 'weight: Invalid value: 0: must be in the range 1-100' "$c, affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, preference: {}}]}}"
refused "and values" 'matchExpressions\[0\].values: Required value: must be specified when `operator` is '"'In' or 'NotIn'" "$c, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: k, operator: In}]}]}}}"
refused "a toleration of all says so" 'operator must be Exists when `key` is empty' "$c, tolerations: [{effect: NoSchedule}]"
refused "or for how long" "effect must be 'NoExecute' when .tolerationSeconds. is set" "$c, tolerations: [{key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: 1}]"
refused "spreading has a bound" 'topologySpreadConstraints\[0\].maxSkew: Invalid value: 0: must be greater than zero' "$c, topologySpreadConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: DoNotSchedule}]"
refused "once for each key" 'Duplicate value: "\{z, DoNotSchedule\}"' "$c, topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: z, whenUnsatisfiable: DoNotSchedule}]"
refused "kernel parameters have names" 'sysctls\[0\].name: Invalid value: "Kernel": must have at most 253 characters' "$c, securityContext: {sysctls: [{name: Kernel, value: x}]}"
refused "not of the node's network" "may not be specified when 'hostNetwork' is true" "$c, hostNetwork: true, securityContext: {sysctls: [{name: net.ipv4.ip_forward, value: x}]}"
refused "own users, own namespaces" 'spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false' "$c, hostUsers: false, hostNetwork: true"
refused "no own names of servers" 'spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None' "$c, dnsPolicy: None"
refused "Windows' options are for Windows" 'windows options cannot be set for a linux pod' "$c, os: {name: linux}, securityContext: {windowsOptions: {runAsUserName: u}}"
refused "a gate keeps it from nodes" 'spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared' "$c, nodeName: node1, schedulingGates: [{name: g}]"
refused "profiles have names" 'seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost' "$c, securityContext: {seccompProfile: {type: Localhost}}"
refused "ephemeral containers come later" 'spec.ephemeralContainers: Forbidden: cannot be set on create' "$c, ephemeralContainers: [{name: e, image: f}]"
check "a pod with nearly everything" create "$(pod full "hostname: h, subdomain: s, priority: 0, runtimeClassName: null, schedulingGates: [{name: example.com/g}], \
	tolerations: [{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: 3}], hostAliases: [{ip: 10.0.0.1, hostnames: [h.example.com]}], \
	dnsConfig: {nameservers: [10.0.0.2], searches: [_tcp.example.com.], options: [{name: ndots, value: '2'}]}, \
	volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}}, {name: w, hostPath: {path: /dev, type: Directory}}], \
	topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [rev]}], \
	containers: [{name: a, image: b, ports: [{name: p, containerPort: 1}], envFrom: [{prefix: X_, configMapRef: {name: c}}], \
	env: [{name: L, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}, {name: M, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}], \
	resources: {limits: {memory: 1Gi, hugepages-2Mi: 4Mi, example.com/gpu: 1}}, volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: IfPossible}], \
	lifecycle: {preStop: {httpGet: {port: p, httpHeaders: [{name: X-A, value: b}]}}}, startupProbe: {grpc: {port: 5}}}]")"
check_output "its gate shows" '^SchedulingGated$' k get pod full -o 'jsonpath={.status.conditions[0].reason}'

# ---- changes ----
check_refused "names of containers stay" 'spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`,' k patch pod full --type=json -p '[{"op":"replace","path":"/spec/containers/0/name","value":"z"}]'
check_refused "their number, too" 'spec.containers: Forbidden: pod updates may not add or remove containers' k patch pod full --type=json -p '[{"op":"add","path":"/spec/containers/-","value":{"name":"z","image":"y"}}]'
check "images change" k set image pod/full a=c
check_refused "tolerations stay" 'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds' k patch pod full --type=merge -p '{"spec":{"tolerations":[]}}'
check "a deadline comes" k patch pod full --type=merge -p '{"spec":{"activeDeadlineSeconds":100}}'
check_refused "and grows no more" 'spec.activeDeadlineSeconds: Invalid value: 200: must be less than or equal to previous value' k patch pod full --type=merge -p '{"spec":{"activeDeadlineSeconds":200}}'
check_refused "nor goes" 'must not update from a positive integer to nil value' k patch pod full --type=merge -p '{"spec":{"activeDeadlineSeconds":null}}'
check "a gated pod's place is narrowed" k patch pod full --type=merge -p '{"spec":{"nodeSelector":{"a":"b"}}}'
check_refused "no new gates" "only deletion is allowed, but found new scheduling gate 'h'" k patch pod full --type=merge -p '{"spec":{"schedulingGates":[{"name":"example.com/g"},{"name":"h"}]}}'
check "gates go" k patch pod full --type=merge -p '{"spec":{"schedulingGates":null}}'
check_refused "then its place stays" 'pod updates may not change fields' k patch pod full --type=merge -p '{"spec":{"nodeSelector":{"a":"b","c":"d"}}}'

# ---- ephemeral containers ----
check "debug" k debug full --image=busybox -c dbg --attach=false
check_output "is there" '^dbg busybox$' k get pod full -o 'jsonpath={.spec.ephemeralContainers[0].name} {.spec.ephemeralContainers[0].image}'
sub=/api/v1/namespaces/default/pods/full
patch() { raw "$1" --fail-with-body -X PATCH -H "Content-Type: application/$2-patch+json" -d "$3"; }
check_refused "and stays" 'existing ephemeral containers \\"dbg\\" may not be removed' patch $sub/ephemeralcontainers merge '{"spec":{"ephemeralContainers":[]}}'
check_refused "with its own name" 'spec.ephemeralContainers\[[01]\].name: Duplicate value: \\"a\\"' patch $sub/ephemeralcontainers strategic-merge '{"spec":{"ephemeralContainers":[{"name":"a","image":"x"}]}}'
check_refused "and no ports" 'ports: Forbidden: cannot be set for an Ephemeral Container' patch $sub/ephemeralcontainers strategic-merge '{"spec":{"ephemeralContainers":[{"name":"e","image":"x","ports":[{"containerPort":1}]}]}}'
check_output "nothing else changes there" '"image":"c"' patch $sub/ephemeralcontainers strategic-merge '{"spec":{"containers":[{"name":"a","image":"other"}]}}'

# ---- resize ----
check "a pod to resize" create "$(pod r "$(container 'resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m}}')")"
check "more processor time" k patch pod r --subresource=resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"150m"},"limits":{"cpu":"300m"}}}]}}'
check_output "is written" '^150m 300m$' k get pod r -o 'jsonpath={.spec.containers[0].resources.requests.cpu} {.spec.containers[0].resources.limits.cpu}'
check_refused "not of another class" 'Pod QOS Class may not change as a result of resizing' k patch pod r --subresource=resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"300m","memory":"64Mi"},"limits":{"cpu":"300m","memory":"64Mi"}}}]}}'
check_refused "nothing taken away" 'limits: Forbidden: resource limits cannot be removed' k patch pod r --subresource=resize -p '{"spec":{"containers":[{"name":"a","resources":{"limits":null}}]}}'
check_refused "nothing else" 'only cpu and memory resources are mutable' k patch pod r --subresource=resize -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"ephemeral-storage":"1"}}}]}}'
check_refused "not by the pod itself" 'pod updates may not change fields' k patch pod r -p '{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"160m"}}}]}}'

# ---- generation ----
create "$(pod g "$c")" >/dev/null
check_output "a pod begins with generation 1" '^1$' k_field pod/g .metadata.generation
check_output "is put on a node" ' 201$' raw /api/v1/namespaces/default/pods/g/binding -X POST "${json[@]}" -w ' %{http_code}' \
	-d '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"g"},"target":{"kind":"Node","name":"somewhere"}}'
k label pod g colour=blue >/dev/null
k patch pod g --subresource=status --type=merge -p '{"status":{"message":"x"}}' >/dev/null
check_output "that, labels and status are no new generation" '^somewhere blue x 1$' k_field pod/g .spec.nodeName .metadata.labels.colour .status.message .metadata.generation
k patch pod g --type=merge -p '{"spec":{"activeDeadlineSeconds":1000}}' >/dev/null
check_output "a change of the spec is" '^2$' k_field pod/g .metadata.generation

# ---- eviction ----
evict() { raw "/api/v1/namespaces/default/pods/$1/eviction" -X POST "${json[@]}" -w ' %{http_code}' -d "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$1\"}$2}"; }
running() { k patch pod "$1" --subresource=status --type=merge -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'; }
budget() { k patch pdb "$1" --subresource=status --type=merge -p "{\"status\":{\"observedGeneration\":1,$2}}"; }
for p in e1 e2 e3; do create "$(pod $p "$c")" >/dev/null; running $p >/dev/null; done
check "a budget" k create pdb b --selector=app=x --min-available=2
check_output "that nobody has worked out refuses" 'Cannot evict pod as it would violate.*The disruption budget b is still being processed by the server.*"retryAfterSeconds":10.* 429$' evict e1
check "now it is" budget b '"disruptionsAllowed":1,"currentHealthy":3,"desiredHealthy":2,"expectedPods":3'
check_output "trying takes nothing" ' 201$' evict e1 ',"deleteOptions":{"dryRun":["All"]}'
check_output "one may go" '"status":"Success".* 201$' evict e1
check_output "in the budget" '"disruptedPods":\{"e1":"[^"]*"\}.*"disruptionsAllowed":0|"disruptionsAllowed":0.*"disruptedPods":\{"e1":"[^"]*"\}' raw /apis/policy/v1/namespaces/default/poddisruptionbudgets/b
check_output "no other" 'The disruption budget b needs 2 healthy pods and has 3 currently.* 429$' evict e2
check "another that does not work" k patch pod e3 --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"False"}]}}'
check_output "may, when enough others do" ' 201$' evict e3
check "a second budget" k create pdb b2 --selector=app --max-unavailable=1
check_output "is one too many" 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.* 500$' evict e2
check_output "a pod that waits may go" ' 201$' evict sidecar
check_output "a pod that is none" ' 404$' evict nothing
create "$(pod held "$c")" >/dev/null
k patch pod held --type=merge -p '{"metadata":{"labels":null,"finalizers":["example.com/hold"]}}' >/dev/null
revision=$(k_field pod/held .metadata.resourceVersion)
check_output "one of another revision may not" ' 409$' evict held ",\"deleteOptions\":{\"preconditions\":{\"resourceVersion\":\"1\"}}"
check_output "and is not marked" '^$' k_field pod/held '.status.conditions[?(@.type=="DisruptionTarget")].status'
check_output "one that its finalizer keeps may go" ' 201$' evict held ",\"deleteOptions\":{\"preconditions\":{\"resourceVersion\":\"$revision\"}}"
check_output "and says why it does" '^True EvictionByEvictionAPI Eviction API: evicting$' k get pod held -o \
	'jsonpath={range .status.conditions[?(@.type=="DisruptionTarget")]}{.status} {.reason} {.message}{end}'
check "without it, it does" k patch pod held --type=merge -p '{"metadata":{"finalizers":null}}'
finish
