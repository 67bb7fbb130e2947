#!/bin/bash
# kill -9 of who has part in an operation on virtual machines, while it goes on, for every operation that there is. Each
# ends, or is rolled back and says so; the guest that runs all the time does not notice; a disk is whole or is not there;
# nothing is left over.
#
# KILL_ROUNDS=N rounds (a few unless told), of which each takes the next pair of operation and victim in an order that
# KILL_SEED gives; KILL_ONLY="REGEX" of "OPERATION VICTIM" leaves others out. The moment of the kill is by chance too, within the time that the
# operation takes. KILL_TABLE=FILE gets a line a round.
#
# Who dies in which operation, and where (here, vm_kills.sh, vm_disk_kills.sh, snapshot_kills.sh, kills.sh, runtime_kills.sh):
#
#   operation                                              agent    server   libvirtd  besides
#   import: HTTP with resume, converted, OVA, registry     here     here     here      child (curl, qemu-img, skopeo)
#     HTTP, under a guest that runs                        disk     disk     disk
#   upload                                                 here     here     here      child
#   blank disk, host path                                  here     here     here
#   machine with its disks: create, delete, keep disks     here     here     here      netd (create)
#   clone: linked, full, many, of a snapshot               here     here     here
#     of a guest that writes                               snapshot          snapshot
#   snapshot: offline, live, with memory; delete, restore  here     here     here
#     of a guest that writes, merge                        snapshot          snapshot
#   export while it is downloaded                          here     here     here
#   rename                                                 here     here     here
#   start, stop, restart, pause, unpause, save, restore    here,vm  here,vm  here,vm   netd (start)
#   force off, reset, soft reboot, autostart               here     here     here
#   plug and unplug: disk, interface; CD-ROM in and out    here     here     here      netd (interface)
#   processors, memory, link state                         here     here     here
#   memory dump                                            here     here     here
#   guest agent: exec, password, freeze, thaw              here     here     here
#   NFS: volume made, import, grow, delete                 here     here     here      child (qemu-img)
#   pods and containers                                    kills, runtime_kills        containerd
#
# containerd has no part in a machine: its images are fetched by skopeo.
. "$(dirname "$0")/../lib.sh"
# shellcheck source=test/nfs_server.sh
. "$TEST_ROOT/test/nfs_server.sh"
use_lab
use_namespace e2e-op-kills
ROUNDS=${KILL_ROUNDS:-6}
SEED=${KILL_SEED:-$(git -C "$TEST_ROOT" rev-list --count HEAD 2>/dev/null || echo 1)}
RANDOM=$((SEED % 32768))
echo "# KILL_SEED=$SEED KILL_ROUNDS=$ROUNDS"
local_dir=$LAB/node1/var/lib/hanok/local
virt() { timeout 300 "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-op-kills; }
guest() { timeout 120 "$LAB/bin/hanok" virt exec busy --timeout 60 --kubeconfig "$KUBECONFIG_FILE" -n e2e-op-kills -- sh -c "$1"; }

# ---- operation, the time that it takes in ms, victims besides agent, server and libvirtd, what must be there ----
table='
import_http 3500 child
import_converted 2500 child
import_ova 2500 child
import_registry 1500 child
upload 2500 child
blank 700
host_path 2500
machine_create 4000 netd
machine_delete 2500
machine_delete_keep 2500
clone_linked 1500
clone_full 2000
clone_many 3000
clone_snapshot 1500
clone_running 2000
snapshot_offline 1000
snapshot_live 2000
snapshot_memory 4000
snapshot_delete 1000
restore_stopped 2500
export_raw 2500
export_gzip 2500
rename 1500
start 2000 netd
stop 4000
stop_force 1500
restart 4000
reset 500
soft_reboot 1000
autostart 2500
pause 500
unpause 500
save 2000
restore_saved 2000
plug 1500
unplug 2000
cd_insert 1500
cd_eject 1500
nic_attach 1500 netd
nic_detach 2000
link_state 800
processors 1500
memory 1500
memory_dump 2500
agent_exec 1500
password 2000
freeze 1000
thaw 800
nfs_provision 1500
nfs_import 3000 child
nfs_grow 1500
nfs_delete 2000
'
# What the host has not.
if nfs_server_missing; then table=$(grep -v '^nfs_' <<<"$table"); fi

# ---- images, and a web server that takes its time ----
mkdir "$TEST_DIR/www"
python3 -c '
import random, sys
random.seed(9)
with open(sys.argv[1], "wb") as f:
    for n in range(24):
        f.seek(n << 20)
        f.write(random.randbytes(1 << 19))
    f.truncate(24 << 20)' "$TEST_DIR/www/disk.raw"
(
	cd "$TEST_DIR/www" || exit 1
	qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk
	printf '<Envelope><File ovf:id="f" ovf:href="disk.vmdk"/><Disk ovf:fileRef="f"/></Envelope>' >vm.ovf
	tar --format=ustar -cf disk.ova vm.ovf disk.vmdk
)
cat >"$TEST_DIR/web.py" <<'END_OF_WEB'
import http.server, os, re, sys, time

root, address = sys.argv[1:]


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with open(os.path.join(root, os.path.basename(self.path)), "rb") as f:
            data = f.read()
        start = 0
        m = re.match(r"bytes=(\d+)-$", self.headers.get("Range") or "")
        if m and self.headers.get("If-Range") == '"one"':
            start = int(m[1])
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        else:
            self.send_response(200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        while start < len(data):
            self.wfile.write(data[start : start + (1 << 19)])
            start += 1 << 19
            time.sleep(0.04)

    def log_message(self, *a):
        pass


s = http.server.ThreadingHTTPServer((address, 0), Web)
with open(root + "/../port.new", "w") as f:
    f.write(str(s.server_address[1]))
os.rename(root + "/../port.new", root + "/../port")
s.serve_forever()
END_OF_WEB
nsenter -t "$(lab_pid fabric)" -n python3 "$TEST_DIR/web.py" "$TEST_DIR/www" "$LAB_FABRIC_ADDRESS" 2>/dev/null &
WEB_PID=$!
# shellcheck disable=SC2317
end_all() {
	local status=$?
	kill "$WEB_PID" ${OPERATION_PID:+"$OPERATION_PID"} 2>/dev/null
	[ -z "${NFS_DIR:-}" ] || nfs_server_down >/dev/null 2>&1
	(exit $status)
	test_at_exit
}
trap end_all EXIT
check "a web server" eventually 10 test -s "$TEST_DIR/port"
url=http://$LAB_FABRIC_ADDRESS:$(cat "$TEST_DIR/port")

data_volume() { # NAME SOURCE SIZE [CLASS]
	cat <<-END_OF_VOLUME
		apiVersion: cdi.kubevirt.io/v1beta1
		kind: DataVolume
		metadata: {name: $1, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
		spec: {source: {$2}, storage: {${4:+storageClassName: $4, }resources: {requests: {storage: $3}}}}
		---
	END_OF_VOLUME
}
machine() { # NAME STRATEGY DISKS VOLUMES [MORE]
	cat <<-END_OF_MACHINE
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $1}
		spec:
		  runStrategy: $2
		  ${5:-}
		  template:
		    spec:
		      terminationGracePeriodSeconds: 20
		      accessCredentials: [{userPassword: {source: {secret: {secretName: passwords}}, propagationMethod: {qemuGuestAgent: {}}}}]
		      domain:
		        cpu: {sockets: 1, maxSockets: 8}
		        firmware:
		          kernelBoot:
		            kernelArgs: console=ttyS0 loglevel=4 swiotlb=noforce no_timer_check guest-agent
		            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		        memory: {guest: 128Mi}
		        devices:
		          disks: [$3]
		          interfaces: [{name: default, bridge: {}}]
		      networks: [{name: default, pod: {}}]
		      volumes: [$4]
		---
	END_OF_MACHINE
}
snapshot_of() { # MACHINE NAME [ANNOTATIONS]
	k apply -f - <<-END_OF_SNAPSHOT
		apiVersion: snapshot.kubevirt.io/v1beta1
		kind: VirtualMachineSnapshot
		metadata: {name: $2, annotations: {${3:-}}}
		spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: $1}}
	END_OF_SNAPSHOT
}
{
	data_volume data "http: {url: \"$url/disk.raw\"}" 24Mi
	data_volume still "http: {url: \"$url/disk.raw\"}" 24Mi
	data_volume reference 'registry: {url: "docker://registry.lab:5000/vm-web:latest"}' 64Mi
	data_volume files 'blank: {}' 16Mi
	data_volume extra 'blank: {}' 16Mi
	data_volume medium 'blank: {}' 16Mi
	machine busy Always '{name: data, disk: {bus: virtio}}, {name: files, disk: {bus: virtio}}, {name: cd, cdrom: {bus: sata}}' \
		'{name: data, dataVolume: {name: data}}, {name: files, dataVolume: {name: files}}'
	machine other Halted '{name: root, disk: {bus: virtio}}' '{name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}'
	machine still Halted '{name: data, disk: {bus: virtio}}' '{name: data, dataVolume: {name: still}}'
	cat <<-'END_OF_REST'
		apiVersion: v1
		kind: Secret
		metadata: {name: passwords}
		stringData: {root: hanok}
		---
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: dumps}
		spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 512Mi}}}
		---
		apiVersion: k8s.cni.cncf.io/v1
		kind: NetworkAttachmentDefinition
		metadata: {name: quiet}
		spec: {config: '{"cniVersion":"0.3.1","type":"bridge","bridge":"hk-kills0"}'}
	END_OF_REST
} >"$TEST_DIR/machines.yaml"
check "machines" k apply -f "$TEST_DIR/machines.yaml"
if grep -q '^nfs_' <<<"$table"; then
	check "an NFS server" nfs_server_up /run/e2e-op-kills 160
	k create -f - >/dev/null <<-'END_OF_CLASS'
		apiVersion: storage.k8s.io/v1
		kind: StorageClass
		metadata: {name: e2e-op-kills}
		provisioner: hanok.io/nfs
		parameters: {server: 127.0.0.1, share: /vms}
		allowVolumeExpansion: true
	END_OF_CLASS
fi
check "one runs" k wait --for=condition=Ready vm/busy --timeout=240s
check "its agent answers" eventually 60 guest true
check "it has a file system" guest 'mke2fs /dev/vdb >/dev/null 2>&1 && mount /dev/vdb /mnt && echo kept >/mnt/file && sync'
check "disks are there" k wait --for=jsonpath='{.status.phase}'=Succeeded dv/data dv/still dv/reference dv/extra dv/medium --timeout=240s

# ---- victims ----
node_pids() { # agent or a child of it, as the host sees it
	on_node 1 sh -c '
		read -r agent _ </run/lab/hanok-node.pid
		case $1 in
		netd) ps -o pid=,args= --ppid "$agent" | sed -n "s/^ *\([0-9]*\) hanok netd.*/\1/p" ;;
		child) ps -eo pid=,ppid=,args= | awk -v agent="$agent" "
			{ line = \$0; pid = \$1; sub(/^ *[0-9]+ +[0-9]+ /, \"\", line); parent[pid] = \$2; args[pid] = line }
			END { for (p in parent) if (args[p] !~ /^(hanok|dnsmasq|hanok-dns|hanok-imports)/ || args[p] ~ /hanok image/) { for (q = p; q && q != agent; q = parent[q]); if (q == agent) print p } }" ;;
		esac' sh "$1"
}
kill_one() {
	local pid
	case $1 in
	agent) on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0' ;;
	server) "$LAB_PROC" alive "$LAB/run/server.pid" && "$LAB_PROC" end "$LAB/run/server.pid" 0 ;;
	libvirtd) lab_service_end node1 libvirtd 0 ;;
	netd) pid=$(node_pids netd) && [ -n "$pid" ] && on_node 1 kill -KILL "$pid" ;;
	# An operation that has none at this moment is let go on.
	child) for pid in $(node_pids child); do ! on_node 1 kill -KILL "$pid" || echo "killed: $pid" >>"$TEST_DIR/children"; done ;;
	esac
}
all_up() { lab_libvirt_up 1 && lab_server_up && lab_node_up 1 && k wait --for=condition=Ready node/node1 --timeout=5s; }

# ---- what the host has ----
# A guest's QEMU as the kernel knows it: process and start time.
process() {
	on_node 1 sh -c '
		for file in /proc/[0-9]*/cmdline; do
			case $(tr "\0" " " <$file 2>/dev/null) in
			/usr/bin/qemu-system*guest=e2e-op-kills_'"$1"',*) cut -d" " -f1,22 ${file%cmdline}stat ;;
			esac
		done'
}
domain_state() { lab_virsh domstate "e2e-op-kills_$1" | sed '/^$/d'; }
domain_xml() { lab_virsh dumpxml e2e-op-kills_busy; }
claim_dir() { echo "$local_dir/$(k_field "pvc/$1" .spec.volumeName)"; }
# The disk in a directory has the bytes of FILE, through all its layers.
whole() { # DIRECTORY [FILE FORMAT]
	local top
	top=$(sed -n 's/.*"top":"\([^"]*\)".*/\1/p' "$1/disk.json") && [ -n "$top" ] &&
		qemu-img compare -U -f "${3:-raw}" -F qcow2 "${2:-$TEST_DIR/www/disk.raw}" "$1/$top"
}
claim_whole() { whole "$(claim_dir "$1")"; }
claim_of() {
	k get "vm/$1" -o 'jsonpath={.spec.template.spec.volumes[?(@.name=="data")].persistentVolumeClaim.claimName}{.spec.template.spec.volumes[?(@.name=="data")].dataVolume.name}'
}
# What is on the host that no object accounts for, a line each.
leftovers() {
	local instances volumes
	instances=$(k get vmi --all-namespaces -o 'jsonpath={range .items[*]}{.metadata.uid} {.metadata.namespace}_{.metadata.name}{"\n"}{end}') &&
		volumes=$(k get pv -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}') || return
	{
		lab_virsh list --all --name | sed '/^$/d' | grep -vxF "$(sed 's/.* //' <<<"$instances")" | sed 's/^/domain /'
		find "$LAB/node1/var/lib/hanok/vms" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxF "$(sed 's/ .*//' <<<"$instances")" | sed 's/^/instance /'
		find "$local_dir" -maxdepth 1 -name 'pvc-*' -printf '%f\n' | grep -vxF "$volumes" | sed 's/^/volume /'
		find "$local_dir" -name '.new-*' -printf 'half-made %P\n'
		find "$local_dir" -maxdepth 1 \( -name '.removing-*' -o -name '.export-*' \) -printf 'aside %P\n'
		[ ! -d "$local_dir/.nfs" ] || find "$local_dir/.nfs" -mindepth 1 -printf 'for NFS %P\n'
		[ -z "${NFS_DIR:-}" ] || on_node 1 ls -A "$NFS_DIR/vms" | grep -vxF "$volumes" | sed 's/^/on NFS /'
		on_node 1 sh -c 'ls /var/lib/libvirt/qemu/save; ls /run/libvirt/qemu/*.pid 2>/dev/null' | sed 's/.*\///; s/\.[a-z]*$//' |
			grep -vxF "$(sed 's/.* //' <<<"$instances"; echo driver)" | sed 's/^/of libvirt /'
		lab_virsh list --name | sed '/^$/d' | while read -r domain; do on_node 1 sh -c "ls /var/lib/libvirt/qemu/save/$domain.save 2>/dev/null"; done | sed 's/^/half-saved /'
		node_pids child | while read -r pid; do on_node 1 ps -o args= -p "$pid" | sed 's/^/process /'; done
		on_node 1 sh -c 'pgrep -a qemu-nbd; awk "{ print \$5 }" /proc/self/mountinfo | grep /var/lib/hanok/; ip -o link show type tun | grep -c .' >"$TEST_DIR/rest"
		sed '$d' "$TEST_DIR/rest"
		taps=$(lab_virsh list --name | sed '/^$/d' | while read -r domain; do lab_virsh domiflist "$domain"; done | grep -cE ' (bridge|ethernet|network) ')
		[ "$taps" = "$(tail -n 1 "$TEST_DIR/rest")" ] || echo "taps: $(tail -n 1 "$TEST_DIR/rest") for $taps interfaces"
	} >"$TEST_DIR/leftovers"
	cat "$TEST_DIR/leftovers"
	[ ! -s "$TEST_DIR/leftovers" ]
}

# ---- operations: NAME_before (what must be there), NAME (asks for it), NAME_after: whether it is done, and done right ----
# Each gets the round's number. What was answered is not asked for again; what was not is.
dv_is() { [ "$(k_field "dv/$1" .status.phase)" = "${2:-Succeeded}" ] || { k_field "dv/$1" .status; return 1; }; }
dv_gone() { k delete dv "$1" --timeout=60s; }
# taken_away OBJECT: it has gone, and an earlier try of the same check has seen it: what was never there was lost.
taken_away() {
	local seen="$TEST_DIR/seen-${1//\//-}"
	case $(k_count "$1") in
	0) [ -e "$seen" ] ;;
	1) touch "$seen" && return 1 ;;
	*) return 1 ;;
	esac
}
imported() { dv_is "new-$1" && claim_whole "new-$1" && dv_gone "new-$1"; }
import_http() { data_volume "new-$1" "http: {url: \"$url/disk.raw\"}" 24Mi | k apply -f -; }
import_http_after() { imported "$1"; }
import_converted() { data_volume "new-$1" "http: {url: \"$url/disk.vmdk\"}" 24Mi | k apply -f -; }
import_converted_after() { imported "$1"; }
import_ova() { data_volume "new-$1" "http: {url: \"$url/disk.ova\"}" 24Mi | k apply -f -; }
import_ova_after() { imported "$1"; }
import_registry() { data_volume "new-$1" 'registry: {url: "docker://registry.lab:5000/vm-web:latest"}' 64Mi | k apply -f -; }
# Fetched anew, while nothing else uses what there is of it.
import_registry_before() { on_node 1 sh -c 'rm -rf /var/lib/hanok/container-disks/.stale'; }
import_registry_after() {
	local dir
	dir=$(claim_dir reference)
	dv_is "new-$1" && whole "$(claim_dir "new-$1")" "$dir/$(sed -n 's/.*"top":"\([^"]*\)".*/\1/p' "$dir/disk.json")" qcow2 && dv_gone "new-$1"
}
upload() {
	local how=--size=24Mi
	[ "$(k_count "dv/new-$1")" = 0 ] || how=--no-create
	dv_is "new-$1" >/dev/null || virt image-upload dv "new-$1" $how --image-path="$TEST_DIR/www/disk.vmdk" --insecure --wait-secs=200
}
upload_after() { imported "$1"; }
blank() { data_volume "new-$1" 'blank: {}' 24Mi | k apply -f -; }
blank_after() {
	truncate -s 24M "$TEST_DIR/blank"
	dv_is "new-$1" && whole "$(claim_dir "new-$1")" "$TEST_DIR/blank" && dv_gone "new-$1"
}
host_path() {
	k apply -f - <<-END_OF_INSTANCE
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: host}
		spec:
		  terminationGracePeriodSeconds: 0
		  domain: {memory: {guest: 64Mi}, devices: {disks: [{name: data, disk: {bus: virtio}}]}}
		  volumes: [{name: data, hostDisk: {path: /var/lib/hanok-disks/e2e-op-kills/disk-$1.img, type: DiskOrCreate, capacity: 24Mi}}]
	END_OF_INSTANCE
}
host_path_before() { on_node 1 mkdir -p /var/lib/hanok-disks/e2e-op-kills; }
host_path_after() {
	[ "$(k_field vmi/host .status.phase)" = Running ] && [ "$(domain_state host)" = running ] &&
		[ "$(on_node 1 sh -c 'cd /var/lib/hanok-disks/e2e-op-kills && stat -c "%n %s" *')" = "disk-$1.img 25165824" ] &&
		k delete vmi host --timeout=60s && on_node 1 rm -r /var/lib/hanok-disks/e2e-op-kills
}
machine_create() {
	machine "made-$1" Always '{name: data, disk: {bus: virtio}}' "{name: data, dataVolume: {name: made-$1}}" \
		"dataVolumeTemplates: [{metadata: {name: made-$1}, spec: {source: {http: {url: \"$url/disk.raw\"}}, storage: {resources: {requests: {storage: 24Mi}}}}}]" | k apply -f -
}
machine_runs() { [ "$(k_field "vmi/$1" .status.phase)" = Running ] && [ "$(domain_state "$1")" = running ]; }
starts() { on_node 1 grep -cs ': starting up libvirt' "/var/log/libvirt/qemu/e2e-op-kills_$1.log" || true; }
# Its QEMU was started once since the round began: libvirt's own log tells, which nobody kills. A start that died with
# libvirt's daemon is begun anew.
once() {
	local before=0 now
	now=$(starts "$1")
	[ "$1" != other ] || before=$starts_before
	[ $((${now:-0} - before)) = 1 ] || { [ $((${now:-0} - before)) = 2 ] && [ "$victim_now" = libvirtd ]; } ||
		{ echo "$1 was started $((${now:-0} - before)) times"; return 1; }
}
nothing_of() {
	[ "$(k_count "vm/$1")$(k_count "vmi/$1")$(k_count "dv/$1")$(k_count "pvc/$1")" = 0000 ] || { k get vm,vmi,dv,pvc; return 1; }
	[ -z "$(process "$1")" ]
}
machine_create_after() { machine_runs "made-$1" && claim_whole "made-$1" && once "made-$1" && virt delete "made-$1" --force && nothing_of "made-$1"; }
made() { machine_create "$1" && eventually 60 machine_runs "made-$1"; }
machine_delete_before() { made "$1"; }
machine_delete() { virt delete "made-$1" --force; }
machine_delete_after() { nothing_of "made-$1"; }
machine_delete_keep_before() { made "$1"; }
# Asked for again when it is gone already, it says that there is none.
machine_delete_keep() { [ "$(k_count "vm/made-$1")" = 0 ] || virt delete "made-$1" --force --keep-disks; }
machine_delete_keep_after() { [ "$(k_count "vm/made-$1")$(k_count "vmi/made-$1")" = 00 ] && claim_whole "made-$1" && dv_gone "made-$1"; }

clone() { # SOURCE-KIND SOURCE TARGET MODE
	k apply -f - <<-END_OF_CLONE
		apiVersion: clone.kubevirt.io/v1beta1
		kind: VirtualMachineClone
		metadata: {name: $3, annotations: {hanok.io/disk-clone-mode: $4}}
		spec:
		  source: {apiGroup: $([ "$1" = VirtualMachine ] || echo snapshot.)kubevirt.io, kind: $1, name: $2}
		  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: $3}
	END_OF_CLONE
}
cloned() {
	[ "$(k_field "vmclone/$1" .status.phase)" = Succeeded ] || { k_field "vmclone/$1" .status; return 1; }
	claim_whole "$(claim_of "$1")" && claim_whole "${2:-still}" && k delete "vmclone/$1" "vm/$1" --timeout=60s
}
clone_gone() { taken_away "vmclone/$1" && [ "$(k_count "vm/$1")" = 0 ]; }
clone_linked() { clone VirtualMachine still "copy-$1" linked; }
clone_linked_after() { cloned "copy-$1"; }
clone_full() { clone VirtualMachine still "copy-$1" full; }
clone_full_after() { cloned "copy-$1"; }
clone_many() { for n in 1 2 3; do clone VirtualMachine still "copy-$1-$n" linked || return; done; }
clone_many_after() { for n in 1 2 3; do clone_gone "copy-$1-$n" || cloned "copy-$1-$n" || return; done; }
clone_running() { clone VirtualMachine busy "copy-$1" linked; }
clone_running_after() { cloned "copy-$1" "$(claim_of busy)"; }
taken() {
	local content
	[ "$(k_field "vmsnapshot/$1" .status.readyToUse)" = true ] || { k_field "vmsnapshot/$1" .status; return 1; }
	content=$(k_field "vmsnapshotcontent/$(k_field "vmsnapshot/$1" .status.virtualMachineSnapshotContentName)" .metadata.uid)
	whole "$local_dir/.snapshots/$content/data"
}
take() { snapshot_of "$@" && eventually 60 taken "$2"; }
snapshot_gone() { k delete vmsnapshot "$1" --ignore-not-found --timeout=60s && [ "$(k_count vmsnapshotcontent)" = 0 ]; }
clone_snapshot_before() { take still "kept-$1"; }
clone_snapshot() { clone VirtualMachineSnapshot "kept-$1" "copy-$1" linked; }
clone_snapshot_after() { clone_gone "copy-$1" || cloned "copy-$1" && snapshot_gone "kept-$1"; }
snapshot_offline() { snapshot_of still "kept-$1"; }
snapshot_offline_after() { taken_away "vmsnapshot/kept-$1" || taken "kept-$1" && claim_whole still && snapshot_gone "kept-$1"; }
snapshot_live() { snapshot_of busy "kept-$1"; }
snapshot_live_after() { taken_away "vmsnapshot/kept-$1" || taken "kept-$1" && claim_whole data && snapshot_gone "kept-$1"; }
snapshot_memory() { snapshot_of busy "kept-$1" 'hanok.io/snapshot-memory: "true"'; }
snapshot_memory_after() { snapshot_live_after "$1"; }
snapshot_delete_before() { take busy "kept-$1-a" && guest 'date >/mnt/date; sync' && take busy "kept-$1-b"; }
snapshot_delete() { k delete vmsnapshot "kept-$1-a" "kept-$1-b" --ignore-not-found --timeout=120s; }
layers() { find "$(claim_dir "$1")" -name '*.qcow2' | wc -l; }
snapshot_delete_after() { [ "$(k_count vmsnapshot)$(k_count vmsnapshotcontent)" = 00 ] && [ "$(layers data)" -le 2 ] && claim_whole data; }
restore_stopped_before() { take still "kept-$1"; }
restore_stopped() {
	k apply -f - <<-END_OF_RESTORE
		apiVersion: snapshot.kubevirt.io/v1beta1
		kind: VirtualMachineRestore
		metadata: {name: back-$1}
		spec:
		  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: still}
		  virtualMachineSnapshotName: kept-$1
		  volumeRestorePolicy: InPlace
	END_OF_RESTORE
}
restore_stopped_after() {
	if ! taken_away "vmrestore/back-$1"; then
		[ "$(k_field "vmrestore/back-$1" .status.complete)" = true ] || { k_field "vmrestore/back-$1" .status; return 1; }
		claim_whole "$(claim_of still)" && dv_is still && k delete "vmrestore/back-$1" --timeout=60s || return
	fi
	snapshot_gone "kept-$1"
}

# A download that failed has left no file; one that did not has the bytes.
export_one() { # ROUND FORMAT FILE
	virt export download "out-$1" --vm still --format "$2" --output "$3" --retry 0 --timeout 120 && return
	compgen -G "$3*" >>"$TEST_DIR/half"
	return 1
}
no_half() { [ ! -s "$TEST_DIR/half" ] || { echo "half a file: $(<"$TEST_DIR/half")"; return 1; }; }
export_raw_before() { rm -f "$TEST_DIR/half" "$TEST_DIR"/out.*; }
export_raw() { export_one "$1" raw "$TEST_DIR/out.raw"; }
export_raw_after() {
	no_half && cmp "$TEST_DIR/out.raw" "$TEST_DIR/www/disk.raw" && rm "$TEST_DIR/out.raw" && k delete vmexport "out-$1" --ignore-not-found --timeout=60s
}
export_gzip_before() { export_raw_before; }
export_gzip() { export_one "$1" gzip "$TEST_DIR/out.gz"; }
export_gzip_after() {
	no_half && gunzip <"$TEST_DIR/out.gz" | cmp - "$TEST_DIR/www/disk.raw" && rm "$TEST_DIR/out.gz" && k delete vmexport "out-$1" --ignore-not-found --timeout=60s
}

rename_before() {
	machine "old-$1" Manual '{name: data, disk: {bus: virtio}}' "{name: data, dataVolume: {name: old-$1}}" \
		"dataVolumeTemplates: [{metadata: {name: old-$1, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: \"true\"}}, spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 16Mi}}}}}]" |
		k apply -f - && eventually 60 dv_is "old-$1"
}
rename() { virt rename "old-$1" "new-$1"; }
rename_after() {
	[ "$(k_count "vm/old-$1")" = 0 ] && [ "$(k_field "vm/new-$1" .spec.runStrategy)" = Manual ] &&
		[ "$(k_field "dv/old-$1" '.metadata.ownerReferences[0].name')" = "new-$1" ] && dv_is "old-$1" &&
		k delete "vm/new-$1" --timeout=60s && nothing_of "old-$1"
}

# ---- power ----
reason() { k get "vmi/$1" -o 'jsonpath={.status.conditions[?(@.type=="Paused")].reason}'; }
said() { k get events --field-selector "involvedObject.name=$1,reason=$2" -o name | grep -q .; }
off() { [ "$(k_count vmi/other)" = 0 ] && [ -z "$(process other)" ] && ! lab_virsh list --all --name | grep -x e2e-op-kills_other; }
is_off() { off || { virt stop other --force; eventually 60 off; }; }
on() { machine_runs other && [ -z "$(reason other)" ]; }
is_on() {
	case $(reason other) in ?*) virt unpause other ;; esac
	on || { virt start other; eventually 60 on; }
}
booted() { eventually 60 matches '^virtual machine' on_node 1 curl -s --max-time 3 "http://$(k_field vmi/other '.status.interfaces[0].ipAddress')/"; }
# As one command line is: a second attempt finds it done.
start_before() { is_off; }
start() { virt start other || [ "$(k_count vmi/other)" = 1 ]; }
start_after() { on && once other; }
stop_before() { is_on; }
stop() { virt stop other || [ "$(k_field vm/other .spec.runStrategy)" = Halted ]; }
stop_after() { off; }
stop_force_before() { is_on; }
stop_force() { virt stop other --force || [ "$(k_field vm/other .spec.runStrategy)" = Halted ]; }
stop_force_after() { off; }
restart_before() { is_on && other_before=$(k_field vmi/other .metadata.uid); }
restart() { virt restart other --force; }
restart_after() { on && [ "$(k_field vmi/other .metadata.uid)" != "$other_before" ] && once other; }
reset_before() { is_on && other_before=$(process other); }
reset() { virt reset other; }
reset_after() { on && [ "$(process other)" = "$other_before" ]; }
soft_reboot_before() { is_on && booted && other_before=$(k_field vmi/other .metadata.uid); }
soft_reboot() { virt soft-reboot other; }
soft_reboot_after() { on && [ "$(k_field vmi/other .metadata.uid)" = "$other_before" ]; }
# Its QEMU is killed, as a crash: runStrategy Always has another instance soon.
autostart_before() { is_on && virt autostart other && other_before=$(process other) && [ -n "$other_before" ]; }
autostart() { [ "$(process other)" != "$other_before" ] || on_node 1 kill -KILL "${other_before% *}"; }
autostart_after() { on && [ "$(process other)" != "$other_before" ] && [ "$(process other | wc -l)" = 1 ] && once other && virt autostart other --strategy Manual; }
pause_before() { is_on; }
pause() { virt pause other || [ "$(reason other)" = PausedByUser ]; }
pause_after() { [ "$(reason other)" = PausedByUser ] && [ "$(domain_state other)" = paused ]; }
unpause_before() { is_on && { [ -n "$(reason other)" ] || pause; } && eventually 30 pause_after; }
unpause() { virt unpause other || [ "$(domain_state other)" = running ]; }
unpause_after() { on; }
save_before() { is_on && other_before=$(process other); }
save() { virt save other || [ "$(reason other)" = Saved ]; }
# Saved, or it runs on and that was said.
save_after() {
	if on; then
		[ "$(process other)" = "$other_before" ] && said other SaveFailed
	else
		[ "$(reason other)" = Saved ] && [ -z "$(process other)" ]
	fi
}
is_saved() { [ "$(reason other)" = Saved ] || { virt save other; return 1; }; }
restore_saved_before() { is_on && eventually 60 is_saved; }
restore_saved() { virt restore other || on; }
restore_saved_after() { on; }

# ---- live changes ----
volume() { k_field vmi/busy ".status.volumeStatus[?(@.name==\"$1\")].phase"; }
has() { domain_xml | grep -q "$1"; }
plugged() { [ "$(volume extra)" = Ready ] && has "ua-extra'"; }
unplugged() { [ -z "$(k_field vmi/busy '.status.volumeStatus[?(@.name=="extra")].name')" ] && ! has "ua-extra'"; }
plug_before() { unplugged || { virt removevolume busy --volume-name=extra; eventually 90 unplugged; }; }
plug() { virt addvolume busy --volume-name=extra || [ -n "$(k_field vmi/busy '.spec.volumes[?(@.name=="extra")].name')" ]; }
plug_after() { plugged; }
unplug_before() { plugged || { plug; eventually 60 plugged; }; }
unplug() { virt removevolume busy --volume-name=extra || [ -z "$(k_field vmi/busy '.spec.volumes[?(@.name=="extra")].name')" ]; }
unplug_after() { unplugged; }
drive() { domain_xml | sed -n '/<disk /,/<\/disk>/p' | awk -v RS='</disk>' "index(\$0, \"ua-cd'\")"; }
medium_in() { drive | grep -q '<source file' && [ "$(volume cd)" = Ready ]; }
medium_out() { ! drive | grep -q '<source file'; }
in_machine() { [ -n "$(k_field vm/busy '.spec.template.spec.volumes[?(@.name=="cd")].name')" ]; }
cd_insert_before() { in_machine && virt cdrom eject busy cd; eventually 60 medium_out; }
cd_insert() { virt cdrom insert busy cd --data-volume medium || in_machine; }
cd_insert_after() { medium_in; }
cd_eject_before() { in_machine || virt cdrom insert busy cd --data-volume medium; eventually 60 medium_in; }
cd_eject() { virt cdrom eject busy cd || ! in_machine; }
cd_eject_after() { medium_out; }
nics() { domain_xml | grep -c '<interface '; }
wanted_nic() { [ -n "$(k_field vm/busy '.spec.template.spec.domain.devices.interfaces[?(@.name=="quiet")].name')" ]; }
nic_attached() { [ "$(nics)" = 2 ] && [ "$(k_field vmi/busy '.status.conditions[?(@.type=="ChangedOutside")].status')" != True ]; }
nic_detached() { [ "$(nics)" = 1 ] && ! wanted_nic; }
nic_attach_before() { nic_detached || { virt detach-interface busy quiet; eventually 90 nic_detached; }; }
nic_attach() { virt attach-interface busy quiet || wanted_nic; }
nic_attach_after() { nic_attached; }
nic_detach_before() { nic_attached || { virt attach-interface busy quiet; eventually 60 nic_attached; }; }
absent() { ! wanted_nic || [ "$(k_field vm/busy '.spec.template.spec.domain.devices.interfaces[?(@.name=="quiet")].state')" = absent ]; }
nic_detach() { virt detach-interface busy quiet || absent; }
nic_detach_after() { nic_detached; }
link_state() { virt link busy default "$([ $(($1 % 2)) = 0 ] && echo up || echo down)"; }
link_state_after() { [ "$(k_field vmi/busy '.status.interfaces[0].linkState')" = "$([ $(($1 % 2)) = 0 ] && echo up || echo down)" ]; }
# More only: fewer want another start. All eight, then none is left to plug in.
processors_before() {
	sockets=$(k_field vm/busy .spec.template.spec.domain.cpu.sockets)
	[ "$sockets" = 8 ] || sockets=$((sockets + 1))
}
processors() { virt set busy --sockets "$sockets"; }
# Or QEMU can't take one now, and that is said: it is tried again.
processors_after() {
	if k get vmi busy -o 'jsonpath={.status.conditions[?(@.type=="Synchronized")].message}' | grep -q 'no room for another one'; then
		[ "$(k_field vmi/busy '.status.conditions[?(@.type=="HotVCPUChange")].status')" = True ]
		return
	fi
	[ "$(k_field vmi/busy .status.currentCPUTopology.sockets)" = "$sockets" ] && [ "$(lab_virsh vcpucount e2e-op-kills_busy --live --current)" = "$sockets" ] &&
		[ -z "$(k_field vmi/busy '.status.conditions[?(@.type=="HotVCPUChange")].status')" ]
}
memory_before() { amount=$([ "$(k_field vm/busy .spec.template.spec.domain.memory.guest)" = 128Mi ] && echo 112Mi || echo 128Mi); }
memory() { virt set busy --memory "$amount"; }
memory_after() { [ "$(k_field vmi/busy .status.memory.guestCurrent)" = "$amount" ]; }
dump_phase() { k_field vm/busy .status.memoryDumpRequest.phase; }
no_dump() { [ -z "$(dump_phase)" ] || { virt memory-dump remove busy; return 1; }; }
memory_dump_before() { eventually 30 no_dump; }
memory_dump() { virt memory-dump get busy --claim-name=dumps || [ -n "$(dump_phase)" ]; }
memory_dump_after() {
	local file
	file=$(claim_dir dumps)/$(k_field vm/busy .status.memoryDumpRequest.fileName)
	case $(dump_phase) in
	Completed) [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] && [ "$(stat -c %s "$file")" -gt 134217728 ] && rm "$file" ;;
	Failed) [ -n "$(k_field vm/busy .status.memoryDumpRequest.message)" ] && [ ! -e "$file" ] ;;
	*) dump_phase; return 1 ;;
	esac
}

# ---- by the guest's agent ----
agent_exec() { [ "$(guest 'sleep 1; echo said')" = said ]; }
agent_exec_after() { guest true; }
password() { virt set-password busy --user root --password "word-$1"; }
# shellcheck disable=SC2016 # expanded in the guest
password_after() { guest 'stored=$(grep ^root: /etc/shadow | cut -d: -f2); [ "$(mkpasswd -m sha512 -S "$(echo "$stored" | cut -d\$ -f3)" word-'"$1"')" = "$stored" ]'; }
frozen() { [ "$(k_field vmi/busy .status.fsFreezeStatus)" = frozen ]; }
thawed() { guest 'echo thawed >/mnt/thawed && sync' && ! frozen; }
freeze() { virt freeze busy --unfreeze-timeout 6; }
freeze_after() { thawed; }
thaw_before() { virt freeze busy --unfreeze-timeout 300 && eventually 30 frozen; }
thaw() { virt unfreeze busy; }
thaw_after() { thawed; }

# ---- disks on an NFS server ----
nfs_claim() { # NAME SIZE
	k apply -f - <<-END_OF_CLAIM
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: $1}
		spec: {accessModes: [ReadWriteMany], storageClassName: e2e-op-kills, resources: {requests: {storage: $2}}}
	END_OF_CLAIM
}
nfs_bound() { [ "$(k_field "pvc/$1" .status.phase)" = Bound ] && on_node 1 test -d "$NFS_DIR/vms/$(k_field "pvc/$1" .spec.volumeName)"; }
nfs_gone() { [ "$(k_count "pvc/$1")" = 0 ] && [ -z "$(on_node 1 ls -A "$NFS_DIR/vms")" ]; }
nfs_remove() { k delete pvc "$1" --ignore-not-found --timeout=60s && nfs_gone "$1"; }
nfs_provision() { nfs_claim "on-nfs-$1" 16Mi; }
nfs_provision_after() { taken_away "pvc/on-nfs-$1" || nfs_bound "on-nfs-$1" && nfs_remove "on-nfs-$1"; }
nfs_import() { data_volume "on-nfs-$1" "http: {url: \"$url/disk.vmdk\"}" 24Mi e2e-op-kills | k apply -f -; }
nfs_import_after() {
	if ! taken_away "dv/on-nfs-$1"; then
		dv_is "on-nfs-$1" && [ "$(on_node 1 md5sum "$NFS_DIR/vms/$(k_field "pvc/on-nfs-$1" .spec.volumeName)/disk.img" | cut -d' ' -f1)" = \
			"$(md5sum <"$TEST_DIR/www/disk.raw" | cut -d' ' -f1)" ] && dv_gone "on-nfs-$1" || return
	fi
	nfs_gone "on-nfs-$1"
}
nfs_grow_before() { nfs_claim "on-nfs-$1" 16Mi && eventually 30 nfs_bound "on-nfs-$1"; }
nfs_grow() { k patch pvc "on-nfs-$1" --type=merge -p '{"spec":{"resources":{"requests":{"storage":"24Mi"}}}}'; }
nfs_grow_after() { taken_away "pvc/on-nfs-$1" || [ "$(k_field "pvc/on-nfs-$1" .status.capacity.storage)" = 24Mi ] && nfs_remove "on-nfs-$1"; }
nfs_delete_before() { nfs_grow_before "$1"; }
nfs_delete() { k delete pvc "on-nfs-$1" --ignore-not-found --timeout=60s; }
nfs_delete_after() { nfs_gone "on-nfs-$1"; }

# ---- rounds ----
mapfile -t pairs < <(while read -r operation length more; do
	[ -n "$operation" ] || continue
	for victim in agent server libvirtd $more; do echo "$operation $victim $length"; done
done <<<"$table" | grep -E "${KILL_ONLY:-.}")
for ((n = ${#pairs[@]} - 1; n > 0; n--)); do
	other=$((RANDOM % (n + 1)))
	pair=${pairs[n]}
	pairs[n]=${pairs[other]}
	pairs[other]=$pair
done

[ ${#pairs[@]} != 0 ] && [ "$ROUNDS" -gt 0 ] || { echo "Bail out! no round: KILL_ONLY='${KILL_ONLY:-}' KILL_ROUNDS=$ROUNDS"; exit 1; }
first=$(process busy)
boot=$(guest 'cat /proc/sys/kernel/random/boot_id')
unharmed() {
	[ "$(process busy)" = "$first" ] || { echo "the guest's QEMU is another: $first"; return 1; }
	[ "$(domain_state busy)" = running ] || { echo "the guest stands still: $(domain_state busy)"; return 1; }
}
asked() { "$@" >>"$TEST_DIR/operation.log" 2>&1; }
round() {
	local number=$1 operation=$2 victim=$3 moment=$4 pid status=0
	if declare -F "${operation}_before" >/dev/null; then
		"${operation}_before" "$number" || { echo "what $operation wants is not there"; return 1; }
	fi
	victim_now=$victim
	starts_before=$(starts other)
	starts_before=${starts_before:-0}
	echo "-- $operation, $victim after ${moment}s" >"$TEST_DIR/operation.log"
	asked "$operation" "$number" &
	pid=$!
	OPERATION_PID=$pid
	sleep "$moment"
	# Who was not there was not killed.
	kill_one "$victim" || { echo "there is no $victim to kill"; status=1; }
	if [ $status != 0 ] || ! eventually 30 all_up; then
		kill $pid 2>/dev/null
		wait $pid
		OPERATION_PID=
		return 1
	fi
	wait $pid || status=$?
	OPERATION_PID=
	# What was refused or cut off was said to whoever asked: he asks again.
	if [ $status != 0 ] && ! eventually 30 asked "$operation" "$number"; then
		cat "$TEST_DIR/operation.log"
		return 1
	fi
	eventually 30 "${operation}_after" "$number" || { cat "$TEST_DIR/operation.log"; return 1; }
	eventually 30 leftovers && unharmed
}
for ((number = 0; number < ROUNDS; number++)); do
	read -r operation victim length <<<"${pairs[number % ${#pairs[@]}]}"
	moment=$((RANDOM % length))
	moment=$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))
	began=$SECONDS failed=$TEST_FAILED
	check "round $number: $operation while $victim is killed after $moment s" round $number "$operation" "$victim" "$moment"
	# A guest that died is counted once.
	[ "$TEST_FAILED" = "$failed" ] || { eventually 60 guest true && first=$(process busy) && boot=$(guest 'cat /proc/sys/kernel/random/boot_id'); } >/dev/null 2>&1
	[ -z "${KILL_TABLE:-}" ] || echo "$operation $victim $((TEST_FAILED > failed)) $((SECONDS - began))" >>"$KILL_TABLE"
done

[ ! -s "$TEST_DIR/children" ] || echo "# $(wc -l <"$TEST_DIR/children") children of the agent were killed"
check "the guest is the one of before" unharmed
check "its agent answers, too" eventually 60 guest true
check_output "and was not booted again" "^$boot\$" guest 'cat /proc/sys/kernel/random/boot_id'
check_output "its file system has what was written" '^kept$' guest 'cat /mnt/file'
check "its disk is whole" claim_whole "$(claim_of busy)"
k delete vm other still --timeout=240s >/dev/null
check "delete" k delete vm,vmsnapshot,vmclone,vmrestore,vmexport,dv,pvc --all --timeout=240s
check "nothing is left" eventually 30 leftovers
if [ -n "${NFS_DIR:-}" ]; then k delete storageclass e2e-op-kills >/dev/null; fi
finish
