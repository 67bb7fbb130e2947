# shellcheck shell=bash
#@@ cloning | Clones

mac() { domain_xml "$1" | sed -n "s/.*<mac address='\([^']*\)'.*/\1/p" | head -n 1; }
source_ready() {
	machine origin
	[ "$(page origin mark 2>/dev/null)" = original ] || mark origin original
	touch "$TEST_DIR/original"
}
# The same, switched off; a boot for it only where none was before.
source_stopped() {
	[ -e "$TEST_DIR/original" ] || source_ready
	stopped origin
}

# layers NAME TEST...: layers of its root disk that are so; those that other disks have, too, have several links.
layers() {
	local claim volume
	claim=$(k get vm "$1" -o jsonpath='{.spec.template.spec.volumes[0].dataVolume.name}{.spec.template.spec.volumes[0].persistentVolumeClaim.claimName}') &&
		volume=$(k_field "pvc/$claim" .spec.volumeName) &&
		on_node 1 find "/var/lib/hanok/local/$volume" -name '*.qcow2' "${@:2}"
}

#@ L15 | a full clone of a stopped machine has all of its own |
L15() {
	source_stopped
	virt clone origin l15 --full
	running l15
	marked l15 original
	[ -n "$(layers l15 -links 1)" ]
	[ -z "$(layers l15 -links +1)" ]
	virt delete l15 --force --with-disks
}

#@ L16 | a linked clone is made at once, whatever its size |
L16() {
	source_stopped
	virt clone origin l16 --linked
	running l16
	marked l16 original
	[ -n "$(layers l16 -links +1)" ]
	virt delete l16 --force --with-disks
}

#@ L17 | of a running machine; both go on |
L17() {
	source_ready
	virt clone origin l17
	answers origin
	running l17
	marked l17 original
	virt delete l17 --force --with-disks
}

#@ L18 | of a snapshot: the state of then |
L18() {
	source_ready
	virt snapshot-create origin l18s
	rm -f "$TEST_DIR/original"
	mark origin later
	virt clone l18s l18 --from-snapshot
	running l18
	marked l18 original
	virt delete l18 --force --with-disks
	mark origin original
	virt snapshot-delete l18s
}

#@ L19 | the clone's MAC address, UUID, name and machine-id are new |
L19() {
	source_ready
	virt clone origin l19
	running l19
	running origin
	[ "$(mac l19)" != "$(mac origin)" ]
	[ "$(lab_virsh domuuid "$(k_namespace)_l19")" != "$(lab_virsh domuuid "$(k_namespace)_origin")" ]
	in_guest origin 'mkdir -p /www; cat /etc/machine-id > /www/id || true'
	in_guest l19 'mkdir -p /www; hostname > /www/name; cat /etc/machine-id > /www/id || true'
	[ "$STACK" = B ] || [ "$(page l19 id)" != "$(page origin id)" ]
	[ "$(page l19 name)" = l19 ]
	virt delete l19 --force --with-disks
}

#@ L20 | several at once |
L20() {
	local n
	source_stopped
	virt clone origin l20 --count 3
	for n in 1 2 3; do switched_on "l20-$n"; done
	[ "$(for n in 1 2 3; do mac "l20-$n"; done | sort -u | wc -l)" = 3 ]
	for n in 1 2; do virt delete "l20-$n" --force --with-disks; done
	# One of them is waited for.
	running l20-3
	marked l20-3 original
	virt delete l20-3 --force --with-disks
}
switched_on() {
	eventually 30 matches . k_field "vm/$1" .status.printableStatus
	[ "$(k_field "vm/$1" .status.printableStatus)" != Stopped ] || virt start "$1"
	phase_is "vmi/$1" Running
}

#@ L21 | what a clone writes, its source does not see, nor the other way round; a clone of a clone works |
L21() {
	source_ready
	virt clone origin l21 --linked
	running l21
	mark l21 changed
	marked origin original
	virt clone l21 l21b --linked
	running l21b
	marked l21b changed
	virt delete l21 --force --with-disks
	answers l21b l21b
	marked l21b changed
	virt delete l21b --force --with-disks
}
