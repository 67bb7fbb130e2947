# shellcheck shell=bash
#@@ control | Firmware and devices

tuned() {
	DISK=container machine_spec "$1" "$(inner '{"readinessProbe":null}')" "$(domain "$2")" | k apply -f -
	phase_is "vmi/$1" Running
	domain_xml "$1"
}
done_with() { virt delete "$1" --force; }

#@ K49 | UEFI with Secure Boot | ovmf
K49() {
	DISK=container machine_spec k49 "$(inner '{"readinessProbe":null}')" "$(domain '{"machine":{"type":"q35"},"firmware":null,"features":{"smm":{"enabled":true}}}')" \
		"$(domain '{"firmware":{"bootloader":{"efi":{"secureBoot":true}}}}')" | k apply -f -
	phase_is vmi/k49 Running
	domain_xml k49 | grep -q "secure='yes'"
	done_with k49
}

#@ K50 | a TPM 2, whose state stays over restarts | swtpm
K50() {
	local state
	tuned k50 '{"machine":{"type":"q35"},"devices":{"tpm":{"persistent":true}}}' | grep -q "version='2.0'"
	state=/var/lib/libvirt/swtpm/$(lab_virsh domuuid "$(k_namespace)_k50")/tpm2
	eventually 60 on_node 1 sh -c "test -s $state/tpm2-00.permall"
	on_node 1 touch "$state/was-here"
	restarted k50 "$(uid k50)"
	domain_xml k50 | grep -q "version='2.0'"
	on_node 1 test -e "$state/was-here"
	done_with k50
}

#@ K51 | random numbers and a watchdog |
K51() {
	tuned k51 '{"devices":{"rng":{},"watchdog":{"name":"dog","i6300esb":{"action":"reset"}}}}' >"$TEST_DIR/xml"
	grep -q "<rng " "$TEST_DIR/xml"
	grep -q "<watchdog model='i6300esb' action='reset'" "$TEST_DIR/xml"
	done_with k51
}

#@ K52 | video, sound, tablet |
K52() {
	tuned k52 '{"devices":{"video":{"type":"virtio"},"sound":{"name":"s","model":"ich9"},"inputs":[{"name":"t","type":"tablet","bus":"usb"}]}}' >"$TEST_DIR/xml"
	grep -q "<model type='virtio'" "$TEST_DIR/xml"
	grep -q "<sound model='ich9'" "$TEST_DIR/xml"
	grep -q "type='tablet'" "$TEST_DIR/xml"
	done_with k52
}

#@ K53 | a host device that is not permitted, or not there, is refused by name |
K53() {
	DISK=container machine_spec k53 "$(domain '{"devices":{"hostDevices":[{"name":"card","deviceName":"example.org/card"}]}}')" | k apply -f -
	eventually 60 matches 'example.org/card' said_of vmi/k53
	no_domain k53
	done_with k53
}

#@ K54 | a guest that panics: it is told, and what the machine says is done |
K54() {
	local before
	machine k54 "$(domain '{"devices":{"panicDevices":[{"model":"isa"}]}}')"
	before=$(uid k54)
	leave_guest k54 'sh -c "sleep 5; echo c > /proc/sysrq-trigger"'
	eventually 90 matches GuestPanicked k get events --field-selector involvedObject.name=k54
	eventually 90 other_uid k54 "$before"
	virt delete k54 --force
}
