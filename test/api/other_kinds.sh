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
web +nginx +a.example.com,b.example.com +80, 443 +[0-9hms]+' k get ingress
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
check_output "its table" 'deny +app=db +[0-9hms]+' k get netpol
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
check "is ready" eventually 20 matches '^True$' k get servicecidr kubernetes -o 'jsonpath={.status.conditions[0].status}'
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
check_output "is marked in the table" 'fast \(default\) +example.com/Disk +Delete +Immediate +false +[0-9hms]+' k get sc
check_refused "parameters are fixed" 'parameters: Forbidden: updates to parameters are forbidden.' k patch sc fast --type=merge -p '{"parameters":{"type":"hdd"}}'
check_refused "a provisioner is fixed" 'provisioner: Forbidden: updates to provisioner are forbidden.' k patch sc fast --type=merge -p '{"provisioner":"other"}'
refused "a provisioner is required" 'provisioner: Required value' StorageClass s ''
refused "policies are known" 'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"' StorageClass s 'provisioner: a
reclaimPolicy: Recycle'
check "a driver" make CSIDriver disk.example.com 'spec: {tokenRequests: [{audience: a}]}'
check_output "its table" 'disk.example.com +true +false +false +a +false +Persistent +[0-9hms]+' k get csidriver
check_output "its defaults" '^true false false ReadWriteOnceWithFSType false false Persistent$' k get csidriver disk.example.com \
	-o 'jsonpath={.spec.attachRequired} {.spec.podInfoOnMount} {.spec.storageCapacity} {.spec.fsGroupPolicy} {.spec.requiresRepublish} {.spec.seLinuxMount} {.spec.volumeLifecycleModes[*]}'
check_refused "its modes are fixed" 'spec.volumeLifecycleModes: Invalid value: \[\]string\{"Ephemeral"\}: field is immutable' k patch csidriver disk.example.com --type=merge -p '{"spec":{"volumeLifecycleModes":["Ephemeral"]}}'
check "drivers of a node" make CSINode n1 'spec: {drivers: [{name: disk.example.com, nodeID: a}]}'
check_output "their table" 'n1 +1 +[0-9hms]+' k get csinode
refused "a driver appears once" 'spec.drivers[1].name: Duplicate value: "a"' CSINode n2 'spec: {drivers: [{name: a, nodeID: a}, {name: a, nodeID: b}]}'
check "an attachment" make VolumeAttachment a1 'spec: {attacher: disk.example.com, nodeName: n1, source: {persistentVolumeName: pv}}'
check_output "its table" 'a1 +disk.example.com +pv +n1 +false +[0-9hms]+' k get volumeattachment
check_refused "it is fixed" 'spec: Invalid value: .*: field is immutable' k patch volumeattachment a1 --type=merge -p '{"spec":{"nodeName":"n2"}}'
refused "it has a source" 'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName' VolumeAttachment a2 \
	'spec: {attacher: a, nodeName: n1, source: {}}'
check "a capacity" make CSIStorageCapacity c1 'storageClassName: fast
capacity: 10Gi'
check_output "its table" 'c1 +fast +10Gi' k get csistoragecapacity

# ---- scheduling, node ----
check_output "the system's priorities" 'NAME +VALUE +GLOBAL-DEFAULT +AGE +PREEMPTIONPOLICY.*
system-cluster-critical +2000000000 +false +[0-9hms]+ +PreemptLowerPriority
system-node-critical +2000001000 +false +[0-9hms]+ +PreemptLowerPriority' k get pc system-cluster-critical system-node-critical
check "create priorityclass" k create priorityclass high --value=1000 --global-default --description=important
check_output "as kubectl sent it" '^1000 true important PreemptLowerPriority$' k get pc high -o 'jsonpath={.value} {.globalDefault} {.description} {.preemptionPolicy}'
check_refused "one default at most" 'is forbidden: PriorityClass high is already marked as default. Only one default can exist' k create priorityclass other --value=1 --global-default
refused "users' priorities have a top" 'value: Forbidden: maximum allowed value of a user defined priority is 1000000000' PriorityClass p 'value: 1000000001'
refused "system- is the system's" "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class" PriorityClass system-x 'value: 1'
check_refused "a value is fixed" 'value: Forbidden: may not be changed in an update.' k patch pc high -p '{"value":5}'
check "a runtime class" make RuntimeClass kata 'handler: kata
overhead: {podFixed: {memory: 64Mi}}'
check_output "its table" 'kata +kata +[0-9hms]+' k get runtimeclass
refused "a handler is a name" 'handler: Invalid value: "": a lowercase RFC 1123 label must consist' RuntimeClass r 'handler: ""'
check_refused "a handler is fixed" 'handler: Invalid value: "runc": field is immutable' k patch runtimeclass kata -p '{"handler":"runc"}'

# ---- certificates ----
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TEST_DIR/key.pem" -subj '/O=team/CN=jane' -out "$TEST_DIR/csr.pem" 2>/dev/null
openssl req -new -key "$TEST_DIR/key.pem" -subj '/O=system:masters/CN=jane' -out "$TEST_DIR/masters.pem"
openssl req -x509 -key "$TEST_DIR/key.pem" -subj '/CN=jane' -out "$TEST_DIR/cert.pem" -days 1
csr=$(base64 -w0 "$TEST_DIR/csr.pem")
signer='signerName: example.com/clients'
check "a request" make CertificateSigningRequest jane "spec: {request: $csr, $signer, usages: [client auth], expirationSeconds: 3600, username: someone}"
check_output "who asked is the server's word" '^kubernetes-admin .*system:masters' k get csr jane -o 'jsonpath={.spec.username} {.spec.groups}'
check_output "its table" 'NAME +AGE +SIGNERNAME +REQUESTOR +REQUESTEDDURATION +CONDITION
jane +[0-9hms]+ +example.com/clients +kubernetes-admin +60m +Pending' k get csr
check_output "field selector" '^certificatesigningrequest.certificates.k8s.io/jane$' k get csr -o name --field-selector spec.signerName=example.com/clients
check "certificate approve" k certificate approve jane
check_output "approved" 'jane .*Approved$' k get csr jane
check_output "why and when" '^KubectlApprove 20.*Z 20.*Z$' k get csr jane -o 'jsonpath={.status.conditions[0].reason} {.status.conditions[0].lastUpdateTime} {.status.conditions[0].lastTransitionTime}'
status_patch() { raw "/apis/certificates.k8s.io/v1/certificatesigningrequests/$1" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$2"; }
check_output "approved is not denied, too" 'status.conditions\[1\].type: Invalid value: \\"Denied\\": Approved and Denied conditions are mutually exclusive' \
	raw /apis/certificates.k8s.io/v1/certificatesigningrequests/jane/approval -X PATCH -H 'Content-Type: application/json-patch+json' \
	-d '[{"op":"add","path":"/status/conditions/-","value":{"type":"Denied","status":"True"}}]'
check_output "a decision can't be taken back" 'updates may not remove a condition of type \\"Approved\\"' status_patch jane/approval '{"status":{"conditions":[]}}'
check_output "the status does not decide" 'updates may not add a condition of type \\"Denied\\"' status_patch jane/status \
	'{"status":{"conditions":[{"type":"Denied","status":"True"}]}}'
check_output "a certificate is one" 'status.certificate: Invalid value: \\"<certificate data>\\": must contain at least one CERTIFICATE PEM block' status_patch jane/status '{"status":{"certificate":"aGVsbG8="}}'
status_patch jane/status "{\"status\":{\"certificate\":\"$(base64 -w0 "$TEST_DIR/cert.pem")\"}}" >/dev/null
check_output "issued" 'jane .*Approved,Issued$' k get csr jane
check_output "a certificate stays" 'updates may not modify existing certificate content' status_patch jane/status '{"status":{"certificate":null}}'
check "the request's own part takes neither" status_patch jane '{"spec":{"expirationSeconds":900},"status":{"certificate":null},"metadata":{"labels":{"a":"b"}}}'
check_output "only metadata changed" '^3600 b Approved$' k get csr jane -o 'jsonpath={.spec.expirationSeconds} {.metadata.labels.a} {.status.conditions[0].type}'
check_output "who approved owns the conditions alone" '^f:status f:conditions$' sh -c "$(printf '%q ' env HOME="$TEST_DIR" "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE") get csr jane --show-managed-fields -o json |
	python3 -c 'import json, sys; m = [f for f in json.load(sys.stdin)[\"metadata\"][\"managedFields\"] if f.get(\"subresource\") == \"approval\"][0][\"fieldsV1\"]; print(*m, *m[\"f:status\"])'"
check "another" make CertificateSigningRequest joe "spec: {request: $csr, $signer, usages: [client auth]}"
check "certificate deny" k certificate deny joe
check_output "denied" 'joe .*<none> +Denied$' k get csr joe
refused "a request is one" 'spec.request: Invalid value: "aGVsbG8=": PEM block type must be CERTIFICATE REQUEST' CertificateSigningRequest c "spec: {request: aGVsbG8=, $signer, usages: [client auth]}"
bad=$(sed '2s/^..../MIIC/' "$TEST_DIR/csr.pem" | base64 -w0)
refused "and reads" 'spec.request: Invalid value' CertificateSigningRequest c "spec: {request: $bad, $signer, usages: [client auth]}"
refused "usages are required" 'spec.usages: Required value' CertificateSigningRequest c "spec: {request: $csr, $signer}"
refused "usages are known" 'spec.usages[0]: Unsupported value: "x": supported values: "any", "cert sign"' CertificateSigningRequest c "spec: {request: $csr, $signer, usages: [x]}"
refused "a signer has a domain" 'spec.signerName: Invalid value: "example": should be a domain with at least two segments separated by dots' CertificateSigningRequest c "spec: {request: $csr, signerName: example/x, usages: [any]}"
refused "a signer has a path" "spec.signerName: Invalid value: \"a.b\": must be a fully qualified domain and path of the form 'example.com/signer-name'" CertificateSigningRequest c "spec: {request: $csr, signerName: a.b, usages: [any]}"
refused "ten minutes at least" 'spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)' CertificateSigningRequest c "spec: {request: $csr, $signer, usages: [any], expirationSeconds: 599}"
refused "no one asks to be the master" 'is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed' CertificateSigningRequest c \
	"spec: {request: $(base64 -w0 "$TEST_DIR/masters.pem"), signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}"
k create clusterrole approver --verb=get,list,update,patch --resource=certificatesigningrequests,certificatesigningrequests/approval >/dev/null
k create clusterrolebinding approver --clusterrole=approver --user=amy >/dev/null
openssl req -new -key "$TEST_DIR/key.pem" -subj /CN=amy | openssl x509 -req -CA "$SERVER_DIR/pki/ca.crt" -CAkey "$SERVER_DIR/pki/ca.key" \
	-days 1 -out "$TEST_DIR/amy.pem" 2>/dev/null
as_amy() {
	HOME=$TEST_DIR "$KUBECTL" --kubeconfig /dev/null --server "https://127.0.0.1:$SERVER_PORT" --certificate-authority "$SERVER_DIR/pki/ca.crt" \
		--client-certificate="$TEST_DIR/amy.pem" --client-key="$TEST_DIR/key.pem" "$@"
}
check "a third" make CertificateSigningRequest jim "spec: {request: $csr, $signer, usages: [client auth]}"
check_refused "who may write approvals must be allowed the signer, too" 'is forbidden: user not permitted to approve requests with signerName "example.com/clients"' as_amy certificate approve jim
k create -f - >/dev/null <<'END'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: signer}
rules: [{verbs: [approve], apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [example.com/*]}]
END
k create clusterrolebinding signer --clusterrole=signer --user=amy >/dev/null
check "allowed for its domain" as_amy certificate approve jim

# ---- admission registration ----
hook='name: a.example.com, clientConfig: {service: {name: s, namespace: ns}}, sideEffects: None, admissionReviewVersions: [v1], rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]'
check_output "webhooks are stored with a warning" 'Warning: this server does not call admission webhooks yet.*
.*created' make ValidatingWebhookConfiguration v "webhooks: [{$hook}]"
check_output "defaults" '^443 \* Fail Equivalent \{\} \{\} 10 1$' k get validatingwebhookconfiguration v -o 'jsonpath={.webhooks[0].clientConfig.service.port} {.webhooks[0].rules[0].scope} {.webhooks[0].failurePolicy} {.webhooks[0].matchPolicy} {.webhooks[0].namespaceSelector} {.webhooks[0].objectSelector} {.webhooks[0].timeoutSeconds} {.metadata.generation}'
check_output "their table" 'v +1 +[0-9hms]+' k get validatingwebhookconfigurations
check_output "mutating ones" 'Warning: .*created' make MutatingWebhookConfiguration m "webhooks: [{$hook}]"
check_output "are not asked again" '^Never$' k get mutatingwebhookconfiguration m -o 'jsonpath={.webhooks[0].reinvocationPolicy}'
# In one of two webhooks, what differs from the good one.
hook_refused() { refused "$1" "$2" ValidatingWebhookConfiguration bad "webhooks: [{${hook/"$3"/$4}}]"; }
hook_refused "a webhook has a full name" 'webhooks[0].name: Invalid value: "a.com": should be a domain with at least three segments separated by dots' a.example.com a.com
hook_refused "side effects are told" 'webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun' 'sideEffects: None, ' ''
hook_refused "and are none" 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"' 'sideEffects: None' 'sideEffects: Some'
hook_refused "a service or a URL" 'webhooks[0].clientConfig: Required value: exactly one of url or service is required' 'service: {name: s, namespace: ns}' ''
hook_refused "https only" "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]" 'service: {name: s, namespace: ns}' 'url: "http://example.com/x"'
hook_refused "no query" 'webhooks[0].clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL' 'service: {name: s, namespace: ns}' 'url: "https://example.com/x?a=b"'
hook_refused "a known review version" 'webhooks[0].admissionReviewVersions: Invalid value: []string{"v9"}: must include at least one of v1, v1beta1' '[v1], rules' '[v9], rules'
hook_refused "operations are known" 'webhooks[0].rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"' CREATE GET
hook_refused "a wildcard stands alone" "webhooks[0].rules[0].resources: Invalid value: []string{\"*/*\", \"pods\"}: if '*/*' is present, must not specify other resources" 'resources: [pods]' 'resources: ["*/*", pods]'
refused "webhooks differ in name" 'webhooks[1].name: Duplicate value: "a.example.com"' ValidatingWebhookConfiguration bad "webhooks: [{$hook}, {$hook}]"
check_output "the same words for the time" 'webhooks\[0\].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds' raw '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v' -X PATCH -H 'Content-Type: application/strategic-merge-patch+json' -d '{"webhooks":[{"name":"a.example.com","timeoutSeconds":31}]}'
match='matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}'
check_output "policies, with a warning" 'Warning: .*created' make ValidatingAdmissionPolicy p "spec: {$match, validations: [{expression: 'true'}], paramKind: {apiVersion: v1, kind: ConfigMap}}"
check_output "their table" 'p +1 +v1/ConfigMap +[0-9hms]+' k get validatingadmissionpolicy
check_output "bindings, with a warning" 'Warning: .*created' make ValidatingAdmissionPolicyBinding b 'spec: {policyName: p, validationActions: [Deny], paramRef: {name: x, parameterNotFoundAction: Deny}}'
check_output "their table" 'b +p +\*/x +[0-9hms]+' k get validatingadmissionpolicybinding
refused "a policy validates something" 'spec.validations: Required value: validations or auditAnnotations must contain at least one item' ValidatingAdmissionPolicy bad "spec: {$match}"
refused "a policy is about something" 'spec.matchConstraints: Required value' ValidatingAdmissionPolicy bad "spec: {validations: [{expression: 'true'}]}"
refused "variables have names" 'spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier' ValidatingAdmissionPolicy bad "spec: {$match, validations: [{expression: 'true'}], variables: [{name: in, expression: '1'}]}"
refused "denying and warning is too much" 'spec.validationActions: Invalid value: []string{"Deny", "Warn"}: must not contain both Deny and Warn' ValidatingAdmissionPolicyBinding bad 'spec: {policyName: p, validationActions: [Deny, Warn]}'

# ---- flow control ----
check_output "levels, with a warning" 'Warning: .*created' make PriorityLevelConfiguration slow 'spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}'
check_output "their table and defaults" 'slow +Limited +30 +64 +8 +50 +[0-9hms]+' k get prioritylevelconfiguration
check_output "flows, with a warning" 'Warning: .*created' make FlowSchema bots 'spec: {priorityLevelConfiguration: {name: slow}, rules: [{subjects: [{kind: Group, group: {name: bots}}], nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["/metrics"]}]}]}'
check_output "their table" 'bots +slow +1000 +<none> +[0-9hms]+ +\?' k get flowschema
refused "a hand is no larger than the deck" 'spec.limited.limitResponse.queuing.handSize: Invalid value: 65: should not be greater than queues (64)' PriorityLevelConfiguration bad 'spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {handSize: 65}}}}'
refused "only exempt is exempt" "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'" PriorityLevelConfiguration bad 'spec: {type: Exempt}'
refused "rules have subjects" 'spec.rules[0].subjects: Required value: subjects must contain at least one value' FlowSchema bad 'spec: {priorityLevelConfiguration: {name: slow}, rules: [{nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["/metrics"]}]}]}'
refused "a subject is what it says" "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'" FlowSchema bad 'spec: {priorityLevelConfiguration: {name: slow}, rules: [{subjects: [{kind: User}], nonResourceRules: [{verbs: [get], nonResourceURLs: [/a]}]}]}'
refused "verbs are known" 'spec.rules[0].nonResourceRules[0].verbs: Unsupported value: []string{"x"}: supported values: "create"' FlowSchema bad 'spec: {priorityLevelConfiguration: {name: slow}, rules: [{subjects: [{kind: User, user: {name: a}}], nonResourceRules: [{verbs: [x], nonResourceURLs: [/a]}]}]}'

# ---- events: one stored object, two groups ----
event='{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e1","namespace":"default"},"eventTime":"2030-01-02T03:04:05.000006Z","reportingController":"example.com/c","reportingInstance":"c-1","action":"Pulling","reason":"Pulled","type":"Normal","regarding":{"kind":"Pod","name":"p","namespace":"default"},"note":"hello"}'
printf '%s' "$event" >"$TEST_DIR/event.json"
check "an event through the newer group" k create -f "$TEST_DIR/event.json"
check_output "is one of the core group" '^Event v1 Pod p hello example.com/c 2030-01-02T03:04:05.000006Z$' k get events.v1. e1 \
	-o 'jsonpath={.kind} {.apiVersion} {.involvedObject.kind} {.involvedObject.name} {.message} {.reportingComponent} {.eventTime}'
check_output "and comes back as it went" '^events.k8s.io/v1 p hello example.com/c$' k get events.v1.events.k8s.io e1 -o 'jsonpath={.apiVersion} {.regarding.name} {.note} {.reportingController}'
cat >"$TEST_DIR/old.yaml" <<'END'
apiVersion: v1
kind: Event
metadata: {name: e2, namespace: default}
involvedObject: {kind: Node, name: n1, namespace: default}
reason: Old
message: world
type: Warning
count: 3
lastTimestamp: "2030-01-02T03:04:05Z"
END
check "one of the core group" k create -f "$TEST_DIR/old.yaml"
check_output "in the newer group" '^n1 world 3 2030-01-02T03:04:05Z$' k get events.v1.events.k8s.io e2 -o 'jsonpath={.regarding.name} {.note} {.deprecatedCount} {.deprecatedLastTimestamp}'
check_output "its selectors have its names" '^event.events.k8s.io/e1$' k get events.v1.events.k8s.io -o name --field-selector regarding.kind=Pod,reportingController=example.com/c
check_output "the table is the same" 'LAST SEEN +TYPE +REASON +OBJECT +MESSAGE' k get events.v1.events.k8s.io
check_refused "an event stays" 'message: Invalid value: "other": field is immutable' k patch events.v1.events.k8s.io e1 --type=merge -p '{"note":"other"}'
check "through the old group it need not" k patch events.v1. e1 --type=merge -p '{"message":"other"}'
printf '%s' "${event/Normal/Odd}" | sed 's/"e1"/"e3"/' >"$TEST_DIR/event.json"
check_refused "types are known" 'type: Invalid value: "": has invalid value: Odd' k create -f "$TEST_DIR/event.json"
printf '%s' "${event/\"action\":\"Pulling\",/}" | sed 's/"e1"/"e3"/' >"$TEST_DIR/event.json"
check_refused "an action is required" 'action: Required value' k create -f "$TEST_DIR/event.json"

# ---- coordination, discovery ----
slice() { printf '{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"s"},%s}' "$1" >"$TEST_DIR/slice.json"; k create -f "$TEST_DIR/slice.json"; }
check_refused "an address of its family" 'endpoints\[0\].addresses\[0\]: Invalid value: "::2": must be a valid IPv4 address' slice '"addressType":"IPv4","endpoints":[{"addresses":["::2"]}]'
check_refused "not the node itself" 'endpoints\[0\].addresses\[0\]: Invalid value: "127.0.0.1": may not be in the loopback range \(127.0.0.0/8, ::1/128\)' slice '"addressType":"IPv4","endpoints":[{"addresses":["127.0.0.1"]}]'
check_refused "an address at least" 'endpoints\[0\].addresses: Required value: must contain at least 1 address' slice '"addressType":"IPv4","endpoints":[{"addresses":[]}]'
check_refused "names have two parts" 'endpoints\[0\].addresses\[0\]: Invalid value: "a": should be a domain with at least two segments separated by dots' slice '"addressType":"FQDN","endpoints":[{"addresses":["a"]}]'
check_refused "ports differ in name" 'ports\[1\].name: Duplicate value: "a"' slice '"addressType":"IPv4","endpoints":[],"ports":[{"name":"a","port":1},{"name":"a","port":2}]'
check "an IPv6 slice" slice '"addressType":"IPv6","endpoints":[{"addresses":["2001:db8::7"]}]'
check_refused "its family is fixed" 'addressType: Invalid value: "IPv4": field is immutable' k patch endpointslice s --type=json -p '[{"op":"replace","path":"/addressType","value":"IPv4"},{"op":"replace","path":"/endpoints/0/addresses/0","value":"192.0.2.1"}]'
lease() { printf '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":%s}' "$1" >"$TEST_DIR/lease.json"; k create -f "$TEST_DIR/lease.json"; }
check_refused "a lease lasts" 'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0' lease '{"leaseDurationSeconds":0}'
check_refused "a preferred holder needs a strategy" 'spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined' lease '{"preferredHolder":"x"}'

finish
