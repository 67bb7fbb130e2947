#!/bin/bash
# How guests are first set up: cloud-init's config drive, keys, network data, values of Secrets and ConfigMaps as disks, answer
# files. (NoCloud: machines.sh.)
# shellcheck disable=SC2016 # what is expanded is so in the guest
. "$(dirname "$0")/../lib.sh"
# shellcheck disable=SC2119
use_lab
use_namespace e2e-cloud-init
virt() { local verb=$1; shift; "$LAB/bin/hanok" virt "$verb" --kubeconfig "$KUBECONFIG_FILE" -n e2e-cloud-init "$@"; }
inside() { virt exec "$1" --timeout 120 -- sh -c "$2"; }

cat >"$TEST_DIR/user-data" <<'END'
#cloud-config
write_files:
- path: /etc/guest-agent
  content: "yes"
- path: /etc/note
  content: |
    from a Secret
runcmd:
- cp /etc/note /www/ran
END
cat >"$TEST_DIR/network-data" <<'END'
version: 2
ethernets:
  eth0: {dhcp4: true} # as it was written
END
check "a Secret with user data" k create secret generic user --from-file=userdata="$TEST_DIR/user-data"
check "a Secret with network data" k create secret generic network --from-file=networkdata="$TEST_DIR/network-data"
check "a Secret with a key" k create secret generic keys --from-literal=one='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne one@test'
check "a Secret of values" k create secret generic values --from-literal=token=1234
check "a ConfigMap" k create configmap settings --from-literal=colour=blue
check "answers for Windows" k create configmap answers --from-literal=Autounattend.xml='<unattend/>'
cat >"$TEST_DIR/drive.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: drive, annotations: {kubevirt.io/instancetype-name: tiny}}
spec:
  hostname: driven
  terminationGracePeriodSeconds: 0
  accessCredentials:
  - sshPublicKey: {source: {secret: {secretName: keys}}, propagationMethod: {configDrive: {}}}
  domain:
    memory: {guest: 128Mi}
    devices:
      disks: [{name: root, disk: {bus: virtio}}, {name: account, serial: ACCOUNT, disk: {bus: virtio}}]
      interfaces: [{name: default, bridge: {}}]
  networks: [{name: default, pod: {}}]
  volumes:
  - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
  - {name: seed, cloudInitConfigDrive: {secretRef: {name: user}, networkDataSecretRef: {name: network}}}
  - {name: values, secret: {secretName: values, volumeLabel: values}}
  - {name: settings, configMap: {name: settings, volumeLabel: settings}}
  - {name: answers, sysprep: {configMap: {name: answers}}}
  - {name: account, serviceAccount: {serviceAccountName: default}}
END
check "apply" k apply -f "$TEST_DIR/drive.yaml"
check "the user data started the agent" k wait --for=condition=AgentConnected vmi/drive --timeout=240s
check_output "meta data: name, type of instance" '"instance_type": "tiny".*"instance_id": "drive.e2e-cloud-init".*"hostname": "driven".*"uuid": "' \
	inside drive 'mount -o ro "$(findfs LABEL=config-2)" /mnt; cat /mnt/openstack/latest/meta_data.json'
check "and the key" eventually 20 matches '^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne one@test$' inside drive 'cat /root/.ssh/authorized_keys'
check "the name" eventually 20 matches '^driven$' inside drive hostname
check "network data as it was written" matches '# as it was written' inside drive 'cat /mnt/openstack/latest/network_data.json; umount /mnt'
check "its commands ran" eventually 60 matches '^from a Secret$' inside drive 'cat /www/ran'
check "a Secret is a disk of its label" eventually 20 matches '^1234$' inside drive 'mount -o ro "$(findfs LABEL=values)" /mnt; cat /mnt/token; umount /mnt'
check "that others can't read" eventually 20 matches '^.r-------- ' inside drive 'mount -o ro "$(findfs LABEL=values)" /mnt; ls -l /mnt/token; umount /mnt'
check "a ConfigMap, too" eventually 20 matches '^blue$' inside drive 'mount -o ro "$(findfs LABEL=settings)" /mnt; cat /mnt/colour; umount /mnt'
check "answer files" eventually 20 matches '^<unattend/>$' inside drive 'mount -o ro "$(findfs LABEL=unattendCD)" /mnt; cat /mnt/Autounattend.xml; umount /mnt'
account='for d in /sys/block/vd*; do [ "$(cat "$d/serial")" != ACCOUNT ] || mount -o ro "/dev/${d##*/}" /mnt; done'
check "a service account has the files that pods know" eventually 20 matches '^ca.crt namespace token e2e-cloud-init$' \
	inside drive "$account; echo \$(ls /mnt) \$(cat /mnt/namespace); umount /mnt"
TOKEN=$(inside drive "$account; cat /mnt/token; umount /mnt")
who() {
	curl -sk -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -w '\n%{http_code}\n' \
		"https://127.0.0.1:$(lab_port)/apis/authentication.k8s.io/v1/selfsubjectreviews" -d '{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}'
}
check_output "its token is good" '"system:serviceaccount:e2e-cloud-init:default".*201$' who
uid=$(k_field vmi/drive .metadata.uid)
check_output "nobody else on the node reads the seeds" '^600$' on_node 1 stat -c %a "/var/lib/hanok/vms/$uid/seed.iso"
check "delete" k delete vmi drive --timeout=240s
check_fails "its seeds are gone" on_node 1 ls "/var/lib/hanok/vms/$uid"
check_output "its token is not good any more" '401$' who

cat >"$TEST_DIR/broken.yaml" <<'END'
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: no-secret}
spec:
  domain: {memory: {guest: 64Mi}, devices: {}}
  volumes: [{name: seed, cloudInitNoCloud: {secretRef: {name: nowhere}}}]
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: no-answers}
spec:
  domain: {memory: {guest: 64Mi}, devices: {}}
  volumes: [{name: answers, sysprep: {configMap: {name: settings}}}]
END
check "apply what can't start" k apply -f "$TEST_DIR/broken.yaml"
check "a Secret that is not there is named" eventually 60 matches 'nowhere' k describe vmi no-secret
check "so are answers that are missing" eventually 60 matches 'Sysprep drive should contain autounattend.xml' k describe vmi no-answers
check "delete them" k delete -f "$TEST_DIR/broken.yaml" --timeout=120s
finish
