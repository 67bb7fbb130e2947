#!/bin/bash
# A VirtualMachine's life: disks, cloud-init, console, stop and start, kernelBoot.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-machines
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-machines; }

cat >"$TEST_DIR/vm.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  runStrategy: Always
  template:
    metadata: {labels: {app: guest}}
    spec:
      terminationGracePeriodSeconds: 30
      domain:
        cpu: {cores: 1}
        memory: {guest: 128Mi}
        devices:
          disks:
          - {name: root, disk: {bus: virtio}}
          - {name: seed, disk: {bus: virtio}}
          - {name: data, disk: {bus: virtio}}
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes:
      - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
      - {name: data, emptyDisk: {capacity: 32Mi}}
      - name: seed
        cloudInitNoCloud:
          userData: |
            #cloud-config
            hostname: guest-by-seed
            password: sesame
            write_files:
            - path: /etc/note
              content: |
                written by the seed
            runcmd:
            - echo "ran $(cat /etc/note)" > /www/ran
END
check_output "apply" 'virtualmachine.kubevirt.io/guest created' k apply -f "$TEST_DIR/vm.yaml"
check "it becomes Ready" k wait --for=condition=Ready vm/guest --timeout=240s
check_output "get vm" 'NAME +AGE +STATUS +READY.*guest .*Running +True' k get vm
check_output "get vmi -o wide: phase, address, node" 'guest .*Running +[0-9.]+ +node1' k get vmi -o wide
check_output "libvirt runs it by a useful name" 'e2e-machines.guest' lab_virsh list --name
check "describe shows events" eventually 20 matches 'Started|SuccessfulCreate' k describe vm guest
address=$(k_field vmi/guest '.status.interfaces[0].ipAddress')
check "its web server answers" eventually 150 matches '^virtual machine guest-by-seed$' on_node 1 curl -s --max-time 3 "http://$address/"
check "cloud-init ran" eventually 30 matches '^ran written by the seed$' on_node 1 curl -s --max-time 3 "http://$address/ran"
check_output "console: login and a shell; it asks the cluster for names" 'uid=0' python3 "$TEST_ROOT/test/terminal.py" 240 \
	'send:\n' 'expect:guest-by-seed login: ' 'send:root\n' 'expect:assword:' 'send:sesame\n' 'expect:# ' \
	'send:id; grep -c vd[a-c]$ /proc/partitions\n' 'expect:uid=0' 'expect:3\s' \
	'send:cat /etc/resolv.conf\n' 'expect:search e2e-machines.svc.cluster.local svc.cluster.local cluster.local' 'expect:nameserver 10.96.0.10' \
	'send:nslookup kubernetes.default.svc.cluster.local\n' 'expect:Address:\s+10\.96\.0\.1\s' \
	'send:exit\n' 'expect:login:' 'send:\x1d' end:0 \
	-- "$LAB/bin/hanok" virt console guest --kubeconfig "$KUBECONFIG_FILE" -n e2e-machines

figures() { k get --raw /api/v1/nodes/node1/proxy/metrics/resource; }
check "its system tells of its memory" eventually 40 matches \
	'kubevirt_vmi_memory_used_bytes\{name="guest",namespace="e2e-machines",node="node1"\} [1-9]' figures
other_instance() { local uid; uid=$(k_field vmi/guest .metadata.uid) && [ "$uid" != "$instance" ] && echo "$uid"; }
domain_exists() { lab_virsh list --all --name | grep e2e-machines; }
instance=$(k_field vmi/guest .metadata.uid)
check "restart" virt restart guest
check "a new instance comes" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
check "and becomes Ready" k wait --for=condition=Ready vm/guest --timeout=240s

check "stop" virt stop guest
check "the instance is gone" k wait --for=delete vmi/guest --timeout=120s
check "the machine says Stopped" eventually 20 matches '^Stopped$' k_field vm/guest .status.printableStatus
check_fails "libvirt has no such domain" domain_exists
check "start" virt start guest
check "Ready again" k wait --for=condition=Ready vm/guest --timeout=240s
instance=$(k_field vmi/guest .metadata.uid)
check "power off from inside" python3 "$TEST_ROOT/test/terminal.py" 240 \
	'send:\n' 'expect:login: ' 'send:root\n' 'expect:assword:' 'send:sesame\n' 'expect:# ' 'send:poweroff\n' 'expect:going down' \
	end:0 -- "$LAB/bin/hanok" virt console guest --kubeconfig "$KUBECONFIG_FILE" -n e2e-machines
check "is followed by a start (runStrategy Always)" eventually 60 matches '^[0-9a-f-]{36}$' other_instance
check "Ready after that" k wait --for=condition=Ready vm/guest --timeout=240s
check "delete" k delete vm guest --timeout=240s
check "its instance is gone too" eventually 60 matches '^0$' k_count vmi

cat >"$TEST_DIR/kernel.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: direct}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    firmware:
      kernelBoot:
        kernelArgs: console=ttyS0 loglevel=4 no_timer_check
        container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
    memory: {guest: 128Mi}
    devices: {interfaces: [{name: default, bridge: {}}]}
  networks: [{name: default, pod: {}}]
END
direct_answers() { on_node 1 curl -s --max-time 3 "http://$(k_field vmi/direct '.status.interfaces[0].ipAddress')/"; }
check "kernelBoot: apply" k apply -f "$TEST_DIR/kernel.yaml"
check "kernelBoot: Ready" k wait --for=condition=Ready vmi/direct --timeout=240s
check "kernelBoot: the guest answers, named by DHCP" eventually 60 matches '^virtual machine direct$' direct_answers
check "delete it" k delete vmi direct --timeout=120s

# What can't work says why, and hurts no one else.
cat >"$TEST_DIR/broken.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: no-image}
spec:
  domain: {memory: {guest: 64Mi}, devices: {disks: [{name: root, disk: {bus: virtio}}]}}
  volumes: [{name: root, containerDisk: {image: "registry.lab:5000/nothing:latest"}}]
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: no-disk}
spec:
  domain: {memory: {guest: 64Mi}, devices: {disks: [{name: root, disk: {bus: virtio}}]}}
  volumes: [{name: root, hostDisk: {path: /var/lib/nothing/disk.img, type: Disk}}]
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: too-big}
spec:
  domain: {memory: {guest: 4Ti}, devices: {disks: [{name: root, disk: {bus: virtio}}]}}
  volumes: [{name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}]
END
check "apply machines that can't run" k apply -f "$TEST_DIR/broken.yaml"
check "an image that does not exist is named" eventually 60 matches 'nothing' k describe vmi no-image
check "a disk that does not exist is named" eventually 60 matches '/var/lib/nothing/disk.img' k describe vmi no-disk
check "too much memory stays unscheduled and says so" eventually 60 matches '[Ii]nsufficient memory' k describe vmi too-big
check "delete them" k delete -f "$TEST_DIR/broken.yaml" --timeout=120s
check_fails "dnsmasq went well through it all" grep 'dnsmasq ended' "$LAB/node1/var/log/hanok-node.log"
finish
