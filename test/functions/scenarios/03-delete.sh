# shellcheck shell=bash
#@@ deletion | What goes with a machine

#@ D01 | a running machine is deleted: its guest is shut down, no domain, file or tap stays |
D01() {
	local uid tap
	DISK=container machine_spec d01 | k apply -f -
	phase_is vmi/d01 Running
	uid=$(uid d01)
	tap=$(domain_xml d01 | sed -n "/<interface /,/<\/interface>/s/.*<target dev='\([^']*\)'.*/\1/p")
	[ -n "$tap" ]
	on_node 1 ip link show "$tap"
	virt delete d01 --force
	gone vmi/d01
	domains | not grep -q d01
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
	local uid
	DISK=container machine_spec d03 "$(domain '{"machine":{"type":"q35"},"firmware":null,"features":{"smm":{}}}')" \
		"$(domain '{"firmware":{"bootloader":{"efi":{"secureBoot":false,"persistent":true}}},"devices":{"tpm":{"persistent":true}}}')" "$(inner '{"readinessProbe":null}')" | k apply -f -
	phase_is vmi/d03 Running
	uid=$(uid d03)
	domain_xml d03 | grep -q '<nvram'
	domain_xml d03 | grep -q '<tpm'
	virt delete d03 --force
	domains | not grep -q d03
	eventually 30 no_state "$uid" d03
}
no_state() {
	[ -z "$(on_node 1 find /var/lib/libvirt/qemu/nvram /var/lib/libvirt/swtpm /var/lib/hanok/vms /var/lib/hanok/vm-state -name "*$1*" -o -name "*_$2*" 2>/dev/null)" ]
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
