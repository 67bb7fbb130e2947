#!/bin/bash
# The host loses its power while machines run, and comes back: runStrategy decides who starts again, with the address and the
# disk that it had; who was saved to disk stays saved, and goes on from there.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-host-restart
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-host-restart; }
reason() { k get vmi/saved -o 'jsonpath={.status.conditions[?(@.type=="Paused")].reason}'; }

machine() { # NAME RUNSTRATEGY
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $1}
		spec:
		  runStrategy: $2
		  template:
		    spec:
		      terminationGracePeriodSeconds: 0
		      domain:
		        firmware:
		          kernelBoot:
		            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
		            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		        memory: {guest: 128Mi}
		        devices:
		          disks: [${3:+{name: data, disk: {bus: virtio\}\}}]
		          interfaces: [{name: default, bridge: {}}]
		      networks: [{name: default, pod: {}}]
		      volumes: [${3:+{name: data, dataVolume: {name: $3\}\}}]
		---
	END
}
{
	machine always Always data
	machine again RerunOnFailure
	machine manual Manual
	machine saved Always
	cat <<-END
		apiVersion: cdi.kubevirt.io/v1beta1
		kind: DataVolume
		metadata: {name: data}
		spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 16Mi}}}}
	END
} >"$TEST_DIR/vms.yaml"
check "machines" k apply -f "$TEST_DIR/vms.yaml"
check "one that is started by hand" virt start manual
for name in always again manual saved; do check "$name is Ready" k wait --for=condition=Ready "vm/$name" --timeout=240s; done
is_saved() { [ "$(reason)" = Saved ]; }
check "one is saved to disk" virt save saved
check "and rests there" eventually 60 is_saved
facts() { k_field "vmi/$1" '.status.interfaces[0].ipAddress' '.status.interfaces[0].mac'; }
uid() { k_field "vmi/$1" .metadata.uid; }
before=$(facts always)
check_output "an address" '^[0-9.]+ [0-9a-f:]+$' echo "$before"
again=$(facts again)
always_uid=$(uid always)
saved_uid=$(uid saved)
top() { cat "$LAB/node1/var/lib/hanok/local/$(k_field pvc/data .spec.volumeName)/disk.json"; }
disk=$(top)

check "the host loses its power" lab_host_down 1
check "it comes back" lab_host_up 1
check "with its agent" lab_node_up 1
other_instance() { [ "$(uid always)" != "$always_uid" ]; }
check "the machine that is to run always has another instance" eventually 60 other_instance
check "which is Ready" k wait --for=condition=Ready vm/always --timeout=240s
check_output "at its address" "^$before\$" facts always
check "on its disk" test "$(top)" = "$disk"
answers() { on_node 1 curl -s --max-time 3 "http://${before% *}/"; }
check "its system answers" eventually 150 matches '^virtual machine always$' answers
check "the one that runs again after a failure, too" k wait --for=condition=Ready vm/again --timeout=240s
check_output "at its address" "^$again\$" facts again
check "the one that was started by hand does not" eventually 60 matches '^Stopped$' k_field vm/manual .status.printableStatus
check "what was saved is saved" eventually 30 is_saved
check "and goes on when it is asked to" virt start saved
check "it is Ready" k wait --for=condition=Ready vm/saved --timeout=240s
check_output "the same instance" "^$saved_uid\$" uid saved
check "the event says so" eventually 20 matches 'goes on from where it was saved' k get events \
	--field-selector involvedObject.kind=VirtualMachineInstance,reason=Restored -o 'jsonpath={.items[*].message}'

cat >"$TEST_DIR/import.yaml" <<END
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: later, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec: {source: {http: {url: "http://$LAB_FABRIC_ADDRESS:5000/v2/"}}, storage: {resources: {requests: {storage: 16Mi}}}}
END
check "an import" k apply -f "$TEST_DIR/import.yaml"
check "has its network again" eventually 60 matches '^Succeeded$' k_field dv/later .status.phase
check "delete" k delete vm,dv --all --timeout=120s
finish
