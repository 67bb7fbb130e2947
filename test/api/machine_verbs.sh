#!/bin/bash
# What clients ask of virtual machines beside their objects (subresources.kubevirt.io): who answers, what is refused, in
# KubeVirt's words. The node is played: an instance is Running because its status says so.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null
S=/apis/subresources.kubevirt.io/v1

check_output "version" '"gitVersion":"v1\.' raw $S/version
check_output "healthz" '"connectivity":"ok".*200$' raw $S/healthz -w '%{http_code}'
check_output "the older version, too" '"gitVersion":"v1\.' raw /apis/subresources.kubevirt.io/v1alpha3/version
check_output "guestfs is told where to go" 'hanok image inspect.*404$' raw $S/guestfs -w '%{http_code}'
check_output "discovery" 'virtualmachineinstances/vnc/screenshot' raw $S
check_output "nothing else" '404$' raw $S/nonsense -w '%{http_code}'

create() { k create -f - <<<"$1"; }
# A machine that has an instance of the same name; the status is what a node would say.
machine() {
	create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: $1}, spec: {runStrategy: $2, template: {spec: {
	  domain: {memory: {guest: 128Mi}, devices: {disks: [{name: root, disk: {}}]}}, volumes: [{name: root, emptyDisk: {capacity: 1Gi}}]}}}}"
}
instance() {
	create "{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: $1, ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine,
	  name: $1, uid: $(k_field "vm/$1" .metadata.uid), controller: true}]}, spec: {terminationGracePeriodSeconds: 60, domain: {memory: {guest: 128Mi}, devices: {}},
	  volumes: [{name: root, emptyDisk: {capacity: 1Gi}}]}}"
}
becomes() { raw "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances/$1/status" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"status\":$2}"; }
ask() { raw "$S/namespaces/default/$1" -w '%{http_code}' "${@:2}"; }
put() { ask "$1" -X PUT ${2:+-H 'Content-Type: application/json' -d "$2"}; }
get() { ask "$1"; }

check "a machine" machine web Manual
check_output "has no instance" 'virtualmachineinstance.kubevirt.io \\"web\\" not found.*404$' put virtualmachineinstances/web/pause
check_output "nothing to forward to" 'virtualmachine.kubevirt.io \\"web\\": VMI is not started.*409$' get virtualmachines/web/portforward/22
check_output "of a machine that is none" 'virtualmachine.kubevirt.io \\"none\\" not found.*404$' put virtualmachines/none/start
check "an instance" instance web
for verb in pause unpause freeze unfreeze reset softreboot; do
	check_output "$verb of what does not run yet" 'VMI is not running.*409$' put virtualmachineinstances/web/$verb
done
for what in guestosinfo userlist filesystemlist; do
	check_output "$what of what does not run yet" 'VMI is not running.*409$' get virtualmachineinstances/web/$what
done
# virtctl console asks again after 400, and gives up after 409.
for what in console vnc vnc/screenshot portforward/22/tcp; do
	check_output "$what of what does not run yet" 'VMI is not running.*400$' get virtualmachineinstances/web/$what
done
check "it runs" becomes web '{"phase":"Running","nodeName":"nowhere"}'
check_output "the node is asked" 'nodes \\"nowhere\\" not found.*404$' put virtualmachineinstances/web/pause
check_output "not for dry runs" '^200$' put virtualmachineinstances/web/pause '{"dryRun":["All"]}'
check_output "not with a method that is none" '405$' get virtualmachineinstances/web/pause
check_output "not paused" 'VMI is not paused.*409$' put virtualmachineinstances/web/unpause
check_output "no guest agent" 'VMI does not have guest agent connected.*409$' get virtualmachineinstances/web/guestosinfo
check_output "no port" 'is no PORT.*400$' get virtualmachineinstances/web/portforward/99999
check "it is paused" becomes web '{"conditions":[{"type":"Paused","status":"True"}]}'
check_output "twice" 'VMI is already paused.*409$' put virtualmachineinstances/web/pause
check_output "no reboot of what is paused" 'VMI is paused.*409$' put virtualmachineinstances/web/softreboot
check_output "no forwarding" 'VMI is paused.*409$' get virtualmachineinstances/web/portforward/22

check_output "a volume needs a name" 'AddVolumeOptions requires name to be set.*400$' put virtualmachines/web/addvolume '{"disk":{}}'
check_output "a disk" 'requires disk to not be nil.*400$' put virtualmachines/web/addvolume '{"name":"more"}'
check_output "and a source" 'requires VolumeSource to not be nil.*400$' put virtualmachines/web/addvolume '{"name":"more","disk":{}}'
more='{"name":"more","disk":{"disk":{"bus":"scsi"}},"volumeSource":{"persistentVolumeClaim":{"claimName":"more"}}}'
check_output "a bus that takes nothing while it runs" "requires bus to be 'scsi' or 'virtio'. \[sata\] is not permitted.*400$" put virtualmachines/web/addvolume "${more/scsi/sata}"
check_output "one of nothing" "requires diskDevice of type 'disk' or 'lun'.*400$" put virtualmachines/web/addvolume '{"name":"more","disk":{},"volumeSource":{"persistentVolumeClaim":{"claimName":"more"}}}'
check_output "only tried" '^202$' put virtualmachines/web/addvolume "${more%\}},\"dryRun\":[\"All\"]}"
check_output "it is not there" '^root$' k_field vm/web '.spec.template.spec.volumes[*].name'
check_output "to a machine" '^202$' put virtualmachines/web/addvolume "$more"
check_output "is in its template" '^more true more scsi$' k_field vm/web '.spec.template.spec.volumes[1].name' '.spec.template.spec.volumes[1].persistentVolumeClaim.hotpluggable' \
	'.spec.template.spec.domain.devices.disks[1].name' '.spec.template.spec.domain.devices.disks[1].disk.bus'
check_output "once" 'volume with that name already exists.*409$' put virtualmachines/web/addvolume "$more"
check_output "the claim once" 'volume source \[more\] because it already exists.*409$' put virtualmachines/web/addvolume "${more/more/else}"
check_output "what is not hot-pluggable stays" 'is not hotpluggable.*409$' put virtualmachines/web/removevolume '{"name":"root"}'
check_output "what is not there" 'does not exist.*409$' put virtualmachines/web/removevolume '{"name":"none"}'
check_output "to an instance alone" '^202$' put virtualmachineinstances/web/addvolume "$more"
check_output "it is in its specification" '^more$' k_field vmi/web '.spec.volumes[1].name'
check_output "and goes" '^202$' put virtualmachines/web/removevolume '{"name":"more"}'
check_output "from the template" '^root$' k_field vm/web '.spec.template.spec.volumes[*].name'

check_output "a memory dump needs a claim" 'Memory dump requires claim name to be set.*400$' put virtualmachines/web/memorydump '{}'
check_output "that is there" 'persistentvolumeclaim.kubevirt.io \\"dump\\" not found.*404$' put virtualmachines/web/memorydump '{"claimName":"dump"}'
claim() { create "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: $2}}}}"; }
check "a claim" claim dump 128Mi
check_output "is too small" 'pvc size \[128Mi\] should be bigger then.*409$' put virtualmachines/web/memorydump '{"claimName":"dump"}'
check "a larger one" claim large 1Gi
check_output "is taken" '^202$' put virtualmachines/web/memorydump '{"claimName":"large"}'
check_output "the machine says so" '^large Associating$' k_field vm/web .status.memoryDumpRequest.claimName .status.memoryDumpRequest.phase
check_output "one at a time" 'already in progress.*409$' put virtualmachines/web/memorydump '{}'
check_output "it is taken away" '^202$' put virtualmachines/web/removememorydump
check_output "once" 'already exists.*409$' put virtualmachines/web/removememorydump

check_output "what it needs" '"kind":"VirtualMachineInstance".*"kind":"PersistentVolumeClaim","name":"more"' get virtualmachineinstances/web/objectgraph
check_output "by labels" '^\{"objectReference":[^}]*\},"labels":\{[^}]*\}\}.200$' ask virtualmachineinstances/web/objectgraph -X GET -H 'Content-Type: application/json' \
	-d '{"labelSelector":{"matchLabels":{"kubevirt.io/dependency-type":"network"}}}'

check "a machine that is halted" machine halted Halted
check_output "is not restarted" 'RunStategy Halted does not support manual restart requests.*409$' put virtualmachines/halted/restart
check_output "start paused" '^202$' put virtualmachines/halted/start '{"paused":true}'
check_output "is a request" '^Halted Start true$' k_field vm/halted .spec.runStrategy '.status.stateChangeRequests[0].action' '.status.stateChangeRequests[0].data.paused'
check "with an instance that runs" instance halted
check "indeed" becomes halted '{"phase":"Running"}'
check_output "stops no slower" 'only supports manual stop requests with a shorter graceperiod.*409$' put virtualmachines/halted/stop '{"gracePeriod":60}'
check_output "but faster" '^202$' put virtualmachines/halted/stop '{"gracePeriod":1}'
check_output "its guest has less time" '^1 Stop$' bash -c 'echo "$1 $2"' - "$(k_field vmi/halted .spec.terminationGracePeriodSeconds)" \
	"$(k_field vm/halted '.status.stateChangeRequests[0].action')"
check_output "restart by force has no other grace" 'only gracePeriod=0 is supported.*400$' put virtualmachines/web/restart '{"gracePeriodSeconds":5}'
check_output "nor less" 'greater or equal to 0.*400$' put virtualmachines/web/restart '{"gracePeriodSeconds":-1}'
check_output "what is no options" 'Can not unmarshal Request body.*400$' put virtualmachines/web/restart '[1]'

as() { raw "$S/namespaces/default/$2" -w '%{http_code}' -X "$1" -H 'Impersonate-User: ann' -H 'Impersonate-Group: system:authenticated'; }
check_output "a stranger may not" 'cannot update resource \\"virtualmachines/start\\".*403$' as PUT virtualmachines/web/start
check_output "nor look" 'cannot get resource \\"virtualmachineinstances/vnc\\".*403$' as GET virtualmachineinstances/web/vnc
check "until bound" k create rolebinding ann --clusterrole=kubevirt.io:edit --user=ann
check_output "then the verb is allowed" 'VMI is already paused.*409$' as PUT virtualmachineinstances/web/pause

# Who deletes by force what is stopped by force already has no conflict with himself.
check "one that is switched off" machine forced Halted
check "and still runs" instance forced
check "as its node says" becomes forced '{"phase":"Running","nodeName":"nowhere"}'
check_output "is stopped at once" '202$|200$' put virtualmachines/forced/stop '{"gracePeriod":0}'
check_output "which is asked for once" 'shorter graceperiod.*409$' put virtualmachines/forced/stop '{"gracePeriod":0}'
check "and is deleted by force" "$HANOK" virt delete forced --force --no-wait --kubeconfig "$KUBECONFIG_FILE"
finish
