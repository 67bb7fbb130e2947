#!/bin/bash
# Claims on real directories: the default class makes a volume on the node that the scheduler chose, contents outlive
# pods, claims grow, and nothing stays when they go.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-volumes

check_output "there is a default class" 'hanok-local \(default\) +hanok.io/local +Delete +WaitForFirstConsumer +true' k get storageclass
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Mi}}
END
check "a claim waits for its first pod" eventually 20 matches 'WaitForFirstConsumer' k describe pvc data
pod() { # NAME COMMAND
	k create -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    command: [sh, -c, "$2"]
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: data, mountPath: /part, subPath: deep/part}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
END
}
pod writer "echo kept >/data/file && echo inside >/part/file"
check "a pod that writes ends well" k wait --for=jsonpath='{.status.phase}'=Succeeded pod/writer --timeout=120s
volume=$(k get pvc data -o 'jsonpath={.spec.volumeName}')
path=$(k get pv "$volume" -o 'jsonpath={.spec.local.path}')
check_output "the claim is bound" "data +Bound +$volume +10Mi +RWO +hanok-local" k get pvc data
check_output "the volume knows its node" 'kubernetes.io/hostname' k get pv "$volume" -o 'jsonpath={.spec.nodeAffinity}'
check_output "the file is on the host" '^kept$' on_node 1 cat "$path/file"
k delete pod writer --timeout=120s >/dev/null
check_output "and stays there without the pod" '^kept$' on_node 1 cat "$path/file"
pod reader "grep kept /data/file && grep inside /data/deep/part/file && exec sleep 1000"
check "another pod reads it" k wait --for=condition=Ready pod/reader --timeout=120s
check "and goes on reading" bash -c "$KUBECTL --kubeconfig '$KUBECONFIG_FILE' -n e2e-volumes exec reader -- grep -q kept /data/file"

check "the claim grows" k patch pvc data --type=merge -p '{"spec":{"resources":{"requests":{"storage":"20Mi"}}}}'
check "and says so" eventually 20 matches '^20Mi$' k get pvc data -o 'jsonpath={.status.capacity.storage}'
check_refused "it can't shrink" 'can not be less than' k patch pvc data --type=merge -p '{"spec":{"resources":{"requests":{"storage":"5Mi"}}}}'

k delete pvc data --wait=false >/dev/null
check_output "a claim in use stays" 'Terminating' k get pvc data
k delete pod reader --timeout=120s >/dev/null
check "without pods it goes, and its volume" eventually 40 bash -c "! $KUBECTL --kubeconfig '$KUBECONFIG_FILE' get pv $volume 2>/dev/null"
check_fails "and the directory" on_node 1 ls "$path"

# An agent that is killed while it takes a volume away: what was put aside is there again for a volume that is to be
# kept, and gone with one that is gone; a directory that nobody knows is left alone.
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Mi}}
END
pod keeper "echo kept >/data/file"
check "a volume to be kept" k wait --for=jsonpath='{.status.phase}'=Succeeded pod/keeper --timeout=120s
volume=$(k get pvc data -o 'jsonpath={.spec.volumeName}')
path=$(k get pv "$volume" -o 'jsonpath={.spec.local.path}')
local=$(dirname "$path")
k patch pv "$volume" --type=merge -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}' >/dev/null
k delete pod/keeper pvc/data --timeout=120s >/dev/null
check "is Released" eventually 20 matches Released k get pv "$volume"
lab_node_end 1
on_node 1 mv "$path" "$local/.removing-$volume"
on_node 1 mkdir "$local/.removing-pvc-gone" "$local/.new-pvc-gone" "$local/pvc-nobodys"
check "the agent starts" lab_node_up 1
check "what was put aside is back" eventually 20 matches '^kept$' on_node 1 cat "$path/file"
check "what has no volume any more is removed" eventually 20 on_node 1 test ! -e "$local/.removing-pvc-gone"
check "and half a copy for a claim that has gone" eventually 20 on_node 1 test ! -e "$local/.new-pvc-gone"
check "a directory that nobody knows stays" on_node 1 rmdir "$local/pvc-nobodys"
k patch pv "$volume" --type=merge -p '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}' >/dev/null
check "and at last it goes" eventually 20 on_node 1 test ! -e "$path"
check "with its volume" eventually 20 bash -c "! $KUBECTL --kubeconfig '$KUBECONFIG_FILE' get pv $volume 2>/dev/null"

k create -f - >/dev/null <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: huge}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 900Ti}}
---
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "registry.lab:5000/web:latest"}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: huge}}]
END
check "more than there is" eventually 40 matches 'ProvisioningFailed.*the claim wants 900Ti, the whole file system of .* has' k describe pvc huge
k delete pod/waits pvc/huge --timeout=120s >/dev/null

# A StatefulSet's claims stay when it shrinks, and come back to the same pod.
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: registry.lab:5000/web:latest
        command: [sh, -c, "hostname >>/data/who; exec sleep 1000"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
END
check "a stateful set" k rollout status statefulset/db --timeout=240s
check_output "a volume is made once, and said so once" '^1$' k get events -o 'jsonpath={.items[*].count}' \
	--field-selector reason=ProvisioningSucceeded,involvedObject.name=data-db-0
check_output "has a volume for each" '^2$' bash -c "$KUBECTL --kubeconfig '$KUBECONFIG_FILE' -n e2e-volumes get pvc -l app=db -o name | wc -l"
k delete pod db-1 --timeout=120s >/dev/null
check "its pod comes back" k rollout status statefulset/db --timeout=120s
check_output "to what it wrote" '^db-1.db-1.?$' k exec db-1 -- cat /data/who
k delete statefulset/db service/db --timeout=120s >/dev/null
k delete pvc -l app=db --timeout=120s >/dev/null
# Of this test: others may have left theirs.
volumes() { k get pv -o 'jsonpath={range .items[*]}{.spec.claimRef.namespace}{"\n"}{end}' | grep -cx e2e-volumes || true; }
check "no volume is left over" eventually 40 matches '^0$' volumes
finish
