#!/bin/bash
# Logs, exec and the like are passed on to the node's agent: where, with which certificate, and what comes back.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null
here=$(dirname "$0")

"$HANOK" kubeconfig --data "$SERVER_DIR" --node n1 --server "https://127.0.0.1:$SERVER_PORT" >"$TEST_DIR/n1.kubeconfig"
check_output "a node's kubeconfig works" 'kube-system' k --kubeconfig "$TEST_DIR/n1.kubeconfig" get ns
awk '/client-certificate-data:/ { print $2 }' "$TEST_DIR/n1.kubeconfig" | base64 -d >"$TEST_DIR/n1.crt"
awk '/client-key-data:/ { print $2 }' "$TEST_DIR/n1.kubeconfig" | base64 -d >"$TEST_DIR/n1.key"
check_output "its certificate names the node" 'O = system:nodes, CN = system:node:n1' openssl x509 -noout -subject -in "$TEST_DIR/n1.crt"

python3 "$here/fake_node.py" "$TEST_DIR/ca.crt" "$TEST_DIR/n1.crt" "$TEST_DIR/n1.key" >"$TEST_DIR/node.port" &
node_pid=$!
eventually 20 test -s "$TEST_DIR/node.port"
node_port=$(cat "$TEST_DIR/node.port")

k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Node
metadata: {name: n1}
END
raw /api/v1/nodes/n1/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"status":{
	"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],
	"daemonEndpoints":{"kubeletEndpoint":{"Port":'"$node_port"'}}}}' >/dev/null
check_output "a node gets a pod range" '^10\.244\.0\.0/24$' k_field node/n1 .spec.podCIDR
pod() {
	k create -f - >/dev/null <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: $1}
		spec: {nodeName: n1, containers: [{name: c, image: i}]}
	END
}
pod p1
raw /api/v1/namespaces/default/pods/p1/status -X PATCH -H 'Content-Type: application/merge-patch+json' \
	-d '{"status":{"phase":"Running","containerStatuses":[{"name":"c","image":"i","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}]}}' >/dev/null

check_output "kubectl logs" 'kube-apiserver-kubelet-client GET /containerLogs/default/p1/c.*end' k logs p1
check_output "its options are passed on" 'containerLogs/default/p1/c\?follow=true&sinceSeconds=3600&timestamps=true&tailLines=5' \
	k logs p1 -f --tail=5 --since=1h --timestamps
check_refused "previous of what never ended" 'previous terminated container "c" in pod "p1" not found' k logs p1 --previous
check_refused "no such container" 'container nope is not valid for pod p1|container nope not found' k logs p1 -c nope
check_output "a number that is none" '"code":400' raw '/api/v1/namespaces/default/pods/p1/log?tailLines=many'
check_output "too few lines" 'tailLines: Invalid value: -1.*"code":422' raw '/api/v1/namespaces/default/pods/p1/log?tailLines=-1' 

pod broken
check_fails "an answer that is cut short is no whole one" raw /api/v1/namespaces/default/pods/broken/log --fail
pod refused
check_output "what the agent refuses is passed on" '^400$' raw /api/v1/namespaces/default/pods/refused/log -o /dev/null -w '%{http_code}'

upgrade() { python3 "$here/upgrade.py" "127.0.0.1:$SERVER_PORT" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" "$@"; }
check_output "exec becomes a stream to the agent" '101 Switching Protocols.*X-Stream-Protocol-Version: v4.*POST /exec/default/p1/c\?command=sh&command=-c&command=echo%20a&input=1&output=1&tty=1.*HELLO' \
	upgrade POST '/api/v1/namespaces/default/pods/p1/exec?command=sh&command=-c&command=echo%20a&stdin=true&stdout=true&tty=true&container=c' hello
check_output "attach" 'GET /attach/default/p1/c\?output=1.*HELLO' \
	upgrade GET '/api/v1/namespaces/default/pods/p1/attach?stdout=true' hello
check_output "port forwarding" 'POST /portForward/default/p1.*HELLO' \
	upgrade POST /api/v1/namespaces/default/pods/p1/portforward hello

kill $node_pid
wait $node_pid 2>/dev/null
check_output "an agent that is gone" 'error dialing backend: dial tcp 127.0.0.1:[0-9]+: connect: connection refused.*"code":500' raw /api/v1/namespaces/default/pods/p1/log
check_refused "in words for people" '^Error from server: error dialing backend: dial tcp 127.0.0.1:[0-9]+: connect: connection refused$' k logs p1
check_output "the server goes on" 'ok' raw /readyz
# Another node's agent at n1's address: its certificate is good, but not n1's.
"$HANOK" kubeconfig --data "$SERVER_DIR" --node n2 --server "https://127.0.0.1:$SERVER_PORT" >"$TEST_DIR/n2.kubeconfig"
awk '/client-certificate-data:/ { print $2 }' "$TEST_DIR/n2.kubeconfig" | base64 -d >"$TEST_DIR/n2.crt"
awk '/client-key-data:/ { print $2 }' "$TEST_DIR/n2.kubeconfig" | base64 -d >"$TEST_DIR/n2.key"
python3 "$here/fake_node.py" "$TEST_DIR/ca.crt" "$TEST_DIR/n2.crt" "$TEST_DIR/n2.key" >"$TEST_DIR/other.port" &
other_pid=$!
eventually 20 test -s "$TEST_DIR/other.port"
raw /api/v1/nodes/n1/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"status":{
	"daemonEndpoints":{"kubeletEndpoint":{"Port":'"$(cat "$TEST_DIR/other.port")"'}}}}' >/dev/null
check_output "no other node answers in a node's place" 'error dialing backend: .*"code":500' raw /api/v1/namespaces/default/pods/p1/log
kill $other_pid

finish
