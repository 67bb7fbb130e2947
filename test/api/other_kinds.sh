#!/bin/bash
# Kinds of networking, storage, scheduling, node, certificates, admission registration and flow control: what kubectl
# makes of them, tables, and the words in which bad ones are refused.
. "$(dirname "$0")/../lib.sh"
start_server
# One that sends protobuf, where it is there.
newer=$(dirname "$(readlink -f "$(command -v kubectl)")")/kubectl.1.33
[ ! -x "$newer" ] || KUBECTL=$newer

# manifest KIND NAME BODY: bodies are YAML of the top level.
manifest() {
	local version
	case $1 in
	Ingress* | NetworkPolicy | IPAddress | ServiceCIDR) version=networking.k8s.io/v1 ;;
	StorageClass | VolumeAttachment | CSI*) version=storage.k8s.io/v1 ;;
	PriorityClass) version=scheduling.k8s.io/v1 ;;
	RuntimeClass) version=node.k8s.io/v1 ;;
	CertificateSigningRequest) version=certificates.k8s.io/v1 ;;
	*Webhook* | *Policy*) version=admissionregistration.k8s.io/v1 ;;
	*) version=flowcontrol.apiserver.k8s.io/v1 ;;
	esac
	case $1 in PriorityLevelConfiguration) version=flowcontrol.apiserver.k8s.io/v1 ;; esac
	printf 'apiVersion: %s\nkind: %s\nmetadata: {name: %s}\n%s\n' "$version" "$1" "$2" "$3" >"$TEST_DIR/manifest.yaml"
}
make() { manifest "$@" && k create -f "$TEST_DIR/manifest.yaml"; }
# refused NAME WORDS KIND OBJECT BODY: WORDS are in the message as they stand.
refused() {
	local name=$1 words=$2 output status=0
	shift 2
	manifest "$@"
	output=$TEST_DIR/refused.out
	k create --validate=ignore -f "$TEST_DIR/manifest.yaml" >"$output" 2>&1 && status=1
	grep -qF -- "$words" "$output" || { status=1 && echo "wanted: $words" >>"$output"; }
	test_result $status "$name" "$output" || true
}

# ---- networking ----
check "create ingress" k create ingress web --class=nginx --rule='a.example.com/x*=front:80,tls=cert' --rule='b.example.com/=back:http'
check_output "table of ingresses" 'NAME +CLASS +HOSTS +ADDRESS +PORTS +AGE
web +nginx +a.example.com,b.example.com +80, 443 +[0-9]+s' k get ingress
check_output "paths as kubectl sent them" '^Prefix /x Exact / http 80$' k get ingress web \
	-o 'jsonpath={.spec.rules[0].http.paths[0].pathType} {.spec.rules[0].http.paths[0].path} {.spec.rules[1].http.paths[0].pathType} {.spec.rules[1].http.paths[0].path} {.spec.rules[1].http.paths[0].backend.service.port.name} {.spec.rules[0].http.paths[0].backend.service.port.number}'
check_output "an ingress counts its changes" '^1$' k get ingress web -o 'jsonpath={.metadata.generation}'
check "an ingress's status is its own part" k patch ingress web --subresource=status --type=merge \
	-p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}},"spec":{"ingressClassName":"other"}}'
check_output "the address is in the table, the class is kept" 'web +nginx +a.example.com,b.example.com +192.0.2.7 +80, 443' k get ing
check_output "describe ingress" 'front:80' k describe ingress web
refused "an ingress needs rules or a backend" 'spec: Invalid value: null: either `defaultBackend` or `rules` must be specified' Ingress i ''
refused "a path needs its type" 'spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified' Ingress i \
	'spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: s, port: {number: 80}}}}]}}]}'
refused "a path is absolute" 'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path' Ingress i \
	'spec: {rules: [{http: {paths: [{path: a, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}'
refused "a path has no //" 'path: Invalid value: "/a//b": must not contain '"'//'" Ingress i \
	'spec: {rules: [{http: {paths: [{path: /a//b, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}]}}]}'
refused "a host is no address" 'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address' Ingress i \
	'spec: {rules: [{host: 10.0.0.1}]}'
refused "a wildcard is a whole label" "spec.rules[0].host: Invalid value: \"a*.example.com\": a wildcard DNS-1123 subdomain must start with '*.'" Ingress i \
	'spec: {rules: [{host: "a*.example.com"}]}'
refused "a backend has one port" 'spec.defaultBackend: Invalid value: "": cannot set both port name & port number' Ingress i \
	'spec: {defaultBackend: {service: {name: s, port: {name: a, number: 1}}}}'
refused "a backend is something" 'spec.defaultBackend: Invalid value: "": resource or service backend is required' Ingress i 'spec: {defaultBackend: {}}'
refused "a service has a service's name" 'spec.defaultBackend.service.name: Invalid value: "9s": a DNS-1035 label must consist' Ingress i \
	'spec: {defaultBackend: {service: {name: 9s, port: {number: 1}}}}'
check "an ingress class" make IngressClass nginx 'spec: {controller: example.com/nginx, parameters: {apiGroup: k8s.example.com, kind: Params, name: p}}'
check_output "its table" 'nginx +example.com/nginx +Params.k8s.example.com/p' k get ingressclass
check_output "the scope of parameters has a default" '^Cluster$' k get ingressclass nginx -o 'jsonpath={.spec.parameters.scope}'
check_refused "its controller is fixed" 'spec.controller: Invalid value: "example.com/other": field is immutable' k patch ingressclass nginx --type=merge -p '{"spec":{"controller":"example.com/other"}}'
refused "a controller is a path" 'spec.controller: Invalid value: "nginx": must be a domain-prefixed path (such as "acme.io/foo")' IngressClass c 'spec: {controller: nginx}'
check "the default class" k annotate ingressclass nginx ingressclass.kubernetes.io/is-default-class=true
check "an ingress without class" make Ingress plain 'spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}'
check_output "gets the default one" '^nginx$' k get ingress plain -o 'jsonpath={.spec.ingressClassName}'

check "a network policy" make NetworkPolicy deny 'spec: {podSelector: {matchLabels: {app: db}}, egress: [{ports: [{port: 53}]}], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}'
check_output "its table" 'deny +app=db +[0-9]+s' k get netpol
check_output "its types and protocol have defaults" '^Ingress Egress TCP$' k get netpol deny -o 'jsonpath={.spec.policyTypes[*]} {.spec.egress[0].ports[0].protocol}'
refused "an exception is within" 'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`' NetworkPolicy bad \
	'spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}'
refused "a peer is something" 'spec.ingress[0].from[0]: Required value: must specify a peer' NetworkPolicy bad 'spec: {podSelector: {}, ingress: [{from: [{}]}]}'
refused "a block stands alone" 'spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer' NetworkPolicy bad \
	'spec: {podSelector: {}, egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}'
refused "a range of ports rises" 'spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`' NetworkPolicy bad \
	'spec: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}'
refused "a selector's operator wants values" 'spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is '"'In' or 'NotIn'" NetworkPolicy bad \
	'spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}}'

check_output "the range of services" 'kubernetes +10.96.0.0/16' k get servicecidr
check_output "is ready" '^True$' k get servicecidr kubernetes -o 'jsonpath={.status.conditions[0].status}'
check_output "another is stored with a warning" 'Warning: .*without effect.*servicecidr.networking.k8s.io/more created' make ServiceCIDR more 'spec: {cidrs: [10.98.0.0/16]}'
refused "a range is one" 'spec.cidrs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)' ServiceCIDR c 'spec: {cidrs: [x]}'
check_refused "a range is fixed" 'spec.cidrs\[0\]: Invalid value: "10.99.0.0/16": field is immutable' k patch servicecidr more --type=merge -p '{"spec":{"cidrs":["10.99.0.0/16"]}}'
check_output "an address" 'Warning: .*ipaddress.networking.k8s.io/10.98.0.1 created' make IPAddress 10.98.0.1 'spec: {parentRef: {resource: services, namespace: default, name: x}}'
check_output "its table" '10.98.0.1 +services/default/x' k get ipaddress
refused "its name is an address" 'metadata.name: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)' IPAddress x 'spec: {parentRef: {resource: services, name: x}}'
refused "it belongs to someone" 'spec.parentRef: Required value' IPAddress 10.98.0.2 ''

# ---- storage ----
check "a storage class" make StorageClass fast 'provisioner: example.com/Disk
parameters: {type: ssd}'
check_output "defaults of classes" '^Delete Immediate$' k get sc fast -o 'jsonpath={.reclaimPolicy} {.volumeBindingMode}'
check "the default class" k annotate sc fast storageclass.kubernetes.io/is-default-class=true
check_output "is marked in the table" 'fast \(default\) +example.com/Disk +Delete +Immediate +false +[0-9]+s' k get sc
check_refused "parameters are fixed" 'parameters: Forbidden: updates to parameters are forbidden.' k patch sc fast --type=merge -p '{"parameters":{"type":"hdd"}}'
refused "a provisioner is required" 'provisioner: Required value' StorageClass s ''
refused "policies are known" 'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"' StorageClass s 'provisioner: a
reclaimPolicy: Recycle'
check "a driver" make CSIDriver disk.example.com 'spec: {tokenRequests: [{audience: a}]}'
check_output "its table" 'disk.example.com +true +false +false +a +false +Persistent +[0-9]+s' k get csidriver
check_output "its defaults" '^true false false ReadWriteOnceWithFSType false false Persistent$' k get csidriver disk.example.com \
	-o 'jsonpath={.spec.attachRequired} {.spec.podInfoOnMount} {.spec.storageCapacity} {.spec.fsGroupPolicy} {.spec.requiresRepublish} {.spec.seLinuxMount} {.spec.volumeLifecycleModes[*]}'
check_refused "its modes are fixed" 'spec.volumeLifecycleModes: Invalid value: \[\]string\{"Ephemeral"\}: field is immutable' k patch csidriver disk.example.com --type=merge -p '{"spec":{"volumeLifecycleModes":["Ephemeral"]}}'
check "drivers of a node" make CSINode n1 'spec: {drivers: [{name: disk.example.com, nodeID: a}]}'
check_output "their table" 'n1 +1 +[0-9]+s' k get csinode
refused "a driver appears once" 'spec.drivers[1].name: Duplicate value: "a"' CSINode n2 'spec: {drivers: [{name: a, nodeID: a}, {name: a, nodeID: b}]}'
check "an attachment" make VolumeAttachment a1 'spec: {attacher: disk.example.com, nodeName: n1, source: {persistentVolumeName: pv}}'
check_output "its table" 'a1 +disk.example.com +pv +n1 +false +[0-9]+s' k get volumeattachment
check_refused "it is fixed" 'spec: Invalid value: .*: field is immutable' k patch volumeattachment a1 --type=merge -p '{"spec":{"nodeName":"n2"}}'
refused "it has a source" 'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName' VolumeAttachment a2 \
	'spec: {attacher: a, nodeName: n1, source: {}}'
check "a capacity" make CSIStorageCapacity c1 'storageClassName: fast
capacity: 10Gi'
check_output "its table" 'c1 +fast +10Gi' k get csistoragecapacity

# ---- scheduling, node ----
check_output "the system's priorities" 'NAME +VALUE +GLOBAL-DEFAULT +AGE +PREEMPTIONPOLICY
system-cluster-critical +2000000000 +false +[0-9]+s +PreemptLowerPriority
system-node-critical +2000001000 +false +[0-9]+s +PreemptLowerPriority' k get pc
check "create priorityclass" k create priorityclass high --value=1000 --global-default --description=important
check_output "as kubectl sent it" '^1000 true important PreemptLowerPriority$' k get pc high -o 'jsonpath={.value} {.globalDefault} {.description} {.preemptionPolicy}'
check_refused "one default at most" 'is forbidden: PriorityClass high is already marked as default. Only one default can exist' k create priorityclass other --value=1 --global-default
refused "users' priorities have a top" 'value: Forbidden: maximum allowed value of a user defined priority is 1000000000' PriorityClass p 'value: 1000000001'
refused "system- is the system's" "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class" PriorityClass system-x 'value: 1'
check_refused "a value is fixed" 'value: Forbidden: may not be changed in an update.' k patch pc high -p '{"value":5}'
check "a runtime class" make RuntimeClass kata 'handler: kata
overhead: {podFixed: {memory: 64Mi}}'
check_output "its table" 'kata +kata +[0-9]+s' k get runtimeclass
refused "a handler is a name" 'handler: Invalid value: "": a lowercase RFC 1123 label must consist' RuntimeClass r 'handler: ""'
check_refused "a handler is fixed" 'handler: Invalid value: "runc": field is immutable' k patch runtimeclass kata -p '{"handler":"runc"}'

finish
