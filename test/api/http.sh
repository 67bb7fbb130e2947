#!/bin/bash
# What stands around the objects: protocol versions, compression, headers, limits.
. "$(dirname "$0")/../lib.sh"
start_server

maps=/api/v1/namespaces/default/configmaps
json=(-H 'Content-Type: application/json')
head_of() { raw "$1" -o /dev/null -D - "${@:2}"; }
code_of() { raw "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
version_of() { raw "$1" -o /dev/null -w '%{http_version} %{http_code}' "${@:2}"; }
text() { head -c "$1" /dev/zero | tr '\0' x; }

check_output "HTTP/2 where both can" '^2 200$' version_of /version --http2
check_output "HTTP/1.1 where the client wants it" '^1.1 200$' version_of /version --http1.1
check_output "kubectl speaks HTTP/2" 'HTTP/2.0 200|"HTTP/2.0"|proto="HTTP/2.0"|200 OK' k get --raw /version -v=8

for i in 1 2 3 4; do
	{ printf '{"metadata":{"name":"large-%s"},"data":{"a":"' $i; text 60000; printf '"}}'; } >"$TEST_DIR/body"
	raw $maps --http2 "${json[@]}" --data-binary "@$TEST_DIR/body" -o /dev/null
done
for version in --http1.1 --http2; do
	check_output "a large list is compressed ($version)" 'ontent-[Ee]ncoding: gzip' head_of $maps $version -H 'Accept-Encoding: gzip'
	check_output "and varies by that ($version)" '[Vv]ary: Accept-Encoding' head_of $maps $version -H 'Accept-Encoding: gzip'
	raw $maps $version >"$TEST_DIR/plain"
	raw $maps $version --compressed >"$TEST_DIR/unpacked"
	check "it is the same list ($version)" cmp "$TEST_DIR/plain" "$TEST_DIR/unpacked"
	check_output "much smaller ($version)" '^smaller$' bash -c "
		[ \$(stat -c %s '$TEST_DIR/plain') -gt 240000 ] && [ $(raw $maps $version -H 'Accept-Encoding: gzip' | wc -c) -lt 20000 ] && echo smaller"
done
plain() { head_of "$@" | grep -i content-encoding && return 1; return 0; }
check "a small one is not" plain $maps/large-1 -H 'Accept-Encoding: gzip'
check "nor for who refuses it" plain $maps -H 'Accept-Encoding: gzip;q=0, deflate'
check_output "OpenAPI is" 'ontent-[Ee]ncoding: gzip' head_of /openapi/v3/api/v1 -H 'Accept-Encoding: gzip'
etag=$(head_of /openapi/v3/api/v1 | tr -d '\r' | awk 'tolower($1) == "etag:" { print $2 }')
check_output "and is not sent twice" '^304$' code_of /openapi/v3/api/v1 -H "If-None-Match: $etag"

check_output "each answer has a number" '[Aa]udit-[Ii]d: [0-9a-f]{8}-[0-9a-f-]{27}' head_of $maps/large-1
check_output "the client's, where it gives one" '[Aa]udit-[Ii]d: mine-7' head_of $maps/large-1 -H 'Audit-ID: mine-7'
check_output "objects are not for caches" '[Cc]ache-[Cc]ontrol: no-cache, private' head_of $maps/large-1
check_output "nor are errors" '[Cc]ache-[Cc]ontrol: no-cache, private' head_of $maps/none
pretty() { raw "$maps/large-1?pretty=true" | grep -v '"a":'; }
check_output "pretty" ' {4}"name": "large-1"' pretty
# What is made of parsed objects comes piece by piece: nothing of it may be lost or said twice.
for i in {1..90}; do printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: piece-%02d, labels: {piece: "yes"}}\n' "$i"; done >"$TEST_DIR/pieces.yaml"
k create -f "$TEST_DIR/pieces.yaml" >/dev/null
pieces() { raw "$maps?labelSelector=piece$1" "${@:2}"; }
plain=$(pieces '' | python3 -c 'import json, sys; d = json.load(sys.stdin); print([i["metadata"]["uid"] for i in d["items"]])')
same_in() { [ "$(python3 -c "import json, sys; print([i${1}['metadata']['uid'] for i in json.load(sys.stdin)['$2']])")" = "$plain" ]; }
table() { pieces '' -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' | same_in "['object']" rows; }
metadata() { pieces '' -H 'Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' | same_in '' items; }
indented() { pieces '&pretty=true' | same_in '' items; }
in_yaml() {
	pieces '' -H 'Accept: application/yaml' >"$TEST_DIR/list.yaml"
	[ "$(sed -n "s/^    uid: \(.*\)/'\1'/p" "$TEST_DIR/list.yaml" | paste -sd, | sed 's/,/, /g; s/.*/[&]/')" = "$plain" ] &&
		[ "$(k create --dry-run=client -f "$TEST_DIR/list.yaml" -o name | wc -l)" = 90 ]
}
check "a table of many rows" table
check "their metadata" metadata
check "a list that is indented" indented
check "and one in YAML" in_yaml
pages() { [ "$(k get configmaps -l piece --chunk-size=35 --no-headers | wc -l)" = 90 ]; }
check "a table in pages" pages

check_output "a timeout is taken" '^200$' code_of "$maps?timeout=32s"
check_output "one that is none is not" '^400$' code_of "$maps?timeout=soon"
check_output "a compressed body is refused" '^415$' code_of $maps "${json[@]}" -H 'Content-Encoding: gzip' --data-binary x

head -c 3145729 /dev/zero >"$TEST_DIR/large"
for i in {1..70}; do echo "X-Large-$i: $(text 1000)"; done >"$TEST_DIR/header"
for version in --http1.1 --http2; do
	check_output "a body of 3 MiB and a byte ($version)" '^413$' code_of $maps $version "${json[@]}" --data-binary "@$TEST_DIR/large"
	check_output "one that does not say its size ($version)" '^413$' code_of $maps $version "${json[@]}" -H 'Transfer-Encoding: chunked' -T "$TEST_DIR/large" -X POST
	check_output "HEAD of what allows only GET ($version)" '^405$' code_of $maps/large-1 $version -I
	check_output "HEAD of a health check ($version)" '^200$' code_of /livez $version -I
	check_output "OPTIONS ($version)" '^405$' code_of $maps $version -X OPTIONS
	check_output "a way out of the tree ($version)" '^400$' code_of /api/../livez $version --path-as-is
	watch_once() { timeout 60 curl -sN --cacert "$SERVER_DIR/pki/ca.crt" --cert "$SERVER_DIR/pki/admin.crt" --key "$SERVER_DIR/pki/admin.key" \
		"$1" "$SERVER_URL$maps?watch=true&timeoutSeconds=1"; }
	check_output "a watch ($version)" '"type":"ADDED"' watch_once $version
done
check_output "a header of 70 KB" '^431$' code_of $maps --http1.1 -H "@$TEST_DIR/header"
check_output "the server is in health" 'ok' raw /livez
finish
