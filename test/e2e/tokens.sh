#!/bin/bash
# Pods find the token of their service account, and it opens the API for as long as they live.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-tokens

FILES=/var/run/secrets/kubernetes.io/serviceaccount
k create serviceaccount worker >/dev/null
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec: &spec
  terminationGracePeriodSeconds: 1
  serviceAccountName: worker
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    volumeMounts: [{name: vault, mountPath: /vault}]
  volumes:
  - name: vault
    projected:
      sources: [{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}}]
---
apiVersion: v1
kind: Pod
metadata: {name: none}
spec:
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  containers: [{name: c, image: "registry.lab:5000/web:latest"}]
END
check "pods with tokens start" k wait --for=condition=Ready pod --all --timeout=120s
token=$(k exec plain -- cat $FILES/token)
vault=$(k exec plain -- cat /vault/token)
check_output "the namespace is told" '^e2e-tokens$' k exec plain -- cat $FILES/namespace
k exec plain -- cat $FILES/ca.crt >"$TEST_DIR/pod-ca.crt"
raw /version >/dev/null # leaves the authority's certificate in a file

# as TOKEN PATH [CURL-OPTION...]
as() {
	local bearer=$1 path=$2
	shift 2
	curl -sS --max-time 10 --cacert "$TEST_DIR/pod-ca.crt" -H "Authorization: Bearer $bearer" "$@" "$SERVER_URL$path"
}
# code_as TOKEN PATH
code_as() { as "$@" -o /dev/null -w '%{http_code}'; }
who() {
	as "$1" /apis/authentication.k8s.io/v1/selfsubjectreviews -H 'Content-Type: application/json' \
		-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
}
check "and the server's authority" cmp "$TEST_DIR/ca.crt" "$TEST_DIR/pod-ca.crt"
check_output "the token is the account's, bound to the pod" \
	'"username": ?"system:serviceaccount:e2e-tokens:worker".*"authentication.kubernetes.io/pod-name": ?\["plain"\]' who "$token"
check_output "it may do nothing by itself" '^403$' code_as "$token" /api/v1/namespaces/e2e-tokens/pods
k create rolebinding worker-views --clusterrole=view --serviceaccount=e2e-tokens:worker >/dev/null
check_output "but what it is granted" '^200$' code_as "$token" /api/v1/namespaces/e2e-tokens/pods
check_output "a token for others is not for the server" '^401$' code_as "$vault" /api/v1/namespaces/e2e-tokens/pods
check_fails "a pod that wants no token has none" k exec none -- ls $FILES/token
k delete pod plain --wait >/dev/null
check "the token dies with its pod" eventually 15 matches '^401$' code_as "$token" /api/v1/namespaces/e2e-tokens/pods
k delete namespace e2e-tokens --wait=false >/dev/null
finish
