# shellcheck shell=bash
#@@ control | On and off

# Its guest has an hour to power off: what is over sooner was done by the guest, or was forced as asked for.
power() { machine power "$(inner '{"terminationGracePeriodSeconds":3600}')"; }

#@ K01 | stop by the guest itself (agent or ACPI), then start; the disk has what was written |
K01() {
	power
	mark power stays
	virt stop power
	gone vmi/power
	status_is power Stopped
	no_domain power
	virt start power
	ready power
	marked power stays
}

#@ K02 | stop --force switches off at once |
K02() {
	power
	virt stop power --force
	gone vmi/power
	status_is power Stopped
	virt start power
	phase_is vmi/power Running
}

#@ K03 | restart gives a new instance of the same machine |
K03() {
	local before id
	power
	before=$(uid power)
	id=$(lab_virsh domuuid "$(k_namespace)_power")
	virt restart power --force
	eventually 60 other_uid power "$before"
	ready power
	[ "$(lab_virsh domuuid "$(k_namespace)_power")" = "$id" ]
}

#@ K04 | reset presses the button: the guest boots again, the instance stays |
K04() {
	local before
	power
	before=$(uid power)
	in_guest power 'mkdir -p /run/x; touch /run/x/here'
	virt reset power
	answers power
	[ "$(uid power)" = "$before" ]
	in_guest power 'test ! -e /run/x/here'
}

#@ K05 | a soft reboot and one from inside keep the instance |
K05() {
	local before
	power
	before=$(uid power)
	in_guest power 'touch /run/here'
	virt soft-reboot power
	eventually 120 rebooted power
	[ "$(uid power)" = "$before" ]
}
rebooted() { answers "$1" && in_guest "$1" 'test ! -e /run/here'; }

#@ K06 | run strategies: Always comes back when the guest powers off, Manual and Once do not |
K06() {
	local before
	power
	before=$(uid power)
	power_off power
	eventually 120 other_uid power "$before"
	virt autostart power --disable
	[ "$(k_field vm/power .spec.runStrategy)" = Manual ]
	ready power
	power_off power
	status_is power Stopped
	virt autostart power
	ready power
}
power_off() {
	answers "$1"
	on_console "$1" "${LOG_IN[@]}" 'send:poweroff\n'
}

#@ K07 | a host's restart: guests that are to run run again | alone
K07() {
	local before
	power
	mark power through
	before=$(address power)
	lab_host_down 1
	lab_host_up 1
	lab_node_up 1
	k wait --for=condition=Ready node/node1 --timeout=$PATIENT
	eventually $((${PATIENT%s} / PATIENCE)) runs_again
	ready power
	answers power
	marked power through
	[ "$(address power)" = "$before" ]
}
runs_again() { [ "$(domain_state power)" = running ]; }
