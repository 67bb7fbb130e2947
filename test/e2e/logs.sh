#!/bin/bash
# Logs: every flag of kubectl, rotation and reading over it, long and partial lines, messages of the end, links for
# collectors.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-logs
raw /version >/dev/null # once, not in a subshell
IMAGE=registry.lab:5000/web:latest

# A pod that writes what it is told to: commands in a pipe.
cat >"$TEST_DIR/pods.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: writer, labels: {app: logs}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $IMAGE
    command: [sh, -c, "mkfifo /tmp/do; exec 3<>/tmp/do; echo ready; while read -r line <&3; do eval \"\$line\"; done"]
  - name: second
    image: $IMAGE
    command: [sh, -c, "echo from the second; sleep 1000"]
---
apiVersion: v1
kind: Pod
metadata: {name: both, labels: {app: logs}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: $IMAGE
    command: [sh, -c, "for i in 1 2 3 4 5; do echo out \$i; sleep 0.2; echo err \$i >&2; sleep 0.2; done"]
---
apiVersion: v1
kind: Pod
metadata: {name: long}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: $IMAGE
    command: [sh, -c, "echo first; head -c 1048576 /dev/zero | tr '\\\\0' x; echo; printf '\\\\001\\\\377\\\\000bin\\\\n'; echo -n last"]
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $IMAGE, command: [sh, -c, "echo run at \$(cat /proc/uptime); sleep 1; exit 1"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: no-image}
spec:
  containers: [{name: c, image: "registry.lab:5000/web:no-such-tag"}]
---
apiVersion: v1
kind: Pod
metadata: {name: no-volume}
spec:
  containers: [{name: c, image: $IMAGE, volumeMounts: [{name: v, mountPath: /v}]}]
  volumes: [{name: v, configMap: {name: not-there}}]
---
apiVersion: v1
kind: Pod
metadata: {name: message}
spec:
  restartPolicy: Never
  containers:
  - {name: file, image: $IMAGE, command: [sh, -c, "echo in the log; echo why >/dev/termination-log; exit 2"]}
  - {name: own-path, image: $IMAGE, terminationMessagePath: /tmp/end, command: [sh, -c, "echo elsewhere >/tmp/end"]}
  - {name: from-log, image: $IMAGE, terminationMessagePolicy: FallbackToLogsOnError, command: [sh, -c, "echo in the log; exit 2"]}
  - {name: good-end, image: $IMAGE, terminationMessagePolicy: FallbackToLogsOnError, command: [sh, -c, "echo in the log"]}
  - {name: much, image: $IMAGE, command: [sh, -c, "yes message | head -c 9000 >/dev/termination-log"]}
  - {name: much2, image: $IMAGE, command: [sh, -c, "yes message | head -c 9000 >/dev/termination-log"]}
END
check "pods that write" k apply -f "$TEST_DIR/pods.yaml"
check "they run" k wait --for=condition=Ready pod/writer --timeout=120s
# By tee: containerd 1.6 closes the input of a command as soon as that has closed its output.
tell() { k exec -i writer -c c -- tee /tmp/do <<<"$1" >/dev/null; }
said() { eventually 10 matches "$1" k logs writer -c c --tail=1; }
lines() { "$@" | wc -l; }
phase_is() { [ "$(k_field "pod/$1" .status.phase)" = "$2" ]; }
check "one ends" eventually 20 phase_is both Succeeded

# Flags.
check_output "all of it, both streams" '^10$' lines k logs both
check_output "--tail" '^err 5$' k logs both --tail=1
check_output "--tail=0" '^0$' lines k logs both --tail=0
check_output "--timestamps have nine decimals" '^[0-9-]{10}T[0-9:]{8}\.[0-9]{9}(Z|[+-][0-9:]{5}) out 1' k logs both --timestamps
check_output "--limit-bytes" '^out 1.er$' k logs both --limit-bytes=8
check_output "--since-time in the future" '^0$' lines k logs both --since-time="$(date -u -d '+1 hour' +%FT%TZ)"
middle() { local at; at=$(k logs both --timestamps | sed -n 's/ out 3$//p'); raw "/api/v1/namespaces/e2e-logs/pods/both/log?sinceTime=$at" | head -n 1; }
check_output "--since-time within" '^out 3$' middle
check_output "--since" '^10$' lines k logs both --since=10m
check_output "-l with --prefix" '\[pod/both/c\] out 1' k logs -l app=logs --all-containers --prefix --tail=20
check_output "--all-containers" 'from the second' k logs writer --all-containers
check_output "stream=Stderr" '^err 1.err 2.err 3.err 4.err 5$' raw "/api/v1/namespaces/e2e-logs/pods/both/log?stream=Stderr"
check_output "stream=Stdout" '^out 1.out 2.out 3.out 4.out 5$' raw "/api/v1/namespaces/e2e-logs/pods/both/log?stream=Stdout"
check_output "a stream that is none" 'supported values: ' raw "/api/v1/namespaces/e2e-logs/pods/both/log?stream=Stdin"
check_output "a container must be named" 'a container name must be specified for pod message, choose one of: .file own-path' raw "/api/v1/namespaces/e2e-logs/pods/message/log"
check_refused "of a container that is not there" 'container nothing is not valid for pod writer' k logs writer -c nothing

# What can't be had, in the words that users know.
check_refused "--previous of a first run" 'previous terminated container "c" in pod "writer" not found' k logs writer -c c --previous
check "no image: why" eventually 20 matches 'container "c" in pod "no-image" is waiting to start: trying and failing to pull image' k logs no-image --ignore-errors
check_refused "no volume: why" 'container "c" in pod "no-volume" is waiting to start: ContainerCreating' k logs no-volume
check "a second run" eventually 20 matches '[1-9]' k_field pod/again '.status.containerStatuses[0].restartCount'
differ() { [ "$(k logs again --previous)" != "$(k logs again)" ]; }
check "--previous is the run before" eventually 20 differ

# Long lines come in one, whatever is in them.
check "the pod of long lines has ended" eventually 20 phase_is long Succeeded
check_output "a line of 1 MiB" '^1048577$' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-logs logs long | sed -n 2p | wc -c"
check_output "bytes as they were" '01 ff 00 62 69 6e 0a 6c 61 73 74' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-logs logs long | tail -c 11 | od -An -tx1"
check_output "one line of it is a whole one" '^1048588$' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-logs logs long --tail=3 | wc -c"

# Messages of the end: 12 KiB for all six.
message() { k get pod message -o "jsonpath={.status.containerStatuses[?(@.name=='$1')].state.terminated.message}"; }
check "the pod with messages has ended" eventually 20 phase_is message Failed
check_output "from the file" '^why$' message file
check_output "from another file" '^elsewhere$' message own-path
check_output "from the log" '^in the log$' message from-log
check_output "not when all went well" '^$' message good-end
message_size() { message "$1" | wc -c; }
check_output "its share of the pod's" '^204[678]$' message_size much

# Rotation: a follower sees every line once, readers see all files as one.
writer_uid=$(k_field pod/writer .metadata.uid)
log_dir=$LAB/node1/var/log/pods/e2e-logs_writer_$writer_uid/c
k logs -f writer -c c >"$TEST_DIR/follow.log" 2>&1 &
follower=$!
rotated() { [ "$(find "$log_dir" -name '0.log.*' ! -name '*.tmp' | wc -l)" -ge "$1" ]; }
tell 'seq 1 260000; echo one'
check "the first part is written" said '^one$'
check "its file is rotated" eventually 25 rotated 1
tell 'seq 260001 520000; echo two'
check "the second" said '^two$'
check "rotated, too" eventually 25 rotated 2
tell 'echo three'
check "the third" said '^three$'
check_output "the older file is compressed" '\.gz$' bash -c "find $log_dir -name '*.gz'"
check "the follower gets the last line" eventually 10 grep -q '^three$' "$TEST_DIR/follow.log"
kill $follower
wait $follower 2>/dev/null
{ echo ready; seq 1 260000; echo one; seq 260001 520000; echo two; echo three; } >"$TEST_DIR/wanted.log"
check "it has seen every line once" cmp "$TEST_DIR/wanted.log" "$TEST_DIR/follow.log"
k logs writer -c c >"$TEST_DIR/all.log" 2>&1
check "so has who asks later" cmp "$TEST_DIR/wanted.log" "$TEST_DIR/all.log"
tail -n 270000 "$TEST_DIR/wanted.log" >"$TEST_DIR/tail.wanted"
k logs writer -c c --tail=270000 >"$TEST_DIR/tail.log" 2>&1
check "a tail over three files" cmp "$TEST_DIR/tail.wanted" "$TEST_DIR/tail.log"

# Links for collectors of logs.
container=$(k get pod writer -o "jsonpath={.status.containerStatuses[?(@.name=='c')].containerID}")
link=$LAB/node1/var/log/containers/writer_e2e-logs_c-${container#*://}.log
check_output "a link for collectors" "^/var/log/pods/e2e-logs_writer_$writer_uid/c/0.log$" readlink "$link"
check "delete" k delete pod --all --timeout=120s
gone() { [ ! -e "$log_dir" ] && [ ! -L "$link" ]; }
check "logs and links are gone" eventually 25 gone
finish
