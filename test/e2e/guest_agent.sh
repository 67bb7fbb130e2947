#!/bin/bash
# The agent in a guest: what it tells, freezing, programs, probes, keys and passwords.
. "$(dirname "$0")/../lib.sh"
# shellcheck disable=SC2119
use_lab
use_namespace e2e-agent
virt() { local verb=$1; shift; "$LAB/bin/hanok" virt "$verb" --kubeconfig "$KUBECONFIG_FILE" -n e2e-agent "$@"; }
sub() { raw "/apis/subresources.kubevirt.io/v1/namespaces/e2e-agent/virtualmachineinstances/$1/$2" "${@:3}"; }
put() { sub "$1" "$2" -X PUT -H 'Content-Type: application/json' -d "$3"; }

# instance NAME EXTRA: with an agent, and what the test wants besides in its spec.
instance() {
	cat <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: 20
$2
  domain:
    memory: {guest: 128Mi}
    devices:
      disks: [{name: root, disk: {bus: virtio}}, {name: seed, disk: {bus: virtio}}]
      interfaces: [{name: default, bridge: {}}]
  networks: [{name: default, pod: {}}]
  volumes:
  - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
  - name: seed
    cloudInitNoCloud:
      userData: |
        #cloud-config
        write_files:
        - path: /etc/guest-agent
          content: "yes"
END
}

check "secrets" k create secret generic passwords --from-literal=root=sesame
check "secrets" k create secret generic keys --from-literal=one='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne one@test'
instance told '
  readinessProbe: {guestAgentPing: {}, periodSeconds: 2, timeoutSeconds: 20, failureThreshold: 3}
  livenessProbe: {guestAgentPing: {}, initialDelaySeconds: 60, periodSeconds: 4, timeoutSeconds: 60, failureThreshold: 4}
  accessCredentials:
  - userPassword: {source: {secret: {secretName: passwords}}, propagationMethod: {qemuGuestAgent: {}}}
  - sshPublicKey: {source: {secret: {secretName: keys}}, propagationMethod: {qemuGuestAgent: {users: [root]}}}' >"$TEST_DIR/told.yaml"
check "apply" k apply -f "$TEST_DIR/told.yaml"
check "the agent connects" k wait --for=condition=AgentConnected vmi/told --timeout=240s
check "its ping makes the guest ready" k wait --for=condition=Ready vmi/told --timeout=240s
check "its system is in the status" eventually 30 matches '^hanok sample guest$' k_field vmi/told .status.guestOSInfo.prettyName
check "and its interface" eventually 30 matches '^domain, guest-agent eth0$' \
	k_field vmi/told '.status.interfaces[0].infoSource' '.status.interfaces[0].interfaceName'
check_output "it does all that is wanted" '^$' k get vmi told -o 'jsonpath={.status.conditions[?(@.type=="AgentVersionNotSupported")].status}'
check_output "guestosinfo" '"guestAgentVersion":"[0-9].*"supportedCommands":\[.*"hostname":"told".*"os":\{.*"timezone":"UTC, 0".*"fsInfo":\{"disks":\[\{.*"fileSystemType":"ext4".*"fsFreezeStatus":"thawed"' \
	sub told guestosinfo
check_output "filesystemlist" '"items":\[.*"diskName":"vda1".*"mountPoint":"/".*"busType":"virtio"' sub told filesystemlist
check_output "userlist" '^\{"metadata":\{\},"items":\[' sub told userlist

# shellcheck disable=SC2016 # what is expanded is so in the guest
check_output "exec" '"exitCode":3,"stdout":"in told' put told exec '{"command": ["/bin/sh", "-c", "echo in $(hostname); exit 3"], "timeoutSeconds": 120}'
check_output "exec with input, and what is no text" '"stdout":".*","stdoutBase64":"/wBoaQ=="' \
	put told exec '{"command": ["/bin/cat"], "stdinBase64": "/wBoaQ==", "timeoutSeconds": 120}'
check_output "a program that is not there" '"message":".*No such file' put told exec '{"command": ["/nothing"]}'
check_output "exec needs a command" '"message":"command: Required value"' put told exec '{"command": []}'
check_output "hanok virt exec" '^root$' virt exec told --timeout 120 -- id -un

# A slow guest: it stands still for longer than its agent has for an answer, while a program runs for longer than the
# API server waits for other answers.
virt exec told --timeout 240 -- sh -c 'echo begun >/run/slow; sleep 32; printf "\377ended"' >"$TEST_DIR/slow" 2>&1 &
slow=$!
check "a program begins" eventually 30 matches '^begun$' virt exec told -- cat /run/slow
signal() { on_node 1 sh -c "kill -$1 \$(cat /run/libvirt/qemu/e2e-agent_told.pid)"; }
check "the guest stands still" signal STOP
sleep 7
check "and goes on" signal CONT

check "keys and passwords are in the guest" k wait --for=condition=AccessCredentialsSynchronized vmi/told --timeout=240s
# shellcheck disable=SC2016
# In the guest: the hash that the password makes with the salt of the one that is there.
check "the password" virt exec told --timeout 120 -- sh -c \
	'stored=$(grep ^root: /etc/shadow | cut -d: -f2); [ "$(mkpasswd -m sha512 -S "$(echo "$stored" | cut -d\$ -f3)" sesame)" = "$stored" ]'
check_output "the key" 'one@test$' virt exec told --timeout 120 -- cat /root/.ssh/authorized_keys
k create secret generic keys --dry-run=client -o json --from-literal=two='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITwo two@test' >"$TEST_DIR/keys.json"
check "replace it" k replace -f "$TEST_DIR/keys.json"
check "the new key replaces the old" eventually 60 matches '^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITwo two@test$' \
	virt exec told --timeout 120 -- cat /root/.ssh/authorized_keys

slow_ended() { wait $slow && [ "$(od -An -tx1 "$TEST_DIR/slow" | tr -d " \n")" = ff656e646564 ]; }
check "the program has ended, and what it wrote came as it was" slow_ended

# An agent as those before QEMU 5.2, which know nothing of keys: a program sets them.
old_agent='[ -e /etc/qemu ] || { mkdir -p /etc/qemu; printf "[general]\\nblock-rpcs=guest-ssh-get-authorized-keys,guest-ssh-add-authorized-keys,guest-ssh-remove-authorized-keys\\n" >/etc/qemu/qemu-ga.conf; rm /root/.ssh/authorized_keys; (sleep 1; killall qemu-ga; sleep 1; touch /run/old) >/dev/null 2>&1 & }'
check "the agent becomes an old one" virt exec told --timeout 120 -- sh -c "$old_agent"
check "after a start of its own" eventually 60 virt exec told --timeout 120 -- test -e /run/old
check "and says so" eventually 60 matches '"enabled":false,"name":"guest-ssh-add-authorized-keys"|"name":"guest-ssh-add-authorized-keys","enabled":false|"name":"guest-ssh-add-authorized-keys"[,}]' sub told guestosinfo
check "the key is there again" eventually 60 matches '^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITwo two@test$' \
	virt exec told --timeout 120 -- cat /root/.ssh/authorized_keys
check "that is in order" eventually 60 matches '^True $' k get vmi told -o 'jsonpath={.status.conditions[?(@.type=="AccessCredentialsSynchronized")].status} {.status.conditions[?(@.type=="AgentVersionNotSupported")].status}'

# libvirt's daemon is away for longer than the probes have patience: that is no fault of the guest, and changes nothing.
ready_since() { k get vmi told -o 'jsonpath={.status.phase} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}'; }
failures() { k get events --field-selector "involvedObject.uid=$(k_field vmi/told .metadata.uid)" -o 'jsonpath={range .items[*]}{.reason} {.count}{"\n"}{end}' | grep -E '^(AccessCredentialsSyncFailed|Unhealthy|Killing) ' | sort; }
check "it is ready" k wait --for=condition=Ready vmi/told --timeout=120s
since=$(ready_since)
failed=$(failures)
no_new_failures() { [ "$(failures)" = "$failed" ]; }
check "libvirt's daemon ends" lab_service_end node1 libvirtd
sleep 25
check "it is back" lab_libvirt_up 1
check "the agent answers" eventually 60 sub told guestosinfo -f
sleep 5
check_output "the guest was ready all the time" "^$since\$" ready_since
check "nothing is said to have failed" no_new_failures
# A new one has not looked at its guests' channels yet when it is asked for the first time.
for n in 1 2 3; do
	lab_service_end node1 libvirtd 0
	check "libvirt's daemon is killed and there again, time $n" lab_libvirt_up 1
	check "and the agent answers" eventually 60 sub told guestosinfo -f
done
check "nothing is said to have failed because of it" no_new_failures
check "the agent is connected" k wait --for=condition=AgentConnected vmi/told --timeout=60s
set_again() { k get events --field-selector "involvedObject.uid=$(k_field vmi/told .metadata.uid),reason=AccessCredentialsSyncSuccess" -o 'jsonpath={range .items[*]}{.count}{" "}{end}'; }
set_before=$(set_again)
lab_node_end 1
lab_node_up 1
more_set() { [ "$(set_again)" != "$set_before" ]; }
check "a new node agent sets keys and passwords again" eventually 60 more_set
check "and does not say before that they have failed" no_new_failures

check "freeze" put told freeze '{"unfreezeTimeout": "1h0m0s"}' -f
check "the status says so" eventually 30 matches '^frozen$' k_field vmi/told .status.fsFreezeStatus
check "freeze again" put told freeze '{"unfreezeTimeout": "1h0m0s"}' -f
check "unfreeze" put told unfreeze '' -f
check "the status says so, too" eventually 30 matches '^$' k_field vmi/told .status.fsFreezeStatus
check_output "a wrong time is refused" 'unfreezeTimeout: must be a duration' put told freeze '{"unfreezeTimeout": "soon"}'
# Nobody thaws it, and the node agent dies before it could.
check "freeze for 15 s" put told freeze '{"unfreezeTimeout": "15s"}' -f
lab_node_end 1
lab_node_up 1
check "a new node agent thaws it in time" eventually 60 matches '"fsFreezeStatus":"thawed"' sub told guestosinfo
check "the guest is still the same, and ready" k wait --for=condition=Ready vmi/told --timeout=240s
check "delete" k delete vmi told --timeout=240s

# A guest that is not well is stopped: its agent is there, and says that something is wrong.
instance sick '
  livenessProbe: {exec: {command: [/bin/false]}, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 3}' >"$TEST_DIR/sick.yaml"
check "apply one whose liveness probe fails" k apply -f "$TEST_DIR/sick.yaml"
check "it is stopped" eventually 90 matches '^(Succeeded|Failed)$' k_field vmi/sick .status.phase
check "and it is said why" eventually 20 matches 'Liveness probe failed' k describe vmi sick
check "delete it" k delete vmi sick --timeout=240s
check_fails "no agent, no answers" sub nobody guestosinfo -f
finish
