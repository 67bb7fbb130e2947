#!/bin/bash
# What the fields of services, nodes and statuses may say to one another, in Kubernetes' words.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off

create() { k create --validate=strict -f - <<<"$1"; }
service() { printf 'apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 80}], %s}\n' "$1" "$2"; }
refused() { check_refused "$1" "$2" create "$(service bad "$3")"; }

refused "an external name is a name" 'spec.externalName: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain' 'type: ExternalName, externalName: Bad_Name'
refused "and is there" 'spec.externalName: Required value' 'type: ExternalName'
check "with a dot at its end" create "$(service name 'type: ExternalName, externalName: example.com.')"
refused "no address of the loopback" 'spec.externalIPs\[0\]: Invalid value: "127.0.0.1": may not be in the loopback range \(127.0.0.0/8, ::1/128\)' 'externalIPs: [127.0.0.1]'
refused "nor of the link" 'may not be in the link-local range \(169.254.0.0/16, fe80::/10\)' 'externalIPs: [169.254.1.1]'
refused "ranges are for load balancers" 'spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is .LoadBalancer.' 'loadBalancerSourceRanges: [10.0.0.0/8]'
refused "and are ranges" 'spec.LoadBalancerSourceRanges\[0\]: Invalid value: "nonsense": must be a valid CIDR value' 'type: LoadBalancer, loadBalancerSourceRanges: [nonsense]'
refused "so are classes" 'spec.loadBalancerClass: Forbidden: may only be used when `type` is .LoadBalancer.' 'loadBalancerClass: example.com/a'
refused "traffic from outside needs a way in" 'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services' 'externalTrafficPolicy: Local'
refused "health is checked of local load balancers" 'healthCheckNodePort: Invalid value: 31000: may only be set when `type` is .LoadBalancer. and `externalTrafficPolicy` is .Local.' 'type: LoadBalancer, healthCheckNodePort: 31000'
refused "traffic goes where it can" 'spec.trafficDistribution: Unsupported value: "Anywhere": supported values: "PreferClose"' 'trafficDistribution: Anywhere'
refused "two families are one too many" 'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services' 'ipFamilyPolicy: RequireDualStack'
refused "the other is not there" 'spec.ipFamilies\[0\]: Invalid value: "IPv6": not configured on this cluster' 'ipFamilies: [IPv6]'
refused "a client is remembered for a day at most" 'timeoutSeconds: Invalid value: 90000: must be' 'sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 90000}}'
check_refused "a node port is taken once a protocol" 'spec.ports\[1\].nodePort: Duplicate value: 30100' create 'apiVersion: v1
kind: Service
metadata: {name: bad}
spec: {type: NodePort, ports: [{name: a, port: 80, nodePort: 30100}, {name: b, port: 81, nodePort: 30100}]}'

# Go's clients write the field always.
for nothing in 0 '""'; do
	check "a target port of $nothing" create "{apiVersion: v1, kind: Service, metadata: {name: open}, spec: {ports: [{port: 80, targetPort: $nothing}]}}"
	check_output "is the port" '^80$' k_field svc/open '.spec.ports[0].targetPort'
	k delete svc open >/dev/null
done
check "a local load balancer" create "$(service lb 'type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerClass: example.com/a')"
check_output "has a port for its health" '^3[0-9]{4}$' k get svc lb -o 'jsonpath={.spec.healthCheckNodePort}'
port=$(k get svc lb -o 'jsonpath={.spec.healthCheckNodePort}')
check_refused "that stays" 'spec.healthCheckNodePort: Forbidden: field is immutable' k patch svc lb -p '{"spec":{"healthCheckNodePort":31999}}'
check_refused "and is its own" 'provided port is already allocated' create "$(service other "type: NodePort, ports: [{port: 1, nodePort: $port}]" | sed 's/ports: \[{port: 80}\], //')"
check_refused "its class stays" 'spec.loadBalancerClass: Invalid value: "example.com/b": may not change once set' k patch svc lb -p '{"spec":{"loadBalancerClass":"example.com/b"}}'
check "an address from outside" k patch svc lb --subresource=status --type=merge -p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}'
check_output "is one of its own" '^VIP$' k get svc lb -o 'jsonpath={.status.loadBalancer.ingress[0].ipMode}'
check "it becomes an everyday service" k patch svc lb -p '{"spec":{"type":"ClusterIP"}}'
check_output "without what was of the other type" '^  *$' k get svc lb -o 'jsonpath={.spec.healthCheckNodePort} {.spec.externalTrafficPolicy} {.spec.loadBalancerClass}'
check "and the port is free" create "$(service other "type: NodePort, ports: [{port: 1, nodePort: $port}]" | sed 's/ports: \[{port: 80}\], //')"

# ---- nodes ----
check "a node" create 'apiVersion: v1
kind: Node
metadata: {name: n1}'
check_refused "taints differ" 'metadata.taints\[1\]: Duplicate value: .*taints must be unique by key and effect pair' k patch node n1 -p '{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule","value":"b"}]}}'
check_refused "addresses differ" 'status.addresses\[1\]: Duplicate value' k patch node n1 --subresource=status --type=merge -p '{"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},{"type":"InternalIP","address":"10.0.0.1"}]}}'
check_refused "pods come whole" 'status.capacity.pods: Invalid value: "1500m": must be an integer' k patch node n1 --subresource=status --type=merge -p '{"status":{"capacity":{"pods":"1500m"}}}'

# ---- statuses ----
check "a deployment" k create deployment d --image=x
check_refused "no more are ready than there are" 'status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas' k patch deployment d --subresource=status --type=merge -p '{"status":{"replicas":1,"readyReplicas":2}}'
check_refused "and available than ready" 'status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas' k patch deployment d --subresource=status --type=merge -p '{"status":{"replicas":1,"availableReplicas":1}}'

# ---- configuration ----
head -c 1100000 /dev/zero | tr '\0' x >"$TEST_DIR/big"
check_refused "a config map holds a mebibyte" '\[\]: Too long: may not be more than 1048576 bytes' k create configmap big --from-file="$TEST_DIR/big"
check_refused "a secret, too" 'data: Too long: may not be more than 1048576 bytes' k create secret generic big --from-file="$TEST_DIR/big"
finish
