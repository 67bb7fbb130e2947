#!/bin/bash
# What is beside the objects: health, version, metrics, discovery, OpenAPI.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null
open() { curl -sS --max-time 60 --cacert "$SERVER_DIR/pki/ca.crt" "https://127.0.0.1:$SERVER_PORT$1" "${@:2}"; }

for path in /livez /readyz /healthz; do
	check_output "$path" '^ok$' open $path
	check_output "$path?verbose" '\[\+\]ping ok.*check passed' open "$path?verbose"
done
check_output "one check" '^ok$' raw /readyz/bootstrap
check_output "no such check" '^404$' raw /readyz/nonsense -o /dev/null -w '%{http_code}'
check_output "/version is open" '"gitVersion":"v1\.33\.0\+hanok-' open /version
check_output "/metrics is not" '^403$' open /metrics -o /dev/null -w '%{http_code}'

check_output "Endpoints are on their way out" '^.arning: 299 - "v1 Endpoints is deprecated in v1.33\+; use discovery.k8s.io/v1 EndpointSlice"' sh -c \
	"curl -sS -D - -o /dev/null --cacert $TEST_DIR/ca.crt --cert $TEST_DIR/client.crt --key $TEST_DIR/client.key $SERVER_URL/api/v1/endpoints | grep -i ^warning"
if [ -n "$(hostname -I | tr -d ' ')" ]; then
	check_output "where the API itself is" '^[1-9][0-9.]+ [0-9]+ [1-9][0-9.]+$' sh -c "
		echo \$($KUBECTL --kubeconfig $KUBECONFIG_FILE get endpoints kubernetes -o 'jsonpath={.subsets[0].addresses[0].ip} {.subsets[0].ports[0].port}' 2>/dev/null) \
			\$($KUBECTL --kubeconfig $KUBECONFIG_FILE get endpointslice kubernetes -o 'jsonpath={.endpoints[0].addresses[0]}')"
fi

raw /api/v1/namespaces >/dev/null
metrics() {
	raw /metrics | python3 -c '
import re, sys
names = set()
for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("#"):
        assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line), line
        continue
    m = re.fullmatch(r"([a-z_]+)(\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\})? [-+0-9.e]+", line)
    assert m, line
    names.add(m[1])
print(*sorted(names))'
}
check_output "metrics are in Prometheus' form" \
	'apiserver_request_duration_seconds_bucket.*apiserver_request_total.*hanok_store_commits_total.*process_resident' metrics
check_output "a list was counted" 'apiserver_request_total\{verb="LIST",resource="namespaces",subresource="",code="200"\} [1-9]' raw /metrics

for word in ONE TWO THREE; do
	raw /apis -X $word >/dev/null
	open /apis -X $word >/dev/null
	raw "/api/v1/namespaces/default/pods/x/sub$word" >/dev/null
done
invented() { raw /metrics | grep -cE 'ONE|TWO|THREE'; }
check_output "methods that clients invent are one" 'verb="other",resource="",subresource="",code="' raw /metrics
check_refused "no name of theirs is kept, nor one of a subresource" '^0$' invented

check_output "legacy /api" '"kind":"APIVersions","versions":\["v1"\]' raw /api
check_output "legacy /apis" '"kind":"APIGroupList".*"name":"apps".*"preferredVersion"' raw /apis
check_output "a group" '"kind":"APIGroup"' raw /apis/apps
check_output "legacy resources" '"name":"pods/eviction".*"group":"policy","version":"v1"' raw /api/v1
check_output "another group's subresource" '"name":"deployments/scale".*"group":"autoscaling"' raw /apis/apps/v1
aggregated() { raw "$1" -H "Accept: application/json;g=apidiscovery.k8s.io;v=$2;as=APIGroupDiscoveryList,application/json" "${@:3}"; }
check_output "aggregated" '"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2".*"resource":"deployments","responseKind":\{"group":"apps","version":"v1","kind":"Deployment"\},"scope":"Namespaced".*"freshness":"Current"' aggregated /apis v2
check_output "of older clients" 'apidiscovery.k8s.io/v2beta1' aggregated /api v2beta1
check_output "its type is said" 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' aggregated /apis v2 -o /dev/null -w '%{content_type}'
etag() { "$@" -o /dev/null -D - | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p'; }
check_output "what is known is not sent again" '^304$' aggregated /apis v2 -H "If-None-Match: $(etag aggregated /apis v2)" -o /dev/null -w '%{http_code}'

root=$(raw /openapi/v3)
check_output "OpenAPI v3" '"apis/apps/v1":\{"serverRelativeURL":"/openapi/v3/apis/apps/v1\?hash=[0-9A-F]{16}"' echo "$root"
url=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["paths"]["api/v1"]["serverRelativeURL"])' "$root")
check_output "its documents may be kept" 'immutable' raw "$url" -o /dev/null -D -
check_output "and are not sent again" '^304$' raw "$url" -H "If-None-Match: $(etag raw "$url")" -o /dev/null -w '%{http_code}'
complete() {
	raw "$1" | python3 -c '
import json, sys
doc = json.load(sys.stdin)
schemas = doc["components"]["schemas"]
refs = set()
def walk(v):
    if isinstance(v, dict):
        if "$ref" in v:
            refs.add(v["$ref"])
        for x in v.values():
            walk(x)
    elif isinstance(v, list):
        for x in v:
            walk(x)
walk(doc)
missing = [r for r in refs if r.removeprefix("#/components/schemas/") not in schemas]
print(len(doc["paths"]), "paths", len(schemas), "schemas", "missing", missing)'
}
for gv in api/v1 apis/apps/v1 apis/kubevirt.io/v1 apis/coordination.k8s.io/v1 apis/discovery.k8s.io/v1; do
	check_output "all references of $gv are there" 'schemas missing \[\]$' complete "/openapi/v3/$gv"
done
check_output "no such document" '^404$' raw /openapi/v3/apis/nonsense/v1 -o /dev/null -w '%{http_code}'
check_output "OpenAPI v2 as JSON" '^\{"swagger":"2.0".*"/api/v1/namespaces/.namespace./pods"' raw /openapi/v2
finish
