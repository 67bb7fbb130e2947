#!/bin/bash
# kill -9 of the node agent, the server and libvirt's daemon while a guest is started, paused, saved, restored and stopped:
# no guest dies of it, each operation ends or is rolled back, nothing half-made stays. VM_KILL_ROUNDS=50 for the long run.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-vm-kills
ROUNDS=${VM_KILL_ROUNDS:-6}
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-kills; }
reason() { k get vmi/busy -o 'jsonpath={.status.conditions[?(@.type=="Paused")].reason}'; }

for name in steady busy; do
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $name}
		spec:
		  runStrategy: $([ $name = steady ] && echo Always || echo Halted)
		  template:
		    spec:
		      terminationGracePeriodSeconds: 60
		      domain:
		        firmware:
		          kernelBoot:
		            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
		            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		        memory: {guest: 128Mi}
		        devices: {interfaces: [{name: default, bridge: {}}]}
		      networks: [{name: default, pod: {}}]
		---
	END
done >"$TEST_DIR/vms.yaml"
check "apply" k apply -f "$TEST_DIR/vms.yaml"
check "the steady one is Ready" k wait --for=condition=Ready vm/steady --timeout=240s

# Its QEMU as the kernel knows it: process and start time.
steady() {
	on_node 1 sh -c '
		for file in /proc/[0-9]*/cmdline; do
			case $(tr "\0" " " <$file 2>/dev/null) in
			/usr/bin/qemu-system*guest=e2e-vm-kills_steady,*) cut -d" " -f1,22 ${file%cmdline}stat ;;
			esac
		done'
}
before=$(steady)
check_output "its QEMU is known" '^[0-9]+ [0-9]+$' echo "$before"

kill_one() {
	case $1 in
	agent) on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0' ;;
	server) "$LAB_PROC" alive "$LAB/run/server.pid" && "$LAB_PROC" end "$LAB/run/server.pid" 0 ;;
	libvirtd) lab_service_end node1 libvirtd 0 ;;
	esac
}
all_up() { lab_libvirt_up 1 && lab_server_up && lab_node_up 1; }

# Each is asked again until it is so: what was asked for may have been lost with who was killed, and is a conflict when not.
started() { k wait --for=condition=Ready vm/busy --timeout=5s || { virt start busy; return 1; }; }
paused() { [ "$(reason)" = PausedByUser ] || { virt pause busy; return 1; }; }
unpaused() {
	if [ -n "$(reason)" ]; then
		virt unpause busy
		return 1
	fi
	k wait --for=condition=Ready vm/busy --timeout=5s
}
saved() { [ "$(reason)" = Saved ] || { virt save busy; return 1; }; }
restored() { unpaused; }
stopped() {
	if [ "$(k_count vmi/busy)" != 0 ]; then
		virt stop busy
		return 1
	fi
	! lab_virsh list --all --name | grep busy
}

operations=(start pause unpause save restore stop)
ends=(started paused unpaused saved restored stopped)
victims=(agent libvirtd server)
# Another operation meets another victim in each cycle, and each at another moment.
round() {
	local number=$1 operation=${operations[$1 % 6]} victim=${victims[($1 + $1 / 6) % 3]}
	virt "$operation" busy >"$TEST_DIR/operation.log" 2>&1 &
	local pid=$!
	sleep "0.$((number * 37 % 50 + 10))"
	kill_one "$victim"
	wait $pid
	eventually 30 all_up || return
	eventually 60 "${ends[$1 % 6]}"
}
number=0
while [ $number -lt "$ROUNDS" ]; do
	check "round $number: ${operations[$number % 6]} while ${victims[($number + $number / 6) % 3]} is killed" round $number
	number=$((number + 1))
done
while [ $((number % 6)) != 0 ]; do
	check "to its end: ${operations[$number % 6]}" eventually 60 "${ends[$number % 6]}"
	number=$((number + 1))
done

# Of a paused guest that is saved nothing but its job tells that the file is being written: QEMU is held in the midst of it.
qemu_gets() { on_node 1 sh -c "kill -$1 \$(cat /run/libvirt/qemu/e2e-vm-kills_busy.pid)"; }
file_begun() { on_node 1 test -e /var/lib/libvirt/qemu/save/e2e-vm-kills_busy.save; }
# Not before: libvirt asks it something first.
saved_while_agent_dies() {
	on_node 1 sh -c 'until [ -e /var/lib/libvirt/qemu/save/e2e-vm-kills_busy.save ]; do sleep 0.01; done
		kill -STOP $(cat /run/libvirt/qemu/e2e-vm-kills_busy.pid)' &
	virt save busy && wait $! && file_begun && kill_one agent && eventually 30 all_up && sleep 5 && file_begun
}
is_saved() { [ "$(reason)" = Saved ]; }
check "start" eventually 60 started
check "pause" eventually 60 paused
check "the agent dies while a paused guest is saved: what was written stays" saved_while_agent_dies
check "QEMU goes on" qemu_gets CONT
check "it is saved" eventually 90 is_saved
check "and restored" eventually 60 restored

# A daemon that died while it wrote a guest's memory leaves half of a file; libvirt takes it for a saved guest.
half=/var/lib/libvirt/qemu/save/e2e-vm-kills_busy.save
half_saved() {
	kill_one libvirtd && on_node 1 sh -c "printf LibvirtQemudPart >$half && truncate -s 4096 $half" && eventually 30 all_up
}
no_half() { ! on_node 1 test -e "$half"; }
busy_is() { [ "$(k_field vmi/busy .status.phase)" = "$1" ]; }
check "start" eventually 60 started
check "half of a file beside a guest that runs" half_saved
check "goes" eventually 30 no_half
check "the guest runs on" k wait --for=condition=Ready vm/busy --timeout=60s
check "its machine does not start it again by itself" k patch vm/busy --type=merge -p '{"spec":{"runStrategy":"Manual"}}'
lost_midway() {
	kill_one agent && on_node 1 sh -c 'kill -KILL $(cat /run/libvirt/qemu/e2e-vm-kills_busy.pid)' && half_saved
}
check "guest and daemon die in the midst" lost_midway
check "that is no saved guest" eventually 60 busy_is Failed
check "which is said" eventually 20 matches 'SaveFailed' k get events --field-selector involvedObject.name=busy -o 'jsonpath={.items[*].reason}'
check "and goes" eventually 30 no_half
check "so does the instance" k delete vmi/busy --timeout=60s

check "the steady one is Ready" k wait --for=condition=Ready vm/steady --timeout=120s
check "it is the same QEMU as before" test "$(steady)" = "$before"
check_output "and was started once" '^1$' k get events \
	--field-selector "involvedObject.uid=$(k_field vmi/steady .metadata.uid),reason=Started" -o 'jsonpath={.items[*].count}'
left() { on_node 1 sh -c 'ls /var/lib/hanok/vms | wc -l; ls /var/lib/libvirt/qemu/save'; }
uids() { k get vmi -A -o name | wc -l; }
no_leftovers() { [ "$(left | head -1)" = "$(uids)" ] && ! left | grep busy; }
check "nothing half-made stays: files are those of the instances that are there" eventually 20 no_leftovers
check "delete" k delete vm steady busy --timeout=120s
finish
