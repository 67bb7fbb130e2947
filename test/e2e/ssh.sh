#!/bin/bash
# ssh and scp into a guest by way of the API: commands, standard input, files both ways, many at once. The guest is the
# sample guest, which fetches an ssh server at its first boot.
. "$(dirname "$0")/../lib.sh"
# shellcheck disable=SC2119
use_lab
use_namespace e2e-ssh
# shellcheck source=guest/images.sh
. "$TEST_ROOT/guest/images.sh"
images_use "$TEST_ROOT/.cache/images"

ssh_server() {
	images_ssh_server "$1" && tar -C "$1" --owner=0 --group=0 -cf "$LAB/node1/var/ssh/ssh.tar" .
}
mkdir -p "$LAB/node1/var/ssh"
check "an ssh server for the guest" ssh_server "$TEST_DIR/root"
address=$(on_node 1 ip -4 -o addr show hanok0 | awk '{ sub(/\/.*/, "", $4); print $4 }')
check "a web server that has it" lab_service node1 ssh-web busybox httpd -f -p "$address:8098" -h /var/ssh

check "a key" ssh-keygen -q -t ed25519 -N '' -C test -f "$TEST_DIR/key"
check "in a secret" k create secret generic keys --from-file=key="$TEST_DIR/key.pub"
cat >"$TEST_DIR/shell.yaml" <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 0
  accessCredentials:
  - sshPublicKey: {source: {secret: {secretName: keys}}, propagationMethod: {noCloud: {}}}
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
        runcmd:
        - mkdir -p /dev/shm; mount -t tmpfs none /dev/shm
        - while ! wget -q -O /dev/shm/ssh.tar http://$address:8098/ssh.tar; do sleep 1; done
        - tar -C / -xf /dev/shm/ssh.tar; rm /dev/shm/ssh.tar
        - dropbear -R -s
END
check "apply" k apply -f "$TEST_DIR/shell.yaml"

virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-ssh; }
options=(-i "$TEST_DIR/key" --known-hosts "$TEST_DIR/known" --local-ssh-opts=-oConnectTimeout=60)
in_guest() { virt ssh root@vmi/shell "${options[@]}" -c "$1"; }
check "a command's output" eventually 60 matches '^Linux$' in_guest uname
exit_code() { in_guest 'exit 7'; [ $? = 7 ]; }
check "its exit code is the command's" exit_code
check "the guest's key was kept" ssh-keygen -q -F vmi.shell.e2e-ssh -f "$TEST_DIR/known"

# What is sent and what comes back, with an end on either side.
head -c 2000000 /dev/urandom >"$TEST_DIR/data"
sent() { in_guest sha256sum <"$TEST_DIR/data" | cmp - <(sha256sum <"$TEST_DIR/data"); }
there_and_back() { in_guest cat <"$TEST_DIR/data" | cmp - "$TEST_DIR/data"; }
no_input() { in_guest 'echo none' </dev/null | grep -qx none; }
check "standard input arrives whole, and its end" sent
check "a stream goes both ways at once" there_and_back
check "no input at all" no_input

check "a file to the guest" virt scp "${options[@]}" "$TEST_DIR/data" root@vmi/shell:/dev/shm/data
check "and back" virt scp "${options[@]}" root@vmi/shell:/dev/shm/data "$TEST_DIR/back"
check "it is the same" cmp "$TEST_DIR/data" "$TEST_DIR/back"

many() {
	local n pids=() failed=0
	for n in 1 2 3 4 5; do
		(
			set -o pipefail
			head -c 500000 "$TEST_DIR/data" | in_guest cat | cmp - <(head -c 500000 "$TEST_DIR/data")
		) &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || failed=1; done
	return $failed
}
check "many at once" many
# sshd waits for two minutes for who says nothing: a client that has gone does not.
left_alone() { (set -o pipefail && timeout 60 "$LAB/bin/hanok" virt port-forward --stdio vmi/shell 22 --kubeconfig "$KUBECONFIG_FILE" -n e2e-ssh </dev/null | head -c 4 | grep -q '^SSH-'); }
check "a tunnel ends with who reads from it" left_alone
check "delete" k delete vmi shell --timeout=240s
lab_service_end node1 ssh-web 5000
finish
