#!/bin/bash
# Certificate requests: approved by kubectl, or by themselves for nodes; signed; and good for what they say.
. "$(dirname "$0")/../lib.sh"
start_server --scheduler=off

# request NAME SUBJECT SIGNER USAGES [MEMBERS-OF-SPEC [SUBJECT-ALT-NAMES]]: makes a key and asks for a certificate.
request() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TEST_DIR/$1.key" -subj "$2" ${6:+-addext "subjectAltName=$6"} \
		-out "$TEST_DIR/$1.csr" 2>/dev/null || return
	"${AS:-k}" create -f - <<-END
		{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "$1"}, "spec": {${5:+$5,}
		"request": "$(base64 -w0 "$TEST_DIR/$1.csr")", "signerName": "$3", "usages": [$4]}}
	END
}
issued() {
	k get csr "$1" -o 'jsonpath={.status.certificate}' | base64 -d >"$TEST_DIR/$1.crt"
	[ -s "$TEST_DIR/$1.crt" ]
}
server=https://127.0.0.1:$SERVER_PORT
# with NAME KUBECTL-ARGUMENT...: as who has that certificate.
with() {
	HOME=$TEST_DIR "$KUBECTL" --server "$server" --certificate-authority "$SERVER_DIR/pki/ca.crt" --client-certificate "$TEST_DIR/$1.crt" \
		--client-key "$TEST_DIR/$1.key" "${@:2}"
}
certificate() { openssl x509 -in "$TEST_DIR/$1.crt" -noout "${@:2}" 2>&1; }
client=kubernetes.io/kube-apiserver-client

check "a request for a client's certificate" request jane /O=dev/O=ops/CN=jane $client '"client auth"' '"expirationSeconds": 3600'
check_output "waits" '^$' k get csr jane -o 'jsonpath={.status.certificate}'
check "until somebody approves" k certificate approve jane
check "and is signed" eventually 20 issued jane
check_output "by the cluster" 'jane.crt: OK' openssl verify -CAfile "$SERVER_DIR/pki/ca.crt" -purpose sslclient "$TEST_DIR/jane.crt"
check_output "as kubectl shows" 'jane .*Approved,Issued$' k get csr jane --no-headers
check_refused "for an hour" 'will expire' certificate jane -checkend 3660
check_output "and no less" 'will not expire' certificate jane -checkend 3500
check_output "for a client only" 'TLS Web Client Authentication$' certificate jane -ext extendedKeyUsage
check_refused "it is somebody for the server" 'User "jane" cannot list resource "pods"' with jane get pods
k create clusterrolebinding readers --clusterrole=view --group=ops >/dev/null
seen() { with jane get pods; }
check "with the groups that it names" eventually 20 seen

request wrong /CN=joe $client '"client auth","server auth"' >/dev/null
k certificate approve wrong >/dev/null
check "what the signer does not give" eventually 20 matches 'Failed' k get csr wrong --no-headers
check "says why" eventually 20 matches 'SignerValidationFailure usages did not match' k get csr wrong -o 'jsonpath={.status.conditions[1].reason} {.status.conditions[1].message}'
request other /CN=joe example.com/other '"client auth"' >/dev/null
k certificate approve other >/dev/null
request serving /O=system:nodes/CN=system:node:n1 kubernetes.io/kubelet-serving '"digital signature","server auth"' '' DNS:n1,IP:10.1.2.3 >/dev/null
k certificate approve serving >/dev/null
check "a node's serving certificate" eventually 20 issued serving
check_output "has its names" 'DNS:n1, IP Address:10.1.2.3' certificate serving -ext subjectAltName
check_output "other signers are left alone" '^$' k get csr other -o 'jsonpath={.status.certificate}'

# A node that joins: a bootstrap token may ask, its request is approved by itself.
k -n kube-system create secret generic bootstrap-token-abcdef --type=bootstrap.kubernetes.io/token --from-literal=token-id=abcdef \
	--from-literal=token-secret=0123456789abcdef --from-literal=usage-bootstrap-authentication=true >/dev/null
joining() {
	HOME=$TEST_DIR "$KUBECTL" --server "$server" --certificate-authority "$SERVER_DIR/pki/ca.crt" --token=abcdef.0123456789abcdef "$@"
}
k create clusterrolebinding joins --clusterrole=system:node-bootstrapper --group=system:bootstrappers >/dev/null
k create clusterrolebinding approves --clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient --group=system:bootstrappers >/dev/null
usages='"digital signature","client auth"'
AS=joining check "a node asks by a token" request n1 /O=system:nodes/CN=system:node:n1 $client-kubelet "$usages"
check "has its certificate" eventually 20 issued n1
check "approved for what it is" eventually 20 matches 'Auto approving kubelet client certificate after SubjectAccessReview.' k get csr n1 -o 'jsonpath={.status.conditions[0].message}'
k create clusterrolebinding renews --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes >/dev/null
as_node() { with n1 "$@"; }
AS=as_node check "renews it with that" request n1-again /O=system:nodes/CN=system:node:n1 $client-kubelet "$usages"
check "by itself" eventually 20 issued n1-again
check "as the same node" eventually 20 matches 'Auto approving self kubelet client certificate' k get csr n1-again -o 'jsonpath={.status.conditions[0].message}'
AS=as_node check "but not another's" request n2 /O=system:nodes/CN=system:node:n2 $client-kubelet "$usages"
check_output "which waits" 'n2 .*Pending' k get csr n2 --no-headers
finish
