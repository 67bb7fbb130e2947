# shellcheck shell=bash
#@@ deletion | What stays

#@ D05 | --keep-disks: the machine goes, its disk stays, and another machine boots from it |
D05() {
	machine d05
	mark d05 kept
	virt delete d05 --keep-disks --force
	gone vmi/d05
	[ "$(k_field dv/d05-root .status.phase)" = Succeeded ]
	DISK=none machine_spec d05b "$(inner '{"+volumes":[{"name":"root","dataVolume":{"name":"d05-root"}}],"domain":{"devices":{"+disks":[{"name":"root","disk":{"bus":"virtio"},"bootOrder":1}]}}}')" | k apply -f -
	ready d05b
	marked d05b kept
	virt delete d05b --force --with-disks
}

#@ D06 | the source of a linked clone is deleted: the clone has all of its content |
D06() {
	machine d06
	mark d06 shared
	virt clone d06 d06c --linked
	virt delete d06 --force
	gone pvc/d06-root
	running d06c
	marked d06c shared
	virt delete d06c --force
}

#@ D07 | a claim that a machine uses is not taken from it |
D07() {
	import d07-data '{"blank":{}}' 16Mi
	DISK=container machine_spec d07 "$(inner '{"+volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"d07-data"}}],"domain":{"devices":{"+disks":[{"name":"data","disk":{"bus":"virtio"}}]}}}')" | k apply -f -
	phase_is vmi/d07 Running
	k delete pvc d07-data --wait=false
	eventually 30 matches . k_field pvc/d07-data .metadata.deletionTimestamp
	[ "$(k_field vmi/d07 .status.phase)" = Running ]
	exists pvc/d07-data
	virt delete d07 --force
	gone pvc/d07-data
}

#@ D08 | the agent is killed in the middle of a deletion: it ends, and nothing is left | alone
D08() {
	local uid
	DISK=container machine_spec d08 | k apply -f -
	phase_is vmi/d08 Running
	uid=$(uid d08)
	k delete vm d08 --wait=false
	agent_kill
	gone vm/d08
	gone vmi/d08
	no_domain d08
	not on_node 1 test -e "/var/lib/hanok/vms/$uid"
}
