#!/bin/bash
# Bad input is refused with the path of the field and Kubernetes' words.
. "$(dirname "$0")/../lib.sh"
start_server

pod() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n%s\n' "$1" "$2" >"$TEST_DIR/pod.yaml"; }

pod bad '  containers: [{name: a}]'
check_refused "an image is required" 'spec.containers\[0\].image: Required value' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod bad '  containers: []'
check_refused "containers are required" 'spec.containers: Required value' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod 'Bad_Name' '  containers: [{name: a, image: b}]'
check_refused "names are DNS names" 'metadata.name: Invalid value: "Bad_Name"' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod bad '  containers: [{name: a, image: b}, {name: a, image: c}]'
check_refused "container names are unique" 'spec.containers\[1\].name: Duplicate value: "a"' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod bad '  containers: [{name: a, image: b, imagePullPolicy: Sometimes}]'
check_refused "an enum's values are named" 'imagePullPolicy: Unsupported value: "Sometimes"' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod bad '  restartPolicy: Always
  containers: [{name: a, image: b, resources: {limits: {cpu: lots}}}]'
check_refused "a quantity must be one" 'quantit' k create --validate=false -f "$TEST_DIR/pod.yaml"
pod bad '  containers: [{name: a, image: b, comand: [x]}]'
check_refused "strict validation names an unknown field" 'unknown field "spec.containers\[0\].comand"' k create --validate=strict -f "$TEST_DIR/pod.yaml"
pod good '  containers: [{name: a, image: b, comand: [x]}]'
check "without strictness an unknown field is dropped" k create --validate=false -f "$TEST_DIR/pod.yaml"
check_output "dropped" '^$' k get pod good -o 'jsonpath={.spec.containers[0].comand}'
check_output "defaults are filled in" '^Always ClusterFirst Always 30$' k get pod good -o \
	'jsonpath={.spec.restartPolicy} {.spec.dnsPolicy} {.spec.containers[0].imagePullPolicy} {.spec.terminationGracePeriodSeconds}'
check_refused "a pod's image may change, its name of node not" 'Forbidden|forbidden|immutable' k patch pod good --type merge -p '{"spec":{"hostname":"other"}}'

status_of() { raw "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
json=(-H 'Content-Type: application/json')
check_output "no JSON at all: 400" '^400$' status_of /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"apiVersion"'
check_output "not an object: 400" '^400$' status_of /api/v1/namespaces/default/configmaps "${json[@]}" -d '[1,2]'
check_output "another kind: 400" '^400$' status_of /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}'
check_output "no such resource: 404" '^404$' status_of /api/v1/namespaces/default/nonsenses
check_output "no such group: 404" '^404$' status_of /apis/nonsense.example/v1
check_output "a type that nobody speaks: 415" '^415$' status_of /api/v1/namespaces/default/configmaps -H 'Content-Type: text/plain' -d hello
check_output "a method that is not allowed: 405" '^405$' status_of /api/v1/namespaces/default/pods/good -X POST "${json[@]}" -d '{}'
head -c 4000000 /dev/zero | tr '\0' x >"$TEST_DIR/big"
check_output "too large: 413" '^413$' status_of /api/v1/namespaces/default/configmaps "${json[@]}" --data-binary "@$TEST_DIR/big"
printf '%50000s' '' | tr ' ' '[' >"$TEST_DIR/deep"
check_output "too deep: 400" '^400$' status_of /api/v1/namespaces/default/configmaps "${json[@]}" --data-binary "@$TEST_DIR/deep"
check_output "an old resourceVersion: 409" '^409$' status_of /api/v1/namespaces/default/pods/good -X PATCH \
	-H 'Content-Type: application/merge-patch+json' -d '{"metadata":{"resourceVersion":"1","labels":{"a":"b"}}}'
check_output "a Status says what and why" '"kind": ?"Status".*"reason": ?"NotFound".*"code": ?404' raw /api/v1/namespaces/default/pods/nothing

anonymous() { curl -s --max-time 60 --cacert "$SERVER_DIR/pki/ca.crt" -o /dev/null -w '%{http_code}' "$@" "https://127.0.0.1:$SERVER_PORT/api/v1/pods"; }
check_output "without a certificate: anonymous, who may not: 403" '^403$' anonymous
check_output "with an unknown token: 401" '^401$' anonymous -H 'Authorization: Bearer nonsense'
check_output "still in health after all this" 'ok' raw /livez
finish
