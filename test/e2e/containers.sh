#!/bin/bash
# A Deployment's life in real containers, with an unmodified kubectl.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-containers

cat >"$TEST_DIR/web.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {title: from a config map}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {key: opensesame}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: registry.lab:5000/web:latest
        env:
        - {name: PLAIN, value: "a value"}
        - {name: TITLE, valueFrom: {configMapKeyRef: {name: page, key: title}}}
        - {name: KEY, valueFrom: {secretKeyRef: {name: key, key: key}}}
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        ports: [{containerPort: 80, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 200m, memory: 32Mi}}
        volumeMounts:
        - {name: page, mountPath: /page}
        - {name: key, mountPath: /key}
        - {name: scratch, mountPath: /scratch}
      volumes:
      - {name: page, configMap: {name: page}}
      - {name: key, secret: {secretName: key}}
      - {name: scratch, emptyDir: {}}
END
check_output "apply" 'deployment.apps/web created' k apply -f "$TEST_DIR/web.yaml"
check_output "rollout status" 'successfully rolled out' k rollout status deployment/web --timeout=120s
check_output "get -o wide shows addresses and the node" 'Running .* [0-9]+\.[0-9]+\.[0-9]+\.[0-9]+ +node1' k get pods -o wide
check_output "get -o jsonpath" '^2$' k_field deployment/web .status.readyReplicas
check_output "get -o yaml" 'hostIP: 172.31.0.1' k get pods -o yaml
pod=$(k get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')
# kubectl sorts them by their second: within that their order is any.
events_of() { k describe "$@" | sed -n '/^Events:/,$p' | awk '{ print $2 }' | sort | tr '\n' ' '; }
check "describe shows the events of the start" eventually 10 matches 'Created .*Pulled .*Scheduled .*Started ' events_of pod "$pod"
log_lines() { k logs "$pod" --tail="$1" | wc -l; }
check_output "logs" 'serving container web-' k logs "$pod"
check_output "logs --tail" '^1$' log_lines 1
check_output "exec" "^$pod" k exec "$pod" -- hostname
check_refused "exec returns the command's exit code" 'exit code 7' k exec "$pod" -- sh -c 'exit 7'
check_output "environment: value, config map, secret, field" "^a value;from a config map;opensesame;$pod" \
	k exec "$pod" -- sh -c 'echo "$PLAIN;$TITLE;$KEY;$POD"'
check_output "volumes: config map, secret" '^from a config mapopensesame$' k exec "$pod" -- cat /page/title /key/key
check "volumes: emptyDir is writable" k exec "$pod" -- touch /scratch/file
check_output "memory limit reached the control group" '^33554432' k exec "$pod" -- \
	sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max'
check_output "exec -it gives a terminal" 'hello 42.*' python3 "$TEST_ROOT/test/terminal.py" 120 \
	'expect:# ' 'send:tty && echo hello $((6*7))\n' 'expect:/dev/pts/[0-9]+\s+hello 42' 'send:exit 3\n' end:3 \
	-- env HOME="$TEST_DIR" kubectl --kubeconfig "$KUBECONFIG_FILE" -n e2e-containers exec -it "$pod" -- sh
pipe_through() { echo piped | k exec -i "$pod" -- cat; }
check_output "stdin passes through exec" '^piped$' pipe_through

k logs -f "$pod" >"$TEST_DIR/follow.log" 2>&1 &
follower=$!
address=$(k_field "pod/$pod" .status.podIP)
check "the node reaches the pod" eventually 20 matches "^container $pod" on_node 1 curl -s --max-time 5 "http://$address/"
on_node 1 curl -s -o /dev/null --max-time 5 "http://$address/followed"
check "logs -f shows what comes" eventually 10 grep -q response:404 "$TEST_DIR/follow.log"
kill $follower
wait $follower 2>/dev/null

k get pods -w -o 'custom-columns=N:.metadata.name,P:.status.phase' >"$TEST_DIR/watch.log" 2>&1 &
watcher=$!
check "scale up" k scale deployment web --replicas=4
check "four are ready" k wait --for='jsonpath={.status.readyReplicas}=4' deployment/web --timeout=120s
check "get -w saw them come" eventually 5 matches 'Pending.*Running' cat "$TEST_DIR/watch.log"
kill $watcher
wait $watcher 2>/dev/null
check "scale down" k scale deployment web --replicas=2
check "two are left" eventually 40 matches '^2$' k_count pods

check "label a pod" k label pod "$pod" checked=yes
check_output "and find it by that" "^pod/$pod" k get pods -l checked=yes -o name
check "set image" k set image deployment/web web=registry.lab:5000/web:none
check "the new pod waits for an image that does not exist" eventually 60 matches 'ErrImagePull|ImagePullBackOff' k get pods
check_output "the others still serve" '^2$' k_field deployment/web .status.readyReplicas
check "rollout undo" k rollout undo deployment/web
check_output "undone" 'successfully rolled out' k rollout status deployment/web --timeout=120s
printf '#!/bin/sh\nsed -i "s/^  replicas: 2/  replicas: 1/" "$1"\n' >"$TEST_DIR/editor"
chmod +x "$TEST_DIR/editor"
EDITOR=$TEST_DIR/editor check "edit" k edit deployment web
check "edited" eventually 40 matches '^1$' k_count pods

check "rollout restart" k rollout restart deployment/web
check "rolled" k rollout status deployment/web --timeout=120s
check "delete" k delete -f "$TEST_DIR/web.yaml" --timeout=120s
check "no pod is left" eventually 40 matches '^0$' k_count pods
check_output "nor a container of theirs in containerd" '^$' on_node 1 sh -c 'ctr -n k8s.io containers ls -q "labels.\"io.kubernetes.pod.namespace\"==e2e-containers"'

# A container that ends: restart policy, exit codes, back-off, the log before.
cat >"$TEST_DIR/ends.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  containers: [{name: c, image: registry.lab:5000/web:latest, command: [sh, -c, "echo bye; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: registry.lab:5000/web:latest, command: [sh, -c, "echo try; exit 1"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unhealthy}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 2}
---
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    command: [sh, -c, "head -c 64m /dev/zero | tail"]
    resources: {limits: {memory: 16Mi}}
END
check "apply pods that end" k apply -f "$TEST_DIR/ends.yaml"
check "exit code 3 is Failed, not restarted" eventually 30 matches '^Failed 3 Error 0$' k_field pod/once \
	.status.phase '.status.containerStatuses[0].state.terminated.exitCode' '.status.containerStatuses[0].state.terminated.reason' '.status.containerStatuses[0].restartCount'
check_output "its log stays readable" '^bye$' k logs once
check "a failing container is restarted with back-off" eventually 60 matches 'CrashLoopBackOff' k get pod again
check_output "logs --previous" 'try' k logs again --previous
check "a failing liveness probe restarts" eventually 30 matches '[1-9]' k_field pod/unhealthy '.status.containerStatuses[0].restartCount'
check "too much memory is OOMKilled" eventually 30 matches '^OOMKilled 137$' k_field pod/greedy \
	'.status.containerStatuses[0].state.terminated.reason' '.status.containerStatuses[0].state.terminated.exitCode'
check "delete them" k delete -f "$TEST_DIR/ends.yaml" --timeout=120s
finish
