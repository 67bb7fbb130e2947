#!/bin/bash
# virtctl's requests, as test/virtctl.py plays them, on a server alone: the instance is Running because its status says so.
# (With a node: test/e2e/virtctl.sh.)
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=clusterrole-aggregation,garbagecollector,virtualmachineexport,virtualmachine,endpointslice,storageprofile' --scheduler=off
raw /version >/dev/null
virtctl() { python3 "$TEST_ROOT/test/virtctl.py" --kubeconfig "$KUBECONFIG_FILE" "$@"; }
create() { k create -f - <<<"$1"; }
spec='domain: {memory: {guest: 1Gi}, devices: {disks: [{name: root, disk: {}}]}}, volumes: [{name: root, emptyDisk: {capacity: 1Gi}}]'

check_output "version" "gitVersion': 'v1[.]" virtctl version
check_refused "guestfs" 'could not get guestfs image info: hanok has no image of libguestfs-tools' virtctl guestfs
check_output "log verbosity" 'virt-handler = 2' virtctl log-verbosity
check_output "set" 'successfully set' virtctl log-verbosity 5
check_output "and read" 'virt-handler = 5' virtctl log-verbosity

check "a machine" create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {runStrategy: Halted, template: {metadata: {labels: {app: web}}, spec: {$spec}}}}"
check_refused "start of none" 'virtualmachine.kubevirt.io "none" not found' virtctl start none
check_output "start, only tried" 'was scheduled to start' virtctl start web --dry-run
check_output "it is as it was" '^Halted$' k_field vm/web .spec.runStrategy
check_refused "stop of what does not run" 'VM is not running' virtctl stop web
check_refused "restart" 'RunStategy Halted does not support manual restart requests' virtctl restart web
check_refused "migrate" 'virtualmachineinstance.kubevirt.io "web" not found' virtctl migrate web
check_output "start" 'was scheduled to start' virtctl start web
check "it is made" eventually 20 matches '^Pending$' k_field vmi/web .status.phase
# Clients size a memory dump's claim by it.
check_output "an instance asks for its guest's memory" '^1Gi$' k_field vmi/web .spec.domain.resources.requests.memory
check_refused "start again" 'VM is already running' virtctl start web
check_refused "migrate of what does not run" 'VM is not running' virtctl migrate web
check_refused "console of it" 'VMI is not running' virtctl console web --timeout 0
becomes() { raw /apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances/web/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"status\":$1}"; }
check "it runs" becomes '{"phase":"Running","conditions":[{"type":"LiveMigratable","status":"False","reason":"DisksNotLiveMigratable","message":"its disks are files of this node"}]}'
check_refused "migrate" 'Cannot migrate VMI, Reason: DisksNotLiveMigratable, Message: its disks are files of this node' virtctl migrate web
check_refused "nor as an object" 'Cannot migrate VMI, Reason: DisksNotLiveMigratable' create '{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceMigration, metadata: {generateName: m-}, spec: {vmiName: web}}'
check_refused "nor one of none" 'the VMI none does not exist' create '{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceMigration, metadata: {name: m}, spec: {vmiName: none}}'
check_refused "migrate-cancel" 'Found no migration to cancel for web' virtctl migrate-cancel web
check_output "evacuate-cancel" 'was canceled evacuation' virtctl evacuate-cancel vm web
check_output "of an instance" 'was canceled evacuation' virtctl evacuate-cancel vmi web
check_refused "of none" 'not found' virtctl evacuate-cancel vmi none
check_refused "unpause of what is not paused" 'VMI is not paused' virtctl unpause vm web
check_output "pause, only tried" 'was scheduled to pause' virtctl pause vmi web --dry-run
check_refused "what only an agent knows" 'VMI does not have guest agent connected' virtctl guestosinfo web
check_output "objectgraph" '"kind": "VirtualMachineInstance"' virtctl objectgraph vm web

check "a claim" create '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: more}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}'
check_refused "addvolume of nothing" 'Volume none is not a DataVolume or PersistentVolumeClaim' virtctl addvolume web --volume none
check_output "addvolume, only tried" 'Successfully submitted' virtctl addvolume web --volume more --dry-run
check_output "addvolume" 'Successfully submitted' virtctl addvolume web --volume more --persist --cache none
check_output "is in the machine" '^more more none scsi$' k_field vm/web '.spec.template.spec.volumes[1].name' \
	'.spec.template.spec.domain.devices.disks[1].serial' '.spec.template.spec.domain.devices.disks[1].cache' '.spec.template.spec.domain.devices.disks[1].disk.bus'
check_output "removevolume" 'Successfully submitted' virtctl removevolume web --volume more --persist
check_output "is out of it" '^root$' k_field vm/web '.spec.template.spec.volumes[*].name'

check_output "memory dump into a claim that it makes" 'PVC default/dump created.*Successfully submitted memory dump request' virtctl memory-dump get web --claim-name dump --create-claim
check_output "of guest and 100 MiB" '^1124Mi$' k_field pvc/dump .spec.resources.requests.storage
check_refused "one at a time" 'please remove current memory dump association' virtctl memory-dump get web --claim-name other --create-claim
check_output "removed" 'remove memory dump association' virtctl memory-dump remove web

# expand
check "an instancetype of the newer version" create '{apiVersion: instancetype.kubevirt.io/v1, kind: VirtualMachineInstancetype, metadata: {name: small}, spec: {cpu: {guest: 2}, memory: {guest: 256Mi}}}'
check_output "is one of the older, too" '^2$' k get virtualmachineinstancetypes.v1beta1.instancetype.kubevirt.io small -o 'jsonpath={.spec.cpu.guest}'
echo '{"kind":"VirtualMachine","apiVersion":"kubevirt.io/v1","metadata":{"name":"sized","creationTimestamp":null},"spec":{"running":false,"instancetype":{"name":"small","kind":"VirtualMachineInstancetype"},"template":{"metadata":{"creationTimestamp":null},"spec":{"domain":{"devices":{}}}}},"status":{}}' >"$TEST_DIR/sized.json"
check_output "expand --file" '"guest": "256Mi"' virtctl expand --file "$TEST_DIR/sized.json"
check "the machine itself" k create -f "$TEST_DIR/sized.json"
check_output "expand --vm" '"guest": "256Mi"' virtctl expand sized

# credentials
key='ssh-ed25519 AAAA me'
check_refused "a password where there is no secret for it" 'no secrets assigned to UserPassword' virtctl set-password sized --user me --value x
check "a key makes a secret" virtctl add-ssh-key sized --user me --value "$key"
secret=$(k_field vm/sized '.spec.template.spec.accessCredentials[0].sshPublicKey.source.secret.secretName')
check_output "named in the machine" '^sized-ssh-key-' echo "$secret"
check_output "another is added to it" 'Successfully added the key' virtctl add-ssh-key sized --user me --value "${key/AAAA/BBBB}"
check_output "both are there" '"ssh-key-.*"ssh-key-' k_field "secret/$secret" .data
check "they go" virtctl remove-ssh-key sized --user me --value 'ssh-ed25519 '
check_output "both" '^([{][}])?$' k_field "secret/$secret" .data
check_output "a secret without data takes one" 'Successfully added the key' virtctl add-ssh-key sized --user me --value "$key"

# services
check_output "expose, by the machine's labels" 'successfully exposed' virtctl expose vm web --service web-old --port 80 --release 1.0
check_output "expose, by its name" 'successfully exposed' virtctl expose vm web --service web-new --port 80
check_output "and by the instance's labels" 'successfully exposed' virtctl expose vmi web --service web-vmi --port 80 --release 1.0
check "it has an address" becomes '{"interfaces":[{"name":"default","ipAddress":"10.1.2.3"}],"conditions":[{"type":"Ready","status":"True"}]}'
for s in old new vmi; do
	check "web-$s leads to it" eventually 20 matches '10[.]1[.]2[.]3' k get endpointslices -l kubernetes.io/service-name=web-$s -o 'jsonpath={.items[*].endpoints[*].addresses}'
done

# exports: the version of each release
for release in 1.0 1.3 1.7; do
	check_output "vmexport create of $release" 'created succesfully' virtctl --release $release vmexport create out --vm web
	check "it has its token" eventually 20 matches '^secret-out$' k_field vmexport/out .status.tokenSecretRef
	check_refused "once" 'already exists' virtctl --release $release vmexport create out --vm web
	check_output "vmexport delete" 'deleted succesfully' virtctl --release $release vmexport delete out
	check "the secret goes with it" eventually 20 matches '^0$' k_count secret/secret-out
done

# Older versions of the other groups, as clients and manifests of 1.0 have them.
check "a snapshot" create '{apiVersion: snapshot.kubevirt.io/v1alpha1, kind: VirtualMachineSnapshot, metadata: {name: s}, spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}'
check "a restore" create '{apiVersion: snapshot.kubevirt.io/v1alpha1, kind: VirtualMachineRestore, metadata: {name: r}, spec: {target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}, virtualMachineSnapshotName: s}}'
check "a clone" create '{apiVersion: clone.kubevirt.io/v1alpha1, kind: VirtualMachineClone, metadata: {name: c}, spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}'
check "a pool" create "{apiVersion: pool.kubevirt.io/v1alpha1, kind: VirtualMachinePool, metadata: {name: p}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, virtualMachineTemplate: {metadata: {labels: {a: b}}, spec: {runStrategy: Halted, template: {metadata: {labels: {a: b}}, spec: {$spec}}}}}}"
check "a machine of old" create "{apiVersion: kubevirt.io/v1alpha3, kind: VirtualMachine, metadata: {name: old}, spec: {running: false, template: {spec: {$spec}}}}"
for o in vmsnapshot/s:v1beta1 vmrestore/r:v1beta1 vmclone/c:v1beta1 vmpool/p:v1beta1 vm/old:v1; do
	check_output "${o%:*} is of today" "/${o#*:}\$" k_field "${o%:*}" .apiVersion
done
check "a pool scales by its old version" k scale virtualmachinepools.v1alpha1.pool.kubevirt.io/p --replicas=1
check_output "which is the pool's" '^1$' k_field vmpool/p .spec.replicas

# Who may edit a namespace needs no more for all of this.
check "a user who may edit" k create rolebinding ann --clusterrole=edit --user=ann
ann() { virtctl --as ann "$@"; }
check "ann asks for the version" ann version
check_refused "starts" 'VM is already running' ann start web
check_refused "pauses" 'VMI is not paused' ann unpause vm web
check_refused "migrates" 'Cannot migrate VMI' ann migrate web
check_refused "looks for migrations" 'Found no migration' ann migrate-cancel web
check "adds a volume" ann addvolume web --volume more --persist
check "and takes it away" ann removevolume web --volume more --persist
check_refused "asks for memory dumps" 'memory dump remove request .* already exists' ann memory-dump remove web
check "adds a key" ann add-ssh-key sized --user me --value "$key"
check "expands" ann expand --file "$TEST_DIR/sized.json"
check "exports" ann vmexport create annas --vm web --release 1.0
check "exposes" ann expose vm web --service annas --port 80
check_refused "but does not set the platform's" 'cannot patch resource "kubevirts"' ann log-verbosity 3
check "who may view" k create rolebinding bob --clusterrole=view --user=bob
check_refused "starts nothing" 'cannot update resource "virtualmachines/start"' virtctl --as bob start web
check "and sees the graph" virtctl --as bob objectgraph vm web

for what in vm vmi vmirs vmpool vmsnapshot vmrestore vmclone vmexport vmim dv kv; do check "kubectl get $what" k get $what -o wide; done
finish
