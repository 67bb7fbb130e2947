#!/bin/bash
# The samples: one Service whose ClusterIP and NodePort are answered by containers and the virtual machine in turn; and
# nothing for a service address ever leaves the host.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-services

# Counts, in the fabric, what comes to it for addresses that belong inside a host.
lab_in fabric nft -f - <<'END'
table bridge leak {
	chain seen {
		type filter hook prerouting priority 0;
		ip daddr 10.0.0.0/8 counter
	}
}
END
leaked() { lab_in fabric nft list table bridge leak | sed -n 's/.*counter packets \([0-9]*\).*/\1/p'; }

check "apply the samples" k apply -f "$TEST_ROOT/samples"
check "containers are rolled out" k rollout status deployment/web --timeout=240s
check "the machine is Ready" k wait --for=condition=Ready vm/web-vm --timeout=240s
check "three endpoints" eventually 60 matches '([0-9.]+ ){2}[0-9.]+$' k get endpoints web -o 'jsonpath={.subsets[*].addresses[*].ip}'
check_output "and a slice with them" 'web-' k get endpointslices -l kubernetes.io/service-name=web
address=$(k_field service/web .spec.clusterIP)
ask() { on_node 1 sh -c "for i in \$(seq $1); do curl -s --max-time 5 http://$2/ || echo none; done" | sort | uniq -c; }
answered() { on_node 1 sh -c "for i in \$(seq $1); do curl -sf --max-time 30 http://$address/; done" | wc -l; }
check "the ClusterIP is answered by both kinds" eventually 90 matches 'container web-.*virtual machine web-vm' ask 12 "$address"
check_output "every one of 60 requests is answered" '^60$' answered 60
check_output "the NodePort is answered by both kinds" 'container web-.*virtual machine web-vm' ask 30 "172.31.0.1:30080"
pod=$(k get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')
check_output "a pod reaches the service, itself included" 'container' k exec "$pod" -- sh -c "for i in 1 2 3 4 5 6 7 8; do wget -q -O - http://$address/; done"
base=/api/v1/namespaces/e2e-services
check_output "a pod through the API" "^container $pod" k get --raw "$base/pods/$pod:80/proxy/"
check_output "a service through the API" '(container|virtual machine) web' k get --raw "$base/services/web:80/proxy/"
# Newer kubectls tunnel SPDY in a WebSocket, and fall back in silence: what is said of it is looked at.
forwarded() {
	local log=$TEST_DIR/forward.log pid port status=1
	k port-forward -v 9 "pod/$pod" :80 >"$log" 2>&1 &
	pid=$!
	if eventually 20 grep -q '^Forwarding from 127' "$log"; then
		port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' "$log")
		curl -s --max-time 10 "http://127.0.0.1:$port/" && curl -s --max-time 10 "http://127.0.0.1:$port/" && status=0
	fi
	kill $pid
	wait $pid 2>/dev/null
	grep -iE 'tunnel|websocket|fallback' "$log" | sed 's/^/log: /'
	return $status
}
check_output "port-forward" "container $pod.*container $pod" forwarded
if "$KUBECTL" version --client -o json | grep -qE '"gitVersion": "v1\.(3[1-9]|[4-9][0-9])'; then
	check_output "by a tunnel in a WebSocket" 'log: .*SPDY/3.1\+portforward.k8s.io' forwarded
	check_fails "without falling back" bash -c "grep -i 'fallback to SPDY' '$TEST_DIR/forward.log'"
fi
check_output "another host in the fabric reaches the NodePort" '(container|virtual machine) web' \
	lab_in fabric curl -s --max-time 30 http://172.31.0.1:30080/

check "without containers only the machine answers" k scale deployment web --replicas=0
check "and it does" eventually 40 matches '^ *8 virtual machine web-vm$' ask 8 "$address"
check "without the machine too" k delete vm web-vm --timeout=120s
# 7: could not connect; a packet that is dropped would be 28, time is over.
refusal() { on_node 1 curl -s --max-time 2 "http://$address/" || echo "curl: $?"; }
check "a service without endpoints refuses at once" eventually 30 matches 'curl: 7$' refusal
before=$(leaked)
on_node 1 sh -c "for last in 11 77 200; do curl -s --max-time 1 http://\${1%.*}.\$last:81/; done" sh "$address"
check "addresses of the service range that are no service stay inside" test "$(leaked)" = "$before"
check "nothing at all for an inside address was ever seen outside ($(leaked))" test "$(leaked)" = 0
check "delete the samples" k delete -f "$TEST_ROOT/samples" --ignore-not-found --timeout=120s
lab_in fabric nft delete table bridge leak
finish
