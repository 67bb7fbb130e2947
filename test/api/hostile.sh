#!/bin/bash
# What no honest client sends is refused: it must neither be stored nor be taken for something else.
. "$(dirname "$0")/../lib.sh"
start_server

maps=/api/v1/namespaces/default/configmaps
pods=/api/v1/namespaces/default/pods
machines=/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances
json=(-H 'Content-Type: application/json')
merge=(-X PATCH -H 'Content-Type: application/merge-patch+json')
code_of() { raw "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }

check_output "a name is checked to its end, not to a NUL" 'metadata.name: Invalid value' raw $maps "${json[@]}" -d '{"metadata":{"name":"a\u0000b"}}'
check_output "a finalizer's too" 'metadata.finalizers\[0\]: Invalid value' raw $maps "${json[@]}" \
	-d '{"metadata":{"name":"a","finalizers":["x/y\u0000z"]}}'
check_output "so nothing was stored" '^kube-root-ca.crt$|^$' k get configmaps -o 'jsonpath={.items[*].metadata.name}'

raw $maps "${json[@]}" -d '{"metadata":{"name":"kept"},"data":{"a":"b"}}' >/dev/null
revision=$(k_field configmap/kept .metadata.resourceVersion)
check_output "a patch can't make another kind of an object" '^400$' code_of $maps/kept "${merge[@]}" -d '{"kind":"Secret"}'
check_output "nor one of another group" '^400$' code_of $maps/kept "${merge[@]}" -d '{"apiVersion":"apps/v1"}'
check_output "and none was written" "^$revision\$" k_field configmap/kept .metadata.resourceVersion

for body in '[]' '"x"' '7' '{"gracePeriodSeconds":"a"}' '{"preconditions":{"uid":7}}' '{"preconditions":"x"}' \
	'{"propagationPolicy":1}' '{"dryRun":"All"}' '{"orphanDependents":"no"}'; do
	check_output "deletion options $body: 400" '^400$' code_of $maps/kept -X DELETE "${json[@]}" -d "$body"
done
check_output "nothing was deleted" '^kept$' k_field configmap/kept .metadata.name
check_output "options as clients of other groups name them" '^200$' code_of $maps/kept -X DELETE "${json[@]}" \
	-d '{"kind":"DeleteOptions","apiVersion":"apps/v1","gracePeriodSeconds":null,"preconditions":null}'

pod() {
	printf '{"metadata":{"name":"%s"},"spec":{"containers":[{"name":"a","image":"i","resources":%s},{"name":"b","image":"i","resources":%s}]}}' \
		"$1" "$2" "$2"
}
check_output "a request below zero" 'containers\[0\].resources.requests\[cpu\]: Invalid value: .*must be greater than or equal to 0' \
	raw $pods "${json[@]}" -d "$(pod low '{"requests":{"cpu":"-1"}}')"
check_output "a limit below zero" 'containers\[0\].resources.limits\[memory\]: Invalid value' \
	raw $pods "${json[@]}" -d "$(pod low '{"limits":{"memory":"-1Gi"}}')"
check_output "a machine's" 'spec.domain.resources.requests\[memory\]: Invalid value' \
	raw $machines "${json[@]}" -d '{"metadata":{"name":"low"},"spec":{"domain":{"devices":{},"resources":{"requests":{"memory":"-10Gi"}}}}}'

k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Node
metadata: {name: n1}
END
raw /api/v1/nodes/n1/status "${merge[@]}" -d '{"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"110"},
	"conditions":[{"type":"Ready","status":"True"}]}}' >/dev/null
raw $pods "${json[@]}" -d "$(pod big '{"requests":{"cpu":"8E","memory":"7Ei"}}')" >/dev/null
refused() { [ "$(k_field pod/big '.status.conditions[?(@.type=="PodScheduled")].reason')" = Unschedulable ]; }
check "requests whose sum no number holds are placed nowhere" eventually 20 refused
check_output "and no pod is" '^$' k_field pod/big .spec.nodeName

check_output "an eviction is an object" '^400$' code_of $pods/big/eviction "${json[@]}" -d '[]'
check_output "whose options are too" '^400$' code_of $pods/big/eviction "${json[@]}" -d '{"deleteOptions":{"preconditions":{"uid":7}}}'
check_output "the pod is still there" '^big$' k_field pod/big .metadata.name

check_output "False is false, as Python writes it" '"kind": ?"ConfigMapList"' raw "$maps?watch=False"
# Bombs: what is small to send and large to hold. Each is refused, and within the time that a large honest body takes.
yaml=(-H 'Content-Type: application/yaml')
bomb() { # NAME REGEX CURL_ARG...
	local name=$1 regex=$2
	shift 2
	check_output "$name" "$regex" code_of "$@" --max-time 60
}
python3 - "$TEST_DIR" <<'END'
import json, sys
def write(name, text):
    open(f"{sys.argv[1]}/{name}", "w").write(text)
head = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bomb"},"data":'
write("deep.json", head + '{"a":' * 200000 + "1" + "}" * 200001)
write("arrays.json", head + "[" * 1000000)
write("deep.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata: " + "[" * 1500000 + "]" * 1500000)
write("levels.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n- " + ("[" * 99 + "]" * 99 + "\n- ") * 15000 + "x\n")
write("alias.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"  a{i}: &a{i} [" + ",".join([f"*a{i-1}"] * 9) + "]\n" for i in range(1, 12)))
write("copy.json", json.dumps([{"op": "add", "path": "/data/a0", "value": "x" * 1000}] + [
    {"op": "copy", "from": "/data", "path": f"/data/c{i}"} for i in range(40)]))
write("operations.json", json.dumps([{"op": "test", "path": "/data", "value": {}}] * 10001))
write("keys.json", head + "{" + ",".join(f'"k{i}":"{i}"' for i in range(150000)) + "}}")
END
for shape in deep.json arrays.json; do bomb "JSON nested without end ($shape)" '^400$' $maps "${json[@]}" --data-binary "@$TEST_DIR/$shape"; done
for shape in deep.yaml levels.yaml alias.yaml; do
	bomb "YAML that grows ($shape)" '^(400|413|422)$' $maps "${yaml[@]}" --data-binary "@$TEST_DIR/$shape"
done
raw $maps "${json[@]}" -d '{"metadata":{"name":"small"},"data":{}}' >/dev/null
bomb "a patch that copies itself" '^(400|413|422)$' $maps/small -X PATCH -H 'Content-Type: application/json-patch+json' --data-binary "@$TEST_DIR/copy.json"
bomb "one of 10,001 operations" '^413$' $maps/small -X PATCH -H 'Content-Type: application/json-patch+json' --data-binary "@$TEST_DIR/operations.json"
bomb "150,000 keys" '^(201|413|422)$' "$maps?dryRun=All" "${json[@]}" --data-binary "@$TEST_DIR/keys.json"
parameters=$(printf 'a%s=b&' {1..7000})
bomb "7,000 parameters" '^(200|414|431)$' "$maps?$parameters"
bomb "a selector of them" '^(200|400|414|431)$' "$maps?labelSelector=$(printf 'a%s=b,' {1..6000})c"

# Clients that take their time: no request, half a handshake, half a request. Others are served as before. (A release
# takes 5,000.)
half_open() { python3 -B "$TEST_ROOT/test/api/half_open.py" "$SERVER_DIR" "$SERVER_PORT" "${HANOK_TEST_HALF_OPEN:-600}"; }
check_output "served beside half-open connections" ' ms beside [0-9]+ half-open' half_open

check_output "still in health after all this" 'ok' raw /livez
finish
