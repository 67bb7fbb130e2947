# shellcheck shell=bash
# What the cases of the function suite share. A scenario is a file in scenarios/: a head, then its cases.
#
#   #@@ GROUP | SCENARIO'S TITLE
#   #@ ID | CASE'S TITLE | NEEDS
#   ID() { commands; }          every command must succeed (set -e), in a process and a session of its own
#   ID_end() { commands; }      what it must put back whatever happened; optional
#
# NEEDS are words that need_WORD functions answer below (exit code 0, or 1 with the reason on standard output): where
# a need is not met the case is "not available", with that reason. A case that finds out itself calls not_available WHY.
# The need "alone" is that no other case runs at that time: it ends what others stand on.
#
# A guest is known by its name within the scenario's namespace, and is shared by cases that leave it as it was:
#
#   machine NAME [PATCH]        makes it where it is not there (root disk of its own, switched on), and waits until it answers
#   machine_spec NAME [PATCH]   its manifest; DISK=container|volume|none says what its root disk is
#   in_guest NAME COMMAND       by its serial console; COMMAND's output, fails as COMMAND does
#   page NAME [PATH]            what its web server says
#
# PATCH is a JSON merge patch of the manifest. KERNEL_ARGS is added to what stack B's kernel is told.

FUNCTIONS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/lib.sh
. "$FUNCTIONS/../lib.sh"

REGISTRY_IN_LAB=registry.lab:5000
WEB_PORT=${WEB_PORT:-$((8100 + $$ % 900))} # in the lab's fabric: files of $TEST_DIR/web
PATIENT=${PATIENT:-600s} # what is awaited happens, or never: guests of an emulator on a busy machine are slow (run.sh: stack A more so)

virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}"; }
# For arguments that end with "-- COMMAND".
virt_with() { "$LAB/bin/hanok" virt --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}" "$@"; }
image() { "$LAB/bin/hanok" image "$@" --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}"; }

not_available() {
	echo "NOT AVAILABLE: $1"
	exit 77
}

# Needs.
need_alone() { :; }
need_ovmf() { compgen -G '/usr/share/OVMF/OVMF_CODE*.fd' >/dev/null || { echo "no OVMF (package ovmf)"; return 1; }; }
need_swtpm() { command -v swtpm >/dev/null || { echo "no swtpm (package swtpm)"; return 1; }; }
need_image_build() { command -v mmdebstrap >/dev/null && command -v grub-mkimage >/dev/null || { echo "no mmdebstrap or no grub-mkimage (packages mmdebstrap, grub-common)"; return 1; }; }
need_ksm() { [ -e /sys/kernel/mm/ksm/run ] || { echo "the kernel has no KSM"; return 1; }; }
need_hugepages() { compgen -G '/sys/kernel/mm/hugepages/hugepages-2048kB' >/dev/null || { echo "the kernel has no 2 MB pages"; return 1; }; }
need_two_cpus() { [ "$(nproc)" -ge 2 ] || { echo "one CPU only"; return 1; }; }
need_ssh() {
	command -v ssh >/dev/null || { echo "no ssh (package openssh-client)"; return 1; }
	[ "$STACK" = A ] || ssh_tar >"$LOGS/ssh.log" 2>&1 || { echo "no ssh server for the busybox guest: $(tail -n 1 "$LOGS/ssh.log")"; return 1; }
}

# merge PATCH: standard input's manifest with a JSON merge patch, members of spec.template.spec by name.
merge() {
	python3 -c '
import json, os, sys
def merge(a, b):
    if not isinstance(b, dict): return b
    a = dict(a) if isinstance(a, dict) else {}
    for key, value in b.items():
        if key.startswith("+"): a[key[1:]] = a.get(key[1:], []) + value
        elif value is None: a.pop(key, None)
        else: a[key] = merge(a.get(key), value)
    return a
doc = json.load(sys.stdin)
for volume in doc.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
    if "cloudInitNoCloud" in volume: volume["cloudInitNoCloud"]["userData"] = os.environ["USER_DATA"]
for patch in sys.argv[1:]:
    if patch: doc = merge(doc, json.loads(patch))
print(json.dumps(doc))' "$@"
}

# The patch of a machine's inner specification: {"spec":{"template":{"spec":...}}}.
inner() { printf '{"spec":{"template":{"spec":%s}}}' "$1"; }
domain() { inner "{\"domain\":$1}"; }

stack_image() { if [ "$STACK" = A ]; then echo debian-vm; else echo vm-web; fi; }
stack_memory() { if [ "$STACK" = A ]; then echo 320Mi; else echo 128Mi; fi; }
stack_machine() { if [ "$STACK" = A ]; then echo q35; else echo pc; fi; }
stack_prompt() { echo '# '; }

# Stack A boots from its disk on q35; stack B's kernel is loaded directly on i440fx, and finds its root on the disk.
machine_spec() {
	local name=$1 firmware='{}' volume template=
	shift
	[ "$STACK" = A ] || firmware="{\"kernelBoot\":{\"kernelArgs\":\"console=ttyS0 loglevel=4 mitigations=off net.ifnames=0 swiotlb=noforce no_timer_check${KERNEL_ARGS:+ $KERNEL_ARGS}\",\"container\":{\"image\":\"$REGISTRY_IN_LAB/vm-kernel:latest\",\"kernelPath\":\"/boot/vmlinuz\",\"initrdPath\":\"/boot/initrd.img\"}}}"
	case ${DISK:-container} in
	container) volume="{\"name\":\"root\",\"containerDisk\":{\"image\":\"$REGISTRY_IN_LAB/$(stack_image):latest\"}}" ;;
	volume)
		volume="{\"name\":\"root\",\"dataVolume\":{\"name\":\"$name-root\"}}"
		template="\"dataVolumeTemplates\":[$(data_volume "$name-root" "{\"registry\":{\"url\":\"docker://$REGISTRY_IN_LAB/$(stack_image):latest\"}}")],"
		;;
	none) volume= ;;
	esac
	cat <<-END | USER_DATA=$(user_data) merge "$@"
		{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachine","metadata":{"name":"$name","labels":{"app":"$name"}},
		"spec":{$template"runStrategy":"Always","template":{"metadata":{"labels":{"app":"$name"}},"spec":{
		"terminationGracePeriodSeconds":60,
		"readinessProbe":{"tcpSocket":{"port":80},"periodSeconds":2,"failureThreshold":100},
		"domain":{"machine":{"type":"$(stack_machine)"},"cpu":{"cores":1},"memory":{"guest":"$(stack_memory)"},"firmware":$firmware,
		"devices":{"rng":{},"disks":[${volume:+{\"name\":\"root\",\"disk\":{\"bus\":\"virtio\"\}\},}{"name":"seed","disk":{"bus":"virtio"}}],
		"interfaces":[{"name":"default","bridge":{}}]}},
		"networks":[{"name":"default","pod":{}}],
		"volumes":[${volume:+$volume,}{"name":"seed","cloudInitNoCloud":{}}]}}}}
	END
}

# RUN: a command of the first boot, one line of YAML. The name is that of the seed's metadata, so that a clone has its own.
user_data() {
	echo '#cloud-config'
	cat <<-END
		disable_root: false
		chpasswd:
		  expire: false
		  list: |
		    root:hanok
	END
	[ -z "${SSH_KEY:-}" ] || printf "ssh_authorized_keys:\n- %s\n" "$SSH_KEY"
	[ -z "${RUN:-}" ] || printf 'runcmd:\n- %s\n' "$RUN"
}

# A command of the first boot after which there is an ssh server: stack B's guest fetches one.
ssh_server() {
	[ "$STACK" = A ] || printf '%s' "umask 077; mkdir -p /root/.ssh; echo $SSH_KEY > /root/.ssh/authorized_keys; umask 022; mkdir -p /dev/shm; mount -t tmpfs none /dev/shm; while ! wget -q -O /dev/shm/ssh.tar $(web_url ssh.tar); do sleep 1; done; tar -C / -xf /dev/shm/ssh.tar; dropbear -R -s"
}
ssh_tar() {
	exec 8>"$RUN_DIR/ssh.lock" && flock 8 || return # another scenario may want it, too
	[ ! -e "$RUN_DIR/web/ssh.tar" ] || return 0
	# shellcheck source=guest/images.sh
	. "$TEST_ROOT/guest/images.sh"
	images_use "$TEST_ROOT/.cache/images"
	images_ssh_server "$RUN_DIR/ssh" && tar -C "$RUN_DIR/ssh" --owner=0 --group=0 -cf "$RUN_DIR/ssh.tar" . &&
		mv "$RUN_DIR/ssh.tar" "$RUN_DIR/web/ssh.tar"
}

# data_volume NAME SOURCE [SIZE]: a DataVolume's metadata and spec, for a template or an object.
data_volume() {
	printf '{"metadata":{"name":"%s"},"spec":{"source":%s,"storage":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"%s"}}}}}' \
		"$1" "$2" "${3:-$(if [ "$STACK" = A ]; then echo 1Gi; else echo 64Mi; fi)}"
}
# import NAME SOURCE [SIZE]: as an object, bound at once; waits until it is whole.
import() {
	data_volume "$@" | merge '{"apiVersion":"cdi.kubevirt.io/v1beta1","kind":"DataVolume","metadata":{"annotations":{"cdi.kubevirt.io/storage.bind.immediate.requested":"true"}}}' | k apply -f -
	await "$1" --for=jsonpath='{.status.phase}'=Succeeded "dv/$1"
}

# "! COMMAND" does not end a case where COMMAND succeeds (set -e passes over it); this does.
not() {
	# shellcheck disable=SC2310
	if "$@"; then
		echo "succeeded: $*"
		return 1
	fi
}
exits() {
	local wanted=$1 status=0
	shift
	"$@" || status=$?
	[ $status = "$wanted" ] || { echo "exit code $status, not $wanted: $*"; return 1; }
}
exists() { [ "$(k_count "$1")" != 0 ]; } # without an answer nothing has gone
# said_of OBJECT: what its conditions and events say. Its own specification has the words of what is refused, too: that is
# no place to look for them.
said_of() {
	k get "$1" -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' &&
		k get events --field-selector "involvedObject.name=${1#*/}" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}'
}
# What its node refuses will not come by waiting.
refused() {
	local why
	why=$(k_field "vmi/$1" '.status.conditions[?(@.type=="Synchronized")].reason' '.status.conditions[?(@.type=="Synchronized")].message' 2>/dev/null)
	case $why in
	NotSupported* | InvalidSpec* | InvalidDisk* | LibvirtError*) echo "$why" ;;
	*) return 1 ;;
	esac
}
# await NAME KUBECTL-WAIT-ARGUMENT...
await() {
	local name=$1 until=$((SECONDS + ${PATIENT%s}))
	shift
	while [ $SECONDS -lt $until ]; do
		k wait "$@" --timeout=9s && return
		# shellcheck disable=SC2310
		! refused "$name" || return 1
	done
	return 1
}
# By fields, not by conditions: while a machine's template is newer than its instance (status.observedGeneration, as
# KubeVirt means it), kubectl wait takes none of its conditions.
ready() { await "$1" --for=jsonpath='{.status.ready}'=true "vm/$1"; }
condition() { [ "$(k_field "$1" ".status.conditions[?(@.type==\"$2\")].status")" = "${3:-True}" ]; }
# condition_is OBJECT CONDITION [STATUS]
condition_is() {
	case $1 in
	vm/*) eventually $((${PATIENT%s} / PATIENCE)) condition "$@" ;;
	*) k wait --for=condition="$2=${3:-True}" "$1" --timeout=$PATIENT ;;
	esac
}
gone() { ! exists "$1" || k wait --for=delete "$1" --timeout=$PATIENT; }
phase_is() { await "${1#*/}" --for=jsonpath='{.status.phase}'="$2" "$1"; }
status_is() { k wait --for=jsonpath='{.status.printableStatus}'="$2" "vm/$1" --timeout=$PATIENT; }

machine() {
	local name=$1
	if ! exists "vm/$name"; then
		# A case before this one may have ended in the middle.
		gone "vmi/$name"
		DISK=${DISK:-volume} machine_spec "$@" | k apply -f -
	fi
	running "$name"
	answers "$name"
}
# Switched on where it is off; one that was just made (a clone) may not say yet that it is.
running() {
	local until=$((SECONDS + ${PATIENT%s}))
	eventually 30 matches . k_field "vm/$1" .status.printableStatus
	while [ $SECONDS -lt $until ]; do
		# shellcheck disable=SC2310
		[ "$(k_field "vm/$1" .status.printableStatus)" != Stopped ] || virt start "$1" || true
		k wait --for=jsonpath='{.status.ready}'=true "vm/$1" --timeout=5s && return
		# shellcheck disable=SC2310
		! refused "$1" || return 1
	done
	return 1
}
stopped() {
	exists "vmi/$1" || return 0
	virt stop "$1" --force
	gone "vmi/$1"
}
address() { k_field "vmi/$1" '.status.interfaces[0].ipAddress'; }
page() { on_node 1 curl -sf --max-time 5 "http://$(address "$1")/${2:-}"; }
answers() { eventually $((${PATIENT%s} / PATIENCE)) matches "^virtual machine ${2:-$1}$" page "$1"; }
# restarted NAME UID: another instance than UID runs.
restarted() {
	virt restart "$1" --force
	eventually 60 other_uid "$1" "$2"
	phase_is "vmi/$1" Running
}
uid() { k_field "vmi/$1" .metadata.uid; }
other_uid() { local now; now=$(uid "$1") && [ -n "$now" ] && [ "$now" != "$2" ] && echo "$now"; }
domain_xml() { lab_virsh dumpxml "$(k_namespace)_$1"; }
domain_state() { lab_virsh domstate "$(k_namespace)_$1"; }
# no_domain NAME: libvirt was asked, and knows none.
no_domain() {
	local all
	all=$(lab_virsh list --all --name) && ! grep -qx "$(k_namespace)_$1" <<<"$all"
}
k_namespace() { echo "${TEST_NAMESPACE[1]}"; }

# on_console NAME STEP...: steps of test/terminal.py on its serial console. It is left logged out, so that the next finds
# the same question.
on_console() {
	python3 "$TEST_ROOT/test/terminal.py" "$((${PATIENT%s} / 3 + 40))" 'send:\n' "${@:2}" end:0 -- \
		"$LAB/bin/hanok" virt console "$1" --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}"
}
LOG_IN=('expect:login: ' 'send:root\n' 'expect:assword:' 'send:hanok\n' 'expect:# ')
in_guest() {
	on_console "$1" "${LOG_IN[@]}" 'never:EXIT[1-9][0-9]*END' "send:$2; echo EXIT\$?END\\n" 'expect:EXIT0END' 'send:exit\n' 'expect:login: ' 'send:\x1d'
}

# leave_guest NAME COMMAND: starts COMMAND there and asks nothing more: it stands still by it, or ends.
leave_guest() {
	on_console "$1" "${LOG_IN[@]}" "send:echo LE''FT; $2 &\n" 'expect:LEFT' 'send:\x1d'
}

# What is on the root disk, for snapshots and clones: a file that the web server shows, synced.
mark() { in_guest "$1" "mkdir -p /www; echo $2 > /www/mark; sync"; }
marked() { eventually 60 matches "^$2$" page "$1" mark; }

# Files over HTTP inside the lab.
web_up() {
	local pid
	mkdir -p "$TEST_DIR/web"
	[ -z "${WEB_PID:-}" ] || return 0
	pid=$(lab_pid fabric)
	nsenter -t "$pid" -n setpriv --pdeathsig KILL python3 -m http.server --bind "$LAB_FABRIC_ADDRESS" --directory "$TEST_DIR/web" $WEB_PORT >"$TEST_DIR/web.log" 2>&1 &
	WEB_PID=$!
	eventually 10 nsenter -t "$pid" -n curl -sf "http://$LAB_FABRIC_ADDRESS:$WEB_PORT/"
}
web_url() { echo "http://$LAB_FABRIC_ADDRESS:$WEB_PORT/$1"; }
# The stack's disk as a local file.
stack_disk() {
	local at=$TEST_DIR/disk.qcow2
	if [ ! -e "$at" ]; then
		if [ "$STACK" = A ]; then
			ln -s "$(dirname "$(readlink -f "$TEST_DIR/web")")/debian.qcow2" "$at"
		else
			local layer
			layer=$(sed -n 's/.*"layers":\[{[^}]*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' \
				"$TEST_ROOT/.cache/images/vm-web/blobs/sha256/$(sed -n 's/.*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' "$TEST_ROOT/.cache/images/vm-web/index.json")")
			tar -xzOf "$TEST_ROOT/.cache/images/vm-web/blobs/sha256/$layer" ./disk/disk.qcow2 >"$at"
		fi
	fi
	echo "$at"
}

# agent_kill: the node agent, as after a crash; agent_end: it stays away.
agent_end() { on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0'; }
agent_kill() {
	agent_end
	agent_begin
}
agent_begin() {
	lab_node_up 1
	k wait --for=condition=Ready node/node1 --timeout=120s
}
libvirt_kill() {
	on_node 1 sh -c 'lab-proc alive /run/lab/libvirtd.pid && lab-proc end /run/lab/libvirtd.pid 0'
	lab_host_up 1
}
