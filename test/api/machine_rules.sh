#!/bin/bash
# What a virtual machine may not be, in KubeVirt's words, and what an instance that says nothing gets.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=virtualmachine' --scheduler=off
raw /version >/dev/null
create() { k create --validate=strict -f - <<<"$1"; }
# instance NAME DEVICES VOLUMES DOMAIN SPEC: each without its braces.
instance() {
	create "{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: $1}, spec: {domain: {devices: {${2:-}}, ${4:-}}, volumes: [${3:-}], ${5:-}}}"
}
# refused WHAT PATTERN DEVICES VOLUMES DOMAIN SPEC
refused() { check_refused "$1" "$2" instance bad "${@:3}"; }
D='disks: [{name: a, disk: {}}]' V='{name: a, emptyDisk: {capacity: 1Gi}}'

refused "two volumes of a name" 'spec.volumes\[1\].name: Invalid value.*spec.volumes\[1\] must not have the same Name as another' "$D" "$V, $V"
refused "two disks of a name" 'spec.domain.devices.disks\[1\] must not have the same Name' 'disks: [{name: a, disk: {}}, {name: a, disk: {}}]' "$V"
refused "a disk of no volume" 'disks\[0\].name: Not found: "a"' "$D"
refused "a volume of two sources" 'spec.volumes\[0\] must have exactly one source type set' "$D" '{name: a, emptyDisk: {capacity: 1Gi}, secret: {secretName: s}}'
refused "a disk that is two things" 'can only have a single target type defined' 'disks: [{name: a, disk: {}, cdrom: {}}]' "$V"
refused "a CD-ROM on virtio" 'Bus type virtio is invalid for CD-ROM device' 'disks: [{name: a, cdrom: {bus: virtio}}]' "$V"
refused "two disks to start from first" 'disks\[1\].bootOrder: Duplicate value: 1' \
	'disks: [{name: a, disk: {}, bootOrder: 1}, {name: b, disk: {}, bootOrder: 1}]' "$V, {name: b, emptyDisk: {capacity: 1Gi}}"
refused "a disk and an interface" 'Boot order for spec.domain.devices.interfaces\[0\].bootOrder already set for a different device' \
	'disks: [{name: a, disk: {}, bootOrder: 1}], interfaces: [{name: lan, masquerade: {}, bootOrder: 1}]' "$V" '' 'networks: [{name: lan, pod: {}}]'
refused "a serial of other characters" 'made up of the following characters' 'disks: [{name: a, disk: {}, serial: "a b"}]' "$V"
refused "a block size that is no power of 2" 'Provided size of 1000 is not a power of 2' 'disks: [{name: a, disk: {}, blockSize: {custom: {logical: 1000, physical: 1000}}}]' "$V"
refused "an unknown error policy" 'has invalid value "sometimes"' 'disks: [{name: a, disk: {}, errorPolicy: sometimes}]' "$V"
refused "a LUN of no claim" 'lun can only be mapped to a DataVolume or PersistentVolumeClaim volume' 'disks: [{name: a, lun: {}}]' "$V"
refused "no pod's name" 'does not conform to the kubernetes DNS_LABEL rules' "$D" "$V" '' 'hostname: "a.b"'
refused "a guest larger than its limit" "spec.domain.memory.guest '2Gi' must be equal to or less than the memory limit spec.domain.resources.limits.memory '1Gi'" \
	"$D" "$V" 'memory: {guest: 2Gi}, resources: {limits: {memory: 1Gi}}'
refused "more asked than limited" "is greater than spec.domain.resources.limits.memory '1Gi'" "$D" "$V" 'resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}'
refused "hardly any memory" 'must be greater than or equal to 1M' "$D" "$V" 'resources: {requests: {memory: 100k}}'
refused "memory in no whole huge pages" 'is not a multiple of the page size' "$D" "$V" 'memory: {guest: 1025Ki, hugepages: {pageSize: 2Ki}}'
refused "an emulator thread of its own" 'IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement' "$D" "$V" 'cpu: {isolateEmulatorThread: true}'
refused "a feature's policy" 'CPU feature avx uses policy maybe that is not supported' "$D" "$V" 'cpu: {features: [{name: avx, policy: maybe}]}'
refused "EFI and BIOS" 'has both EFI and BIOS configured, but they are mutually exclusive' "$D" "$V" 'firmware: {bootloader: {efi: {}, bios: {}}}'
refused "an unknown machine" 'spec.domain.machine.type is not supported: q36 \(allowed values: \[q35\*' "$D" "$V" 'machine: {type: q36}' 'architecture: amd64'
refused "fewer processors than none" 'spec.domain.cpu.cores: Invalid value: -1: must be between 0 and 512' "$D" "$V" 'cpu: {cores: -1}'
refused "more than there can be" 'spec.domain.cpu: Invalid value.*sockets, cores and threads are 1024 processors: a machine has at most 512' "$D" "$V" 'cpu: {sockets: 16, cores: 64}'
refused "a processor that nobody knows" 'spec.domain.cpu.model: Invalid value: "Banana": no CPU model of that name is known: give one that' "$D" "$V" 'cpu: {model: Banana}' 'architecture: amd64'
refused "a stop that takes longer than nodes wait" 'spec.terminationGracePeriodSeconds: Invalid value: 9223372036854775807: must be between 0 and 604800' "$D" "$V" '' 'terminationGracePeriodSeconds: 9223372036854775807'
refused "secure boot without SMM" 'SecureBoot requires SMM, which is currently disabled' "$D" "$V" 'firmware: {bootloader: {efi: {secureBoot: true}}}, features: {smm: {enabled: false}}'
refused "a kernel's arguments without a kernel" 'kernel arguments cannot be provided without an external kernel' "$D" "$V" 'firmware: {kernelBoot: {kernelArgs: quiet}}'
refused "a mouse" 'Input device can have only tablet type' "$D, inputs: [{name: i, type: mouse, bus: usb}]" "$V"
refused "an unknown sound" "Options: 'ich9' or 'ac97'" "$D, sound: {name: s, model: sb16}" "$V"
refused "an interface of no network" 'interfaces\[0\].name: Not found: "lan"' "$D, interfaces: [{name: lan, masquerade: {}}]" "$V"
refused "a network of no interface" 'networks\[0\].name: Not found: "lan"' "$D" "$V" '' 'networks: [{name: lan, pod: {}}]'
refused "two pod networks" 'more than one interface is connected to a pod network' \
	"$D, interfaces: [{name: lan, masquerade: {}}, {name: m, masquerade: {}}]" "$V" '' 'networks: [{name: lan, pod: {}}, {name: m, pod: {}}]'
refused "an unknown model" 'uses model best that is not supported' "$D, interfaces: [{name: lan, masquerade: {}, model: best}]" "$V" '' 'networks: [{name: lan, pod: {}}]'
refused "a bad address" 'has malformed MAC address \(nope\)' "$D, interfaces: [{name: lan, masquerade: {}, macAddress: nope}]" "$V" '' 'networks: [{name: lan, pod: {}}]'
refused "a port of another protocol" 'Unknown protocol, only TCP or UDP allowed' "$D, interfaces: [{name: lan, masquerade: {}, ports: [{port: 1, protocol: SCTP}]}]" "$V" '' 'networks: [{name: lan, pod: {}}]'
refused "cloud-init with nothing" 'must have at least one userdatasource or one networkdatasource set' "$D" '{name: a, cloudInitNoCloud: {}}'
refused "cloud-init from two places" 'must have only one userdatasource set' "$D" '{name: a, cloudInitNoCloud: {userData: x, secretRef: {name: s}}}'
refused "long cloud-init" 'userdata exceeds 2048 byte limit. Should use UserDataSecretRef for larger data' "$D" "{name: a, cloudInitNoCloud: {userData: $(printf '%02100d' 0 | tr 0 x)}}"
refused "cloud-init that is no base64" 'userDataBase64 is not a valid base64 value' "$D" '{name: a, cloudInitNoCloud: {userDataBase64: "*"}}'
refused "a probe of nothing" 'must be set if a spec.readinessProbe is specified' "$D" "$V" '' 'readinessProbe: {periodSeconds: 5}'
refused "a probe of two" 'spec.livenessProbe must have exactly one probe type set' "$D" "$V" '' 'livenessProbe: {tcpSocket: {port: 1}, guestAgentPing: {}}'
refused "credentials that go nowhere" 'must have exactly one propagationMethod set' "$D" "$V" '' 'accessCredentials: [{sshPublicKey: {source: {secret: {secretName: s}}, propagationMethod: {}}}]'
refused "credentials without a volume to go in" 'requires a noCloud volume to exist' "$D" "$V" '' 'accessCredentials: [{sshPublicKey: {source: {secret: {secretName: s}}, propagationMethod: {noCloud: {}}}}]'
refused "names asked of nobody" 'must provide at least one DNS nameserver when `dnsPolicy` is None' "$D" "$V" '' 'dnsPolicy: None'
many=$(for i in $(seq 257); do echo "{name: d$i, emptyDisk: {capacity: 1Gi}},"; done)
refused "very many volumes" 'spec.volumes list exceeds the 256 element limit in length' '' "$many"

# annotated KEY VALUE: an instance with this annotation
annotated() { create "{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: noted, annotations: {$1: '$2'}}, spec: {domain: {devices: {$D}}, volumes: [$V]}}"; }
check_refused "an unknown end of a panic" "metadata.annotations\[hanok.io/on-crash\]: Invalid value: \"dance\": 'dance' is not destroy, restart or preserve" annotated hanok.io/on-crash dance
check_refused "swap of no size" "metadata.annotations\[hanok.io/swap-limit\]: Invalid value: \"much\": 'much' is not an amount of memory" annotated hanok.io/swap-limit much
check_refused "limits of no amount" "metadata.annotations\[io-limits.hanok.io/a\]: Invalid value: \"fast\": 'fast' is not one of bytes, read-bytes" annotated io-limits.hanok.io/a fast
check_refused "limits of no disk" "metadata.annotations\[io-limits.hanok.io/b\]: Not found.*there is no disk 'b'" annotated io-limits.hanok.io/b iops=5
check "what is right" annotated io-limits.hanok.io/a iops=5,read-bytes=1Mi
template_of() { create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: noted}, spec: {runStrategy: Halted, template: {metadata: {annotations: {hanok.io/on-crash: $1}}, spec: {domain: {devices: {}}}}}}"; }
check_refused "a machine's template of such" 'spec.template.metadata.annotations\[hanok.io/on-crash\]: Invalid value: "dance"' template_of dance
check "a right one" template_of restart

# machine SPEC
machine() { create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: bad}, spec: {template: {spec: {domain: {devices: {$D}}, volumes: [$V]}}, $1}}"; }
check_refused "a machine that waits for another cluster" 'spec.runStrategy: Invalid value' machine 'runStrategy: WaitAsReceiver'
check_refused "a template of a volume nobody uses" "must be referenced in the VMI template's 'volumes' list" \
	machine 'runStrategy: Halted, dataVolumeTemplates: [{metadata: {name: v}, spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 1Gi}}}}}]'
check_refused "a disk with a checksum that is none" 'spec.dataVolumeTemplates\[0\].spec.source.http.checksum: Invalid value: "sha256:zz": must be ALGORITHM:HEX' \
	machine 'runStrategy: Halted, dataVolumeTemplates: [{metadata: {name: v}, spec: {source: {http: {url: "http://x/y", checksum: "sha256:zz"}}, storage: {resources: {requests: {storage: 1Gi}}}}}]'
S='spec: {domain: {devices: {}}}'
check_refused "a set that does not select what it makes" 'selector does not match labels' create \
	"{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceReplicaSet, metadata: {name: s}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, $S}}}"
check_refused "nor a pool" 'selector does not match labels' create \
	"{apiVersion: pool.kubevirt.io/v1beta1, kind: VirtualMachinePool, metadata: {name: s}, spec: {selector: {matchLabels: {a: b}}, virtualMachineTemplate: {metadata: {labels: {a: c}}, spec: {runStrategy: Halted, template: {$S}}}}}"

check "an instance that says little" instance little '' "$V" 'resources: {limits: {cpu: 1500m, memory: 1Gi}}'
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
check_output "gets a topology and its memory" "^$arch 1 2 1 1500m 1Gi 1Gi\$" k_field vmi/little .spec.architecture .spec.domain.cpu.cores .spec.domain.cpu.sockets .spec.domain.cpu.threads \
	.spec.domain.resources.requests.cpu .spec.domain.resources.requests.memory .spec.domain.memory.guest
room() { k_field "vmi/$1" .spec.domain.cpu.maxSockets .spec.domain.memory.maxGuest; }
[ "$arch" != amd64 ] || check_output "room for four times as much" '^8 4Gi$' room little
check "one with many processors" instance many '' "$V" 'cpu: {sockets: 100, cores: 2}, memory: {guest: 512Mi}'
check_output "gets as many as there can be, and no modules for so little memory" '^256 $' room many
check "one that gives bounds" instance bounds '' "$V" 'cpu: {sockets: 1, maxSockets: 2}, memory: {guest: 1Gi, maxGuest: 2Gi}'
check_output "keeps them" '^2 2Gi$' room bounds
check "one with processors of its own" instance own '' "$V" 'cpu: {cores: 2, dedicatedCpuPlacement: true}, memory: {guest: 1Gi, hugepages: {pageSize: 2Mi}}'
check_output "can't have more" '^ *$' room own
check_output "its disk" '^a virtio$' k_field vmi/little '.spec.domain.devices.disks[0].name' '.spec.domain.devices.disks[0].disk.bus'
[ "$arch" != amd64 ] || check_output "a machine" '^q35$' k_field vmi/little .spec.domain.machine.type
check_output "the time of its first phase" '^Pending 20[0-9-]+T[0-9:]+Z$' k_field vmi/little '.status.phaseTransitionTimestamps[0].phase' '.status.phaseTransitionTimestamps[0].phaseTransitionTimestamp'
images() { instance images '' '{name: a, containerDisk: {image: x/a}}, {name: b, containerDisk: {image: "x:5000/b:latest"}}, {name: c, containerDisk: {image: "x:5000/c:1"}}, {name: d, containerDisk: {image: "x/d@sha256:0"}}, {name: e, containerDisk: {image: x/e, imagePullPolicy: Never}}, {name: f, containerDisk: {image: "x:5000/f"}}'; }
check "images" images
check_output "are looked up anew when their tag moves" '^Always Always IfNotPresent IfNotPresent Never Always$' k get vmi images -o 'jsonpath={.spec.volumes[*].containerDisk.imagePullPolicy}'
D='' V=''
check "a machine" machine 'runStrategy: Halted'
machine_of() { k_field "vm/$1" .spec.template.spec.architecture .spec.template.spec.domain.machine.type; }
[ "$arch" != amd64 ] || check_output "keeps what it is" '^amd64 q35$' machine_of bad
check "a preference" create '{apiVersion: instancetype.kubevirt.io/v1beta1, kind: VirtualMachinePreference, metadata: {name: old}, spec: {machine: {preferredMachineType: pc}}}'
prefers() { create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: old}, spec: {runStrategy: Halted, preference: {name: old, kind: VirtualMachinePreference}, template: {spec: {domain: {devices: {}}}}}}"; }
check "and a machine of it" prefers
check_output "is what it prefers" " pc$" machine_of old
check "settings of the platform" k patch kubevirt kubevirt -n kubevirt --type=merge -p '{"spec": {"configuration": {"cpuModel": "Haswell", "evictionStrategy": "LiveMigrate"}}}'
check "another" instance second '' "$V"
check_output "follows them" '^Haswell LiveMigrate$' k_field vmi/second .spec.domain.cpu.model .spec.evictionStrategy

live() { k patch kubevirt kubevirt -n kubevirt --type=merge -p "{\"spec\": {\"configuration\": $1}}"; }
check "settings of live changes" live '{"liveUpdateConfiguration": {"maxHotplugRatio": 2}}'
check "one" instance twice '' "$V" 'memory: {guest: 1Gi}'
[ "$arch" != amd64 ] || check_output "has twice as much" '^2 2Gi$' room twice
check "bounds for all" live '{"liveUpdateConfiguration": {"maxCpuSockets": 6, "maxGuest": "3Gi"}}'
check "one" instance six '' "$V" 'memory: {guest: 1Gi}'
[ "$arch" != amd64 ] || check_output "has them" '^6 3Gi$' room six
asked() { k_field "vmi/$1" .spec.domain.resources.requests.cpu .spec.domain.resources.requests.memory; }
check "a policy of overcommitting" live '{"developerConfiguration": {"cpuAllocationRatio": 4, "memoryOvercommit": 150}}'
check "one" instance shares '' "$V" 'cpu: {cores: 3}, memory: {guest: 768Mi}'
check_output "asks for its part of what it has" '^750m 512Mi$' asked shares
check_output "which it has all the same" '^768Mi$' k_field vmi/shares .spec.domain.memory.guest
check "one that says what it asks for" instance says '' "$V" 'cpu: {cores: 3}, memory: {guest: 768Mi}, resources: {requests: {cpu: 2, memory: 600Mi}}'
check_output "gets that" '^2 600Mi$' asked says
check "CPUs of its own" instance dedicated '' "$V" 'cpu: {cores: 2, dedicatedCpuPlacement: true}, memory: {guest: 768Mi}'
check_output "are not shared" '^ *512Mi$' asked dedicated
create '{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: grows}, spec: {runStrategy: Always, template: {spec: {domain: {devices: {}, cpu: {sockets: 1, cores: 2}, memory: {guest: 1536Mi}}}}}}' >/dev/null
check "a machine under that policy" eventually 20 matches '^500m ' asked grows
check "gets another processor" k patch vm grows --type=merge -p '{"spec": {"template": {"spec": {"domain": {"cpu": {"sockets": 2}}}}}}'
check "and asks for more" eventually 20 matches '^1(000m)? ' asked grows
check_output "for what it has" '^2$' k_field vmi/grows .spec.domain.cpu.sockets
if [ "$arch" = amd64 ]; then
	check "it gets more memory" k patch vm grows --type=merge -p '{"spec": {"template": {"spec": {"domain": {"memory": {"guest": "3Gi"}}}}}}'
	check "and asks for as large a part of that as before" eventually 20 matches ' 2Gi$' asked grows
fi
check "it goes" k delete vm grows --wait=false
check "fewer kinds of machines" live '{"developerConfiguration": null, "architectureConfiguration": {"amd64": {"emulatedMachines": ["pc-q35-7*"]}}}'
refused "another one" 'machine.type is not supported: q35 \(allowed values: \[pc-q35-7\*\]\)' "$D" "$V" 'machine: {type: q35}' 'architecture: amd64'
check "those are taken" instance older '' "$V" 'machine: {type: pc-q35-7.2}' 'architecture: amd64'
# What was made before goes on, and ends.
if [ "$arch" = amd64 ]; then
	check "an instance of before is labelled" k label vmi/little of=before
	check "so is a machine" k label vm/bad of=before
	check_refused "and becomes no other one" "machine.type is not supported: q35-x" k patch vm/bad --type=merge -p '{"spec": {"template": {"spec": {"domain": {"machine": {"type": "q35-x"}}}}}}'
	check "its other settings change" k patch vm/bad --type=merge -p '{"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 2}}}}}}'
	check "what holds it lets it go" k patch vmi/little --type=merge -p '{"metadata": {"finalizers": null}}'
	check "and it goes" k delete vmi/little --timeout=20s
fi
check "all kinds" live '{"architectureConfiguration": null}'
check "changes only with a restart" live '{"vmRolloutStrategy": "Stage"}'
check "one" instance staged '' "$V" 'memory: {guest: 1Gi}'
check_output "needs no room" '^ *$' room staged
check_refused "a strategy that is none" 'Unsupported value' live '{"vmRolloutStrategy": "Sometimes"}'

runs() { create "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: runs}, spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}}}}}"; }
check "a machine that runs" runs
check "has an instance" k wait vmi/runs --for=create --timeout=60s
revision=revision-start-vm-$(k_field vm/runs .metadata.uid)-1
check_output "that says what it was started as" "^$revision\$" k_field vmi/runs .status.virtualMachineRevisionName
check_output "which is kept" '^1 Always$' k get controllerrevision "$revision" -o 'jsonpath={.revision} {.data.spec.runStrategy}'
check_output "and is the machine's own" '^VirtualMachine runs$' k get controllerrevision "$revision" -o 'jsonpath={.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name}'

check "a namespace for ordinary users" k label namespace default pod-security.kubernetes.io/enforce=restricted
refused "files of the host are not for them" 'violates PodSecurity "baseline:latest": hostPath volumes' "$D" '{name: a, hostDisk: {path: /var/lib/hanok-disks/a.img, type: Disk}}'
check "other disks are" instance third '' "$V"
finish
