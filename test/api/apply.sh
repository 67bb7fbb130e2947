#!/bin/bash
# Server-side apply and managedFields, with the real kubectl and as other clients do it.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null
k create namespace ssa >/dev/null
# shellcheck disable=SC2034
TEST_NAMESPACE=(--namespace ssa)

config() { printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: ssa%s}\ndata: {%s}\n' "$1" "${3:-}" "$2"; }
file() { cat >"$TEST_DIR/$1.yaml"; }
apply() { k apply --server-side -f "$TEST_DIR/$1.yaml" "${@:2}"; }
# managers KIND/NAME: who owns what, a line each: MANAGER OPERATION [SUBRESOURCE] FIELDS
managers() {
	k get "$1" -o json --show-managed-fields | python3 -c '
import json, sys
for e in json.load(sys.stdin)["metadata"].get("managedFields", []):
    assert e["fieldsType"] == "FieldsV1" and e["time"].endswith("Z")
    print(e["manager"], e["operation"], e["apiVersion"], e.get("subresource", "-"),
        json.dumps(e["fieldsV1"], separators=(",", ":")))'
}
revision() { k get "$1" -o 'jsonpath={.metadata.resourceVersion}'; }
same_revision() { local before; before=$(revision "$1"); "${@:2}" && [ "$(revision "$1")" = "$before" ]; }
patch() { # TYPE PATH BODY [CURL_OPTION...]
	raw "$2" -X PATCH -H "Content-Type: application/$1" --data-binary "$3" "${@:4}"
}
code() { "$@" -o /dev/null -w '%{http_code}'; }
cm=/api/v1/namespaces/ssa/configmaps

config one 'a: x, b: x' | file one
check_output "apply creates" 'configmap/one serverside-applied' apply one
check_output "its fields are the applier's" '^kubectl Apply v1 - \{"f:data":\{"f:a":\{\},"f:b":\{\}\}\}$' managers cm/one
check "apply of the same changes nothing" same_revision cm/one apply one
check_output "hidden by default" "^$" bash -c "$KUBECTL --kubeconfig $KUBECONFIG_FILE -n ssa get cm one -o yaml | grep managedFields; true"
config one 'a: z, b: x' | file other
check_refused "another manager's value" 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' apply other --field-manager=other
check_output "may be taken" 'serverside-applied' apply other --field-manager=other --force-conflicts
check_output "what is shared has two owners" 'kubectl Apply v1 - \{"f:data":\{"f:b":\{\}\}\}.*other Apply v1 - \{"f:data":\{"f:a":\{\},"f:b":\{\}\}\}' managers cm/one
config one '' | file none
check "the first lets go" apply none
check_output "what the other has stays" '^z x$' k get cm one -o 'jsonpath={.data.a} {.data.b}'
check "the other lets go" apply none --field-manager=other
check_output "what nobody has is gone" '^(\{\})?-$' k get cm one -o 'jsonpath={.data}-'

config two 'a: x, b: x, c: x' | file two
k apply -f "$TEST_DIR/two.yaml" >/dev/null
check_output "client-side apply is an update" '^kubectl-client-side-apply Update v1 - \{"f:data":\{"\.":\{\},"f:a":\{\},"f:b":\{\},"f:c":\{\}\},"f:metadata":\{"f:annotations":\{"\.":\{\},"f:kubectl' managers cm/two
check "a patch is another" k patch cm two --type=merge -p '{"data":{"b":"y"}}'
check_output "which takes the field" 'kubectl-patch Update v1 - \{"f:data":\{"f:b":\{\}\}\}' managers cm/two
config two 'a: z, b: x' | file two
check_refused "kubectl takes over what client-side apply has, not more" 'conflict with "kubectl-patch" using v1: .data.b' apply two
check "by force" apply two --force-conflicts
check_output "migrated: fields" 'kubectl Apply v1 - \{"f:data":\{"f:a":\{\},"f:b":\{\}\}\}' managers cm/two
check_fails "migrated: no client-side manager" bash -c "$(declare -f managers); k() { $KUBECTL --kubeconfig $KUBECONFIG_FILE -n ssa \"\$@\"; }; managers cm/two | grep client-side"
check_output "migrated: what is not applied any more is gone" '^z x -$' k get cm two -o 'jsonpath={.data.a} {.data.b} {.data.c}-'
check_output "and back" 'configured|unchanged' k apply -f "$TEST_DIR/two.yaml"

deployment() {
	cat <<-END
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: web, namespace: ssa, labels: {app: web}}
		spec:
		  ${1:-replicas: 2}
		  selector: {matchLabels: {app: web}}
		  template:
		    metadata: {labels: {app: web}}
		    spec:
		      containers:
		      - name: c
		        image: nginx:1
		        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
		      ${2:-}
	END
}
deployment | file web
check "a deployment" apply web
check_output "lists by their keys" '"k:\{\\"name\\":\\"c\\"\}":\{"\.":\{\},"f:image":\{\},"f:name":\{\},"f:ports":\{"k:\{\\"containerPort\\":80,\\"protocol\\":\\"TCP\\"\}":\{"\.":\{\},"f:containerPort":\{\}\},"k:\{\\"containerPort\\":80,\\"protocol\\":\\"UDP\\"\}"' managers deploy/web
check_output "the selector as a whole" '"f:selector":\{\},"f:template"' managers deploy/web
check_output "generation" '^1$' k_field deploy/web .metadata.generation
check "apply again" same_revision deploy/web apply web
check "scale" k scale deploy/web --replicas=5
check_refused "scaled by another" 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' apply web
deployment 'paused: false' | file web
check "the count is left alone" apply web
check_output "and stays" '^5$' k_field deploy/web .spec.replicas
deployment 'paused: false' '- {name: d, image: busybox}' | file web
check "a second container" apply web
check_output "in order" '^c d$' k get deploy web -o 'jsonpath={.spec.template.spec.containers[*].name}'
check_output "generation counts" '^[3-5]$' k_field deploy/web .metadata.generation
sed -i 's/busybox/busybox:2/' "$TEST_DIR/web.yaml"
check_output "diff --server-side" 'busybox:2' bash -c "$KUBECTL --kubeconfig $KUBECONFIG_FILE diff --server-side -f $TEST_DIR/web.yaml; [ \$? = 1 ]"
check "apply --dry-run=server" same_revision deploy/web apply web --dry-run=server
check "set image" k set image deploy/web d=busybox:3
check_refused "set by another" 'conflict with "kubectl-set" using apps/v1: .spec.template.spec.containers\[name="d"\].image' apply web
deployment 'paused: false' | file web
check "a container that is not applied any more" apply web
check_output "goes" '^c$' k get deploy web -o 'jsonpath={.spec.template.spec.containers[*].name}'
deployment 'bogus: 1' | file bogus
check_refused "an unknown field" 'failed to create typed patch object \(ssa/web; apps/v1, Kind=Deployment\): .spec.bogus: field not declared in schema' apply bogus --validate=false
deployment 'replicas: many' | file bogus
check_refused "a wrong type" '.spec.replicas: expected numeric \(int or float\), got string' apply bogus --validate=false
deployment 'replicas: -1' | file bogus
check_refused "what validation refuses" 'Invalid value: -1' apply bogus --force-conflicts
deployment 'replicas: 1' '- {name: c, image: twice}' | file bogus
check_refused "one item twice" 'duplicate entries for key \[name="c"\]' apply bogus --validate=false

printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: ssa}\nstatus: {replicas: 7}\nspec: {replicas: 9}\n' | file status
check "apply to status" apply status --subresource=status --field-manager=teller
check_output "only the status" '^7 5$' k get deploy web -o 'jsonpath={.status.replicas} {.spec.replicas}'
check_output "is the teller's" 'teller Apply apps/v1 status \{"f:status":\{"f:replicas":\{\}\}\}' managers deploy/web
check_output "status of nothing" '^404$' code patch apply-patch+yaml "${cm/configmaps/pods}/none/status?fieldManager=x" '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"none"}}'

scale=/apis/apps/v1/namespaces/ssa/deployments/web/scale
scaled='{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"ssa"},"spec":{"replicas":8}}'
check_output "apply to a scale" 'conflict with ..kubectl.. with subresource ..scale.. using apps/v1: .spec.replicas' patch apply-patch+yaml "$scale?fieldManager=hpa" "$scaled"
check_output "by force" '"spec":\{"replicas":8\}' patch apply-patch+yaml "$scale?fieldManager=hpa&force=true" "$scaled"
check_output "its count is its own" 'hpa Apply apps/v1 scale \{"f:spec":\{"f:replicas":\{\}\}\}' managers deploy/web

file crd <<'END'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 1}
              atoms: {type: object, x-kubernetes-map-type: atomic, properties: {a: {type: string}}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [id]
                items: {type: object, required: [id], properties: {id: {type: string}, value: {type: string}}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, properties: {phase: {type: string}}}
END
k apply -f "$TEST_DIR/crd.yaml" >/dev/null
k wait --for=condition=Established crd/things.example.org --timeout=120s >/dev/null
thing() { printf 'apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t, namespace: ssa}\nspec: {%s}\n' "$1" | file thing; }
thing 'atoms: {a: x}, parts: [{id: p, value: v}, {id: q}], free: {u: {w: [1, 2]}}'
check_output "a custom resource" 'thing.example.org/t serverside-applied' apply thing
check_output "by its schema" '^kubectl Apply example.org/v1 - \{"f:spec":\{"f:atoms":\{\},"f:free":\{"f:u":\{"\.":\{\},"f:w":\{\}\}\},"f:parts":\{"k:\{\\"id\\":\\"p\\"\}":\{"\.":\{\},"f:id":\{\},"f:value":\{\}\},' managers thing/t
thing 'parts: [{id: q}], free: {}'
check "less of it" apply thing
check_output "is left" '^\{"free":\{\},"parts":\[\{"id":"q"\}\],"size":1\}$' k get thing t -o 'jsonpath={.spec}'
thing 'parts: [{id: q}], nonsense: 1'
check_refused "what its schema does not know" '.spec.nonsense: field not declared in schema' apply thing --validate=false
check "patched by another" k patch thing t --type=merge -p '{"spec":{"parts":[{"id":"q","value":"x"}]}}'
thing 'parts: [{id: q, value: w}]'
check_refused "conflicts" 'conflict with "kubectl-patch" using example.org/v1: .spec.parts\[id="q"\].value' apply thing

check_output "no manager" 'fieldManager: Required value: is required for apply patch' patch apply-patch+yaml $cm/one '{"apiVersion":"v1","kind":"ConfigMap"}'
check_output "another kind" 'invalid object type: /v1, Kind=Secret' patch apply-patch+yaml "$cm/one?fieldManager=m" '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"one"}}'
check_output "managedFields" 'metadata.managedFields must be nil' patch apply-patch+yaml "$cm/one?fieldManager=m" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one","managedFields":[{"manager":"x"}]}}'
check_output "no YAML" '"code":400.*error decoding YAML|error decoding YAML.*"code":400' patch apply-patch+yaml "$cm/one?fieldManager=m" 'a: [b'
check_output "another name" 'the name of the object \(two\) does not match the name on the URL \(one\)' patch apply-patch+yaml "$cm/one?fieldManager=m" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"two"}}'
check_output "force without apply" 'may not be specified for non-apply patch' patch merge-patch+json "$cm/one?force=true" '{}'
check_output "created by apply: 201" '^201$' code patch apply-patch+yaml "$cm/new?fieldManager=m" 'apiVersion: v1
kind: ConfigMap
metadata: {name: new}
data: {a: b}'
check_output "not on a dry run" '^404$' code patch merge-patch+json "$cm/dry" '{}'
check_output "dry run: 201" '^201$' code patch apply-patch+yaml "$cm/dry?fieldManager=m&dryRun=All" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dry"}}'
check_output "and nothing there" '^404$' code raw $cm/dry
check_output "causes" '"reason":"FieldManagerConflict","message":"conflict with \\"m\\"","field":".data.a"' patch apply-patch+yaml "$cm/new?fieldManager=n" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"data":{"a":"c"}}'
check_output "an old revision" '"code":409' patch apply-patch+yaml "$cm/new?fieldManager=m" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new","resourceVersion":"1"}}'

check "entries may be removed" patch json-patch+json "$cm/new?fieldManager=x" '[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]'
check_output "all of them" '^$' managers cm/new
check "and written" patch json-patch+json "$cm/new?fieldManager=x" '[{"op":"add","path":"/metadata/managedFields","value":[{"manager":"y","operation":"Apply","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}}]}]'
check_output "as they are" '^y Apply v1 - \{"f:data":\{"f:a":\{\}\}\}$' managers cm/new
check_output "but not by an empty list" '"manager":"y"' patch merge-patch+json "$cm/new?fieldManager=x" '{"metadata":{"managedFields":[]}}'
check_output "user agents are managers" '"manager":"robot","operation":"Update"' raw $cm -H 'User-Agent: robot/1.0 (x)' -H 'Content-Type: application/json' -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made"},"data":{"a":"b"}}'

k get cm new -o yaml --show-managed-fields | sed 's/a: b/a: c/' >"$TEST_DIR/replace.yaml"
check "replace keeps what it is given" k replace -f "$TEST_DIR/replace.yaml"
check_output "and takes what it changes" '^kubectl-replace Update v1 - \{"f:data":\{"f:a":\{\}\}\}$' managers cm/new
printf '#!/bin/sh\nsed -i "s/a: c/a: d/" "$1"\n' >"$TEST_DIR/editor"
chmod +x "$TEST_DIR/editor"
check "edit" env EDITOR="$TEST_DIR/editor" HOME="$TEST_DIR" "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" -n ssa edit cm new
check_output "takes what it changes" 'kubectl-edit Update v1 - \{"f:data":\{"f:a":\{\}\}\}' managers cm/new

mkdir "$TEST_DIR/set"
config p1 'a: x' ', labels: {set: s}' >"$TEST_DIR/set/1.yaml"
config p2 'a: x' ', labels: {set: s}' >"$TEST_DIR/set/2.yaml"
prune=(apply -f "$TEST_DIR/set" -l set=s --prune --prune-allowlist=core/v1/ConfigMap)
check "apply of a directory" k "${prune[@]}"
rm "$TEST_DIR/set/2.yaml"
check_output "apply --prune" 'configmap/p2 pruned' k "${prune[@]}"
check_output "namespaces' label is its maker's" '"f:kubernetes.io/metadata.name":\{\}' managers ns/ssa

dir=$(dirname "$(readlink -f "$(command -v "$KUBECTL")")")
for KUBECTL in "$dir"/kubectl.1.*; do
	[ -x "$KUBECTL" ] || continue
	v=${KUBECTL##*kubectl.}
	rm -rf "$TEST_DIR/.kube"
	config "v${v/./-}" 'a: x' | file v
	k apply -f "$TEST_DIR/v.yaml" >/dev/null
	config "v${v/./-}" 'a: w' | file v
	check_output "$v apply --server-side" 'serverside-applied' apply v
	check_output "$v migrated" 'kubectl Apply v1 - \{"f:data":\{"f:a":\{\}\}\}' managers "cm/v${v/./-}"
	config "v${v/./-}" 'a: z' | file v
	check_refused "$v conflict" 'conflict with "kubectl": .data.a' apply v --field-manager=other
	check_output "$v diff --server-side" 'a: z' bash -c "HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE diff --server-side -f $TEST_DIR/v.yaml; [ \$? = 1 ]"
	check "$v --force-conflicts" apply v --field-manager=other --force-conflicts
done
finish
