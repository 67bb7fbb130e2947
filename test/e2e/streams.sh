#!/bin/bash
# exec, attach, run, cp and port-forward with the oldest and the newest kubectl there is (all of them with KUBECTL_ALL):
# up to 1.29 they speak SPDY, later ones WebSockets, port-forward since 1.31 SPDY within WebSockets.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-streams
IMAGE=registry.lab:5000/web:latest

cat >"$TEST_DIR/pods.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: target, labels: {app: target}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: $IMAGE}
  - {name: shell, image: $IMAGE, stdin: true, tty: true, command: [sh]}
  - {name: cat, image: $IMAGE, stdin: true, command: [cat]}
  - {name: other, image: $IMAGE, command: [httpd, -f, -p, "81", -h, /etc]}
  - {name: victim, image: $IMAGE, command: [sleep, "1000"]}
---
apiVersion: v1
kind: Service
metadata: {name: target}
spec: {selector: {app: target}, ports: [{name: web, port: 8080, targetPort: 80}, {name: dns, port: 53, protocol: UDP}]}
END
check "a pod of several containers" k apply -f "$TEST_DIR/pods.yaml"
check "it runs" k wait --for=condition=Ready pod/target --timeout=120s
head -c 20000000 /dev/urandom >"$TEST_DIR/big"

through() { echo through | k exec -i target -c web -- cat; }
both_ways() { head -c 3000000 "$TEST_DIR/big" | k exec -i target -c web -- cat | cmp - <(head -c 3000000 "$TEST_DIR/big"); }
# What ends its input detaches it: not before the answer is there.
attach() {
	{ echo "$1"; eventually 15 grep -q "$1" "$TEST_DIR/attached"; } | k attach -i target -c cat >"$TEST_DIR/attached" 2>&1
	local status=$?
	cat "$TEST_DIR/attached"
	return $status
}
on_terminal() { python3 "$TEST_ROOT/test/terminal.py" 120 "${@:2}" -- env HOME="$TEST_DIR" sh -c "stty rows 33 cols 99; exec $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-streams $1"; }
# start_forward TARGET PORTS...: until end_forward; its words are in forward.log.
start_forward() {
	HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" -n e2e-streams port-forward "$@" >"$TEST_DIR/forward.log" 2>&1 &
	forwarder=$!
	local ports=$(($# - 1))
	eventually 10 forwards $ports >/dev/null
}
forwards() { [ "$(grep -c '^Forwarding from 127.0.0.1' "$TEST_DIR/forward.log")" -ge "$1" ]; }
end_forward() {
	kill "$forwarder" 2>/dev/null
	wait "$forwarder" 2>/dev/null
	true
}

streams_of() {
	local v=$1 a b
	check_output "$v: exec passes stdin" '^through$' through
	check "$v: large amounts both ways at once" both_ways
	check_refused "$v: exec gives the exit code" 'exit code 5' k exec target -c web -- sh -c 'exit 5'
	check_output "$v: stderr apart from stdout" '^out$' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE -n e2e-streams exec target -c web -- sh -c 'echo out; echo err >&2' 2>/dev/null"
	check_output "$v: attach" "attached $v\$" attach "attached $v"
	check_output "$v: a terminal by exec, with its size" '42.*33 99' on_terminal "exec -it target -c web -- sh" 'expect:# ' 'send:echo $((6*7)); until stty size 2>/dev/null | grep 33; do usleep 10000; done; exit 3\n' end:3
	check_output "$v: attach to a terminal" "33 99" on_terminal "attach -it target -c shell" 'send:\n' 'expect:# ' 'send:until stty size | grep 33; do usleep 10000; done\n' 'expect:33 99'
	check "$v: cp into the pod" k cp "$TEST_DIR/big" target:/tmp/big -c web
	check "$v: and back" k cp target:/tmp/big "$TEST_DIR/back" -c web
	check "$v: unharmed" cmp "$TEST_DIR/big" "$TEST_DIR/back"
	check_output "$v: run -it --rm" 'it 42' on_terminal "run -it --rm once-${v//./-} --image=$IMAGE --restart=Never --command -- sh" 'expect:# ' 'send:echo it $((6*7)); exit 0\n' 'expect:it 42' end:0
	a=$(free_port) b=$(free_port)
	start_forward pod/target "$a:80" "$b:81"
	check "$v: port-forward to a pod" eventually 20 matches '^container target' curl -sS --max-time 5 "http://127.0.0.1:$a/"
	check "$v: and its second port" eventually 20 matches '^root:' curl -sS --max-time 5 "http://127.0.0.1:$b/passwd"
	check "$v: again on the same" eventually 20 matches '^container target' curl -sS --max-time 5 "http://127.0.0.1:$a/"
	end_forward
	a=$(free_port)
	start_forward service/target "$a:web"
	check "$v: port-forward to a service, by the port's name" eventually 20 matches '^container target' curl -sS --max-time 5 "http://127.0.0.1:$a/"
	end_forward
	a=$(free_port)
	start_forward pod/target "$a:7"
	check_fails "$v: port-forward to where nobody listens" curl -sS --max-time 5 "http://127.0.0.1:$a/"
	check "$v: tells so" eventually 5 grep -q 'an error occurred forwarding .* -> 7: error forwarding port 7 to pod .*connection refused' "$TEST_DIR/forward.log"
	end_forward
}

versions() {
	local found
	found=$(find "$(dirname "$(readlink -f "$(command -v kubectl)")")" -maxdepth 1 -name 'kubectl.1.*' | sort -V)
	if [ -n "${KUBECTL_ALL:-}" ]; then echo "$found"; else echo "$found" | sed -n '1p;$p'; fi
}
found=$(versions)
for client in ${found:-kubectl}; do
	KUBECTL=$client
	streams_of "${client##*/kubectl.}"
done

check_refused "UDP can't be forwarded" 'UDP protocol is not supported' k port-forward service/target 5353:53
many() {
	local i pids=()
	for i in $(seq 20); do k exec target -c web -- sh -c "echo $i; cat /etc/passwd" >"$TEST_DIR/many.$i" & pids+=($!); done
	for i in "${pids[@]}"; do wait "$i" || return; done
	for i in $(seq 20); do [ "$(head -n 1 "$TEST_DIR/many.$i")" = "$i" ] || return; done
}
check "twenty at a time" many

# A client that goes away, and a container that ends.
HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" -n e2e-streams exec -i target -c web -- sh -c 'read left_alone' < <(sleep 20) >/dev/null 2>&1 &
client=$!
catting() { k exec target -c web -- sh -c 'for p in /proc/[0-9]*; do tr "\0" " " <$p/cmdline; echo; done' | grep -q '^sh -c read left_alone'; }
left() { ! catting; }
check "a command that waits for its client" eventually 10 catting
kill -9 $client
wait $client 2>/dev/null
check "ends when that has gone" eventually 10 left
k exec target -c victim -- sleep 1000 >"$TEST_DIR/victim.log" 2>&1 &
client=$!
sleeping() { k exec target -c victim -- sh -c 'grep -c sleep /proc/[0-9]*/comm' | grep -c ':1' | grep -q 2; }
check "a command in a container" eventually 10 sleeping
on_node 1 sh -c "ctr -n k8s.io tasks kill -s KILL $(k get pod target -o "jsonpath={.status.containerStatuses[?(@.name=='victim')].containerID}" | sed 's,.*//,,')"
ended() { ! kill -0 $client 2>/dev/null; }
check "ends with the container" eventually 10 ended
wait $client
check_output "and the client is told" '^137$' echo $?
check "delete" k delete -f "$TEST_DIR/pods.yaml" --timeout=120s
finish
