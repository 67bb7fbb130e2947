#!/bin/bash
# virtctl on a node, played request by request (test/virtctl.py): uploads, lifecycle, console, VNC, port-forward, hot-plug,
# a memory dump and its download, exports, a Service.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-virtctl
virtctl() { python3 "$TEST_ROOT/test/virtctl.py" --kubeconfig "$KUBECONFIG_FILE" -n e2e-virtctl "$@"; }

head -c 5000000 /dev/urandom >"$TEST_DIR/disk.raw"
truncate -s 16M "$TEST_DIR/disk.raw"
check_output "image-upload dv" 'DataVolume e2e-virtctl/up created.*Uploading .*disk.raw completed successfully' \
	virtctl image-upload dv up --size 16Mi --image-path "$TEST_DIR/disk.raw"
check_refused "once" 'PVC up already successfully imported' virtctl image-upload dv up --size 16Mi --image-path "$TEST_DIR/disk.raw"
check_output "image-upload pvc" 'PersistentVolumeClaim e2e-virtctl/plain created.*completed successfully' \
	virtctl image-upload pvc plain --size 16Mi --image-path "$TEST_DIR/disk.raw" --force-bind

cat >"$TEST_DIR/vm.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  runStrategy: Halted
  template:
    metadata: {labels: {app: guest}}
    spec:
      terminationGracePeriodSeconds: 60
      domain:
        firmware:
          kernelBoot:
            kernelArgs: console=ttyS0 loglevel=4
            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
        memory: {guest: 128Mi}
        devices:
          disks: [{name: up, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes: [{name: up, dataVolume: {name: up}}]
END
check "a machine with the uploaded disk" k apply -f "$TEST_DIR/vm.yaml"
check_output "start --paused" 'was scheduled to start' virtctl start guest --paused
check "it stands there" eventually 60 matches '^Paused$' k_field vm/guest .status.printableStatus
check_output "console, from before the guest begins" 'unpaused meanwhile.*login:' sh -c '
	"$@" console guest --expect login: & console=$!
	"$@" unpause vm guest && echo unpaused meanwhile && wait $console' - \
	python3 "$TEST_ROOT/test/virtctl.py" --kubeconfig "$KUBECONFIG_FILE" -n e2e-virtctl
check_output "vnc" '^RFB 003' virtctl vnc guest --expect 'RFB 003[.]...'
check "screenshot" virtctl screenshot guest --output "$TEST_DIR/screen.png"
check_output "is a PNG" 'PNG' head -c 4 "$TEST_DIR/screen.png"
forward() { virtctl port-forward "$1" "$2" --send 'GET / HTTP/1.0\r\n\r\n' --expect 'virtual machine guest'; }
check "port-forward --stdio to a machine" eventually 60 forward vm/guest 80
check "to an instance, by protocol" forward vmi/guest tcp/80
check "expose" virtctl expose vm guest --service web --port 80
reached() { on_node 1 curl -s --max-time 3 "http://$(k_field svc/web .spec.clusterIP)/"; }
check "leads to the guest" eventually 30 matches '^virtual machine guest$' reached
check_output "pause" 'scheduled to pause' virtctl pause vm guest
check "the machine says Paused" eventually 20 matches '^Paused$' k_field vm/guest .status.printableStatus
check_refused "no port is forwarded then" 'VMI is paused' virtctl port-forward vmi/guest 80
check_output "unpause" 'scheduled to unpause' virtctl unpause vmi guest

check_output "addvolume" 'Successfully submitted add volume' virtctl addvolume guest --volume plain --persist
plugged() { k_field vmi/guest '.status.volumeStatus[?(@.name=="plain")].phase'; }
check "it is plugged in" eventually 60 matches '^Ready$' plugged
check_output "removevolume" 'Successfully submitted remove volume' virtctl removevolume guest --volume plain --persist
check "it is out" eventually 60 matches '^$' plugged

check_output "memory-dump get --create-claim --output" 'PVC e2e-virtctl/dump created.*Memory dump completed successfully.*Download finished' \
	virtctl memory-dump get guest --claim-name dump --create-claim --output "$TEST_DIR/dump.tar.gz"
elf() { tar -xzOf "$TEST_DIR/dump.tar.gz" | head -c 4 | grep -q ELF; }
check "is a core file" elf
check_output "its claim says so" "^guest-dump-.*[.]memory[.]dump\$" k_field pvc/dump ".metadata.annotations.kubevirt\.io/memory-dump"
check_output "memory-dump remove" 'remove memory dump association' virtctl memory-dump remove guest

check_refused "migrate" 'Cannot migrate VMI, Reason: DisksNotLiveMigratable' virtctl migrate guest
check_output "soft-reboot" 'scheduled to soft-reboot' virtctl soft-reboot guest
instance=$(k_field vmi/guest .metadata.uid)
other_instance() { local uid; uid=$(k_field vmi/guest .metadata.uid) && [ "$uid" != "$instance" ] && echo "$uid"; }
check_output "restart --force --grace-period=0" 'scheduled to restart' virtctl restart guest --grace-period 0
check "a new instance" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
check "runs" k wait --for=condition=Ready vm/guest --timeout=240s
check_output "reset" 'scheduled to reset' virtctl reset guest
check_output "stop --force --grace-period=0" 'scheduled to stop' virtctl stop guest --grace-period 0
check "the instance is gone" k wait --for=delete vmi/guest --timeout=60s

for release in 1.0 1.6; do
	check_output "vmexport download of $release" 'Download finished succesfully' \
		virtctl --release $release vmexport download out --vm guest --output "$TEST_DIR/out.raw" --format raw
	check "is what was uploaded" cmp "$TEST_DIR/disk.raw" "$TEST_DIR/out.raw"
	check "and the export is gone" eventually 20 matches '^0$' k_count vmexport/out
done

check "vmexport create" virtctl vmexport create kept --vm guest
check_output "vmexport download --manifest" 'kind: VirtualMachine' virtctl vmexport download kept --manifest
check_output "with the secret for its import" 'x-kubevirt-export-token' virtctl vmexport download kept --manifest --include-secret
check "vmexport delete" virtctl vmexport delete kept
finish
