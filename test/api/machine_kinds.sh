#!/bin/bash
# The kinds around virtual machines: names, columns, subresources and who may use them, as KubeVirt's and CDI's definitions
# have them.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null

# resource NAME SHORT.. of a group: `kubectl api-resources` has them so.
resources() { k api-resources --no-headers --sort-by=name; }
check_output "names and short names" 'virtualmachineclones +vmclone,vmclones +clone.kubevirt.io/v1beta1 +true +VirtualMachineClone' resources
listed() { matches "$1" resources; }
for line in \
	'datasources +das +cdi.kubevirt.io/v1beta1 +true +DataSource' \
	'datavolumes +dv,dvs +cdi.kubevirt.io/v1beta1 +true +DataVolume' \
	'cdis +cdi,cdis +cdi.kubevirt.io/v1beta1 +false +CDI' \
	'cdiconfigs +cdi.kubevirt.io/v1beta1 +false +CDIConfig' \
	'storageprofiles +cdi.kubevirt.io/v1beta1 +false +StorageProfile' \
	'uploadtokenrequests +utr,utrs +upload.cdi.kubevirt.io/v1beta1 +true +UploadTokenRequest' \
	'virtualmachineexports +vmexport,vmexports +export.kubevirt.io/v1 +true +VirtualMachineExport' \
	'virtualmachineinstancetypes +vminstancetype,vminstancetypes,vmf,vmfs +instancetype' \
	'virtualmachineclusterinstancetypes +vmclusterinstancetype,vmclusterinstancetypes,vmcf,vmcfs +instancetype.kubevirt.io/v1 +false' \
	'virtualmachinepreferences +vmpref,vmprefs,vmp,vmps +instancetype' \
	'virtualmachineclusterpreferences +vmcp,vmcps +instancetype.kubevirt.io/v1 +false' \
	'network-attachment-definitions +net-attach-def +k8s.cni.cncf.io/v1 +true +NetworkAttachmentDefinition' \
	'kubevirts +kv,kvs +kubevirt.io/v1 +true +KubeVirt' \
	'virtualmachineinstancereplicasets +vmirs,vmirss +kubevirt.io/v1 +true' \
	'virtualmachinepools +vmpool,vmpools +pool.kubevirt.io/v1beta1 +true' \
	'virtualmachinesnapshots +vmsnapshot,vmsnapshots +snapshot.kubevirt.io/v1beta1 +true' \
	'virtualmachinesnapshotcontents +vmsnapshotcontent,vmsnapshotcontents +snapshot' \
	'virtualmachinerestores +vmrestore,vmrestores +snapshot'; do
	check "${line%% *}" listed "$line"
done

create() { k create --validate=strict -f - <<<"$1"; }
check "a pool" create '{apiVersion: pool.kubevirt.io/v1beta1, kind: VirtualMachinePool, metadata: {name: web}, spec: {replicas: 2,
  selector: {matchLabels: {app: web}}, virtualMachineTemplate: {metadata: {labels: {app: web}}, spec: {runStrategy: Always,
  template: {metadata: {labels: {app: web}}, spec: {domain: {devices: {}}}}}}}}'
check "is scaled" k scale vmpool web --replicas=3
wish() { k patch vmpool web --type=merge -p "{\"spec\": $1}"; }
check_refused "disks of machines that go are not kept" "only 'Disabled' is supported" wish '{"scaleInStrategy": {"proactive": {"statePreservation": "Offline"}}}'
check_refused "nor are machines replaced" 'spec.autohealing: Forbidden' wish '{"autohealing": {"startUpFailureThreshold": 3}}'
check_output "and listed so" 'NAME +DESIRED +CURRENT +READY +AGE.*web +3 ' k get vmpool
check "a replica set" create '{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceReplicaSet, metadata: {name: web}, spec: {replicas: 2,
  selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {domain: {devices: {}}}}}}'
check "is scaled, too" k scale vmirs web --replicas=4
scale=/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancereplicasets/web
check "with a status" raw $scale/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"status":{"labelSelector":"app=web","replicas":4}}'
check_output "its selector is told" '"selector":"app=web"' raw $scale/scale
check "an instancetype" create '{apiVersion: instancetype.kubevirt.io/v1beta1, kind: VirtualMachineClusterInstancetype, metadata: {name: u1.small},
  spec: {cpu: {guest: 1}, memory: {guest: 2Gi}}}'
check_refused "one without memory" 'spec.memory: Required value' create '{apiVersion: instancetype.kubevirt.io/v1beta1, kind: VirtualMachineInstancetype,
  metadata: {name: small}, spec: {cpu: {guest: 1}}}'
check "a preference" create '{apiVersion: instancetype.kubevirt.io/v1beta1, kind: VirtualMachinePreference, metadata: {name: linux},
  spec: {devices: {preferredDiskBus: virtio, preferredRng: {}}, requirements: {cpu: {guest: 1}, memory: {guest: 1Gi}}}}'
check_refused "one with a field that is none" 'unknown field "spec.devices.preferredDisk"' create '{apiVersion: instancetype.kubevirt.io/v1beta1,
  kind: VirtualMachinePreference, metadata: {name: bad}, spec: {devices: {preferredDisk: virtio}}}'
check "a data volume" create '{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: disk}, spec: {source: {blank: {}},
  storage: {resources: {requests: {storage: 1Gi}}}}}'
check_output "its columns" 'NAME +PHASE +PROGRESS +RESTARTS +AGE' k get dv
check "a snapshot" create '{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineSnapshot, metadata: {name: before}, spec: {source: {apiGroup: kubevirt.io,
  kind: VirtualMachine, name: web}}}'
check_output "its columns" 'NAME +SOURCEKIND +SOURCENAME +PHASE +READYTOUSE +CREATIONTIME +ERROR.*before +VirtualMachine +web' k get vmsnapshot
check "a restore" create '{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineRestore, metadata: {name: back}, spec: {virtualMachineSnapshotName: before,
  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}'
check "a clone" create '{apiVersion: clone.kubevirt.io/v1beta1, kind: VirtualMachineClone, metadata: {name: twin}, spec: {source: {apiGroup: kubevirt.io,
  kind: VirtualMachine, name: web}, target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: twin}}}'
check_output "an export of the older version" 'is now deprecated' create '{apiVersion: export.kubevirt.io/v1beta1, kind: VirtualMachineExport, metadata: {name: out},
  spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}'
check_output "is one of the newer" '^export.kubevirt.io/v1 web$' k_field vmexport.v1.export.kubevirt.io/out .apiVersion .spec.source.name
check "a network" create '{apiVersion: k8s.cni.cncf.io/v1, kind: NetworkAttachmentDefinition, metadata: {name: br0}, spec: {config: "{\"cniVersion\":\"0.3.1\",\"type\":\"bridge\"}"}}'
check_output "all that are of the category" 'virtualmachinepool.pool.kubevirt.io/web' k get all

may() { k auth can-i "$1" "$2" -n default --as=ann; }
for role in kubevirt.io:edit cdi.kubevirt.io:edit; do
	check "a user with $role" k create rolebinding "${role%%:*}" --clusterrole=$role --user=ann
done
for what in 'create virtualmachines.kubevirt.io' 'delete virtualmachinesnapshots.snapshot.kubevirt.io' 'create virtualmachineclones.clone.kubevirt.io' \
	'create datavolumes.cdi.kubevirt.io' 'create uploadtokenrequests.upload.cdi.kubevirt.io' 'get virtualmachineclusterinstancetypes.instancetype.kubevirt.io'; do
	read -r verb resource <<<"$what"
	check "who may edit may $what" may "$verb" "$resource"
done
check_refused "but not change the cluster's sizes" 'forbidden' k delete vmcf u1.small --as=ann
finish
