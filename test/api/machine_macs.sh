#!/bin/bash
# MAC addresses of virtual machines: given, kept, refused when somebody has them, free again.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off --mac-range 02:aa:00:00:00:01-02:aa:00:00:00:04

machine() { # NAME INTERFACES [KIND]
	local kind=${3:-VirtualMachine} networks='' one
	for one in $(grep -o 'name: [a-z]*' <<<"$2" | cut -d' ' -f2); do networks+="{name: $one, multus: {networkName: lan}},"; done
	local spec="{domain: {memory: {guest: 128Mi}, devices: {interfaces: [$2]}}, networks: [${networks%,}]}"
	[ "$kind" = VirtualMachine ] && spec="{runStrategy: Halted, template: {spec: $spec}}"
	printf 'apiVersion: kubevirt.io/v1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n' "$kind" "$1" "$spec"
}
put() { machine "$@" | k apply -f -; }
macs() { k_field "vm/$1" '.spec.template.spec.domain.devices.interfaces[*].macAddress'; }

check "two interfaces without addresses" put one '{name: a, bridge: {}}, {name: b, bridge: {}}'
one=$(macs one)
check_output "get one each, out of the range" '^02:aa:00:00:00:0[1-4] 02:aa:00:00:00:0[1-4]$' macs one
check_fails "not the same" [ "${one% *}" = "${one#* }" ]
check "applied again" put one '{name: b, bridge: {}}, {name: a, bridge: {}}'
check_output "each keeps its own" "^${one#* } ${one% *}\$" macs one
check "the machine's own instance has them too" put one "{name: a, bridge: {}, macAddress: '${one% *}'}" VirtualMachineInstance
check_refused "another instance may not" "interfaces\[0\].macAddress: Invalid value: \"${one% *}\": failed to allocate requested mac address: virtual machine default/one has it" \
	put other "{name: a, bridge: {}, macAddress: '${one% *}'}" VirtualMachineInstance
check_refused "nor another machine, written otherwise" 'failed to allocate requested mac address' \
	put other "{name: a, bridge: {}, macAddress: '$(tr a-f A-F <<<"${one% *}" | tr : -)'}"
check_refused "nor twice in one" 'macAddress: Duplicate value' \
	put other "{name: a, bridge: {}, macAddress: '02:00:00:00:00:09'}, {name: b, bridge: {}, macAddress: '02:00:00:00:00:09'}"
check_refused "nor what is none" 'macAddress: Invalid value: "02:00"' put other "{name: a, bridge: {}, macAddress: '02:00'}"
check "one out of the range is the user's choice" put other "{name: a, bridge: {}, macAddress: '52:54:00:00:00:09'}"
check "two more" put more '{name: a, bridge: {}}, {name: b, bridge: {}}'
check_refused "then the range is full" 'failed to allocate a mac address: the range is full' put last '{name: a, bridge: {}}'
check "an interface goes" put more '{name: a, bridge: {}}'
check "its address is free" put last '{name: a, bridge: {}}'
check_output "and was given on" '^02:aa:' macs last

stop_server
start_server '--controllers=-*' --scheduler=off --mac-range 02:aa:00:00:00:01-02:aa:00:00:00:04
check_refused "a new server knows them" 'failed to allocate requested mac address' put thief "{name: a, bridge: {}, macAddress: '${one#* }'}"
check "delete the machine" k delete vm one
check_refused "its instance still has the first one" 'failed to allocate requested mac address' put thief "{name: a, bridge: {}, macAddress: '${one% *}'}"
check "the second one is free" put thief "{name: a, bridge: {}, macAddress: '${one#* }'}"

# A network that guests are on stays.
cat >"$TEST_DIR/lan.yaml" <<-'END'
	apiVersion: k8s.cni.cncf.io/v1
	kind: NetworkAttachmentDefinition
	metadata: {name: lan}
	spec: {config: '{"type":"bridge","bridge":"br0"}'}
END
check "a network" k apply -f "$TEST_DIR/lan.yaml"
check_refused "in use" 'is in use by virtual machine instance default/one' k delete net-attach-def lan
k patch vmi one --type merge -p '{"metadata":{"finalizers":null}}' >/dev/null
check "the instance goes" k delete vmi one
check "and then the network may" k delete net-attach-def lan
finish
