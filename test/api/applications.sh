#!/bin/bash
# Applications with the real control loops: what is refused, what is decided, and which objects come of it.
. "$(dirname "$0")/../lib.sh"
start_server
raw /version >/dev/null

application() {
	cat <<-END
		apiVersion: hanok.io/v1
		kind: Application
		metadata: {name: $1, labels: {team: a}}
		spec: {$2}
	END
}
create() { application "$@" | k create --validate=strict -f -; }
image='image: registry.example/web:1'
disk='disk: {containerDisk: {image: registry.example/vm:1}}'
explain() { "$HANOK" explain placement "$@" --kubeconfig "$KUBECONFIG_FILE"; }

# Refused.
check_refused "neither image nor disk" 'spec: Required value: an image .*, a disk .*, or both' create bad ''
check_refused "two disks" 'spec.disk: Invalid value.*exactly one of containerDisk' create bad \
	"$image, disk: {containerDisk: {image: a}, persistentVolumeClaim: {claimName: b}}"
check_refused "a value that is none" 'spec.profile.criticality: Unsupported value: "vital"' create bad "$image, profile: {criticality: vital}"
check_refused "a field that is none" 'unknown field "spec.profile.critical"' create bad "$image, profile: {critical: yes}"
check_refused "a range upside down" 'spec.minReplicas: Invalid value: 5: must not be above maxReplicas' create bad "$image, minReplicas: 5, maxReplicas: 2"
check_refused "half a range" 'spec.maxReplicas: Required value' create bad "$image, minReplicas: 5"
check_refused "ports without names" 'spec.ports\[0\].name: Required value' create bad "$image, ports: [{port: 80}, {port: 81}]"
check_refused "a port twice" 'spec.ports\[1\].port: Duplicate value: 80' create bad "$image, ports: [{name: a, port: 80}, {name: b, port: 80}]"
check_refused "a node port for nothing" 'spec.ports\[0\].nodePort: Forbidden' create bad "$image, ports: [{port: 80, nodePort: 30000}]"
check_refused "a volume of two types" 'spec.volumes\[0\]: Invalid value: "v": must have exactly one volume type' create bad \
	"$image, volumes: [{name: v, emptyDir: {}, configMap: {name: c}}]"
check_refused "a negative size" 'spec.resources.requests\[cpu\]: Invalid value' create bad "$image, resources: {requests: {cpu: -1}}"
check_refused "an isolation that is not fixed" 'spec.placement.isolation: Forbidden: only with the policy Fixed' create bad \
	"$image, placement: {isolation: Container}"
check_refused "fixed where it can't be" 'spec.placement.isolation: Invalid value: "VirtualMachine": no bootable disk' create bad \
	"$image, placement: {policy: Fixed, isolation: VirtualMachine}"
check_refused "a name that no Service can have" 'metadata.name: Invalid value' create 0bad "$image"

# Decided.
check "a homepage" create homepage "$image, $disk, minReplicas: 2, maxReplicas: 8, ports: [{port: 80, targetPort: 8080}], profile: {load: variable, dataSensitivity: public}"
check "a bank" create bank "$image, $disk, replicas: 2, ports: [{port: 80}], env: [{name: MODE, value: it's on}], command: [serve], profile: {criticality: mission-critical, dataSensitivity: restricted}"
check "a homepage belongs in containers" eventually 20 matches '^Container Container$' k_field app/homepage .status.isolation .status.decision.isolation
check "a bank in virtual machines" eventually 20 matches '^VirtualMachine VirtualMachine$' k_field app/bank .status.isolation .status.decision.isolation
check_output "columns" 'NAME +ISOLATION +READY +REASON +MOVE +AGE.*bank +VirtualMachine +0/2 +criticality mission-critical +[0-9hms]+.*homepage +Container +0/2 +load variable' k get app
check_output "explained" 'Decision: VirtualMachine.*CRITERION.*criticality +mission-critical +40 +400 \(10\) +80 \( 2\).*REASONS.*criticality mission-critical: .*Runs as: VirtualMachine \(policy Auto\)' explain bank
check_output "explained as JSON" '"isolation": "Container".*"criteria".*"reasons"' explain homepage -o json
check_refused "nothing to explain" "application 'default/nothing': applications.hanok.io \"nothing\" not found" explain nothing
manifest=$TEST_DIR/manifest.yaml
application paper "$image, profile: {criticality: mission-critical}" >"$manifest"
check_output "explained without a server" 'Decision: Container.*not a VirtualMachine: no bootable disk.*no bootable disk: .*profile: by itself it would ask for a VirtualMachine' \
	"$HANOK" explain placement -f "$manifest"
application odd "$image, profile: {criticality: critical}" >"$manifest"
check_refused "and refused as the server would" 'criticality: Unsupported value: "critical": supported values: "mission-critical"' \
	"$HANOK" explain placement -f "$manifest"
check "an event says it" eventually 20 matches 'Normal +Placed +application/bank +Belongs in a VirtualMachine \([0-9]+ points to [0-9]+\): criticality mission-critical' \
	k get events --field-selector involvedObject.name=bank

# What comes of it.
check_output "a Deployment at its autoscaler's size" '^2 registry.example/web:1 8080 0 Application homepage$' k_field deployment/homepage .spec.replicas \
	'.spec.template.spec.containers[0].image' '.spec.template.spec.containers[0].readinessProbe.tcpSocket.port' \
	.spec.strategy.rollingUpdate.maxUnavailable '.metadata.ownerReferences[0].kind' '.metadata.ownerReferences[0].name'
check_output "an autoscaler" '^2 8 homepage 80$' k_field hpa/homepage .spec.minReplicas .spec.maxReplicas .spec.scaleTargetRef.name \
	'.spec.metrics[0].resource.target.averageUtilization'
check_output "a disruption budget" '^1 Container$' k_field pdb/homepage .spec.maxUnavailable '.spec.selector.matchLabels.hanok\.io/isolation'
check_output "a Service" '^8080 homepage Container$' k_field service/homepage '.spec.ports[0].targetPort' \
	'.spec.selector.hanok\.io/application' '.spec.selector.hanok\.io/isolation'
check_output "two virtual machines" '^virtualmachine.kubevirt.io/bank-0.virtualmachine.kubevirt.io/bank-1$' k get vm -o name
check_output "with reserved memory, priority, and apart from each other" '^Always 512Mi 512Mi hanok-mission-critical kubernetes.io/hostname$' k_field vm/bank-0 \
	.spec.runStrategy .spec.template.spec.domain.memory.guest .spec.template.spec.domain.resources.requests.memory .spec.template.spec.priorityClassName \
	'.spec.template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey'
check "which the scheduler is told" eventually 20 matches '^1000000$' k_field vmi/bank-0 '.metadata.annotations.hanok\.io/priority'
check "and nobody else can say" k annotate vmi bank-0 --overwrite hanok.io/priority=2000000000
check_output "it stays" '^1000000$' k_field vmi/bank-0 '.metadata.annotations.hanok\.io/priority'
check_output "told by cloud-init what a container is told" "MODE='it'.*runcmd" k_field vm/bank-0 '.spec.template.spec.volumes[?(@.name=="cloud-init")].cloudInitNoCloud.userData'
check_output "and no containers" '^0$' k_count deployment/bank
check_output "labels of the application go along" '^a a$' k_field vm/bank-1 .metadata.labels.team .spec.template.metadata.labels.team

# Kept so.
check "a size changed by hand" k scale app/bank --replicas=3
check "is followed" eventually 20 matches '^3$' k_count vm
check "someone else's change" k patch service homepage --type merge -p '{"spec":{"selector":{"hanok.io/application":"other"}}}'
check "is undone" eventually 20 matches '^homepage$' k_field service/homepage '.spec.selector.hanok\.io/application'
check "a part taken away" k delete pdb homepage
check "comes back" eventually 20 k get pdb homepage
check "orphaned" k delete app homepage --cascade=orphan
check_output "the parts stay" '^1$' k_count deployment/homepage
uid=$(k_field deployment/homepage .metadata.uid)
check "made again" create homepage "$image, $disk, replicas: 2, ports: [{port: 80, targetPort: 8080}], profile: {load: variable}"
owned() { [ "$(k_field deployment/homepage '.metadata.ownerReferences[0].uid')" = "$(k_field app/homepage .metadata.uid)" ]; }
check "it takes its parts in" eventually 20 owned
check "the same ones" eventually 20 matches "^$uid 2$" k_field deployment/homepage .metadata.uid .spec.replicas
gone() { ! k get "$@" >/dev/null 2>&1; }
check "without a range there is no autoscaler" eventually 20 gone hpa homepage

# Moved: the virtual machines are made first, the containers go on.
check "the profile changes" k patch app homepage --type merge -p '{"spec":{"profile":{"criticality":"mission-critical","load":"steady"}}}'
check "a move begins" eventually 20 matches '^VirtualMachine Starting Container$' k_field app/homepage .status.decision.isolation .status.move.phase .status.isolation
check_output "told by the column" 'homepage +Container .*Starting -> VirtualMachine' k get app homepage
check_output "told by the condition" 'Moving Starting in virtual machines: 0 of 2 replicas are ready' k_field app/homepage \
	'.status.conditions[?(@.type=="Progressing")].reason' '.status.conditions[?(@.type=="Progressing")].message'
check_output "both sides are there" '^deployment.apps/homepage.virtualmachine.kubevirt.io/homepage-0.virtualmachine.kubevirt.io/homepage-1$' \
	k get deployment,vm -l hanok.io/application=homepage -o name
check "the Service finds both" eventually 20 matches '^homepage $' k_field service/homepage '.spec.selector.hanok\.io/application' '.spec.selector.hanok\.io/isolation'
check "changed back" k patch app homepage --type merge -p '{"spec":{"profile":{"criticality":"standard","load":"variable"},"placement":{"policy":"Recommend"}}}'
check "changed again, under another policy" k patch app homepage --type merge -p '{"spec":{"profile":{"criticality":"mission-critical","load":"steady"}}}'
check "recommended, not done" eventually 20 matches '^True it belongs in virtual machines because of criticality' k_field app/homepage \
	'.status.conditions[?(@.type=="MoveRecommended")].status' '.status.conditions[?(@.type=="MoveRecommended")].message'

check "one whose moves are only recommended" create advised "$image, $disk, placement: {policy: Recommend}"
check "is placed" eventually 20 matches '^Container$' k_field app/advised .status.isolation
check "belongs elsewhere" k patch app advised --type merge -p '{"spec":{"profile":{"criticality":"mission-critical"}}}'
check "told by the column, too" eventually 20 matches 'advised +Container .*not made -> VirtualMachine' k get app advised

# Said when it can't be.
check "what contradicts itself" create odd "$image, profile: {isolation: strict}"
check "is told" eventually 20 matches 'NeitherFits isolation strict rules out containers .* no bootable disk rules out virtual machines' k_field app/odd \
	'.status.conditions[?(@.type=="Placed")].reason' '.status.conditions[?(@.type=="Placed")].message'
check "by events, too" eventually 20 matches 'NeitherFits +application/odd +Neither virtual machines nor containers can run it: isolation strict rules out containers' k get events --field-selector involvedObject.name=odd
check_output "in the column, too" 'odd +0/1 +NeitherFits' k get app odd
check "what only a machine can run" create sealed "$image, $disk, profile: {isolation: strict}"
check "is told without points" eventually 20 matches 'Placed +application/sealed +Belongs in a VirtualMachine: isolation strict rules out containers' \
	k get events --field-selector involvedObject.name=sealed
k create deployment taken --image=x >/dev/null
check "a name that is taken" create taken "$image"
check "is told" eventually 20 matches "^NameTaken there is a Deployment 'taken'" k_field app/taken \
	'.status.conditions[?(@.type=="Progressing")].reason' '.status.conditions[?(@.type=="Progressing")].message'
check "and left alone" test -z "$(k_field deployment/taken '.metadata.ownerReferences')"

# Quotas: of the parts, and of what the parts make.
k_in_full() { k -n full get app cramped -o "jsonpath=$1"; }
k create namespace full >/dev/null
k -n full create quota none --hard=count/deployments.apps=0 >/dev/null
check "an application where there is no room" k -n full create -f <(application cramped "$image")
check "says so" eventually 20 matches "^FailedWrite Deployment 'cramped' could not be written: .*exceeded quota: none" k_in_full \
	'{.status.conditions[?(@.type=="Progressing")].reason} {.status.conditions[?(@.type=="Progressing")].message}'
check "an event, too" eventually 20 matches 'Warning +FailedWrite +application/cramped' k -n full get events
check "room for the Deployment, none for its pods" k -n full patch quota none --type merge -p '{"spec":{"hard":{"count/deployments.apps":"1","pods":"0"}}}'
check "is told as well" eventually 20 matches '^Starting 0 of 1 replicas are ready .*exceeded quota: none' k_in_full \
	'{.status.conditions[?(@.type=="Progressing")].reason} {.status.conditions[?(@.type=="Progressing")].message}'

# Weights.
check "weights with a mistake" k -n kube-system create configmap hanok-placement --from-literal=criticality=much
check "are told on the applications" eventually 20 matches "^False criticality: 'much' is no weight" k_field app/bank \
	'.status.conditions[?(@.type=="WeightsValid")].status' '.status.conditions[?(@.type=="WeightsValid")].message'
check "and on the ConfigMap" eventually 20 matches "InvalidWeight.*configmap/hanok-placement.*'much' is no weight" k -n kube-system get events
check "mended" k -n kube-system patch configmap hanok-placement --type merge -p '{"data":{"criticality":"60"}}'
check "they count" eventually 20 matches '^60 *$' k_field app/bank '.status.decision.criteria[0].weight' '.status.conditions[?(@.type=="WeightsValid")].status'

# Advised: what is said by annotation, and by privileges.
k create -f - >/dev/null <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, annotations: {hanok.io/criticality: mission-critical}}
spec:
  selector: {matchLabels: {app: ledger}}
  template: {metadata: {labels: {app: ledger}}, spec: {containers: [{name: c, image: i}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template: {metadata: {labels: {app: agent}}, spec: {hostNetwork: true, containers: [{name: c, image: i, securityContext: {privileged: true}}]}}
END
advise() { "$HANOK" advise "$@" --kubeconfig "$KUBECONFIG_FILE"; }
check_output "advised to move, and what it costs" 'Deployment/ledger +Container +VirtualMachine +[0-9]+:[0-9]+ +-192Mi +criticality mission-critical: ' advise
check_output "advised to stay" "Deployment/agent +Container +stay .*it has hostNetwork" advise -A
check_output "an Application that is placed nowhere" 'Application/odd +- +- .*neither fits: isolation strict rules out containers' advise
check_output "an Application by its own decision" 'Application/homepage +Container +VirtualMachine .*criticality mission-critical' advise --moves
check_output "as JSON" '"name": "ledger",.*"recommended": "VirtualMachine",.*"move": true,.*"reasons".*"memoryBytes": -201326592' advise --moves -o json
check_refused "options are checked" "hanok advise: --samples '0': a number from 1 to 1000" advise --samples 0
k delete deployment ledger agent >/dev/null

# Annotations on anybody's workload: defaults where the client said nothing.
workload() {
	cat <<-END
		apiVersion: apps/v1
		kind: ${3:-Deployment}
		metadata: {name: $1, annotations: {$2}}
		spec:
		  replicas: 3
		  selector: {matchLabels: {app: $1}}
		  template: {metadata: {labels: {app: $1}}, spec: {${4:-}containers: [{name: c, image: i}]}}
	END
}
template=.spec.template.spec
antiaffinity="$template.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector.matchLabels.app"
check "a Deployment of theirs" k create -f <(workload ledger 'hanok.io/criticality: mission-critical')
check_output "gets a priority, and its pods keep apart" '^hanok-mission-critical ledger$' k_field deployment/ledger "$template.priorityClassName" "$antiaffinity"
check "and a disruption budget" eventually 20 matches '^1 ledger Deployment$' k_field pdb/ledger-deployment-critical .spec.maxUnavailable .spec.selector.matchLabels.app '.metadata.ownerReferences[0].kind'
check "whose pods have it" eventually 20 matches '^1000000 hanok-mission-critical' k get pods -l app=ledger -o 'jsonpath={.items[0].spec.priority} {.items[0].spec.priorityClassName}'
check "a StatefulSet" k create -f <(workload db 'hanok.io/criticality: mission-critical' StatefulSet 'priorityClassName: system-cluster-critical, affinity: {}, ')
check_output "keeps what was said" '^system-cluster-critical \{\}$' k_field statefulset/db "$template.priorityClassName" "$template.affinity"
check "gets a budget" eventually 20 k get pdb db-statefulset-critical
check "a best-effort one" k create -f <(workload toy 'hanok.io/criticality: best-effort')
check_output "gives way" '^hanok-best-effort $' k_field deployment/toy "$template.priorityClassName" "$antiaffinity"
check_output "a value that is none is told" "Warning: metadata.annotations: hanok.io/criticality: 'vital' is none of mission-critical, standard, best-effort" \
	k create -f <(workload typo 'hanok.io/criticality: vital')
check_output "and does nothing" '^ $' k_field deployment/typo "$template.priorityClassName" "$antiaffinity"
check_output "one without annotations is left alone" '^ $' k_field deployment/taken "$template.priorityClassName" "$antiaffinity"
machine() {
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $1, annotations: {hanok.io/criticality: mission-critical}}
		spec: {runStrategy: Halted, template: {metadata: {labels: {app: $1}}, spec: {domain: {devices: {}}}}}
	END
}
check "a machine" k create -f <(machine core)
no_class() {
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: no-class}
		spec: {priorityClassName: nothing, domain: {devices: {}}}
	END
}
check_refused "a class that is none" 'no PriorityClass with name nothing was found' k create -f <(no_class)
check_output "too" '^hanok-mission-critical core$' k_field vm/core "$template.priorityClassName" "$antiaffinity"
check "a budget of theirs" k create pdb own --selector=app=ledger --min-available=1
check "takes the place of ours" eventually 20 gone pdb ledger-deployment-critical
k delete deployment ledger toy typo >/dev/null
k delete statefulset db >/dev/null
k delete pdb own >/dev/null
k delete vm core >/dev/null

check "deleted" k delete app --all
check "all goes with it" eventually 20 matches '^2$' k_count vm,deployment,service,hpa,pdb
finish
