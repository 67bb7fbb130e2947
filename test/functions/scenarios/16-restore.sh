# shellcheck shell=bash
#@@ cloning | Back to a snapshot

#@ L08 | a stopped machine goes back: what was written since is gone |
L08() {
	machine back
	mark back before
	stopped back
	virt snapshot-create back l08
	running back
	mark back after
	stopped back
	virt snapshot-restore back l08
	running back
	marked back before
	virt snapshot-delete l08
}

#@ L09 | a running machine is not changed under its feet: it waits, or is refused, until it stops |
L09() {
	machine back
	mark back kept
	virt snapshot-create back l09
	mark back newer
	not virt snapshot-restore back l09 --timeout 5
	answers back
	marked back newer
	k delete vmrestore --all --timeout=$PATIENT
	virt snapshot-delete l09
}

#@ L10 | --stop: the running machine is stopped, goes back, and starts |
L10() {
	machine back
	mark back old
	virt snapshot-create back l10
	mark back new
	virt snapshot-restore back l10 --stop
	running back
	marked back old
	virt snapshot-delete l10
}

#@ L11 | with memory: it goes on at that moment, without a boot |
L11() {
	machine back
	in_guest back 'echo moment > /run/here'
	virt snapshot-create back l11 --memory
	in_guest back 'rm /run/here'
	stopped back
	virt snapshot-restore back l11
	running back
	in_guest back 'grep -q moment /run/here'
	virt snapshot-delete l11
}

#@ L12 | the snapshot outlives the machine: restored, there is one again |
L12() {
	DISK=volume machine l12
	mark l12 survives
	stopped l12
	virt snapshot-create l12 l12s
	virt delete l12
	printf '{"apiVersion":"snapshot.kubevirt.io/v1beta1","kind":"VirtualMachineRestore","metadata":{"name":"l12r"},"spec":{"target":{"apiGroup":"kubevirt.io","kind":"VirtualMachine","name":"l12"},"virtualMachineSnapshotName":"l12s"}}' | k apply -f -
	k wait --for=jsonpath='{.status.complete}'=true vmrestore/l12r --timeout=$PATIENT
	running l12
	marked l12 survives
	virt delete l12 --force
	virt snapshot-delete l12s
}

#@ L13 | twice back to the same, and forward to a later one |
L13() {
	machine back
	mark back one
	stopped back
	virt snapshot-create back l13-a
	running back
	mark back two
	stopped back
	virt snapshot-create back l13-b
	virt snapshot-restore back l13-a
	virt snapshot-restore back l13-b
	running back
	marked back two
	stopped back
	virt snapshot-restore back l13-a
	running back
	marked back one
	virt snapshot-delete l13-a
	virt snapshot-delete l13-b
}

#@ L14 | settings go back with the disks |
L14() {
	machine back
	stopped back
	virt snapshot-create back l14
	virt set back --cores 2
	[ "$(k_field vm/back .spec.template.spec.domain.cpu.cores)" = 2 ]
	virt snapshot-restore back l14
	[ "$(k_field vm/back .spec.template.spec.domain.cpu.cores)" = 1 ]
	virt snapshot-delete l14
}
