#!/bin/bash
# The same commands with the oldest and the newest kubectl that are installed beside the default one
# (kubectl.1.27 ...); KUBECTL_ALL=1: with all of them.
# shellcheck disable=SC2016,SC2034
. "$(dirname "$0")/../lib.sh"
start_server

dir=$(dirname "$(readlink -f "$(command -v "$KUBECTL")")")
versions=()
for f in "$dir"/kubectl.1.*; do [ -x "$f" ] && versions+=("$f"); done
[ ${#versions[@]} -gt 0 ] || versions=("$(command -v "$KUBECTL")")
[ -n "${KUBECTL_ALL:-}" ] || [ ${#versions[@]} -lt 2 ] || versions=("${versions[0]}" "${versions[-1]}")

deployment() {
	cat <<-END
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: web, labels: {app: web}}
		spec:
		  replicas: ${2:-2}
		  selector: {matchLabels: {app: web}}
		  template:
		    metadata: {labels: {app: web}}
		    spec:
		      containers: [{name: c, image: "nginx:$1", ports: [{containerPort: 80}]}]
	END
}
deployment 1 >"$TEST_DIR/one.yaml"
deployment 2 >"$TEST_DIR/two.yaml"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatta: {a: b}\n' >"$TEST_DIR/bad.yaml"
printf '#!/bin/sh\nsed -i "s/colour: red/colour: blue/" "$1"\n' >"$TEST_DIR/editor"
chmod +x "$TEST_DIR/editor"

for KUBECTL in "${versions[@]}"; do
	v=${KUBECTL##*kubectl.}
	TEST_NAMESPACE=()
	rm -rf "$TEST_DIR/.kube"
	ns=v${v//./-}
	check "$v create namespace" k create namespace "$ns"
	TEST_NAMESPACE=(--namespace "$ns")
	check_output "$v version" 'Server Version.*v1.33.0.hanok' k version
	check_output "$v api-resources" 'deploy +apps/v1 +true +Deployment.*vm,vms +kubevirt.io/v1 +true +VirtualMachine' k api-resources
	check_output "$v api-versions" 'apps/v1.*kubevirt.io/v1' k api-versions
	check_output "$v apply" 'web created' k apply -f "$TEST_DIR/one.yaml"
	check_output "$v apply of the same" 'web unchanged' k apply -f "$TEST_DIR/one.yaml"
	check_output "$v diff" 'nginx:2' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE -n $ns diff -f $TEST_DIR/two.yaml; [ \$? = 1 ]"
	check_output "$v apply of a change" 'web configured' k apply -f "$TEST_DIR/two.yaml"
	check_output "$v apply --dry-run=server" 'server dry run' k apply --dry-run=server -f "$TEST_DIR/one.yaml"
	check_output "$v nothing came of it" 'nginx:2' k get deploy web -o 'jsonpath={.spec.template.spec.containers[0].image}'
	check_refused "$v strict validation" 'unknown field "datta"' k create -f "$TEST_DIR/bad.yaml"
	check_output "$v get -o wide" 'web +[0-9]/2 .* c +nginx:2 +app=web' k get deployments -o wide
	check_output "$v get all" 'deployment.apps/web' k get all
	check_output "$v explain" 'Image to run|containers' k explain pods.spec.containers
	check "$v explain --recursive" k explain deploy --recursive
	check "$v create configmap" k create configmap settings --from-literal=colour=red
	check "$v create secret" k create secret generic key --from-literal=a=b
	check "$v create deployment" k create deployment other --image=nginx
	check "$v create serviceaccount" k create sa robot
	check "$v edit" env EDITOR="$TEST_DIR/editor" HOME="$TEST_DIR" "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" -n "$ns" edit cm settings
	check_output "$v edited" 'blue' k get cm settings -o yaml
	check "$v label" k label cm settings tier=one
	check_output "$v get -l" 'settings' k get cm -l tier=one -o name
	check "$v annotate" k annotate cm settings note=x
	check "$v patch merge" k patch cm settings --type=merge -p '{"data":{"q":"1"}}'
	check "$v patch json" k patch cm settings --type=json -p '[{"op":"remove","path":"/data/q"}]'
	check "$v patch strategic" k patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"b"}]}]}}}}'
	check_output "$v only env changed" 'nginx:2 A' k get deploy web -o 'jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].name}'
	check "$v scale" k scale deploy/web --replicas=3
	check "$v scale --current-replicas" k scale deploy/web --current-replicas=3 --replicas=1
	check_output "$v scaled" '1' k get deploy web -o 'jsonpath={.spec.replicas}'
	check "$v set image" k set image deploy/web c=nginx:3
	check "$v set env" k set env deploy/web A=c
	check "$v set resources" k set resources deploy/web --limits=cpu=1
	check "$v rollout restart" k rollout restart deploy/web
	check "$v rollout pause" k rollout pause deploy/web
	check "$v rollout resume" k rollout resume deploy/web
	check "$v rollout history" k rollout history deploy/web
	check "$v expose" k expose deploy web --port=80
	check_output "$v describe service" 'IP: +10\.96\.' k describe svc web
	check_output "$v describe deployment" 'Replicas: +1 desired' k describe deploy web
	check "$v run" k run one --image=busybox
	check_output "$v describe pod" 'Status: +Pending' k describe pod one
	check_output "$v wait" 'condition met' k wait pod/one --for=jsonpath='{.status.phase}'=Pending --timeout=120s
	check "$v replace" k replace -f "$TEST_DIR/one.yaml"
	check_refused "$v get of nothing" 'NotFound' k get pod nothing
	check "$v get events" k get events
	check "$v delete pod" k delete pod one
	check "$v delete --cascade=foreground" k delete deploy web --cascade=foreground --wait=true --timeout=120s
	check "$v delete -l" k delete cm -l tier=one
	check "$v delete namespace" k delete namespace "$ns" --wait=true --timeout=120s
done
finish
