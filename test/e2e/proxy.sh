#!/bin/bash
# Services beyond ClusterIP and NodePort: traffic policies, load balancers' addresses, external IPs, affinity, host ports,
# health checks; and rules that somebody removes, or whose keeper is killed.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-proxy

outside() { lab_in fabric curl -s --max-time 2 "$@" || echo "curl: $?"; }
inside() { on_node 1 curl -s --max-time 2 "$@" || echo "curl: $?"; }
lab_in fabric ip route replace 203.0.113.0/24 via 172.31.0.1

cat >"$TEST_DIR/objects.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: echo}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: registry.lab:5000/web, ports: [{containerPort: 80, hostPort: 8088}, {containerPort: 80, hostPort: 8089, hostIP: 172.31.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: echo}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: web, image: registry.lab:5000/web}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  externalIPs: [203.0.113.9]
  loadBalancerSourceRanges: [198.51.100.0/24]
  selector: {app: echo}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {type: NodePort, sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 77}}, selector: {app: echo}, ports: [{port: 80}]}
END
check "two pods, one with a host port" k apply -f "$TEST_DIR/objects.yaml"
check "they are Ready" k wait --for=condition=Ready pod/one pod/two --timeout=120s
check "the load balancer's controller gives an address" k patch service echo --subresource=status --type=merge \
	-p '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.8"}]}}}'
port=$(k_field service/echo '.spec.ports[0].nodePort')
health=$(k_field service/echo .spec.healthCheckNodePort)
sticky=$(k_field service/sticky '.spec.ports[0].nodePort')

check "a host port leads to its pod" eventually 10 matches 'container one' outside http://172.31.0.1:8088/
check "so does one of one address" eventually 20 matches 'container one' outside http://172.31.0.1:8089/
check "from the node, too" eventually 20 matches 'container one' inside http://172.31.0.1:8088/
check_output "and from the other pod" 'container one' k exec two -- wget -q -O - http://172.31.0.1:8088/
check "no rules of iptables were needed" test -z "$(on_node 1 sh -c 'nft list tables' | grep -vE 'table (ip|ip6|inet|bridge) hanok|libvirt|table ip(6)? (nat|filter|mangle|raw)$' | grep -i portmap)"

check "the NodePort answers" eventually 10 matches container outside "http://172.31.0.1:$port/"
check_output "an external IP answers" container outside http://203.0.113.9/
check "the load balancer's address is for some sources only" eventually 20 matches 'curl: 28' outside http://203.0.113.8/
check_output "the node itself gets there" container inside http://203.0.113.8/
check "others are let in" k patch service echo --type=merge -p '{"spec":{"loadBalancerSourceRanges":["172.31.0.0/24"]}}'
check "and come" eventually 10 matches container outside http://203.0.113.8/
check "the health check counts two endpoints" eventually 20 matches '"localEndpoints": 2' outside "http://172.31.0.1:$health/"
check "in upstream's headers" eventually 20 matches 'HTTP/1.1 200.*X-Load-Balancing-Endpoint-Weight: 2' outside -i "http://172.31.0.1:$health/"
ask_sticky() { for _ in 1 2 3 4 5 6 7 8; do outside "http://172.31.0.1:$sticky/"; done | sort | uniq -c; }
check_output "a client stays with its endpoint" '^ *8 container' ask_sticky
check "for as long as the service says, in whole minutes" on_node 1 sh -c 'nft list map ip hanok affinity | grep -q "timeout 2m"'

# Whatever happens to the rules or their keeper, they are there again.
established() { on_node 1 sh -c 'cat /proc/net/nf_conntrack 2>/dev/null | wc -l'; }
check "somebody flushes all rules of the host" on_node 1 nft flush ruleset
check "they come back" eventually 25 matches container outside "http://172.31.0.1:$port/"
check "somebody deletes the table" on_node 1 nft delete table ip hanok
check "it comes back" eventually 25 matches 'container one' outside http://172.31.0.1:8088/
on_node 1 nft add table ip others
netd() { on_node 1 pgrep -f 'hanok netd$' | head -1; }
killed=$(netd)
check "netd is killed" on_node 1 kill -9 "$killed"
check "services go on" test "$(outside "http://172.31.0.1:$port/" | cut -c1-9)" = container
check "and another one takes over" eventually 10 matches '[0-9]' netd
check "a change arrives" k patch service echo --type=merge -p '{"spec":{"externalIPs":["203.0.113.10"]}}'
check "at the new address" eventually 15 matches container outside http://203.0.113.10/
check "which replaced the old" eventually 20 matches 'curl: (7|28)' outside http://203.0.113.9/
# Connections outlive the agent, though the next one's netd gives the kernel all elements anew: half a request before,
# the rest after.
hold() {
	mkfifo "$TEST_DIR/$1.rest" || return
	# For reading and writing: neither end waits for the other.
	exec {rest}<>"$TEST_DIR/$1.rest"
	# shellcheck disable=SC2016
	lab_in fabric bash -c 'exec 3<>"/dev/tcp/172.31.0.1/$1" && printf "GET / HTTP/1.0\r\n" >&3 && echo open && read -r _ && printf "\r\n" >&3 && cat <&3' \
		- "$2" <&"$rest" >"$TEST_DIR/$1.held" 2>&1 &
	eventually 5 matches open cat "$TEST_DIR/$1.held"
}
go_on() {
	echo >"$TEST_DIR/$1.rest"
	eventually 5 matches container cat "$TEST_DIR/$1.held"
}
agent_gone() { ! on_node 1 lab-proc alive /run/lab/hanok-node.pid; }
check "a connection is open whose source is kept" hold kept "$port"
check "and one whose source is masqueraded" hold masqueraded "$sticky"
check "the agent is killed" on_node 1 sh -c 'kill -9 $(cut -d" " -f1 /run/lab/hanok-node.pid)'
check "it is gone" eventually 10 agent_gone
check "and started again" eventually 20 lab_node_up 1
check "it is told of a change" k patch service echo --type=merge -p '{"spec":{"externalIPs":["203.0.113.11"]}}'
check "and all its rules are there" eventually 15 matches container outside http://203.0.113.11/
check "the first connection goes on" go_on kept
check "the other one, too" go_on masqueraded
check "tables of others were not touched" on_node 1 nft delete table ip others

check "pods end" k delete pod one two --grace-period=1
check "the host port is gone with its pod" eventually 10 matches 'curl: 7' outside http://172.31.0.1:8088/
check "no host port is left" test -z "$(on_node 1 nft list map ip hanok host_ports | grep elements)"
check "a service without endpoints refuses" eventually 10 matches 'curl: 7' outside "http://172.31.0.1:$port/"
check "and says so to load balancers" eventually 20 matches 'HTTP/1.1 503' outside -i "http://172.31.0.1:$health/"
check "services end" k delete service echo sticky
check "nobody listens for health checks" eventually 5 matches 'curl: 7' outside "http://172.31.0.1:$health/"
lab_in fabric ip route delete 203.0.113.0/24
finish
