#!/bin/bash
# hanok virt and hanok image as clients of the API: no node is needed.
. "$(dirname "$0")/../lib.sh"
start_server
use_namespace virt
virt() { "$HANOK" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n virt; }
image() { "$HANOK" image "$@" --kubeconfig "$KUBECONFIG_FILE" -n virt; }
exits() {
	local wanted=$1 code=0
	shift
	"$@" >"$TEST_DIR/exits" 2>&1 || code=$?
	cat "$TEST_DIR/exits"
	[ $code = "$wanted" ]
}

check "no verb: usage, exit code 2" exits 2 "$HANOK" virt
check "an unknown verb: 2" exits 2 "$HANOK" virt dance
check "an unknown option: 2" exits 2 virt start x --nonsense
check "a missing name: 2" exits 2 virt start
check "too many: 2" exits 2 virt snapshot-delete a b
check "a bad number: 2" exits 2 virt stop x --grace-period soon
check "a bad target: 2" exits 2 virt port-forward pod/x 80
check "a bad port: 2" exits 2 virt port-forward vm/x 80:0
check "no port: 2" exits 2 virt port-forward vm/x udp/
check "a port above all: 2" exits 2 virt port-forward vm/x udp/53:65536
check "another protocol: 2" exits 2 virt port-forward vm/x sctp/53:53
# What is understood leads to a machine that is not there.
check "a port alone: 1" exits 1 virt port-forward VM/x 8080
check "two: 1" exits 1 virt port-forward vmi/x/virt 8080:80 udp/5353:53
check "one that is left out: 1" exits 1 virt port-forward virtualmachine/x :80 udp/53:
check "any free one: 1" exits 1 virt port-forward x 0:80
check "help: 0" exits 0 "$HANOK" virt --help
check "help of a verb: 0" exits 0 "$HANOK" virt clone --help
check_output "which has its options" '--linked' "$HANOK" virt help clone
check "what does not exist: 1" exits 1 virt start nobody
check_refused "and is named" "start virtual machine 'virt/nobody'.*not found" virt start nobody
check_refused "migration is refused in words" 'not available' virt migrate x
check_refused "USB redirection too" 'not available' virt usbredir 1:2 x
check "completion is bash" bash -n <("$HANOK" virt completion bash)
complete_it() {
	# shellcheck source=/dev/null
	. <("$HANOK" virt completion bash)
	COMP_WORDS=(hanok virt snap)
	COMP_CWORD=2
	_hanok_virt
	echo "${COMPREPLY[*]}"
}
check_output "and completes verbs" 'snapshot-create.*snapshot-restore' complete_it

k create -f - >/dev/null <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: waiting}
spec: {domain: {memory: {guest: 64Mi}, devices: {}}}
END
# Each datagram asks anew, if nobody holds it back.
refused_once() {
	local log=$TEST_DIR/forward.log pid port
	"$HANOK" virt port-forward vmi/waiting udp/0:53 --kubeconfig "$KUBECONFIG_FILE" -n virt >"$log" 2>&1 &
	pid=$!
	eventually 20 grep -q '^Forwarding from 127.0.0.1:[0-9]* (udp/0:53)$' "$log" || return 1
	port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$log")
	for _ in $(seq 30); do
		echo x >"/dev/udp/127.0.0.1/$port"
		sleep 0.1
	done
	kill $pid
	wait $pid
	cat "$log"
	[ "$(grep -vc '^Forwarding' "$log")" = 1 ]
}
check_output "datagrams for what does not run: refused, and told once" 'VMI is not running' refused_once
check "delete" k delete vmi waiting

create() { virt create vm --name "$1" --run-strategy Halted --memory 128Mi --volume-containerdisk src:registry.lab/x:1,bootorder:1 "${@:2}"; }
create a --user me --ssh-key 'ssh-ed25519 AAAA me' >"$TEST_DIR/a.yaml"
check "create vm writes a manifest that the server takes" k apply -f "$TEST_DIR/a.yaml"
check_output "the list has it" 'a +Stopped' virt list
check_output "by names too" '^a$' virt list --names
check_output "info" 'Disk +containerdisk: disk, virtio, containerDisk registry.lab/x:1, boot order 1' virt info a
check "set" virt set a --cores 2 --memory 256Mi --boot-order cloudinitdisk,containerdisk
check_output "is in the specification" '^2 256Mi 2$' k_field vm/a .spec.template.spec.domain.cpu.cores .spec.template.spec.domain.memory.guest \
	'.spec.template.spec.domain.devices.disks[?(@.name=="containerdisk")].bootOrder'
check_output "an amount that is none: 2, and which option" "set: --memory 'banana': an amount such as 512Mi" exits 2 virt set a --memory banana
check_output "nor is it at the creation" "create: --memory '0': an amount" exits 2 virt create vm --memory 0
check_refused "a disk that it has not" "no disk or interface 'x'" virt set a --boot-order x
check "autostart --disable" virt autostart a --disable
check_output "is run strategy Manual" '^Manual$' k_field vm/a .spec.runStrategy
check "an unknown strategy: 2" exits 2 virt autostart a --strategy Sometimes
check "attach-interface" virt attach-interface a blue --mac 02:00:00:00:00:01
check_output "declares it" '^blue 02:00:00:00:00:01$' k_field vm/a '.spec.template.spec.networks[?(@.name=="blue")].multus.networkName' \
	'.spec.template.spec.domain.devices.interfaces[?(@.name=="blue")].macAddress'
check "link down" virt link a blue down
check_output "declares it" '^down$' k_field vm/a '.spec.template.spec.domain.devices.interfaces[?(@.name=="blue")].state'
check "detach-interface" virt detach-interface a blue
check_output "declares it absent" '^absent$' k_field vm/a '.spec.template.spec.domain.devices.interfaces[?(@.name=="blue")].state'
check_refused "another is not there" "no interface 'red'" virt detach-interface a red
check "set-password makes a secret and names it" virt set-password a --user me --password 'se cret'
secret() { k get secret a-passwords -o 'jsonpath={.data.me}' | base64 -d; }
check_output "which has it" '^se cret$' secret
check "add-ssh-key" virt add-ssh-key a --user me --value 'ssh-ed25519 AAAA me'
check "remove-ssh-key" virt remove-ssh-key a --value 'ssh-ed25519 AAAA me'
check_refused "not twice" 'does not hold that key' virt remove-ssh-key a --value 'ssh-ed25519 AAAA me'

check "rename" virt rename a b
check_fails "the old name is free" k get vm a
check_output "the new one has all" '^2 Manual$' k_field vm/b .spec.template.spec.domain.cpu.cores .spec.runStrategy
check_output "and nothing to be done any more" '^$' k_field vm/b '.metadata.annotations.hanok\.io/renamed-run-strategy'
# Cut off before its last step: the old one has gone, the new one may not run yet.
cut_off() {
	k annotate vm/b hanok.io/renamed-run-strategy=Manual && k patch vm/b --type=merge -p '{"spec":{"runStrategy":"Halted"}}' && virt rename a b &&
		k_field vm/b .spec.runStrategy
}
check_output "rename, when all but the last step was done" 'Manual$' cut_off
check_refused "but not once more" 'not found' virt rename a b
check "another machine of the old name" k apply -f "$TEST_DIR/a.yaml"
b_uid=$(k_field vm/b .metadata.uid)
check_refused "is not taken for what b was made of" 'already exists' virt rename a b
check_output "and stays" '^a$' k_field vm/a .metadata.name
check_output "as b does" "^$b_uid Manual\$" k_field vm/b .metadata.uid .spec.runStrategy
check "it goes" k delete vm a
dv_of() { printf '{"apiVersion":"cdi.kubevirt.io/v1beta1","kind":"DataVolume","metadata":{"name":"%s","ownerReferences":[{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachine","name":"%s","uid":"%s"}]},"spec":{"source":{"blank":{}},"storage":{"resources":{"requests":{"storage":"1Gi"}}}}}' "$1" "$2" "$(k_field "vm/$2" .metadata.uid)"; }
dv_of kept b >"$TEST_DIR/dv.json"
check "a disk of its own" k apply -f "$TEST_DIR/dv.json"
check "delete --keep-disks" virt delete b --keep-disks
check_output "leaves the disk, nobody's" '^$' k_field dv/kept '.metadata.ownerReferences[*].name'
check_refused "there is no such machine any more" 'not found' virt delete b
check_output "image list" 'DataVolume +virt +kept' image list
check "create instancetype and preference" sh -c "'$HANOK' virt create instancetype --name small --cpu 1 --memory 1Gi --namespaced | '$KUBECTL' --kubeconfig '$KUBECONFIG_FILE' -n virt apply -f -"
check_output "create clone" 'newMacAddresses:' virt create clone --source-name a --target-name c --new-mac-address default:02:00:00:00:00:02
check_output "snapshot-list of none" '^NAME' virt snapshot-list
tree() {
	local name parent
	for name in one:- two:one three:two other:one; do
		parent=${name#*:}
		printf '{"apiVersion":"snapshot.kubevirt.io/v1beta1","kind":"VirtualMachineSnapshot","metadata":{"name":"%s","annotations":{"hanok.io/parent-snapshot":"%s"}},"spec":{"source":{"apiGroup":"kubevirt.io","kind":"VirtualMachine","name":"t"}}}\n' "${name%:*}" "$parent" | k apply -f - >/dev/null || return
	done
	virt snapshot-list t --tree
}
check_output "snapshot-list --tree" 'one .*other.*two.*   `- three' tree
finish
