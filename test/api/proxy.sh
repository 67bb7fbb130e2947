#!/bin/bash
# The proxy subresources: what of a request goes on to a pod, a service or a node, and what comes back.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null
here=$(dirname "$0")

"$HANOK" kubeconfig --data "$SERVER_DIR" --node n1 --server "https://127.0.0.1:$SERVER_PORT" >"$TEST_DIR/n1.kubeconfig"
awk '/client-certificate-data:/ { print $2 }' "$TEST_DIR/n1.kubeconfig" | base64 -d >"$TEST_DIR/n1.crt"
awk '/client-key-data:/ { print $2 }' "$TEST_DIR/n1.kubeconfig" | base64 -d >"$TEST_DIR/n1.key"
python3 "$here/fake_node.py" "$TEST_DIR/ca.crt" "$TEST_DIR/n1.crt" "$TEST_DIR/n1.key" >"$TEST_DIR/node.port" &
node_pid=$!
eventually 20 test -s "$TEST_DIR/node.port"
node_port=$(cat "$TEST_DIR/node.port")
merge=(-X PATCH -H 'Content-Type: application/merge-patch+json' -o /dev/null)

k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Node
metadata: {name: n1}
END
raw /api/v1/nodes/n1/status "${merge[@]}" -d '{"status":{"nodeInfo":{"kubeletVersion":"v1.33.0+hanok-0"},
	"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":'"$node_port"'}}}}'
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: p1}
spec: {nodeName: n1, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: local}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80, targetPort: 8080}, {name: tls, port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: astray}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: astray}
subsets: [{addresses: [{ip: 169.254.169.254}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets:
- addresses: [{ip: 10.244.0.5, targetRef: {kind: Pod, name: p1, namespace: default}}]
  ports: [{name: http, port: 8080}, {name: tls, port: 8443}]
END
for pair in p1:10.244.0.5 local:127.0.0.1; do
	raw /api/v1/namespaces/default/pods/${pair%%:*}/status "${merge[@]}" \
		-d '{"status":{"phase":"Running","podIP":"'${pair##*:}'","podIPs":[{"ip":"'${pair##*:}'"}]}}'
done

ns=/api/v1/namespaces/default
code_of() { raw "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
head_of() { raw "$1" -o /dev/null -D - "${@:2}"; }
check_output "a pod, through its node" 'GET /podProxy/default/p1/http/10.244.0.5/8080/a/b[[:space:]]' raw $ns/pods/p1/proxy/a/b
check_output "path and query as they are" '/podProxy/default/p1/http/10.244.0.5/8080/a%20b//c/\?x=%2F&y[[:space:]]' raw "$ns/pods/p1/proxy/a%20b//c/?x=%2F&y"
check_output "scheme and port" '/podProxy/default/p1/https/10.244.0.5/9443/[[:space:]]' raw $ns/pods/https:p1:9443/proxy/
check_output "a long path" '/8080/1/2/3/4/5/6/7/8/9/10/11/12/13[[:space:]]' raw $ns/pods/p1/proxy/1/2/3/4/5/6/7/8/9/10/11/12/13
check_output "without a path: a slash is added" '[Ll]ocation: /api/v1/namespaces/default/pods/p1/proxy/' head_of $ns/pods/p1/proxy
check_output "kubectl get --raw" 'GET /podProxy/default/p1/http/10.244.0.5/8080/x' k get --raw $ns/pods/p1/proxy/x
for method in POST PUT PATCH DELETE OPTIONS; do
	check_output "$method, with its body" "^$method /podProxy.*body hello" \
		bash -c "$(declare -f raw); $(declare -p TEST_DIR SERVER_URL); raw $ns/pods/p1/proxy/headers -X $method -d hello | tr '\n' ' '"
done
check_output "HEAD" '^200$' code_of $ns/pods/p1/proxy/headers -I
for version in --http1.1 --http2; do
	hop=(-H 'X-Hop: 1' -H 'Connection: X-Hop')
	[ $version = --http1.1 ] || hop=() # HTTP/2 has no such header
	asked() { raw $ns/pods/p1/proxy/headers $version -H 'X-Own: 1' -H 'Authorization: Bearer none' "${hop[@]}"; }
	asked >"$TEST_DIR/asked" 2>/dev/null
	check "a header goes on ($version)" grep -qi '^x-own: 1' "$TEST_DIR/asked"
	check_fails "what we were shown does not" grep -qiE '^(authorization|impersonate-|x-hop)' "$TEST_DIR/asked"
	check "who asks does" grep -q '^X-Forwarded-For: 127.0.0.1' "$TEST_DIR/asked"
done
raw "$ns/pods/p1/proxy/headers%0d%0aX-Evil:%201%0d%0a%0d%0aGET%20/evil" >"$TEST_DIR/asked"
check "line ends in a path stay escaped" grep -qi '^x-forwarded-uri: .*/headers%0d%0aX-Evil:%201%0d%0a%0d%0aGET' "$TEST_DIR/asked"
check_fails "so they begin no header" grep -qi '^x-evil' "$TEST_DIR/asked"
check_output "a type of its own" '[Cc]ontent-[Tt]ype: text/x-own' head_of $ns/pods/p1/proxy/headers
check_output "redirects stay below the proxy" '[Ll]ocation: /api/v1/namespaces/default/pods/p1/proxy/other\?x=1' head_of $ns/pods/p1/proxy/redirect
check_output "whole ones too" '[Ll]ocation: /api/v1/namespaces/default/pods/p1/proxy/other\?x=1' head_of $ns/pods/p1/proxy/redirect-whole
check_output "they are the client's to follow" '^302$' code_of $ns/pods/p1/proxy/redirect
check_output "headers of the other connection stay there" '^$' bash -c "grep -i x-private: <<<'$(head_of $ns/pods/p1/proxy/redirect)' || true"
check_fails "an answer that is cut short is no whole one" raw $ns/pods/p1/proxy/broken --fail

check_output "a service, by the port's name" '/podProxy/default/p1/http/10.244.0.5/8080/x[[:space:]]' raw $ns/services/web:http/proxy/x
check_output "by its number" '/podProxy/default/p1/https/10.244.0.5/8443/x[[:space:]]' raw $ns/services/https:web:443/proxy/x
check_output "no such port" 'no endpoints available for service ..web' raw $ns/services/web:none/proxy/x
check_output "nobody behind it" 'no endpoints available for service ..empty.*"code":503' raw $ns/services/empty/proxy/x
check_output "a node" 'kube-apiserver-kubelet-client GET /metrics\?a=b[[:space:]]' raw '/api/v1/nodes/n1/proxy/metrics?a=b'
check_output "a node and its port" 'GET /x[[:space:]]' raw "/api/v1/nodes/n1:$node_port/proxy/x"
upgrade() { python3 "$here/upgrade.py" "127.0.0.1:$SERVER_PORT" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" "$@"; }
check_output "upgrades" '101 Switching Protocols.*GET /podProxy/default/p1/http/10.244.0.5/8080/ws.*HELLO' upgrade GET $ns/pods/p1/proxy/ws hello

check_output "no way to this machine by a pod" 'address not allowed.*"code":400' raw $ns/pods/local:6443/proxy/x
check_output "nor by a node" 'address not allowed.*"code":400' raw /api/v1/nodes/n1:22/proxy/x
check_output "nor to addresses of links" 'address not allowed.*"code":400' raw $ns/services/astray/proxy/x
check_output "nor out of the path" '^400$' code_of $ns/pods/p1/proxy/../../../secrets --path-as-is
check_output "in disguise" '^400$' code_of $ns/pods/p1/proxy/%2e%2e/x --path-as-is
check_output "a pod that is not there" '"code":404' raw $ns/pods/none/proxy/x
check_output "a scheme that is none" '^400$' code_of $ns/pods/ftp:p1:21/proxy/x
check_output "a port that is none" '^400$' code_of $ns/pods/p1:70000/proxy/x

kill $node_pid
wait $node_pid 2>/dev/null
check_output "an agent that is gone" 'error trying to reach service.*"code":503' raw $ns/pods/p1/proxy/x
check_output "the server goes on" 'ok' raw /readyz
finish
