# shellcheck shell=bash
#@@ control | Looked at, and looked after

#@ K55 | statistics of processor, memory, network and disks, by KubeVirt's names and as a table |
K55() {
	machine seen
	eventually 60 figures_of seen
	virt stats seen | grep -q seen
}
figures_of() {
	local name
	k get --raw /api/v1/nodes/node1/proxy/metrics/resource >"$TEST_DIR/figures" || return
	for name in kubevirt_vmi_cpu_usage_seconds_total kubevirt_vmi_memory_resident_bytes kubevirt_vmi_network_receive_bytes_total kubevirt_vmi_storage_read_traffic_bytes_total; do
		grep -q "^$name{.*name=\"$1\"" "$TEST_DIR/figures" || { echo "no $name"; return 1; }
	done
}

#@ K56 | kubectl, hanok virt and virsh show it under one name |
K56() {
	machine seen
	virt list | grep -q '^seen .*Running'
	virt info seen | grep -q "^Libvirt domain *$(k_namespace)_seen$"
	lab_virsh list --title | grep -q "$(k_namespace)/seen"
	k get vmi seen -o wide | grep -q node1
}

#@ K57 | the confinement that the host has is on, and shown |
K57() {
	machine seen
	domain_xml seen | grep -q "<seclabel type='dynamic' model='dac'"
	k get vmi seen -o jsonpath='{.status.conditions[?(@.type=="Confined")].message}' >"$TEST_DIR/confined"
	cat "$TEST_DIR/confined"
	grep -q seccomp "$TEST_DIR/confined"
	on_node 1 sh -c "grep '^Seccomp:' /proc/\$(cat /run/libvirt/qemu/$(k_namespace)_seen.pid)/status" | grep -q '2$'
}

#@ K58 | virsh destroy is noticed: the machine starts again, and it is told |
K58() {
	local before
	machine seen
	before=$(uid seen)
	lab_virsh destroy "$(k_namespace)_seen"
	eventually 90 came_back "$before"
	ready seen
	eventually 30 matches '[Ss]topped|[Dd]estroy|[Ss]hut' k get events --field-selector involvedObject.name=seen
}
came_back() { lab_virsh domstate "$(k_namespace)_seen" | grep -q running; }

#@ K59 | virsh suspend and resume show as the condition Paused |
K59() {
	machine seen
	lab_virsh suspend "$(k_namespace)_seen"
	condition_is vmi/seen Paused
	lab_virsh resume "$(k_namespace)_seen"
	eventually 60 not_paused
	answers seen
}
not_paused() { [ "$(k_field vmi/seen '.status.conditions[?(@.type=="Paused")].status')" != True ]; }

#@ K60 | agent, server and libvirt's daemon are killed in turn: the guest does not notice | alone
K60() {
	local before
	machine seen
	before=$(uid seen)
	in_guest seen 'echo still > /run/here'
	agent_kill
	libvirt_kill
	"$LAB_PROC" alive "$LAB/run/server.pid" && "$LAB_PROC" end "$LAB/run/server.pid" 0
	lab_server_up
	eventually 60 k get vmi seen
	answers seen
	[ "$(uid seen)" = "$before" ]
	in_guest seen 'grep -q still /run/here'
}
