#!/bin/bash
# Machines on further networks of their node: a bridge of the host's, one made on demand, NAT with DHCP and port
# mappings, an isolated one; who may use which MAC and address, what stays over a new agent, and that nothing is left.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-vm-networks

# The administrator's bridge, with a LAN behind it: another namespace, whose DHCP server gives 192.168.77.50 to .60.
lan_up() {
	on_node 1 sh -c '
		ip link add br0 type bridge && ip link set br0 up &&
		ip netns add lan && ip link add lan0 type veth peer name eth0 netns lan &&
		ip link set lan0 master br0 up && ip -n lan link set eth0 up && ip -n lan link set lo up &&
		ip -n lan addr add 192.168.77.1/24 dev eth0'
	on_node 1 ip netns exec lan dnsmasq --conf-file=/dev/null --port=0 --interface=eth0 --bind-interfaces \
		--dhcp-range=192.168.77.50,192.168.77.60,1h --leasefile-ro --pid-file=/run/lan.pid
}
lan_down() { on_node 1 sh -c 'kill $(cat /run/lan.pid); ip link del lan0; ip netns del lan; ip link del br0' >/dev/null 2>&1; }
in_lan() { on_node 1 ip netns exec lan "$@"; }
lan_down
check "a bridge with a LAN behind it" lan_up

network() { # NAME CONFIG
	printf 'apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: %s}\nspec:\n  config: |\n    %s\n---\n' "$1" "${2//[$'\n\t']/}"
}
# machine NAME "INTERFACE:NETWORK[:MAC] ..." MORE: `pod` is the pods' network
machine() {
	local name=$1 one interface net mac interfaces='' networks=''
	for one in $2; do
		IFS=: read -r interface net mac <<<"$one"
		mac=${mac:+, macAddress: \"${mac//-/:}\"}
		interfaces+="{name: $interface, bridge: {}$mac},"
		[ "$net" = pod ] && networks+="{name: $interface, pod: {}}," || networks+="{name: $interface, multus: {networkName: $net}},"
	done
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $name}
		spec:
		  runStrategy: Always
		  template:
		    metadata: {labels: {app: $name}}
		    spec:
		      terminationGracePeriodSeconds: 0
		      domain:
		        firmware:
		          kernelBoot:
		            kernelArgs: console=ttyS0 loglevel=4
		            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		        memory: {guest: 128Mi}
		        devices: {interfaces: [${interfaces%,}]}
		      networks: [${networks%,}]
		---
	END
}
{
	network lan '{"cniVersion":"0.3.1","name":"lan","type":"bridge","bridge":"br0","macspoofchk":true,"ipam":{}}'
	network nat '{"cniVersion":"1.0.0","name":"nat","type":"hanok-nat","ipam":{"type":"host-local","subnet":"192.168.150.0/24",
	    "rangeStart":"192.168.150.100","rangeEnd":"192.168.150.120","hosts":[{"mac":"02:00:00:00:77:01","ip":"192.168.150.10"}]},
	    "portMappings":[{"hostPort":18081,"containerPort":80,"protocol":"tcp","ip":"192.168.150.10"}]}'
	network alone '{"cniVersion":"1.0.0","type":"hanok-isolated","bridge":"alone0","ipam":{"subnet":"192.168.151.0/24"}}'
} >"$TEST_DIR/networks.yaml"
check "definitions of networks" k apply -f "$TEST_DIR/networks.yaml"
{
	machine natted nic:nat:02-00-00-00-77-01
	machine lanny "nic:lan back:alone"
	machine hermit nic:alone
} >"$TEST_DIR/machines.yaml"
check "machines on them" k apply -f "$TEST_DIR/machines.yaml"
check "they run" k wait --for=condition=Ready vm/natted vm/lanny vm/hermit --timeout=300s

interface() { k get vmi "$1" -o "jsonpath={.status.interfaces[?(@.name==\"$2\")].$3}"; }
answers() { # HOW ADDRESS NAME
	matches "^virtual machine $3\$" $1 curl -s --max-time 3 "http://$2/"
}

# NAT
check_output "NAT: the fixed address is in the status" '^192\.168\.150\.10$' interface natted nic ipAddress
check_output "and where it comes from" '^domain, multus-status$' interface natted nic infoSource
check "NAT: the guest has that address by DHCP" eventually 60 answers "on_node 1" 192.168.150.10 natted
check "NAT: a port of the node leads to it" eventually 20 answers "lab_in fabric" 172.31.0.1:18081 natted
finish
