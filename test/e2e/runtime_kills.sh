#!/bin/bash
# kill -9 of the node agent and of containerd in turn, 50 times, while pods come and go: what ran runs on, everything
# converges, nothing is started twice, and when the pods are gone nothing of them is left on the host.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-runtime-kills
ROUNDS=${KILL_ROUNDS:-50}
STARTS=$LAB/node1/var/lib/e2e-runtime-kills # as a pod's hostPath it is /var/lib/e2e-runtime-kills
mkdir -p "$STARTS" && rm -f "$STARTS/starts"

# What pods leave traces in, as sorted lines; only of pods, so that the lab's others do not matter while they stay. A
# network namespace that containerd made and did not come to record before it was killed is known to nobody: it is empty,
# and not counted.
traces() {
	on_node 1 sh -c '
		empty_netns() { case $1 in */netns/cni-*) [ "$(nsenter --net="$1" ip -o link | wc -l)" = 1 ] ;; *) false ;; esac; }
		ctr -n k8s.io containers ls -q | sed "s/^/container /"
		ctr -n k8s.io tasks ls -q | sed "s/^/task /"
		awk "{ print \"mount\", \$5 }" /proc/self/mountinfo | grep -E "/(pods|containerd|netns)/" | while read -r kind path; do
			empty_netns "$path" || echo "$kind $path"
		done
		ip -o link show type veth | awk "{ print \"veth\", \$2 }" | sed "s/@.*//"
		ls /var/lib/cni/networks/*/ 2>/dev/null | grep -E "^[0-9a-f]+[.:]" | sed "s/^/address /"
		find /sys/fs/cgroup -type d -path "*kubepods*" -name "*pod*" ! -name "kubepods*" 2>/dev/null | sed "s/^/cgroup /"
		ls /var/lib/hanok/pods 2>/dev/null | sed "s/^/directory /"
		ls /var/log/pods 2>/dev/null | sed "s/^/log /"
		nft -j list ruleset 2>/dev/null | python3 -c "
import json, sys
for item in json.load(sys.stdin)[\"nftables\"]:
    for kind in (\"set\", \"map\"):
        name = item.get(kind, {}).get(\"name\", \"\")
        for element in item.get(kind, {}).get(\"elem\", []):
            if name not in (\"affinity\", \"cluster\"):
                print(\"rule\", item[kind][\"table\"], name, json.dumps(element, sort_keys=True))
"' | sort
}

start_pod() {
	k create -f - <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: once-$1, labels: {once: "yes"}}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 0
		  containers:
		  - name: c
		    image: registry.lab:5000/web:latest
		    imagePullPolicy: IfNotPresent
		    command: [sh, -c, "echo \$(hostname) >>/starts/starts; cat /page/title; exec sleep $2"]
		    ports: [{containerPort: 80, hostPort: $((21000 + $1))}]
		    volumeMounts: [{name: starts, mountPath: /starts}, {name: page, mountPath: /page}, {name: scratch, mountPath: /scratch}]
		  volumes:
		  - {name: starts, hostPath: {path: /var/lib/e2e-runtime-kills, type: Directory}}
		  - {name: page, configMap: {name: page}}
		  - {name: scratch, emptyDir: {medium: Memory}}
	END
}

check "a config map" k create configmap page --from-literal=title=page
# One pod before the count, so that what a first pod makes for good is there.
check "a first pod" start_pod 0 0
first_ended() { matches Succeeded k_field pod/once-0 .status.phase; }
check "ends" eventually 30 first_ended
check "and goes" k delete pod once-0 --timeout=120s
rm -f "$STARTS/starts"
traces >"$TEST_DIR/before"

cat >"$TEST_DIR/stay.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: stay}
spec:
  replicas: 3
  selector: {matchLabels: {app: stay}}
  template:
    metadata: {labels: {app: stay}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: registry.lab:5000/web:latest
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 80, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /page}, {name: scratch, mountPath: /scratch}]
      volumes: [{name: page, configMap: {name: page}}, {name: scratch, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: stay}
spec: {selector: {app: stay}, ports: [{port: 80, targetPort: http}]}
END
check "pods that stay" k apply -f "$TEST_DIR/stay.yaml"
check "run" k rollout status deployment/stay --timeout=120s
# Containers as the kernel knows them: their processes with the time that these were started.
stayers() {
	on_node 1 sh -c '
		for task in $(ctr -n k8s.io containers ls -q "labels.\"io.kubernetes.pod.namespace\"==e2e-runtime-kills,labels.\"io.kubernetes.pod.name\"~=^stay-"); do
			pid=$(ctr -n k8s.io tasks ls | awk -v task=$task "\$1 == task { print \$2 }")
			echo $task $(cut -d" " -f1,22 /proc/$pid/stat)
		done' | sort
}
before=$(stayers)
check "three sandboxes and three containers" test "$(wc -l <<<"$before")" = 6

# Without grace: SIGKILL, and waits until the process is gone.
kill_agent() { lab_service_end node1 hanok-node 0 && eventually 20 lab_node_up 1; }
kill_runtime() { lab_service_end node1 containerd 0 && eventually 30 lab_containerd_up 1; }
all_run() { k rollout status deployment/stay --timeout=1s && k wait --for=condition=Ready node/node1 --timeout=1s; }
failed_rounds=0
for ((round = 1; round <= ROUNDS; round++)); do
	# Pods begin, end and are deleted in the midst of it.
	[ $((round % 3)) != 1 ] || start_pod "$round" $((round % 2 * 1000)) >/dev/null 2>&1 || failed_rounds=$((failed_rounds + 1))
	[ $((round % 6)) != 0 ] || k delete pod --wait=false "once-$((round - 5))" >/dev/null 2>&1 || failed_rounds=$((failed_rounds + 1))
	# Another moment of what is under way is hit each time.
	sleep "0.$((round * 37 % 90 + 10))"
	if [ $((round % 2)) = 0 ]; then kill_agent; else kill_runtime; fi >/dev/null 2>&1 || failed_rounds=$((failed_rounds + 1))
done
check "all rounds: killed and started again" test $failed_rounds = 0
check "everything is Ready after $ROUNDS kills" eventually 60 all_run
check "the same containers run as before" test "$(stayers)" = "$before"
check_output "none was restarted" '^0 0 0$' k get pods -l app=stay -o 'jsonpath={.items[*].status.containerStatuses[0].restartCount}'
settled() { ! k get pods -l once=yes -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}' | grep -vE ' (Running|Succeeded|Failed)$'; }
check "pods that came meanwhile run or have ended" eventually 60 settled
check_output "none was started twice" '^$' sh -c "sort '$STARTS/starts' | uniq -d"
check "most were started" test "$(wc -l <"$STARTS/starts")" -ge $((ROUNDS / 3 * 7 / 10))

check "delete them" k delete pods,deployments,services --all --timeout=240s
no_pods() { [ "$(k_count pods)" = 0 ]; }
check "they go" eventually 60 no_pods
# What an earlier test's pods still had at the beginning may go meanwhile.
nothing_left() { local left; left=$(LC_ALL=C comm -13 <(LC_ALL=C sort "$TEST_DIR/before") <(traces | LC_ALL=C sort)); echo "$left"; [ -z "$left" ]; }
check "no sandbox, container, mount, veth, address, rule, cgroup, directory or log is left over" eventually 60 nothing_left
k delete namespace e2e-runtime-kills --wait=false >/dev/null
rm -rf "$STARTS"
finish
