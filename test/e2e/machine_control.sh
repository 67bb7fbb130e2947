#!/bin/bash
# What is done to a running guest: pause, reset, soft reboot, screen, port-forward, save to disk and restore across
# agents; what virsh does to it meanwhile; a full disk; stopping.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-control
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-control; }
put() { raw "/apis/subresources.kubevirt.io/v1/namespaces/e2e-control/virtualmachineinstances/guest/$1" -X PUT -w '\n%{http_code}\n'; }
condition() { k get "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].reason}: {.status.conditions[?(@.type==\"$2\")].message}"; }
events() { k get events --field-selector "involvedObject.kind=VirtualMachineInstance,reason=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}'; }
agent_kill() { on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0'; }
domain_state() { lab_virsh domstate e2e-control_guest; }

cat >"$TEST_DIR/vm.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  runStrategy: Always
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
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: strange, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 16Mi}}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: strange}
spec:
  terminationGracePeriodSeconds: 0
  startStrategy: Paused
  domain:
    memory: {guest: 64Mi}
    devices: {disks: [{name: data, disk: {bus: virtio}}, {name: medium, cdrom: {bus: sata}}]}
  volumes: [{name: data, dataVolume: {name: strange}}, {name: medium, cloudInitNoCloud: {userData: "#!/bin/sh"}}]
END
check "apply" k apply -f "$TEST_DIR/vm.yaml"
check "Ready" k wait --for=condition=Ready vm/guest --timeout=240s
# Seen later on.
check "one that only stands there" k wait --for=jsonpath='{.status.phase}'=Running vmi/strange --timeout=120s
check "virsh snapshot-create of its disk" lab_virsh snapshot-create-as e2e-control_strange --disk-only --no-metadata s1
address=$(k_field vmi/guest '.status.interfaces[0].ipAddress')
instance=$(k_field vmi/guest .metadata.uid)
answers() { on_node 1 curl -s --max-time 3 "http://$address/"; }
check "its system answers" eventually 60 matches '^virtual machine guest$' answers

check "pause" virt pause guest
check "the condition is KubeVirt's" eventually 20 matches '^PausedByUser: VMI was paused by user$' condition vmi/guest Paused
check "the machine says Paused" eventually 20 matches '^Paused$' k_field vm/guest .status.printableStatus
check_output "again: a conflict in KubeVirt's words" 'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io \\"guest\\": VMI is already paused.*409$' put pause
check_output "no soft reboot now" 'VMI is paused.*409$' put softreboot
check_output "libvirt says so too" '^paused$' domain_state
check "unpause" virt unpause guest
check "no condition is left" eventually 20 matches '^: $' condition vmi/guest Paused
check_output "again: it is not paused" 'VMI is not paused.*409$' put unpause

check "screenshot" virt screenshot guest "$TEST_DIR/screen.png"
check_output "it is a picture" 'PNG image data, [0-9]+ x [0-9]+, 8-bit/color RGB' python3 -c '
import struct, sys, zlib
b = open(sys.argv[1], "rb").read()
assert b[:8] == b"\x89PNG\r\n\x1a\n"
at, data = 8, b""
while at < len(b):
    size, kind = struct.unpack(">I4s", b[at:at + 8])
    assert struct.unpack(">I", b[at + 8 + size:at + 12 + size])[0] == zlib.crc32(b[at + 4:at + 8 + size])
    data += b[at + 8:at + 8 + size] if kind == b"IDAT" else b""
    at += size + 12
width, height = struct.unpack(">II", b[16:24])
assert len(zlib.decompress(data)) == height * (width * 3 + 1)
print(f"PNG image data, {width} x {height}, 8-bit/color RGB")' "$TEST_DIR/screen.png"
rfb() {
	local port log=$TEST_DIR/vnc.log
	virt vnc guest --proxy-only >"$log" 2>&1 &
	local pid=$!
	eventually 20 grep -q port "$log" && port=$(grep -o '[0-9]\{2,\}' "$log" | head -1) && python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
print(s.recv(12).decode().strip())' "$port"
	local status=$?
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	return $status
}
check_output "VNC" '^RFB 003.00' rfb
forward() { printf 'GET / HTTP/1.0\r\n\r\n' | timeout 60 "$LAB/bin/hanok" virt port-forward --stdio guest 80 --kubeconfig "$KUBECONFIG_FILE" -n e2e-control; }
check "port-forward" eventually 20 matches 'virtual machine guest' forward
# Who answers by UDP is not the guest, which has nothing that does, but who gets what is sent to its address.
cat >"$TEST_DIR/echo.py" <<'END'
import os, socket, sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
with open(sys.argv[2] + ".new", "w") as f:
    f.write(str(s.getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
while True:
    data, peer = s.recvfrom(65536)
    if data == b"end":
        break
    s.sendto(b"echo of " + data, peer)
END
cat >"$TEST_DIR/datagrams.py" <<'END'
import os, socket, ssl, struct, sys

host, port, path, files = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
tls = ssl.create_default_context(cafile=files + "/ca.crt")
tls.load_cert_chain(files + "/client.crt", files + "/client.key")
s = tls.wrap_socket(socket.create_connection((host, port), timeout=60), server_hostname=host)
s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: plain.kubevirt.io\r\n\r\n" % (path, host)).encode())
f = s.makefile("rb")
status = f.readline()
assert b" 101 " in status, status
while f.readline() != b"\r\n":
    pass


def send(data):
    mask = os.urandom(4)
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    s.sendall(b"\x82" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def receive():
    first, size = f.read(2)
    size = struct.unpack(">H", f.read(2))[0] if size == 126 else size
    return f.read(size)


# Each message is a datagram of its own, of any size.
for text in (b"one", b"2" * 1400, b"three"):
    send(text)
    answer = receive()
    assert answer == b"echo of " + text, answer
print("echoed")
END
nsenter -t "$(lab_pid fabric)" -n python3 "$TEST_DIR/echo.py" "$LAB_FABRIC_ADDRESS" "$TEST_DIR/echo.port" &
ECHO_PID=$!
# shellcheck disable=SC2317
end_echo() {
	local status=$?
	kill "$ECHO_PID" 2>/dev/null
	on_node 1 nft delete table ip e2e-control 2>/dev/null
	(exit $status)
	test_at_exit
}
trap end_echo EXIT
check "somebody who answers by UDP" eventually 10 test -s "$TEST_DIR/echo.port"
check "stands at the guest's address" on_node 1 nft "add table ip e2e-control; add chain ip e2e-control out { type nat hook output priority -110; }; \
	add rule ip e2e-control out ip daddr $address udp dport 7 dnat to $LAB_FABRIC_ADDRESS:$(cat "$TEST_DIR/echo.port")"
raw /version >/dev/null
check_output "port-forward of UDP" '^echoed$' python3 "$TEST_DIR/datagrams.py" 127.0.0.1 "$(lab_port)" \
	/apis/subresources.kubevirt.io/v1/namespaces/e2e-control/virtualmachineinstances/guest/portforward/7/udp "$TEST_DIR"
# By the command line: each sender has a stream of its own, and what comes back is his.
cat >"$TEST_DIR/senders.py" <<'END'
import socket, sys

to = ("127.0.0.1", int(sys.argv[1]))
senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
for round in range(2):
    for n, s in enumerate(senders):
        text = b"%d of sender %d" % (round, n) + b"." * 1300 * n
        s.settimeout(5)
        answer = None
        for _ in range(12):
            s.sendto(text, to)
            try:
                answer = s.recv(65536)
            except TimeoutError:
                continue
            if answer == b"echo of " + text:  # not what was asked for twice before
                break
        assert answer == b"echo of " + text, answer
print("echoed")
END
forward_udp() {
	local port log=$TEST_DIR/forward.log
	"$LAB/bin/hanok" virt port-forward vm/guest/e2e-control udp/0:7 --kubeconfig "$KUBECONFIG_FILE" >"$log" 2>&1 &
	local pid=$!
	eventually 20 grep -q '^Forwarding from 127.0.0.1:[0-9]* (udp/0:7)$' "$log" &&
		port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$log") && python3 "$TEST_DIR/senders.py" "$port"
	local status=$?
	kill -INT $pid 2>/dev/null
	wait $pid || status=$?
	cat "$log"
	return $status
}
check_output "hanok virt port-forward of UDP" 'echoed' forward_udp
check_output "a port that is none" '400$' raw /apis/subresources.kubevirt.io/v1/namespaces/e2e-control/virtualmachineinstances/guest/portforward/99999 -w '\n%{http_code}\n'

check "reset" virt reset guest
check "it is said" eventually 20 matches 'The guest was reset' events Reset
check "its system answers after that" eventually 60 matches '^virtual machine guest$' answers
# A reset is told as a restart, too.
restarts() { k get events --field-selector involvedObject.name=guest,reason=Rebooted -o 'jsonpath={range .items[*]}{.count}{"\n"}{end}' | awk '{ n += $1 ? $1 : 1 } END { print n + 0 }'; }
before=$(restarts)
more_restarts() { [ "$(restarts)" -gt "$before" ]; }
check "soft reboot" virt soft-reboot guest
check "the guest restarts" eventually 60 more_restarts
check "and answers" eventually 60 matches '^virtual machine guest$' answers
check_output "it is the same instance" "^$instance\$" k_field vmi/guest .metadata.uid

check "save to disk" virt save guest
check "it is saved" eventually 60 matches '^Saved: VMI was saved to disk' condition vmi/guest Paused
check_output "nothing runs" '^shut off$' domain_state
check_output "save again: a conflict" 'VMI is already saved.*409$' put save
check "the node agent is killed" agent_kill
check "and comes back" lab_node_up 1
check "the guest stays saved" eventually 30 matches '^Saved: ' condition vmi/guest Paused
check "start restores it" virt start guest
check "it runs" eventually 60 matches '^running$' domain_state
check "it is said" eventually 20 matches 'goes on from where it was saved' events Restored
check "it answers at its address" eventually 60 matches '^virtual machine guest$' answers
check_output "still the same instance" "^$instance\$" k_field vmi/guest .metadata.uid
check "Ready" k wait --for=condition=Ready vm/guest --timeout=60s

# libvirt forgets with the process that the guest was to restart when it has shut down.
before=$(restarts)
restart_and_save() { virt soft-reboot guest && virt save guest; }
check "asked to restart, and saved before it has" restart_and_save
check "it is saved" eventually 60 matches '^Saved: ' condition vmi/guest Paused
check "restored" virt restore guest
check "it restarts" eventually 60 more_restarts
check "it answers" eventually 60 matches '^virtual machine guest$' answers
check_output "the same instance" "^$instance\$" k_field vmi/guest .metadata.uid
check "Ready" k wait --for=condition=Ready vm/guest --timeout=60s

# Others on the same host.
check "virsh suspend" lab_virsh suspend e2e-control_guest
check "is a pause" eventually 20 matches '^PausedByUser: ' condition vmi/guest Paused
check "virsh resume" lab_virsh resume e2e-control_guest
check "ends it" eventually 20 matches '^: $' condition vmi/guest Paused
check "virsh managedsave" lab_virsh managedsave e2e-control_guest
check "is a save" eventually 20 matches '^Saved: ' condition vmi/guest Paused
check "virsh start" lab_virsh start e2e-control_guest
check "restores" eventually 20 matches '^: $' condition vmi/guest Paused
check "pause" virt pause guest
check "a paused guest is saved" virt save guest
check "it is" eventually 60 matches '^Saved: ' condition vmi/guest Paused
check "restored" virt restore guest
check "it is paused as before" eventually 60 matches '^PausedByUser: ' condition vmi/guest Paused
check "unpause" virt unpause guest
check "ends that" eventually 60 matches '^: $' condition vmi/guest Paused
check_output "no save is said to have failed" '^$' k get events --field-selector "involvedObject.uid=$instance,reason=SaveFailed" -o name
check "virsh undefine" lab_virsh undefine e2e-control_guest
persistent() { lab_virsh dominfo e2e-control_guest | grep Persistent; }
check "the definition is made anew" eventually 20 matches 'yes' persistent
check "virsh setmem" lab_virsh setmem e2e-control_guest 112M --live
check "shows in the status" eventually 60 matches '^112Mi$' k_field vmi/guest .status.memory.guestCurrent
echo "<interface type='bridge'><source bridge='hanok0'/><model type='virtio'/></interface>" >"$LAB/node1/nic.xml"
check "virsh attach-device" lab_virsh attach-device e2e-control_guest /run/lab/host/nic.xml
check "is told" eventually 20 matches '^DeviceAttached: ' condition vmi/guest ChangedOutside
edit() { on_node 1 sh -c "virsh dumpxml --inactive e2e-control_guest | sed 's/<on_crash>destroy/<on_crash>restart/' >/run/lab/host/edited.xml && virsh define /run/lab/host/edited.xml"; }
check "virsh edit" edit
check "is told, on the machine too" eventually 20 matches '^DefinitionChanged: ' condition vm/guest ChangedOutside
check "a disk that virsh gave another file is told" eventually 60 matches "^DiskChanged: Disk 'data' .*[.]s1'" condition vmi/strange ChangedOutside
check "virsh blockcommit" lab_virsh blockcommit e2e-control_strange vda --active --pivot
check "puts it right" eventually 60 matches '^: $' condition vmi/strange ChangedOutside
medium=$(lab_virsh domblklist e2e-control_strange | awk '$1 == "sda" { print $2 }')
check "virsh change-media --eject" lab_virsh change-media e2e-control_strange sda --eject
check "is told" eventually 60 matches "^MediumChanged: The medium of CD-ROM drive 'medium' was taken out" condition vmi/strange ChangedOutside
check "the medium is put back" lab_virsh change-media e2e-control_strange sda "$medium" --insert
check "which ends it" eventually 60 matches '^: $' condition vmi/strange ChangedOutside
lab_node_end 1
lab_node_up 1
check "another medium" on_node 1 cp "$medium" /run/lab/host/other.iso
check "by virsh change-media" lab_virsh change-media e2e-control_strange sda /run/lab/host/other.iso --update
check "is told by an agent that has not started the guest" eventually 60 matches "^MediumChanged: The medium of CD-ROM drive 'medium' was changed" condition vmi/strange ChangedOutside
check "the medium is put back" lab_virsh change-media e2e-control_strange sda "$medium" --update
check "which ends it" eventually 60 matches '^: $' condition vmi/strange ChangedOutside
check "it goes" k delete vmi/strange dv/strange --timeout=120s
check "virsh destroy" lab_virsh destroy e2e-control_guest
other_instance() { local uid; uid=$(k_field vmi/guest .metadata.uid) && [ "$uid" != "$instance" ] && echo "$uid"; }
check "the machine is started anew (runStrategy Always)" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
check "Ready" k wait --for=condition=Ready vm/guest --timeout=240s
check_output "what was changed by others is forgotten" '^: $' condition vm/guest ChangedOutside

check "pause before stopping" virt pause guest
check "stop" virt stop guest
check "a paused guest is woken to power off" k wait --for=delete vmi/guest --timeout=200s
domain_exists() { lab_virsh list --all --name | grep e2e-control; }
check_fails "libvirt has no such domain" domain_exists
check "delete" k delete vm guest --timeout=60s

# A disk whose file system is full.
small=/var/lib/hanok-disks/e2e-control
check "a small file system" on_node 1 sh -c "mkdir -p $small && mount -t tmpfs -o size=24m,mode=755 small $small"
cat >"$TEST_DIR/full.yaml" <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: full}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    memory: {guest: 128Mi}
    devices:
      disks:
      - {name: root, disk: {bus: virtio}}
      - {name: seed, disk: {bus: virtio}}
      - {name: data, disk: {bus: virtio}}
  volumes:
  - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
  - {name: data, hostDisk: {path: $small/disk.img, type: DiskOrCreate, capacity: 40Mi}}
  - name: seed
    cloudInitNoCloud:
      userData: |
        #cloud-config
        runcmd:
        - dd if=/dev/urandom of=/dev/vdc bs=64k; sync; echo written >/www/ran
END
check "a guest that writes more than there is room for" k apply -f "$TEST_DIR/full.yaml"
check "is paused, and says which disk is full" eventually 60 matches "^PausedIOError: VMI was paused, low-level IO error detected: no space left for disk 'data'" \
	condition vmi/full Paused
check "the node agent is killed" agent_kill
check "and comes back" lab_node_up 1
check "there is room again" on_node 1 mount -o remount,size=64m "$small"
check "the guest goes on by itself" eventually 60 matches '^: $' condition vmi/full Paused
full_address=$(k_field vmi/full '.status.interfaces[0].ipAddress')
check "and all was written" eventually 60 matches '^written$' on_node 1 curl -sf --max-time 3 "http://$full_address/ran"
check "delete it" k delete vmi full --timeout=120s
check "no small file system any more" on_node 1 sh -c "umount $small && rmdir $small"
finish
