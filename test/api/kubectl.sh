#!/bin/bash
# What people do with kubectl on objects, without any node: the API server, its store and its loops.
. "$(dirname "$0")/../lib.sh"
start_server
use_namespace kubectl-test

cat >"$TEST_DIR/config.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: shop, tier: front}}
data: {colour: blue, size: "10"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: s3cret}
END
check "version" k version
check_output "api-resources lists built-in and VM kinds" 'virtualmachineinstances' k api-resources
check_output "api-versions" 'kubevirt.io/v1' k api-versions
check_output "explain" 'replicas' k explain deployment.spec
check_output "apply creates" 'configmap/settings created.*secret/keys created' k apply -f "$TEST_DIR/config.yaml"
check_output "apply again changes nothing" 'configmap/settings unchanged' k apply -f "$TEST_DIR/config.yaml"
sed -i 's/blue/green/' "$TEST_DIR/config.yaml"
check_output "apply configures" 'configmap/settings configured' k apply -f "$TEST_DIR/config.yaml"
check_output "diff sees no difference" '^$' k diff -f "$TEST_DIR/config.yaml"
check_output "get jsonpath" '^green$' k get configmap settings -o 'jsonpath={.data.colour}'
check_output "stringData became data" "^$(printf s3cret | base64)\$" k_field secret/keys .data.token
check_output "get -o yaml" 'kind: ConfigMap' k get configmap settings -o yaml
check_output "get -o wide, label columns" 'NAME +DATA +AGE +APP' k get configmap -L app -o wide
check_output "label selector finds" 'settings' k get configmap -l 'app=shop,tier in (front,back)'
check_output "label selector excludes" 'No resources found' k get configmap -l 'app!=shop,tier'
check_output "field selector" '^configmap/settings' k get configmap --field-selector metadata.name=settings -o name
check "label" k label configmap settings owner=me
check_refused "label does not overwrite by itself" 'overwrite' k label configmap settings owner=you
check "annotate" k annotate configmap settings note=hello
check "merge patch" k patch configmap settings --type merge -p '{"data":{"size":null,"shape":"round"}}'
check_output "merge patch removed and added" '^round-$' k get configmap settings -o 'jsonpath={.data.shape}-{.data.size}'
check "JSON patch" k patch configmap settings --type json -p '[{"op":"test","path":"/data/shape","value":"round"},{"op":"replace","path":"/data/shape","value":"square"}]'
check_refused "JSON patch whose test fails" '.' k patch configmap settings --type json -p '[{"op":"test","path":"/data/shape","value":"round"}]'
EDITOR="sed -i s/square/oval/" check "edit" k edit configmap settings
check_output "edit took effect" '^oval$' k get configmap settings -o 'jsonpath={.data.shape}'
check_output "server-side apply" 'settings serverside-applied' k apply --server-side -f "$TEST_DIR/config.yaml"
check_output "describe" 'colour:' k describe configmap settings
check_refused "create of what exists" 'configmaps "settings" already exists' k create configmap settings
check_refused "get of what does not exist" 'NotFound.*"nothing" not found' k get configmap nothing
check "delete" k delete configmap settings --wait
check_refused "deleted is gone" 'NotFound' k get configmap settings

check "create deployment" k create deployment shop --image=registry.lab:5000/web:latest --replicas=3
check "the deployment's loops make pods" eventually 20 matches '^3$' k_count pods -l app=shop
check_output "pods without a node are Pending" 'Pending' k get pods
check "scale" k scale deployment shop --replicas=1
check "scaled down" eventually 20 matches '^1$' k_count pods -l app=shop
check "set image" k set image deployment/shop web=registry.lab:5000/web:v2
check "a second replica set" eventually 20 matches '^2$' k_count rs -l app=shop
check_output "rollout history" '2 ' k rollout history deployment/shop
check "rollout undo" k rollout undo deployment/shop
check_output "undo put the image back" 'web:latest$' k get deployment shop -o 'jsonpath={.spec.template.spec.containers[0].image}'
check "expose" k expose deployment shop --port=80
check_output "a cluster address was given" '^[0-9.]+$' k get service shop -o 'jsonpath={.spec.clusterIP}'
check "delete the deployment" k delete deployment shop
check "its replica sets and pods go with it" eventually 20 matches '^0$' k_count rs,pods

# Pods that are refused are tried ever more slowly: over two seconds a handful of times, not hundreds.
k create deployment refused --image=nowhere --dry-run=client -o yaml | sed 's/^    spec:/    spec:\n      serviceAccountName: nosuch/' >"$TEST_DIR/refused.yaml"
check "a deployment whose pods are refused" k create -f "$TEST_DIR/refused.yaml"
check "says why" eventually 20 matches 'serviceaccount .*nosuch.* not found.*FailedCreate' k get rs -l app=refused -o 'jsonpath={.items[*].status.conditions}'
tried() { k get events --field-selector reason=FailedCreate -o name | wc -l; }
sleep 2
check "tries grow rarer ($(tried) events)" test "$(tried)" -lt 20
k delete deployment refused >/dev/null

# The stream of changes, as kubectl get -w shows it.
k get configmap -w -o 'custom-columns=NAME:.metadata.name' >"$TEST_DIR/watch.out" 2>&1 &
watcher=$!
eventually 20 grep -q NAME "$TEST_DIR/watch.out" || true
k create configmap seen-by-watch >/dev/null
check "watch shows what is created" eventually 20 grep -q seen-by-watch "$TEST_DIR/watch.out"
kill $watcher
wait $watcher 2>/dev/null

use_namespace default
check "delete of a namespace" k delete namespace kubectl-test --timeout=120s
# More metadata than is made of a list at a time.
k create namespace crowded >/dev/null
python3 -c '
import json
items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{n}", "namespace": "crowded", "annotations": {"much": "x" * 5000}}} for n in range(60)]
print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))' | k -n crowded create -f - >/dev/null
check "delete of a crowded one" k delete namespace crowded --timeout=120s
check_refused "and all in it" 'NotFound' k -n kubectl-test get secret keys

# What stays until it is ended.
HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" proxy --port=0 >"$TEST_DIR/proxy.out" 2>&1 & # k would be a shell, and $! its
proxy_pid=$!
check "kubectl proxy begins" eventually 20 grep -q 'Starting to serve on' "$TEST_DIR/proxy.out"
proxy=$(sed -n 's/Starting to serve on //p' "$TEST_DIR/proxy.out")
check_output "and serves the API" '"kind":"NamespaceList"' curl -sS --max-time 60 "http://$proxy/api/v1/namespaces"
check_output "watches, too" '"type":"ADDED"' curl -sS --max-time 60 "http://$proxy/api/v1/namespaces?watch=true&timeoutSeconds=1"
kill $proxy_pid
wait $proxy_pid 2>/dev/null
k events --watch >"$TEST_DIR/events.out" 2>&1 &
events_pid=$!
note() {
	k create -f - <<-END
		{apiVersion: v1, kind: Event, metadata: {generateName: note}, reason: Noted, message: something new, type: Normal,
		 involvedObject: {kind: ConfigMap, name: c, namespace: "${TEST_NAMESPACE[1]:-default}"}}
	END
}
noted() {
	note >/dev/null && grep -q 'Noted.*something new' "$TEST_DIR/events.out"
}
check "kubectl events --watch" eventually 20 noted
kill $events_pid
wait $events_pid 2>/dev/null
finish
