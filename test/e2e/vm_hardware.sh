#!/bin/bash
# What a virtual machine is made of: one with UEFI and a TPM whose memory stays, one of the old kind with many
# devices and limits, and those that this host must refuse by name.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-hardware
ns=e2e-hardware

cat >"$TEST_DIR/uefi.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: uefi}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        machine: {type: q35}
        cpu: {sockets: 1, cores: 2}
        memory: {guest: 192Mi}
        firmware:
          bootloader: {efi: {secureBoot: false, persistent: true}}
          serial: SN-1
          kernelBoot:
            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
        chassis: {asset: A-1}
        clock: {utc: {}, timer: {rtc: {tickPolicy: catchup}}}
        devices:
          tpm: {persistent: true}
          rng: {}
          logSerialConsole: true
          video: {type: virtio}
          inputs: [{name: pen, type: tablet, bus: virtio}]
          interfaces: [{name: default, masquerade: {}}]
      networks: [{name: default, pod: {}}]
END
cat >"$TEST_DIR/old.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: old
  annotations: {io-limits.hanok.io/b: "iops=200,bytes=5Mi"}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    machine: {type: pc}
    ioThreadsPolicy: auto
    cpu: {sockets: 1}
    memory: {guest: 128Mi}
    resources: {requests: {cpu: 500m, memory: 128Mi}, limits: {cpu: "1"}}
    clock: {utc: {offsetSeconds: -3600}}
    firmware:
      acpi: {slicNameRef: table}
      bootloader: {bios: {useSerial: true}}
      kernelBoot:
        kernelArgs: console=ttyS0 loglevel=4 no_timer_check
        container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
    features: {hyperv: {spinlocks: {}}}
    devices:
      blockMultiQueue: true
      useVirtioTransitional: true
      watchdog: {name: w, i6300esb: {action: reset}}
      panicDevices: [{model: isa}]
      sound: {name: s, model: ac97}
      inputs: [{name: t, type: tablet, bus: usb}]
      disks:
      - {name: a, dedicatedIOThread: true, disk: {bus: virtio}, blockSize: {custom: {logical: 4096, physical: 4096}}, serial: AAA}
      - {name: b, disk: {bus: virtio}, cache: none, io: native}
      - {name: c, disk: {bus: scsi}}
      - {name: d, disk: {bus: sata}}
      interfaces: [{name: default, masquerade: {}}]
  networks: [{name: default, pod: {}}]
  volumes:
  - {name: a, emptyDisk: {capacity: 16Mi}}
  - {name: b, emptyDisk: {capacity: 16Mi}}
  - {name: c, emptyDisk: {capacity: 16Mi}}
  - {name: d, emptyDisk: {capacity: 16Mi}}
  - {name: table, secret: {secretName: table}}
END
# The head of an ACPI table and four bytes: length 40, of the maker "TESTOE".
printf 'SLIC\050\000\000\000\001\000TESTOETESTOEM \001\000\000\000TEST\001\000\000\000abcd' >"$TEST_DIR/slic.bin"
check "an ACPI table" k create secret generic table --from-file=slic.bin="$TEST_DIR/slic.bin"
# refuse NAME DOMAIN [VOLUMES]: a machine that the node must refuse.
refuse() {
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: $1}
		spec:
		  terminationGracePeriodSeconds: 0
		  domain: {memory: {guest: 64Mi}, $2}
		  volumes: [${3:-}]
		---
	END
}
{
	refuse no-model 'cpu: {model: EPYC-Genoa-of-2099}, devices: {}'
	refuse no-machine 'machine: {type: pc-q35-99.0}, devices: {}'
	refuse no-pages 'memory: {guest: 64Mi, hugepages: {pageSize: 64Ki}}, devices: {}' | sed 's/memory: {guest: 64Mi}, memory/memory/'
	refuse no-device 'devices: {hostDevices: [{name: card, deviceName: vendor.example/card}]}'
	refuse no-slic 'firmware: {acpi: {msdmNameRef: table}}, devices: {}' '{name: table, secret: {secretName: table}}'
	refuse no-passthrough 'devices: {clientPassthrough: {}}'
} >"$TEST_DIR/refused.yaml"

said() { k get vmi "$1" -o 'jsonpath={.status.conditions[?(@.type=="Synchronized")].message}'; }
condition() { k get vmi "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].status}"; }

if on_node 1 sh -c 'command -v swtpm_setup' >/dev/null 2>&1 && on_node 1 ls /usr/share/qemu/firmware/60-edk2-x86_64.json >/dev/null 2>&1; then
	uefi=1
else
	uefi=
fi
[ -z "$uefi" ] || check "apply a machine with UEFI and a TPM" k apply -f "$TEST_DIR/uefi.yaml"
check "apply a machine of the old kind" k apply -f "$TEST_DIR/old.yaml"
check "apply machines that can't be" k apply -f "$TEST_DIR/refused.yaml"

check "an unknown CPU model is refused by name" eventually 30 matches "'EPYC-Genoa-of-2099' is not available on this host" said no-model
check "an unknown machine type is refused by name" eventually 30 matches "'pc-q35-99.0' is not supported" said no-machine
check "pages that no node has keep it unscheduled" eventually 30 matches 'Insufficient hugepages-64Ki' k describe vmi no-pages
check "so does a device that no node has" eventually 30 matches 'Insufficient vendor.example/card' k describe vmi no-device
check "an ACPI table that libvirt does not know is refused" eventually 30 matches 'msdmNameRef is not supported' said no-slic
check "USB of the client is refused" eventually 30 matches 'clientPassthrough is not supported' said no-passthrough
check "delete them" k delete -f "$TEST_DIR/refused.yaml" --timeout=120s

check "the old one runs" k wait --for=condition=Ready vmi/old --timeout=240s
old_xml() { lab_virsh dumpxml "${ns}_old"; }
check_output "on i440fx" "machine='pc-i440fx" old_xml
check_output "with an AC97 sound card, a watchdog, a panic device" "sound model='ac97'.*watchdog model='i6300esb' action='reset'.*panic model='isa'" old_xml
check_output "its disks have two threads" "<iothreads>2</iothreads>" old_xml
check_output "one has limits" 'total_bytes_sec *: *5242880.*total_iops_sec *: *200' lab_virsh blkdeviotune "${ns}_old" vdb
check_output "its share of the CPU is what it asked for" 'cpu_shares *: *512.*global_quota *: *100000' lab_virsh schedinfo "${ns}_old"
check "QEMU is confined" eventually 20 matches '^True$' condition old Confined
check "and describe says how" eventually 20 matches 'no capabilities; seccomp filter; private mounts' k describe vmi old
check_output "the guest sees its disk's serial and blocks, and the ACPI table" '4096' python3 "$TEST_ROOT/test/terminal.py" 240 \
	'send:\n' 'expect:login: ' 'send:root\n' 'expect:assword:' 'send:hanok\n' 'expect:# ' \
	'send:echo $(cat /sys/block/vda/serial) $(cat /sys/block/vda/queue/logical_block_size) $(tail -c 4 /sys/firmware/acpi/tables/SLIC) ON""CE\n' 'expect:AAA 4096 abcd ONCE' \
	'send:exit\n' 'expect:login:' 'send:\x1d' end:0 \
	-- "$LAB/bin/hanok" virt console old --kubeconfig "$KUBECONFIG_FILE" -n "$ns"
check "delete it" k delete vmi old --timeout=120s

figures() { k get --raw /api/v1/nodes/node1/proxy/metrics/resource; }
if on_node 1 ls /sys/kernel/mm/ksm/run >/dev/null 2>&1; then
	check_output "the node's figures have what merging of pages saves" 'hanok_node_ksm_saved_bytes [0-9]' figures
fi

if [ -n "$uefi" ]; then
	# Its firmware finds nothing to boot but its own shell, which nobody signed.
	cat >"$TEST_DIR/secure.yaml" <<-'END'
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: secure}
		spec:
		  terminationGracePeriodSeconds: 0
		  domain:
		    firmware: {bootloader: {efi: {}}}
		    memory: {guest: 64Mi}
		    devices: {logSerialConsole: true, autoattachPodInterface: false}
	END
	check "apply one with Secure Boot" k apply -f "$TEST_DIR/secure.yaml"
	secure_log() { on_node 1 cat "/var/lib/hanok/vms/$(k_field vmi/secure .metadata.uid)/console.log"; }
	check "what is not signed does not start" eventually 60 matches 'Security Violation' secure_log
	check_output "its processor has SMM" "smm state='on'" lab_virsh dumpxml "${ns}_secure"
	check "delete it" k delete vmi secure --timeout=120s
	check "the one with UEFI runs" k wait --for=condition=Ready vm/uefi --timeout=240s
	console() {
		python3 "$TEST_ROOT/test/terminal.py" 240 "$@" -- "$LAB/bin/hanok" virt console uefi --kubeconfig "$KUBECONFIG_FILE" -n "$ns"
	}
	check "UEFI, TPM, CPUs, SMBIOS in the guest" console \
		'send:\n' 'expect:login: ' 'send:root\n' 'expect:assword:' 'send:hanok\n' 'expect:# ' \
		'send:echo EFI=$(ls -d /sys/firmware/efi) TPM=$(ls -d /sys/bus/acpi/devices/MSFT0101*) CPUS=$(nproc) $(cat /sys/class/dmi/id/chassis_asset_tag) $(cat /sys/class/dmi/id/product_serial)\n' \
		'expect:EFI=/sys/firmware/efi TPM=/sys/bus/acpi/devices/MSFT0101:00 CPUS=2 A-1 SN-1' \
		'send:exit\n' 'expect:login:' 'send:\x1d' end:0
	home() { echo "/var/lib/hanok/vms/$(k_field vmi/uefi .metadata.uid)"; }
	check_output "what its serial port wrote is kept" 'hanok sample guest' on_node 1 cat "$(home)/console.log"
	state=/var/lib/hanok/vm-state/$(k_field vm/uefi .metadata.uid)
	check "UEFI's variables are the machine's" on_node 1 test -s "$state/nvram.fd"
	tpm=/var/lib/libvirt/swtpm/$(on_node 1 cat "$state/tpm")/tpm2/tpm2-00.permall
	check "so is the TPM's memory" on_node 1 test -s "$tpm"
	instance=$(k_field vmi/uefi .metadata.uid)
	other_instance() { local uid; uid=$(k_field vmi/uefi .metadata.uid) && [ "$uid" != "$instance" ] && echo "$uid"; }
	check "stop it" "$LAB/bin/hanok" virt stop uefi --kubeconfig "$KUBECONFIG_FILE" -n "$ns"
	check "the instance is gone" k wait --for=delete vmi/uefi --timeout=120s
	check "the state stays without it" on_node 1 stat "$state/nvram.fd" "$tpm"
	check "start it" "$LAB/bin/hanok" virt start uefi --kubeconfig "$KUBECONFIG_FILE" -n "$ns"
	check "another instance runs" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
	check "with the same state" k wait --for=condition=Ready vm/uefi --timeout=240s
	check "delete the machine" k delete vm uefi --timeout=240s
	left() { on_node 1 sh -c "ls -d '$state' '${tpm%/*/*}' 2>/dev/null | wc -l"; }
	check "its state goes with it" eventually 60 matches '^0$' left
else
	echo "# UEFI and TPM not available on this host: the packages ovmf, swtpm and swtpm-tools are missing"
fi
finish
