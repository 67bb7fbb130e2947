# shellcheck shell=bash
#@@ cloning | Snapshots: made, listed, deleted

snapshots() { k get vmsnapshot -o name | wc -l; }
# Where the node keeps what this namespace's snapshots hold.
kept() { k get vmsnapshotcontent -o jsonpath='{range .items[*]}/var/lib/hanok/local/.snapshots/{.metadata.uid}{"\n"}{end}'; }

#@ L01 | of a stopped machine |
L01() {
	machine shot
	stopped shot
	virt snapshot-create shot l01
	[ "$(k_field vmsnapshot/l01 .status.readyToUse)" = true ]
	[ "$(k_field vmsnapshot/l01 .status.phase)" = Succeeded ]
	virt snapshot-delete l01
}

#@ L02 | of a running machine; it goes on, and says that it was online |
L02() {
	machine shot
	virt snapshot-create shot l02
	k get vmsnapshot l02 -o jsonpath='{.status.indications}' | grep -q Online
	answers shot
	mark shot after
	virt snapshot-delete l02
}

#@ L03 | of a running machine with what is in its memory |
L03() {
	machine shot
	virt snapshot-create shot l03 --memory
	virt snapshot-list shot --tree | grep -q 'l03.*with memory'
	[ -n "$(on_node 1 find "$(kept)" -name guest.memory -size +1000k)" ]
	answers shot
	virt snapshot-delete l03
}

#@ L04 | listed as a table, and as a tree of what came after what |
L04() {
	machine shot
	stopped shot
	virt snapshot-create shot l04-a
	virt snapshot-create shot l04-b
	virt snapshot-create shot l04-c
	virt snapshot-list shot | grep -q '^l04-c .*Succeeded'
	virt snapshot-list shot --tree >"$TEST_DIR/tree"
	cat "$TEST_DIR/tree"
	[ "$(grep -n . "$TEST_DIR/tree" | grep -E '1:l04-a|2:.*`- l04-b|3: .*`- l04-c' | wc -l)" = 3 ]
	virt snapshot-delete l04-c
	virt snapshot-delete l04-b
	virt snapshot-delete l04-a
}

#@ L05 | the one in the middle is deleted: those before and after still hold their state |
L05() {
	machine shot
	mark shot first
	virt snapshot-create shot l05-a
	mark shot second
	virt snapshot-create shot l05-b
	mark shot third
	virt snapshot-create shot l05-c
	virt snapshot-delete l05-b
	stopped shot
	virt snapshot-restore shot l05-a
	running shot
	marked shot first
	stopped shot
	virt snapshot-restore shot l05-c
	running shot
	marked shot third
	virt snapshot-delete l05-a
	virt snapshot-delete l05-c
}

#@ L06 | all are deleted while it runs: layers are merged, nothing of them stays |
L06() {
	local directories directory
	machine shot
	virt snapshot-create shot l06-a
	virt snapshot-create shot l06-b
	directories=$(kept)
	[ "$(wc -l <<<"$directories")" = 2 ]
	for directory in $directories; do on_node 1 test -d "$directory"; done
	virt snapshot-delete l06-a
	virt snapshot-delete l06-b
	answers shot
	[ "$(snapshots)" = 0 ]
	for directory in $directories; do eventually 60 on_node 1 test ! -e "$directory"; done
	# What is left of the layers starts again.
	stopped shot
	running shot
	answers shot
}

#@ L07 | the agent is killed in the middle: the snapshot is whole or has failed, the machine goes on | alone
L07() {
	local n name phase middle=
	machine shot
	mark shot whole
	for n in 1 2 3 4; do
		name=l07-$n
		virt snapshot-create shot "$name" --memory --no-wait
		eventually 30 matches '^(InProgress|Succeeded)$' k_field "vmsnapshot/$name" .status.phase
		agent_end
		phase=$(k_field "vmsnapshot/$name" .status.phase)
		agent_begin
		echo "the agent was killed when the phase was $phase"
		[ "$phase" != InProgress ] || middle=1
		eventually 120 matches '^(Succeeded|Failed)$' k_field "vmsnapshot/$name" .status.phase
		answers shot
		if [ "$(k_field "vmsnapshot/$name" .status.phase)" = Succeeded ]; then
			stopped shot
			virt snapshot-restore shot "$name"
			running shot
			marked shot whole
		fi
		virt snapshot-delete "$name"
		[ -z "$middle" ] || return 0
	done
	echo "it was never in the middle"
	return 1
}
