#!/bin/bash
# CustomResourceDefinitions as an unmodified kubectl uses them: two versions, one of them stored; checks, defaults, columns, scale,
# status, selectors; the server stopped and killed in between; the definition deleted with its objects.
. "$(dirname "$0")/../lib.sh"
start_server
use_namespace t

data=$(dirname "$0")/data/widgets.yaml
old=widgets.v1beta1.acme.example.com
widget() { printf 'apiVersion: acme.example.com/%s\nkind: Widget\nmetadata: {name: %s}\nspec: %s\n' "$1" "$2" "$3" >"$TEST_DIR/widget.yaml"; }
create() { k create --validate=false -f "$TEST_DIR/widget.yaml"; }

check "a definition is applied" k apply -f "$data"
check "it is established" k wait --for condition=established --timeout=120s crd/widgets.acme.example.com
check_output "its names are accepted" '^Widget WidgetList wd v1$' k get crd widgets.acme.example.com -o \
	'jsonpath={.status.acceptedNames.kind} {.status.acceptedNames.listKind} {.status.acceptedNames.shortNames[0]} {.status.storedVersions[0]}'
check_output "it is in the discovery" 'widgets +wd +acme.example.com/v1 +true +Widget' k api-resources --api-group=acme.example.com

widget v1 one '{size: 3, parts: [{name: a}, {name: b, weight: 2}]}'
check "an object is created" create
check_output "defaults are filled in, in lists, too" '^red 1 1.5 2$' k_field widget/one .spec.color .spec.replicas '.spec.parts[0].weight' '.spec.parts[1].weight'
check_output "columns are the definition's" '^NAME +SIZE +AGE.one +3 ' k get wd
check_output "columns of wide output" 'NAME +SIZE +COLOR +AGE' k get widgets -o wide
check_output "categories" 'widget.acme.example.com/one' k get all
check_output "the other version shows the same object by its own schema" 'acme.example.com/v1beta1 3$' k_field $old/one .apiVersion .spec.size
check_output "which has no parts" '^Warning[^{}]*$' k get $old/one -o 'jsonpath={.spec.parts}'
check_output "a deprecated version warns" 'Warning: acme.example.com/v1beta1 Widget is deprecated' k get $old

widget v1 bad '{size: x, color: blue, parts: [{name: a}, {name: a}, {name: A}, {weight: 1}]}'
for error in 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"' \
	'spec.color: Unsupported value: "blue": supported values: "red", "green"' 'spec.parts\[1\]: Duplicate value' \
	"spec.parts\[2\].name: Invalid value: \"A\": spec.parts\[2\].name in body should match '\^\[a-z\]\+\\$'" 'spec.parts\[3\].name: Required value'; do
	check_refused "refused: $error" "$error" create
done
widget v1 two '{size: 11}'
check_refused "refused: too large" 'spec.size in body should be less than or equal to 10' create
widget v1 two '{size: 1, colour: blue}'
check_refused "strict: unknown fields are refused" 'strict decoding error: unknown field "spec.colour"' k create --validate=strict -f "$TEST_DIR/widget.yaml"
check "else they are dropped" create
check_output "dropped" '^$' k_field widget/two .spec.colour
check_output "strategic merge patches are not for these" 'UnsupportedMediaType.*"code":415' raw "/apis/acme.example.com/v1/namespaces/t/widgets/two" -X PATCH -d '{}' -H 'Content-Type: application/strategic-merge-patch+json'

check "a merge patch by the other version" k patch $old/two --type merge -p '{"spec":{"color":"green"}}'
check_output "selectable fields" '^widget.acme.example.com/two$' k get wd --field-selector spec.color=green -o name
check_refused "other fields are not selectable" 'field label not supported: spec.size' k get wd --field-selector spec.size=1
check "scale" k scale widget/one --replicas 4
check_output "scaled, which is a new generation" '^4 2$' k_field widget/one .spec.replicas .metadata.generation
check "the status is written by itself" k patch widget/one --type merge --subresource status -p '{"status":{"phase":"Good","replicas":4},"spec":{"size":9}}'
check_output "and is all that changes" '^Good 3 2$' k_field widget/one .status.phase .spec.size .metadata.generation
check_output "the scale shows it" '"status":\{"replicas":4' raw /apis/acme.example.com/v1/namespaces/t/widgets/one/scale
check "writes of the object leave the status alone" k patch widget/one --type merge -p '{"status":{"phase":"Bad"}}'
check_output "left alone" '^Good$' k_field widget/one .status.phase
widget v1 one '{size: 4, parts: [{name: c}]}'
check_refused "server-side apply tells of conflicts" 'conflict.*spec.size' k apply --server-side --field-manager m -f "$TEST_DIR/widget.yaml"
check "server-side apply by force" k apply --server-side --field-manager m --force-conflicts -f "$TEST_DIR/widget.yaml"
check_output "lists of the map type are merged by their keys" '^a b c 4$' k get widget one -o 'jsonpath={.spec.parts[*].name} {.spec.size}'
check_output "explain" 'How large' k explain widget.spec.size
check_output "explain, all of it" 'parts.*<\[\]Object>.*weight' k explain widget.spec --recursive
check_output "explain knows the definition itself" 'openAPIV3Schema' k explain crd.spec.versions.schema

kill_server
start_server
check_output "after a kill, the objects are there" '^2$' k_count widgets
check_output "served at once, with its columns" 'one +4 .*red' k get wd --no-headers -o wide

# The definition changes: a field with a default comes, what objects have besides the schema goes.
sed -e 's/color: {type: string, enum: \[red, green\], default: red}/color: {type: string}\n              material: {type: string, default: wood}/' "$data" >"$TEST_DIR/changed.yaml"
(k get wd -w -o name >"$TEST_DIR/watch.out" 2>&1 &)
check "the definition is changed" k apply -f "$TEST_DIR/changed.yaml"
check "objects stored before have the new default" eventually 20 matches '^wood 4$' k_field widget/one .spec.material .spec.size
check "the new schema is served" eventually 20 matches 'material' k explain widget.spec
check_refused "what is established does not change its scope" 'spec.scope: Invalid value: "Cluster": field is immutable' k patch crd widgets.acme.example.com --type merge -p '{"spec":{"scope":"Cluster"}}'
check_refused "a version that was stored stays" 'status.storedVersions\[0\]: Invalid value: "v1": must appear in spec.versions' k patch crd widgets.acme.example.com --type json \
	-p '[{"op":"remove","path":"/spec/versions/0"},{"op":"replace","path":"/spec/versions/0/storage","value":true}]'

# The storage version moves; rows of both versions are read.
check "another version is stored from now on" k patch crd widgets.acme.example.com --type json \
	-p '[{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]'
check "both were stored" eventually 20 matches '^v1 v1beta1$' k get crd widgets.acme.example.com -o 'jsonpath={.status.storedVersions[0]} {.status.storedVersions[1]}'
widget v1 three '{size: 5}'
check "a third object" create
check "stop" stop_server
start_server
check_output "all three are there" '^4 5$' k get wd one three -o 'jsonpath={.items[0].spec.size} {.items[1].spec.size}'

sed -e 's/name: widgets.acme/name: gadgets.acme/; s/plural: widgets/plural: gadgets/' "$data" >"$TEST_DIR/conflict.yaml"
check "a definition with names that are taken" k apply -f "$TEST_DIR/conflict.yaml"
check "is not accepted" eventually 20 matches '^False$' k get crd gadgets.acme.example.com -o 'jsonpath={.status.conditions[?(@.type=="NamesAccepted")].status}'
check_fails "and not served" k get gadgets

check "an owned object" k create configmap owned
uid=$(k_field widget/one .metadata.uid)
check "owned" k patch configmap owned --type merge -p "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"acme.example.com/v1\",\"kind\":\"Widget\",\"name\":\"one\",\"uid\":\"$uid\"}]}}"
# While an object holds the definition back, no request makes new ones.
check "an object that stays for a while" k patch widget/one --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
check "the definition is being deleted" k delete crd widgets.acme.example.com --wait=false
check "its objects, too" eventually 20 matches '^2' k_field widget/one .metadata.deletionTimestamp
widget v1 late '{size: 1}'
check_refused "no new objects" 'create not allowed while custom resource definition is terminating' create
check_refused "by server-side apply neither" 'create not allowed while custom resource definition is terminating' raw \
	"/apis/acme.example.com/v1/namespaces/t/widgets/late?fieldManager=m" --fail-with-body -X PATCH --data-binary "@$TEST_DIR/widget.yaml" \
	-H 'Content-Type: application/apply-patch+yaml'
check "what is there changes still" k patch widget/one --type merge -p '{"metadata":{"finalizers":null}}'
check "the definition goes after its objects" k wait --for delete crd/widgets.acme.example.com --timeout=120s
check_fails "the resource is gone" k get widgets
check "what the objects owned goes, too" eventually 20 matches '^0$' k_count configmaps --field-selector metadata.name=owned
check "the names are free for the other" k wait --for condition=established --timeout=120s crd/gadgets.acme.example.com
check "again" k apply -f "$data"

sed -e 's/type: integer, minimum: 1, maximum: 10/type: integer, uniqueItems: true/; s/name: widgets.acme/name: wodgets.acme/' "$data" >"$TEST_DIR/bad.yaml"
for error in 'size\].uniqueItems: Forbidden: uniqueItems cannot be set to true' 'metadata.name: Invalid value: "wodgets.acme.example.com": must be spec.names.plural'; do
	check_refused "refused: $error" "$error" k create --validate=false -f "$TEST_DIR/bad.yaml"
done
sed -e "s/pattern: '[^']*'/pattern: '['/; s/default: red/default: blue/" "$data" >"$TEST_DIR/bad.yaml"
check_refused "refused: a pattern that is none" "pattern '\[' is wrong" k replace -f "$TEST_DIR/bad.yaml"
sed -e "s/default: red/default: blue/" "$data" >"$TEST_DIR/bad.yaml"
check_refused "refused: a default that its own schema refuses" 'properties\[color\].default: Unsupported value: "blue"' k replace -f "$TEST_DIR/bad.yaml"
finish
