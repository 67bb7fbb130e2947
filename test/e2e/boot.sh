#!/bin/bash
# What guests boot from: BIOS an installation medium and then the disk, EFI the network before a disk.
. "$(dirname "$0")/../lib.sh"
# shellcheck disable=SC2119
use_lab
use_namespace e2e-boot
# shellcheck source=guest/images.sh
. "$TEST_ROOT/guest/images.sh"
images_use "$TEST_ROOT/.cache/images"
fabric() { nsenter -t "$(lab_pid fabric)" -n "$@"; }

check "an installation medium" images_build vm-install
check "into the registry" fabric skopeo --insecure-policy copy -q --dest-tls-verify=false \
	"oci:$IMAGES_CACHE/vm-install:latest" "docker://$LAB_FABRIC_ADDRESS:5000/vm-install:latest"

# A disk that lives longer than a start; the medium is asked first only while the disk has nothing to boot: KubeVirt's way is the
# disk with bootOrder 1, the CD-ROM with 2.
cat >"$TEST_DIR/install.yaml" <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: system}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: fresh}
spec:
  runStrategy: RerunOnFailure
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {guest: 160Mi}
        devices:
          disks:
          - {name: system, bootOrder: 1, disk: {bus: virtio}}
          - {name: medium, bootOrder: 2, cdrom: {bus: scsi}}
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes:
      - {name: system, persistentVolumeClaim: {claimName: system}}
      - {name: medium, containerDisk: {image: "registry.lab:5000/vm-install:latest"}}
END
check "apply a machine with an empty disk and a medium" k apply -f "$TEST_DIR/install.yaml"
check "the medium installs, and the guest powers itself off" eventually 120 matches '^Stopped$' k_field vm/fresh .status.printableStatus
check "start" "$LAB/bin/hanok" virt start fresh --kubeconfig "$KUBECONFIG_FILE" -n e2e-boot
fresh_answers() { on_node 1 curl -s --max-time 3 "http://$(k_field vmi/fresh '.status.interfaces[0].ipAddress')/"; }
check "it boots from its disk now" eventually 120 matches '^virtual machine fresh$' fresh_answers
check "delete" k delete vm fresh --timeout=240s
check "and its disk" k delete pvc system --timeout=240s

# Network boot: the address comes from DHCP, and with it where to go on; a web server has the rest. The guest has
# a disk, too, but is to ask the network first.
address=$(on_node 1 ip -4 -o addr show hanok0 | awk '{ sub(/\/.*/, "", $4); print $4 }')
mkdir -p "$LAB/node1/var/boot"
for layer in "$IMAGES_CACHE"/vm-kernel/blobs/sha256/*; do tar -xf "$layer" -C "$LAB/node1/var/boot" --strip-components=2 ./boot 2>/dev/null; done
printf '#!ipxe\nkernel http://%s:8099/vmlinuz initrd=initrd.img console=ttyS0 loglevel=4 no_timer_check\ninitrd http://%s:8099/initrd.img\nboot\n' \
	"$address" "$address" >"$LAB/node1/var/boot/go.ipxe"
check "kernel and initial file system are there" test -s "$LAB/node1/var/boot/vmlinuz" -a -s "$LAB/node1/var/boot/initrd.img"
check "a web server" lab_service node1 boot-web busybox httpd -f -p "$address:8099" -h /var/boot
cat >"$TEST_DIR/network.yaml" <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: network, annotations: {hanok.io/boot-file: "http://$address:8099/go.ipxe"}}
spec:
  startStrategy: Paused
  terminationGracePeriodSeconds: 0
  domain:
    firmware: {bootloader: {efi: {secureBoot: false}}}
    memory: {guest: 256Mi}
    devices:
      disks: [{name: disk, bootOrder: 2, disk: {bus: virtio}}]
      interfaces: [{name: default, bootOrder: 1, bridge: {}}]
  networks: [{name: default, pod: {}}]
  volumes: [{name: disk, emptyDisk: {capacity: 1Mi}}]
END
check "apply a machine that boots from the network" k apply -f "$TEST_DIR/network.yaml"
check "it waits, paused" k wait --for=condition=Paused vmi/network --timeout=240s
# Its console is watched from the first moment on.
python3 "$TEST_ROOT/test/terminal.py" 240 'expect:iPXE' 'expect:go\.ipxe' 'expect:login: ' 'send:\x1d' end:0 \
	-- "$LAB/bin/hanok" virt console network --kubeconfig "$KUBECONFIG_FILE" -n e2e-boot >"$TEST_DIR/console" 2>&1 </dev/null &
watcher=$!
check "somebody watches" eventually 30 grep -q 'leave it by' "$TEST_DIR/console"
check "unpause" "$LAB/bin/hanok" virt unpause network --kubeconfig "$KUBECONFIG_FILE" -n e2e-boot
said() { cat "$TEST_DIR/console"; wait $watcher; }
check "iPXE loads what DHCP named, and the guest comes up" said
answers() { on_node 1 curl -s --max-time 3 "http://$(k_field vmi/network '.status.interfaces[0].ipAddress')/"; }
check "it answers" eventually 60 matches '^virtual machine network$' answers
check "delete it" k delete vmi network --timeout=240s
lab_service_end node1 boot-web 5000
finish
