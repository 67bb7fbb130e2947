# shellcheck shell=bash
#@@ deletion | What goes with a machine

#@ D01 | a running machine is deleted: no domain, file or tap stays |
D01() {
	local uid tap
	DISK=container machine_spec d01 | k apply -f -
	phase_is vmi/d01 Running
	uid=$(uid d01)
	tap=$(domain_xml d01 | sed -n "/<interface /,/<\/interface>/s/.*<target dev='\([^']*\)'.*/\1/p")
	[ -n "$tap" ]
	on_node 1 ip link show "$tap"
	on_node 1 test -e "/var/lib/hanok/vms/$uid"
	virt delete d01 --force
	gone vmi/d01
	no_domain d01
	not on_node 1 test -e "/var/lib/hanok/vms/$uid"
	not on_node 1 ip link show "$tap"
}

#@ D02 | disks made with it go with it, and their room with them |
D02() {
	local volume
	DISK=volume machine_spec d02 | k apply -f -
	phase_is vmi/d02 Running
	volume=$(k_field pvc/d02-root .spec.volumeName)
	on_node 1 test -d "/var/lib/hanok/local/$volume"
	virt delete d02 --force
	gone dv/d02-root
	gone pvc/d02-root
	eventually 60 on_node 1 test ! -e "/var/lib/hanok/local/$volume"
}

#@ D03 | with firmware and TPM state: NVRAM and TPM files go too | ovmf swtpm
D03() {
	local file
	DISK=container machine_spec d03 "$(domain '{"machine":{"type":"q35"},"firmware":null,"features":{"smm":{}}}')" \
		"$(domain '{"firmware":{"bootloader":{"efi":{"secureBoot":false,"persistent":true}}},"devices":{"tpm":{"persistent":true}}}')" "$(inner '{"readinessProbe":null}')" | k apply -f -
	phase_is vmi/d03 Running
	domain_xml d03 | grep -q '<nvram'
	domain_xml d03 | grep -q '<tpm'
	state_of d03 >"$TEST_DIR/state"
	cat "$TEST_DIR/state"
	grep -q '/vms/' "$TEST_DIR/state"
	grep -q 'nvram\|vm-state' "$TEST_DIR/state"
	grep -q swtpm "$TEST_DIR/state"
	virt delete d03 --force
	no_domain d03
	for file in $(<"$TEST_DIR/state"); do eventually 30 on_node 1 test ! -e "$file"; done
}
# What of the node's files carries its name, or one of its three numbers.
state_of() {
	on_node 1 sh -c 'for name; do find /var/lib/libvirt /var/lib/hanok -name "*$name*"; done' sh \
		"$(k_namespace)_$1" "$(uid "$1")" "$(k_field "vm/$1" .metadata.uid)" "$(lab_virsh domuuid "$(k_namespace)_$1")"
}

#@ D04 | --with-disks also deletes claims that it only names |
D04() {
	import d04-data '{"blank":{}}' 16Mi
	DISK=container machine_spec d04 "$(inner '{"+volumes":[{"name":"data","dataVolume":{"name":"d04-data"}}],"domain":{"devices":{"+disks":[{"name":"data","disk":{"bus":"virtio"}}]}}}')" | k apply -f -
	phase_is vmi/d04 Running
	virt delete d04 --force --with-disks
	gone dv/d04-data
	gone pvc/d04-data
}
