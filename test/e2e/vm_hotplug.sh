#!/bin/bash
# What changes while a guest runs: media of a CD-ROM drive, cables, memory, processors, disks and interfaces that come
# and go; what waits for the next start says so; a killed agent goes on where it was.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-hotplug
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-hotplug; }
events() { k get events --field-selector "involvedObject.kind=VirtualMachineInstance,reason=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}'; }
restart_required() { k get vm/guest -o 'jsonpath={.status.conditions[?(@.type=="RestartRequired")].status}: {.status.conditions[?(@.type=="RestartRequired")].message}'; }
domain() { lab_virsh dumpxml e2e-hotplug_guest; }
disk() { domain | sed -n '/<disk /,/<\/disk>/p' | awk -v RS='</disk>' -v name="ua-$1'" 'index($0, name)'; }
has_not() { ! domain | grep -q "$1"; }
volume() { k_field vmi/guest ".status.volumeStatus[?(@.name==\"$1\")].phase"; }
agent_kill() { on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0'; }

cat >"$TEST_DIR/vm.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 5
      domain:
        cpu: {sockets: 1}
        firmware:
          kernelBoot:
            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
        memory: {guest: 128Mi}
        devices:
          disks: [{name: cd, cdrom: {bus: sata}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: one, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 16Mi}}}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: two, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 16Mi}}}}
END
check "apply" k apply -f "$TEST_DIR/vm.yaml"
check "Ready" k wait --for=condition=Ready vm/guest --timeout=240s
address=$(k_field vmi/guest '.status.interfaces[0].ipAddress')
instance=$(k_field vmi/guest .metadata.uid)
answers() { on_node 1 curl -s --max-time 3 "http://$address/"; }
check "its system answers" eventually 60 matches '^virtual machine guest$' answers
check_output "the drive is empty" "device='cdrom'" disk cd
check_refused "nobody else changes the instance" 'update of VMI object is restricted' k patch vmi guest --type merge -p '{"spec":{"domain":{"cpu":{"sockets":2}}}}'
check "the volumes are there" k wait --for=jsonpath='{.status.phase}'=Succeeded dv/one dv/two --timeout=120s

has_medium() { disk cd | grep -q '<source file'; }
no_medium() { ! has_medium; }
check "a medium is put in" virt cdrom insert guest cd --data-volume one
check "it is in the drive" eventually 60 has_medium
check "its phase" eventually 20 matches '^Ready$' volume cd
check "it is taken out" virt cdrom eject guest cd
check "the drive is empty" eventually 60 no_medium

link_down() { domain | grep -q "<link state='down'"; }
link_up() { ! link_down; }
check "the cable is pulled" virt link guest default down
check "it is" eventually 30 link_down
check "the status says so" eventually 20 matches '^down$' k_field vmi/guest '.status.interfaces[0].linkState'
check "and put back" virt link guest default up
check "it is" eventually 30 link_up
check "its system answers again" eventually 60 matches '^virtual machine guest$' answers

check "a SCSI disk is plugged in for good" virt addvolume guest --volume-name one --persist
check "it is ready" eventually 60 matches '^Ready$' volume one
check_output "libvirt has it" "bus='scsi'" disk one
check "another one is only tried" virt addvolume guest --volume-name two --bus virtio --dry-run
check "another one until the guest ends" virt addvolume guest --volume-name two --bus virtio --serial S-TWO --cache none
check "it is ready" eventually 60 matches '^Ready$' volume two
check_output "libvirt has it" "cache='none'.*bus='virtio'.*<serial>S-TWO<" disk two
check "the node agent is killed" agent_kill
check "the first one is taken out meanwhile" virt removevolume guest --volume-name one --persist
check "the agent comes back" lab_node_up 1
check "and does it" eventually 90 has_not "ua-one'"
check_output "the other one stayed" "bus='virtio'" disk two
check "it goes" virt removevolume guest --volume-name two
check "the guest lets it go" eventually 90 has_not "ua-two'"
check "it is told" eventually 20 matches "Volume 'two' was detached" events VolumeDetached
check "the status forgets it" eventually 20 matches '^$' volume two

check "less memory" virt set guest --memory 112Mi
check "the guest has it" eventually 60 matches '^112Mi$' k_field vmi/guest .status.memory.guestCurrent
check_output "no restart for that" '^: $' restart_required
check "memory as before" virt set guest --memory 128Mi
check "the guest has it" eventually 60 matches '^128Mi$' k_field vmi/guest .status.memory.guestCurrent
check "a processor" virt set guest --sockets 2
check "the guest has it" eventually 60 matches '^2$' k_field vmi/guest .status.currentCPUTopology.sockets
check "which is not under way any more" eventually 20 matches '^$' k_field vmi/guest '.status.conditions[?(@.type=="HotVCPUChange")].status'
check "one less" virt set guest --sockets 1
check "waits for the next start" eventually 30 matches '^True: Reduction of CPU socket count requires a restart$' restart_required
check "as it is" virt set guest --sockets 2
check "needs none" eventually 30 matches '^: $' restart_required
check "too much memory" virt set guest --memory 1Gi
check "waits" eventually 30 matches '^True: memory updated in template spec to a value higher than what.s available$' restart_required
check "back" virt set guest --memory 128Mi
check "cores" virt set guest --cores 2
check "wait, too" eventually 30 matches '^True: a non-live-updatable field was changed in the template spec$' restart_required
check "back" virt set guest --cores 1
check "needs none" eventually 30 matches '^: $' restart_required
check_output "nothing was changed outside" '^$' k_field vmi/guest '.status.conditions[?(@.type=="ChangedOutside")].reason'

k apply -f - >/dev/null <<'END'
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: quiet}
spec: {config: '{"cniVersion":"0.3.1","type":"bridge","bridge":"hk-quiet0"}'}
END
check "an interface is plugged in" virt attach-interface guest quiet
nics() { domain | grep -c '<interface '; }
check "libvirt has it" eventually 60 matches '^2$' nics
check "and unplugged" virt detach-interface guest quiet
check "the guest lets it go" eventually 90 matches '^1$' nics
forgotten() { [ "$(k_field "$1" "$2.domain.devices.interfaces[*].name" "$2.networks[*].name")" = "default default" ]; }
check "then it is taken out of the instance" eventually 30 forgotten vmi/guest .spec
check "and out of the machine" eventually 30 forgotten vm/guest .spec.template.spec
no_bridge() { ! on_node 1 ip link show hk-quiet0; }
check "and its network, which nobody uses any more" eventually 30 no_bridge
check_output "which was nobody else's doing" '^$' k_field vmi/guest '.status.conditions[?(@.type=="ChangedOutside")].status'
check "its system answers" eventually 60 matches '^virtual machine guest$' answers
check_output "it is the same instance" "^$instance\$" k_field vmi/guest .metadata.uid
for n in 1 2 3 4 5 6; do virt attach-interface guest quiet --name "q$n" >/dev/null; done
check "more than there are ports" eventually 60 matches 'HotplugFailed attach interface .q[0-9].: .*no port is free' k_field vmi/guest '.status.conditions[?(@.type=="Synchronized")].reason' '.status.conditions[?(@.type=="Synchronized")].message'
check "a disk for good" virt addvolume guest --volume-name two --persist
check "it is ready" eventually 60 matches '^Ready$' volume two
check "another start" virt restart guest --force
other() { [ "$(k_field vmi/guest .metadata.uid)" != "$instance" ]; }
check "is another instance" eventually 60 other
check "it runs" k wait --for=jsonpath='{.status.phase}'=Running vmi/guest --timeout=240s
check_output "has the disk" "bus='scsi'" disk two
check "and all interfaces" eventually 30 matches '^7$' nics
check_output "which says how it was started" '^revision-start-vm-' k_field vmi/guest .status.virtualMachineRevisionName
check "what it asks for is there" eventually 30 matches '^$' k_field vmi/guest '.status.conditions[?(@.type=="Synchronized")].reason'
check "delete" k delete vm/guest --timeout=120s
finish
