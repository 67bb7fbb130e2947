#!/bin/bash
# What a pod's volumes are from inside: contents that follow their objects, owners and modes, paths within volumes, what
# is refused and in which words; and that no mount is left when pods go.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-mounts

# mount_count: of this script's pods, whose uids are in $uids; other scripts have pods on this node, too.
mount_count() { on_node 1 sh -c 'grep -c -F "$1" /proc/self/mountinfo || true' sh "$uids"; }
in_pod() { k exec "$1" -- sh -c "$2"; }
told() { # POD TEXT: an event of the pod says so
	k get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}' | grep -F -- "$2"
}
waits_for() { k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].state.waiting}'; }
volume_pod() { # NAME VOLUME [MOUNT]
	k create -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  nodeName: node1
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    command: [sh, -c, "exec sleep 1000"]
    volumeMounts: [{name: v, mountPath: /v${3:-}}]
  volumes: [{name: v, $2}]
END
}

k create configmap follow --from-literal=a=1 --from-literal=b=2 >/dev/null
k create secret generic key --from-literal=password=secret >/dev/null
k create configmap fixed --from-literal=k=v >/dev/null
k patch configmap fixed --type=merge -p '{"immutable":true}' >/dev/null
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: all, labels: {color: red}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, fsGroup: 3000}
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    command: [sh, -c, "exec sleep 1000"]
    volumeMounts:
    - {name: follow, mountPath: /follow}
    - {name: follow, mountPath: /part, subPath: a}
    - {name: fixed, mountPath: /fixed}
    - {name: key, mountPath: /key}
    - {name: info, mountPath: /info}
    - {name: token, mountPath: /token}
    - {name: memory, mountPath: /memory}
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /mine, subPathExpr: logs/$(NAME)}
    - {name: host, mountPath: /host, readOnly: true, recursiveReadOnly: IfPossible}
  volumes:
  - {name: follow, configMap: {name: follow}}
  - {name: fixed, configMap: {name: fixed, defaultMode: 0400}}
  - {name: key, secret: {secretName: key, items: [{key: password, path: deep/pass, mode: 0400}]}}
  - {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: disk, emptyDir: {}}
  - {name: host, hostPath: {path: /tmp/e2e-mounts/made, type: DirectoryOrCreate}}
  - name: token
    projected: {sources: [{serviceAccountToken: {path: t, audience: me, expirationSeconds: 600}}, {configMap: {name: none, optional: true}}]}
END
check "a pod with volumes of all kinds" k wait --for=condition=Ready pod/all --timeout=120s
check_output "belongs to its group" '^1000 3000$' in_pod all 'echo $(id -u) $(id -G | tr " " "\n" | grep 3000)'
check_output "a secret for its group" '^440 0 3000 secret$' in_pod all 'echo $(stat -Lc "%a %u %g" /key/deep/pass) $(cat /key/deep/pass)'
check_output "a defaultMode" '^440 0 3000$' in_pod all 'stat -Lc "%a %u %g" /fixed/k'
check_output "a token for its user and group alone" '^640 1000 3000$' in_pod all 'stat -Lc "%a %u %g" /token/t'
check_output "memory of the size that was asked for" 'tmpfs +1024 ' in_pod all 'df -k /memory'
check_output "a disk that its group may write" '^2777 3000$' in_pod all 'stat -c "%a %g" /disk'
check "a path within a volume, by its name" in_pod all 'echo x >/mine/f && test -e /disk/logs/all/f'
check_fails "a volume that is read-only" in_pod all 'touch /host/x'

k patch configmap follow --type=merge -p '{"data":{"a":"changed","b":null,"c":"3"}}' >/dev/null
k label pod all color=blue --overwrite >/dev/null
check "contents follow within seconds, all at once" \
	eventually 5 matches '^changed3 /follow/a /follow/c$' in_pod all 'echo $(cat /follow/a /follow/c) /follow/*'
check "labels too" eventually 5 in_pod all 'grep blue /info/labels'
check_output "a subPath stays as it was" '^1$' in_pod all 'cat /part'
k delete configmap follow >/dev/null
check "an object that goes is told of" eventually 10 told all 'FailedMount: MountVolume.SetUp failed for volume "follow" : configmap "follow" not found'
check_output "and its contents stay" '^changed$' in_pod all 'cat /follow/a'

# Refusals, in the words that are searched for.
on_node 1 touch /tmp/e2e-mounts/file
on_node 1 ln -sfn /etc /tmp/e2e-mounts/made/out
volume_pod late 'configMap: {name: late}'
volume_pod nokey 'configMap: {name: fixed, items: [{key: zz, path: zz}]}'
volume_pod nodir 'hostPath: {path: /tmp/e2e-mounts/file, type: Directory}'
volume_pod share 'nfs: {server: 127.0.0.1, path: /x}'
volume_pod noclaim 'persistentVolumeClaim: {claimName: none}'
volume_pod escape 'hostPath: {path: /tmp/e2e-mounts/made}' ', subPath: out/passwd'
volume_pod novalue 'emptyDir: {}' ', subPathExpr: $(NOTHING)/x'
volume_pod deep 'emptyDir: {}' ', readOnly: true, recursiveReadOnly: Enabled'
check "a ConfigMap that is missing" eventually 10 told late 'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "late" not found'
k create configmap late --from-literal=k=v >/dev/null
check "is waited for, not long" k wait --for=condition=Ready pod/late --timeout=60s
check "a key that is missing" eventually 10 told nokey 'MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: zz'
check "a hostPath of another type" eventually 10 told nodir 'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /tmp/e2e-mounts/file is not a directory'
check "a kind that is not there" eventually 10 told share 'no support for volumes of type nfs'
check "a claim that is missing" eventually 10 told noclaim 'error processing PVC e2e-mounts/none: failed to fetch PVC from API server: persistentvolumeclaims "none" not found'
check "a subPath out of its volume" eventually 20 matches 'failed to prepare subPath for volumeMount .*v.* of container .*c.*CreateContainerConfigError' \
	waits_for escape
check "a subPathExpr without its value" eventually 20 matches 'missing value for NOTHING.*CreateContainerConfigError' waits_for novalue
deep_read_only() { waits_for deep | grep 'recursive read-only mode, but it is not supported by the runtime' || in_pod deep 'grep " /v .* ro," /proc/mounts'; }
check "recursive read-only is done or refused" eventually 20 deep_read_only

uids=$(k get pods -o 'jsonpath={range .items[*]}/pods/{.metadata.uid}/{"\n"}{end}')
check "the volumes are mounts of these pods" matches '^[1-9]' mount_count
k delete pods --all --timeout=120s >/dev/null
# Pods without a grace period are gone from the server before they are gone from the node.
check "no mount is left" eventually 20 matches '^0$' mount_count
check "what was on the host stays" on_node 1 test -L /tmp/e2e-mounts/made/out
on_node 1 rm -r /tmp/e2e-mounts
k delete configmap/fixed configmap/late secret/key >/dev/null
finish
