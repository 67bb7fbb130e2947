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
		--dhcp-range=192.168.77.50,192.168.77.60,1h --dhcp-leasefile=/run/lan.leases --pid-file=/run/lan.pid
}
lan_down() { on_node 1 sh -c 'kill $(cat /run/lan.pid); ip link del lan0; ip netns del lan; ip link del br0; rm -f /run/lan.leases' >/dev/null 2>&1; }
in_lan() { on_node 1 ip netns exec lan "$@"; }
on_node 1 ip netns del neighbour >/dev/null 2>&1
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
		            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
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
	network alone '{"cniVersion":"1.0.0","type":"hanok-isolated","bridge":"alone0","mtu":1400,"ipam":{"subnet":"192.168.151.0/24"}}'
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
	# shellcheck disable=SC2086 # a command of several words
	matches "^virtual machine $3\$" $1 curl -s --max-time 3 "http://$2/"
}

# NAT
check_output "NAT: the fixed address is in the status" '^192\.168\.150\.10$' interface natted nic ipAddress
check_output "and where it comes from" '^domain, multus-status$' interface natted nic infoSource
check "NAT: the guest has that address by DHCP" eventually 150 answers "on_node 1" 192.168.150.10 natted
check "NAT: a port of the node leads to it" eventually 20 answers "lab_in fabric" 172.31.0.1:18081 natted

# The LAN behind the administrator's bridge has its own DHCP server.
lan_address() { # OF
	local mac
	mac=$(interface "$1" nic mac) && in_lan awk -v mac="$mac" '$2 == mac { print $3; found = 1 } END { exit !found }' /run/lan.leases
}
check "bridge: the guest asks the LAN's own DHCP server" eventually 150 matches '^192\.168\.77\.(5[0-9]|60)$' lan_address lanny
check "bridge: and is reached from the LAN" eventually 20 answers in_lan "$(lan_address lanny)" '.*'
check_output "its second interface has an address of another network" '^192\.168\.151\.[0-9]+$' interface lanny back ipAddress

# Isolated: neighbours, and nobody else.
hermit=$(interface hermit nic ipAddress)
neighbour_up() {
	on_node 1 sh -c 'ip netns add neighbour && ip link add nb0 type veth peer name eth0 netns neighbour &&
		ip link set nb0 master alone0 up && ip -n neighbour link set eth0 up && ip -n neighbour addr add 192.168.151.200/24 dev eth0'
}
in_neighbour() { on_node 1 ip netns exec neighbour "$@"; }
check "isolated: a neighbour comes" neighbour_up
check "isolated: and reaches the guest" eventually 150 answers in_neighbour "$hermit" hermit
check_output "isolated: its network's MTU is the guest's" "<mtu size='1400'/>" lab_virsh dumpxml e2e-vm-networks_hermit
check_fails "isolated: the node does not" on_node 1 curl -s --max-time 2 "http://$hermit/"
on_node 1 ip -n neighbour route add default via 192.168.151.1
check_fails "isolated: it leads nowhere" in_neighbour curl -s --max-time 2 http://172.31.0.254:5000/v2/
check_fails "nor to the node" in_neighbour curl -sk --max-time 2 https://192.168.151.1:10250/healthz
on_node 1 ip netns del neighbour

# Who may have what.
check_refused "a MAC address that another machine has is refused" 'failed to allocate requested mac address: virtual machine e2e-vm-networks/natted has it' \
	eval 'machine thief nic:lan:02-00-00-00-77-01 | k apply -f -'
check_output "a machine without one was given one" '^02:[0-9a-f:]+$' k_field vm/hermit '.spec.template.spec.domain.devices.interfaces[0].macAddress'
check_refused "a network in use is not deleted" 'is in use by virtual machine instance e2e-vm-networks/natted' k delete net-attach-def nat
port_of() { lab_virsh domiflist "e2e-vm-networks_$1" | awk '/bridge/ { print $1; exit }'; }
port=$(port_of natted)
check_output "a port may send from its own MAC address alone" "\"$port\" \. 02:00:00:00:77:01" on_node 1 nft list set bridge hanok-ports checked_macs

on_node 1 sh -c 'ip link add near0 type bridge && ip link set near0 up && ip addr add 192.0.2.9/24 dev near0'
{
	network clash '{"type":"hanok-nat","ipam":{"subnet":"192.0.2.128/25"}}'
	machine clash nic:clash
} >"$TEST_DIR/clash.yaml"
check "a network with a part of one that the node is in" k apply -f "$TEST_DIR/clash.yaml"
check "is not made, and why" eventually 60 matches 'overlaps with the network that the node is in by near0' k describe vmi clash
check "it goes" k delete vm clash --timeout=60s
on_node 1 ip link del near0

# A new agent takes over what is there; a guest that went meanwhile, whose address is another's now, is forgotten.
lab_node_end 1
hosts=$(on_node 1 sh -c 'echo /run/hanok-node-*/networks/e2e-vm-networks_nat/hosts')
check "while no agent runs" on_node 1 sh -c "echo 02:00:00:00:77:99,set:gone-nic,192.168.150.10 >$hosts/gone-nic"
check "while no agent runs the port mapping works" eventually 10 answers "lab_in fabric" 172.31.0.1:18081 natted
lab_node_up 1
dhcp_serves() { on_node 1 sh -c 'pgrep -f "[d]nsmasq.*_nat/hosts"'; }
check "a new agent starts the network's DHCP server" eventually 40 dhcp_serves
check "which knows no guest that has gone" eventually 20 on_node 1 test ! -e "$hosts/gone-nic"
check "and knows those that run" eventually 20 on_node 1 grep -q 192.168.150.10 -r "$hosts"
check "and leads the port on" eventually 40 answers "lab_in fabric" 172.31.0.1:18081 natted
check_output "rules are there" 'masquerade' on_node 1 nft list table ip hanok-networks

# The same addresses in another life.
other_instance() { local uid; uid=$(k_field vmi/hermit .metadata.uid) && [ "$uid" != "$instance" ] && echo "$uid"; }
instance=$(k_field vmi/hermit .metadata.uid)
mac=$(interface hermit nic mac)
"$LAB/bin/hanok" virt restart hermit --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-networks
check "restart" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
check "runs again" k wait --for=condition=Ready vm/hermit --timeout=240s
check_output "with the same MAC address" "^$mac\$" interface hermit nic mac
check_output "and the same address" "^$hermit\$" interface hermit nic ipAddress

# The pod network: one address as long as the machine is there, however few are left; a Service as virtctl expose makes it.
store=/var/lib/cni/networks/hanok
holder() { on_node 1 cat "$store/$address"; }
machine steady "default:pod back:alone" >"$TEST_DIR/steady.yaml"
check "a machine on the pod network too" k apply -f "$TEST_DIR/steady.yaml"
check "runs" k wait --for=condition=Ready vm/steady --timeout=240s
address=$(k_field vmi/steady '.status.interfaces[0].ipAddress')
check_output "the pod network's interface is the first" '^default$' k_field vmi/steady '.status.interfaces[0].name'
check "a Service by KubeVirt's label" k create service clusterip steady --tcp=80:80
k patch service steady --type merge -p '{"spec":{"selector":{"app":null,"vm.kubevirt.io/name":"steady"}}}' >/dev/null
check "has the machine as its endpoint" eventually 20 matches "^$address\$" k get endpointslices -l kubernetes.io/service-name=steady -o 'jsonpath={.items[*].endpoints[*].addresses[0]}'
check "and it answers there" eventually 150 answers "on_node 1" "$(k_field service/steady .spec.clusterIP)" steady
"$LAB/bin/hanok" virt stop steady --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-networks >/dev/null
check "stopped" k wait --for=delete vmi/steady --timeout=120s
check "its address waits for it" eventually 20 matches 'hanok-kept_e2e-vm-networks_steady' holder
"$LAB/bin/hanok" virt start steady --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-networks >/dev/null
check "started" k wait --for=condition=Ready vm/steady --timeout=240s
check_output "it has the same address" "^$address\$" k_field vmi/steady '.status.interfaces[0].ipAddress'


# No address is left: who needs a new one waits and says why, who has one keeps it.
subnet=$(k get node node1 -o 'jsonpath={.spec.podCIDR}')
subnet=${subnet%.*}
fill() { on_node 1 sh -c "cd $store && for n in \$(seq 2 254); do [ -e $subnet.\$n ] || printf 'e2e-full\\r\\neth0' >$subnet.\$n; done"; }
empty() { on_node 1 sh -c "cd $store && for file in \$(grep -l '^e2e-full' $subnet.*); do rm \$file; done"; }
"$LAB/bin/hanok" virt stop steady --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-networks >/dev/null
check "it stops once more" k wait --for=delete vmi/steady --timeout=120s
check "the range of the node is full" fill
cat >"$TEST_DIR/late.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: late}
spec:
  terminationGracePeriodSeconds: 0
  startStrategy: Paused
  domain:
    memory: {guest: 64Mi}
    devices: {interfaces: [{name: default, bridge: {}}]}
  networks: [{name: default, pod: {}}]
END
check "one more that wants an address" k apply -f "$TEST_DIR/late.yaml"
check "waits, and says why" eventually 30 matches '^NetworkNotReady .*no IP addresses available' k_field vmi/late \
	'.status.conditions[?(@.type=="Synchronized")].reason' '.status.conditions[?(@.type=="Synchronized")].message'
"$LAB/bin/hanok" virt start steady --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-networks >/dev/null
check "the one that had an address starts" k wait --for=condition=Ready vm/steady --timeout=240s
check_output "and has it still" "^$address\$" k_field vmi/steady '.status.interfaces[0].ipAddress'
check "addresses become free" empty
check "the one that waited runs" k wait --for=jsonpath='{.status.phase}'=Running vmi/late --timeout=240s
check "it goes" k delete vmi late --timeout=60s
check "delete" k delete vm,service --all --timeout=120s
free() { ! holder; }
check "its address is free when the machine is gone" eventually 60 free
bridges() { on_node 1 sh -c 'ip -br link show type bridge | cut -d" " -f1 | sort | xargs'; }
check "only the bridges that were there are left" eventually 40 matches '^br0 hanok0$' bridges
servers() { on_node 1 sh -c 'pgrep -fc "[d]nsmasq.*/networks/"' || true; }
check "no DHCP server" eventually 20 matches '^0$' servers
check_fails "no rules" on_node 1 nft list table ip hanok-networks
check "the definitions may go now" eventually 20 k delete net-attach-def --all
on_node 1 ip netns del neighbour >/dev/null 2>&1
lan_down
finish
