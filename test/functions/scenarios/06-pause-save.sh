# shellcheck shell=bash
#@@ control | Pause, save, restore

#@ K08 | pause lets the guest stand still, unpause goes on; conditions and virsh say so |
K08() {
	machine sleeper
	virt pause sleeper
	condition_is vmi/sleeper Paused
	[ "$(domain_state sleeper)" = paused ]
	status_is sleeper Paused
	not page sleeper
	virt unpause sleeper
	answers sleeper
	not virt unpause sleeper
}

#@ K09 | started with --paused it waits for unpause |
K09() {
	DISK=container machine_spec k09 '{"spec":{"runStrategy":"Manual"}}' | k apply -f -
	status_is k09 Stopped
	virt start k09 --paused
	phase_is vmi/k09 Running
	eventually 60 matches '^paused$' domain_state k09
	virt unpause k09
	eventually 60 matches '^running$' domain_state k09
	virt delete k09 --force
}

#@ K10 | save puts memory to disk; restore goes on where it was, without a boot |
K10() {
	machine sleeper
	in_guest sleeper 'echo memory > /run/here'
	virt save sleeper
	eventually 120 matches 'shut off' domain_state sleeper
	virt restore sleeper
	answers sleeper
	in_guest sleeper 'grep -q memory /run/here'
}

#@ K11 | what is saved survives the agent's end | alone
K11() {
	machine sleeper
	in_guest sleeper 'echo agent > /run/here'
	virt save sleeper
	eventually 120 matches 'shut off' domain_state sleeper
	agent_kill
	[ "$(domain_state sleeper)" = 'shut off' ]
	virt restore sleeper
	answers sleeper
	in_guest sleeper 'grep -q agent /run/here'
}

#@ K12 | what is saved survives the end of libvirt's daemon | alone
K12() {
	machine sleeper
	in_guest sleeper 'echo daemon > /run/here'
	virt save sleeper
	eventually 120 matches 'shut off' domain_state sleeper
	libvirt_kill
	eventually 60 domain_state sleeper
	eventually 60 virt restore sleeper
	answers sleeper
	in_guest sleeper 'grep -q daemon /run/here'
}

#@ K13 | a saved machine is deleted: its saved state goes too |
K13() {
	DISK=container machine_spec k13 | k apply -f -
	phase_is vmi/k13 Running
	eventually 60 matches '^running$' domain_state k13
	virt save k13
	eventually 120 matches 'shut off' domain_state k13
	saved_states k13 | grep -q .
	virt delete k13 --force
	no_domain k13
	eventually 30 matches '^$' saved_states k13
}
saved_states() { on_node 1 find /var/lib/libvirt/qemu/save -name "$(k_namespace)_$1*"; }

#@ K14 | a paused machine can be stopped |
K14() {
	machine sleeper
	virt pause sleeper
	condition_is vmi/sleeper Paused
	virt stop sleeper --grace-period 2
	gone vmi/sleeper
	status_is sleeper Stopped
}
