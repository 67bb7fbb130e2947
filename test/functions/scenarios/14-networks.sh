# shellcheck shell=bash
#@@ control | Networks and room

network_object() {
	printf '{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"%s"},"spec":{"config":%s}}' \
		"$1" "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$2")" | k apply -f -
}
with_network() {
	DISK=container machine_spec "$1" "$(inner "{\"readinessProbe\":null,\"+networks\":[{\"name\":\"second\",\"multus\":{\"networkName\":\"$2\"}}],\"domain\":{\"devices\":{\"+interfaces\":[{\"name\":\"second\",\"bridge\":{}}]}}}")" "${3:-}" | k apply -f -
	phase_is "vmi/$1" Running
}

#@ K61 | the address in the pod network stays over stop and start |
K61() {
	local before
	machine net
	before=$(address net)
	virt stop net --force
	gone vmi/net
	virt start net
	ready net
	[ "$(address net)" = "$before" ]
	answers net
}

#@ K62 | a NAT network with DHCP, and a static port of the host that leads in |
K62() {
	network_object nat '{"cniVersion":"1.0.0","type":"hanok-nat","ipam":{"type":"host-local","subnet":"192.168.162.0/24","hosts":[{"mac":"02:00:00:00:62:01","ip":"192.168.162.10"}]},
		"portMappings":[{"hostPort":18062,"containerPort":80,"protocol":"tcp","ip":"192.168.162.10"}]}'
	DISK=container machine_spec k62 "$(inner '{"readinessProbe":null,"networks":[{"name":"default","multus":{"networkName":"nat"}}],"domain":{"devices":{"interfaces":[{"name":"default","bridge":{},"macAddress":"02:00:00:00:62:01"}]}}}')" | k apply -f -
	phase_is vmi/k62 Running
	[ "$(address k62)" = 192.168.162.10 ]
	eventually 150 matches '^virtual machine k62$' lab_in fabric curl -sf --max-time 5 http://172.31.0.1:18062/
	virt delete k62 --force
}

#@ K63 | a bridged and an isolated network: card by card as asked for |
K63() {
	network_object bridged '{"cniVersion":"0.3.1","type":"bridge","bridge":"fn-br0"}'
	network_object apart '{"cniVersion":"1.0.0","type":"hanok-isolated","bridge":"fn-apart0","ipam":{"type":"host-local","subnet":"192.168.163.0/24"}}'
	with_network k63 bridged "$(inner '{"+networks":[{"name":"third","multus":{"networkName":"apart"}}],"domain":{"devices":{"+interfaces":[{"name":"third","bridge":{}}]}}}')"
	cards k63 >"$TEST_DIR/cards"
	k_field vmi/k63 '.status.interfaces[?(@.name=="third")].ipAddress' >"$TEST_DIR/address"
	head "$TEST_DIR/cards" "$TEST_DIR/address"
	grep -qx 'hanok0 fn-br0 fn-apart0' "$TEST_DIR/cards"
	grep -q '^192\.168\.163\.' "$TEST_DIR/address"
	virt delete k63 --force
}
# The bridges that its cards are on, in their order.
cards() {
	local tap
	for tap in $(domain_xml "$1" | sed -n "/<interface /,/<\/interface>/s/.*<target dev='\([^']*\)'.*/\1/p"); do
		on_node 1 sh -c "basename \$(readlink /sys/class/net/$tap/master)"
	done | paste -sd' '
}

#@ K64 | several cards have addresses of their own out of the MAC pool |
K64() {
	network_object one '{"cniVersion":"0.3.1","type":"bridge","bridge":"fn-br1"}'
	with_network k64 one
	with_network k64b one
	[ "$( (domain_xml k64; domain_xml k64b) | grep -c '<mac address')" = 4 ]
	[ "$( (domain_xml k64; domain_xml k64b) | grep '<mac address' | sort -u | wc -l)" = 4 ]
	virt delete k64 --force
	virt delete k64b --force
}

#@ K65 | a NetworkPolicy holds for a machine as for a pod |
K65() {
	machine net
	k run asker --image="$REGISTRY_IN_LAB/web:latest" --restart=Never
	k wait --for=condition=Ready pod/asker --timeout=$PATIENT
	eventually 30 asked
	k apply -f - <<-'END'
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: none}
		spec: {podSelector: {matchLabels: {app: net}}, policyTypes: [Ingress]}
	END
	eventually 30 no_way
	page net # its node, by which it is looked after, reaches it all the same
	k delete networkpolicy none
	eventually 30 asked
	k delete pod asker --grace-period=0 --force
}
# asked: what an answer is; no_way: the question was put, and none came.
asked() { k exec asker -- timeout "${1:-60}" wget -q -O- "http://$(address net)/"; }
no_way() { exits 143 asked 10; }

#@ K66 | a pool that is full pauses the machine, says so, and lets it go on when there is room |
K66() {
	machine net
	[ -n "$(on_node 1 sh -c 'mount | grep hanok-small')" ] || on_node 1 sh -c 'mkdir -p /var/lib/hanok-disks/hanok-small && mount -t tmpfs -o size=24m hanok-small /var/lib/hanok-disks/hanok-small && chmod 755 /var/lib/hanok-disks/hanok-small'
	DISK=container machine_spec k66 "$(inner '{"+volumes":[{"name":"data","hostDisk":{"path":"/var/lib/hanok-disks/hanok-small/k66.img","type":"DiskOrCreate","capacity":"64Mi"}}],"domain":{"devices":{"+disks":[{"name":"data","disk":{"bus":"virtio"}}]}}}')" | k apply -f -
	ready k66
	leave_guest k66 'dd if=/dev/zero of=/dev/vdc bs=1M count=40 conv=fsync'
	eventually 120 matches 'PausedIOError' k get vmi k66 -o yaml
	on_node 1 mount -o remount,size=96m /var/lib/hanok-disks/hanok-small
	eventually 120 matches '^running$' domain_state k66
}
K66_end() {
	virt delete k66 --force
	on_node 1 umount -l /var/lib/hanok-disks/hanok-small
}
