#!/bin/bash
# NetworkPolicy with real pods and a machine: each feature, both directions, and what must not happen in between.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-policies
k create namespace e2e-friends >/dev/null
k label namespace e2e-friends team=friends >/dev/null

# Ports 80 and 81 and 8080 ("web") answer in every pod.
pod() {
	cat <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, labels: {app: $1}}
		spec:
		  terminationGracePeriodSeconds: 0
		  containers:
		  - name: c
		    image: registry.lab:5000/web:latest
		    command: [sh, -c, "cd /tmp && echo $1 >index.html && for p in 80 81 82; do httpd -p \$p; done; exec httpd -f -p 8080"]
		    ports: [{name: web, containerPort: 8080}]
		---
	END
}
{
	pod server
	pod client
	pod forger | sed 's/^    ports: /    securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW]}}\n&/'
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: machine, labels: {app: machine}}
		spec:
		  terminationGracePeriodSeconds: 0
		  domain:
		    firmware:
		      kernelBoot:
		        kernelArgs: console=ttyS0 loglevel=4 no_timer_check
		        container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		    memory: {guest: 128Mi}
		    devices: {interfaces: [{name: default, bridge: {}}]}
		  networks: [{name: default, pod: {}}]
		---
		apiVersion: v1
		kind: Service
		metadata: {name: server}
		spec: {selector: {app: server}, ports: [{port: 8000, targetPort: web}]}
	END
} | k apply -f - >/dev/null
pod friend | k apply -n e2e-friends -f - >/dev/null
k wait --for=condition=Ready pod/server pod/client pod/forger --timeout=240s >/dev/null
k wait --for=condition=Ready pod/friend -n e2e-friends --timeout=240s >/dev/null
server=$(k_field pod/server .status.podIP)
client=$(k_field pod/client .status.podIP)
friend=$(k get -n e2e-friends pod friend -o 'jsonpath={.status.podIP}')
service=$(k_field service/server .spec.clusterIP)

# try NAMESPACE/POD ADDRESS:PORT...: a word for each, "yes" or "no".
try() {
	local from=$1
	shift
	k exec -n "${from%/*}" "${from#*/}" -- sh -c '
		for to; do (timeout 1 wget -q -O /dev/null "http://$to/" 2>/dev/null && echo "$to yes" || echo "$to no") & done | sort >/tmp/tried
		wait
		for to; do grep "^$to " /tmp/tried; done | cut -d" " -f2 | xargs' sh "$@"
}
from_client() { try e2e-policies/client "$@"; }
from_server() { try e2e-policies/server "$@"; }
from_friend() { try e2e-friends/friend "$@"; }
# policy NAME SPEC: applies it.
policy() {
	printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s}\nspec: %s\n' "$1" "$2" | k apply -f - >/dev/null
}
tables() { on_node 1 nft list tables | grep -c hanok-policy || true; }

check "without policies everyone reaches everyone" eventually 60 matches '^yes yes yes yes$' from_client "$server:80" "$server:8080" "$friend:80" "$service:8000"
check_output "and the kernel has no table for policies" '^0$' tables

policy deny '{podSelector: {}}'
check "default deny" eventually 5 matches '^no no no$' from_client "$server:80" "$server:8080" "$service:8000"
check "what others offer is still reached" eventually 20 matches '^yes$' from_client "$friend:80"
check "so is a pod by itself, through its service" eventually 20 matches '^yes yes$' from_server "$service:8000" "$server:80"
check "the node reaches its pods" eventually 20 matches '^server$' on_node 1 curl -s --max-time 2 "http://$server:80/"

policy web '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: web}, {port: 81, endPort: 82}]}]}'
check "policies add up: a named port, a range, a service by its endpoint" eventually 5 matches '^no yes yes yes yes$' \
	from_client "$server:80" "$server:81" "$server:82" "$server:8080" "$service:8000"
check_output "for these pods of this namespace" '^no no$' from_friend "$server:81" "$service:8000"
policy web '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: friends}}}]}]}'
check "a namespace's pods" eventually 5 matches '^yes yes$' from_friend "$server:80" "$service:8000"
check_output "and not one's own" '^no$' from_client "$server:80"
policy web '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: friends}}, podSelector: {matchLabels: {app: nobody}}}]}]}'
check "both selectors must hold" eventually 5 matches '^no$' from_friend "$server:80"
k label pod friend -n e2e-friends app=nobody --overwrite >/dev/null
check "a label makes a peer" eventually 5 matches '^yes$' from_friend "$server:80"
k label namespace e2e-friends team- >/dev/null
check "a namespace's label gone unmakes it" eventually 5 matches '^no$' from_friend "$server:80"
policy web "{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [$client/32]}}]}]}"
check "a range" eventually 5 matches '^yes$' from_friend "$server:80"
check_output "but for its exception" '^no$' from_client "$server:80"

policy out "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $friend/32}}], ports: [{port: web}]}]}"
check "egress: an address, a named port" eventually 5 matches '^no yes no$' from_client "$friend:80" "$friend:8080" "$server:80"
policy out '{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 80}]}]}'
check "egress: everybody, one port" eventually 5 matches '^yes no$' from_client "$friend:80" "$friend:8080"
k delete networkpolicy web out deny >/dev/null
check "policies removed" eventually 5 matches '^yes yes yes$' from_client "$server:80" "$friend:8080" "$service:8000"
check_output "leave nothing" '^0$' tables

# Nobody has another's address, with policies or without.
if on_node 1 nft list table bridge hanok-ports >/dev/null 2>&1; then
	forge() { k exec forger -- sh -c "ip addr $1 $friend/32 dev eth0; ip route replace ${friend%.*}.0/24 dev eth0 src $2"; }
	forger=$(k_field pod/forger .status.podIP)
	check "a pod reaches others as itself" eventually 20 matches '^yes$' try e2e-policies/forger "$server:80"
	check "it takes another's address" forge add "$friend"
	check_output "and reaches nobody with it" '^no$' try e2e-policies/forger "$server:80"
	check "nobody takes it for the other" eventually 20 matches '^yes$' from_client "$friend:80"
	check "as itself again" forge del "$forger"
	check "it reaches all" eventually 5 matches '^yes yes$' try e2e-policies/forger "$server:80" "$friend:80"
else
	echo "# skipped: forged addresses: this kernel has no rules for bridges"
fi

# The cluster's DNS is egress, though it is the node that answers.
name() { k exec client -- sh -c "timeout 2 nslookup $1.e2e-policies.svc.cluster.local 10.96.0.10 >/dev/null 2>&1 && echo yes || echo no"; }
policy out '{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}'
check "default deny of egress denies names" eventually 5 matches '^no$' name server
check "the node still reaches the pod" eventually 20 matches '^client$' on_node 1 curl -s --max-time 2 "http://$client:80/"
policy dns '{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}'
check "the usual rule allows them" eventually 5 matches '^yes$' name server
check_output "and nothing else" '^no$' from_client "$server:80"
k delete networkpolicy out dns >/dev/null

# A machine is a pod.
check "the machine is Ready" k wait --for=condition=Ready vmi/machine --timeout=240s
machine=$(k_field vmi/machine '.status.interfaces[0].ipAddress')
check "the machine answers" eventually 60 matches '^yes$' from_client "$machine:80"
policy machine '{podSelector: {matchLabels: {vm.kubevirt.io/name: machine}}, ingress: [{from: [{podSelector: {matchLabels: {app: server}}}]}]}'
if on_node 1 nft list table bridge hanok-ports >/dev/null 2>&1; then
	check_output "its port is kept to its address" "\"hk[0-9a-f]{12}\" \\. ${machine//./\\.}" on_node 1 nft list set bridge hanok-ports own4
fi
check "its policy holds" eventually 5 matches '^no$' from_client "$machine:80"
check "for those it says" eventually 20 matches '^yes$' from_server "$machine:80"
policy out '{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: machine}}}]}]}'
k delete networkpolicy machine >/dev/null
check "and it is a peer" eventually 5 matches '^yes no$' from_client "$machine:80" "$server:80"
k delete networkpolicy out >/dev/null
k delete vmi machine --wait=false >/dev/null

# Whoever comes under a policy is under it from the first packet on: a client that never stops trying.
policy deny '{podSelector: {matchLabels: {app: late}}}'
range=${server%.*}
k exec client -- sh -c 'cd /tmp; until [ -e stop ]; do for n in $(seq 2 40); do (echo | timeout 1 nc "$1.$n" 9000 >>got 2>/dev/null) & done; wait; done' sh "$range" >/dev/null 2>&1 &
trying=$!
for i in 1 2 3; do
	k run "late-$i" --image=registry.lab:5000/web:latest --labels=app=late --restart=Never --command -- \
		sh -c 'nc -l -p 9000 -e echo reached & while :; do sleep 1; done' >/dev/null
done
check "pods under it run" k wait --for=condition=Ready pod/late-1 pod/late-2 pod/late-3 --timeout=120s
late=$(k_field pod/late-1 .status.podIP)
check_output "no client got through" '^0$' k exec client -- sh -c 'cat /tmp/got 2>/dev/null | wc -c'
# The rules outlive the agent.
node_pid() { on_node 1 cut -d' ' -f1 /run/lab/hanok-node.pid; }
on_node 1 sh -c 'pid=$(cut -d" " -f1 /run/lab/hanok-node.pid); kill -9 "$pid"; while [ -e "/proc/$pid" ]; do sleep 0.1; done'
check_output "the rules outlive the agent" "$late" on_node 1 nft list map inet hanok-policy in4
check "which comes back" lab_node_up 1
check "is there again, and no client got through" eventually 20 matches '^0$' k exec client -- sh -c 'cat /tmp/got 2>/dev/null | wc -c'
k exec client -- touch /tmp/stop
wait $trying
k delete networkpolicy deny >/dev/null
reached() { k exec client -- sh -c 'echo | timeout 1 nc "$1" 9000' sh "$late"; }
check "without it they are reached (the trial was one)" eventually 20 matches reached reached

# What can't be had is told, and harms nobody else.
python3 - >"$TEST_DIR/large.yaml" <<'END_OF_PYTHON'
import json
ports = [{"port": 2 * n + 1} for n in range(10000)]
blocks = [{"ipBlock": {"cidr": f"10.{n >> 14}.{n >> 6 & 255}.{(n & 63) * 4}/32"}} for n in range(12000)]
print(json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "large"}, "spec": {
    "podSelector": {"matchLabels": {"app": "server"}},
    "ingress": [{"ports": ports}, {"from": blocks}, {"ports": [{"port": 81}]}]}}))
END_OF_PYTHON
check "a policy that is too large" k create -f "$TEST_DIR/large.yaml"
check "its other rules hold" eventually 10 matches '^no yes$' from_client "$server:80" "$server:81"
check "and an event says what does not" eventually 10 matches \
	'PolicyNotFullyApplied.*spec.ingress\[0\] is left out and allows nothing: 10000 ranges of ports, more than the 1000 that are offered' k get events --field-selector involvedObject.name=large
check "delete it" k delete networkpolicy large

k delete pod late-1 late-2 late-3 -n e2e-policies --ignore-not-found --force --grace-period=0 >/dev/null 2>&1
k delete namespace e2e-friends --wait=false >/dev/null
check "without pods and policies there is no table" eventually 20 matches '^0$' tables
finish
