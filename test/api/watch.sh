#!/bin/bash
# Lists and watches: revisions, pages, selectors, bookmarks, tables, and what is too old.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
k create namespace t >/dev/null
base=/api/v1/namespaces/t/configmaps
post() { raw "$base" -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"$1\",\"labels\":{\"l\":\"$2\"}}}" >/dev/null; }
label() { raw "$base/$1" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"metadata\":{\"labels\":{\"l\":\"$2\"}}}" >/dev/null; }
revision() { raw "$base?limit=1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["metadata"]["resourceVersion"])'; }

# events QUERY: one line an event, "TYPE name revision" or "TYPE reason".
events() {
	raw "$base?watch=true&timeoutSeconds=1&$1" "${@:2}" | python3 -c '
import json, sys
for line in sys.stdin:
    e = json.loads(line)
    o = e["object"]
    what = o.get("reason") or o["metadata"].get("name", "-")
    print(e["type"], what, "end" if "k8s.io/initial-events-end" in o["metadata"].get("annotations", {}) else "")'
}

for i in 1 2 3 4 5; do post "c$i" a; done
start=$(revision)
post c6 b
label c1 b
raw "$base/c2" -X DELETE >/dev/null

# The watches last a second each, side by side.
watched() { cat "$TEST_DIR/events.$1"; }
watch() { events "$2" >"$TEST_DIR/events.$1" & }
watch all ''
watch after "resourceVersion=$start"
watch a "resourceVersion=$start&labelSelector=l%3Da"
watch b "resourceVersion=$start&labelSelector=l%3Db"
watch one "resourceVersion=$start&fieldSelector=metadata.name%3Dc1"
watch bookmark "resourceVersion=$(revision)&allowWatchBookmarks=true"
watch streamed 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
# shellcheck disable=SC2046
wait $(jobs -p | grep -vx "$SERVER_PID")
check_output "a watch without a revision begins with what is there" 'ADDED c1.*ADDED c3.*ADDED c6' watched all
check_output "a watch from a revision shows what came after it" 'ADDED c6 *.MODIFIED c1 *.DELETED c2' watched after
check_output "selectors make events of what starts and stops to match" 'DELETED c1 *.DELETED c2' watched a
check_output "and of the other side" 'ADDED c6 *.ADDED c1' watched b
check_output "a watch of one name" 'MODIFIED c1' watched one
check_output "a bookmark before the time is up" 'BOOKMARK - *.?$' watched bookmark
check_output "a streamed list ends with its own bookmark" 'ADDED c6 *.BOOKMARK - end' watched streamed
check_output "which needs the right options" '"code":422' raw "$base?watch=true&sendInitialEvents=true"

tables=(-H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json')
check_output "a table" '"kind":"Table".*"columnDefinitions":\[\{"name":"Name".*"cells":\["c1","0"' raw "$base" "${tables[@]}"
columns_once() {
	raw "$base?watch=true&timeoutSeconds=1&resourceVersion=$start" "${tables[@]}" | python3 -c '
import json, sys
got = [json.loads(l)["object"]["columnDefinitions"] for l in sys.stdin]
print([bool(c) for c in got])'
}
check_output "a watch in table form names the columns once" '\[True, False, False\]' columns_once
check_output "metadata only" '"kind":"PartialObjectMetadataList".*"kind":"PartialObjectMetadata"' \
	raw "$base" -H 'Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
check_output "YAML" 'kind: ConfigMapList' raw "$base" -H 'Accept: application/yaml'
check_output "no form that is served" '"reason":"NotAcceptable".*"code":406' raw "$base" -H 'Accept: text/html'

paged() {
	python3 - "$@" <<-'END'
		import json, subprocess, sys
		base, token, names, pages = sys.argv[1], "", [], 0
		while True:
		    out = subprocess.run(sys.argv[2:] + [f"{base}?limit=2&continue={token}"], capture_output=True, check=True).stdout
		    page = json.loads(out)
		    names += [i["metadata"]["name"] for i in page["items"]]
		    pages += 1
		    token = page["metadata"].get("continue", "")
		    if not token:
		        break
		print(pages, *names)
	END
}
curl_admin=(curl -sS --cacert "$TEST_DIR/ca.crt" --cert "$TEST_DIR/client.crt" --key "$TEST_DIR/client.key")
check_output "pages" '^3 c1 c3 c4 c5 c6' paged "$SERVER_URL$base" "${curl_admin[@]}"
# The pages after the first one show what was there when it was made, whatever has happened since.
consistent() {
	python3 - "$@" <<-'END'
		import json, subprocess, sys
		base, curl = sys.argv[1], sys.argv[2:]
		def get(query):
		    return json.loads(subprocess.run(curl + [base + query], capture_output=True, check=True).stdout)
		def write(*options):
		    subprocess.run(curl + list(options), capture_output=True, check=True)
		first = get("?limit=2")
		write("-X", "DELETE", base + "/c4")
		write("-H", "Content-Type: application/json", "-d", '{"metadata":{"name":"c45"}}', base)
		write("-X", "PATCH", "-H", "Content-Type: application/merge-patch+json", "-d", '{"data":{"new":"1"}}', base + "/c5")
		second = get("?limit=2&continue=" + first["metadata"]["continue"])
		third = get("?limit=2&continue=" + second["metadata"]["continue"])
		revision = first["metadata"]["resourceVersion"]
		exact = get("?resourceVersionMatch=Exact&resourceVersion=" + revision)
		legacy = get("?limit=50&resourceVersion=" + revision)
		name = lambda o: o["metadata"]["name"] + ("+" if "new" in o.get("data", {}) else "")
		print(*[name(o) for p in (first, second, third) for o in p["items"]], "remaining",
		    *[p["metadata"].get("remainingItemCount", 0) for p in (first, second, third)],
		    "one revision", len({p["metadata"]["resourceVersion"] for p in (first, second, third, exact, legacy)}))
		print("exact", *[name(o) for o in exact["items"]], "legacy", *[name(o) for o in legacy["items"]])
		print("now", *[name(o) for o in get("")["items"]])
		not_older = get("?resourceVersionMatch=NotOlderThan&resourceVersion=" + revision)
		print("not older", *[name(o) for o in not_older["items"]])
	END
}
check_output "pages belong together" '^c1 c3 c4 c5 c6 remaining 3 1 0 one revision 1
exact c1 c3 c4 c5 c6 legacy c1 c3 c4 c5 c6
now c1 c3 c45 c5\+ c6
not older c1 c3 c45 c5\+ c6$' consistent "$SERVER_URL$base" "${curl_admin[@]}"
old_token=$(raw "$base?limit=2" | sed 's/.*"continue":"\([^"]*\)".*/\1/')
raw "$base/c45" -X DELETE >/dev/null
post c4 a

check_output "a revision that is yet to come" 'Timeout: Too large resource version: 999999, current: [0-9]+.*"retryAfterSeconds":1.*"code":504' \
	raw "$base?resourceVersion=999999"
check_output "a token together with a revision" 'specifying resource version is not allowed when using continue' \
	raw "$base?limit=1&resourceVersion=2&continue=$(raw "$base?limit=1" | sed 's/.*"continue":"\([^"]*\)".*/\1/')"
check_output "how many are left" '"remainingItemCount":3' raw "$base?limit=2"
check_output "a page that is asked for by nonsense" '"code":400' raw "$base?limit=1&continue=bm9uc2Vuc2U"

check_output "the path form of a watch" 'ADDED' raw "/api/v1/watch/namespaces/t/configmaps?timeoutSeconds=1"

sequence() {
	kubectl_watch=$TEST_DIR/watch.out
	k get configmaps -n t -w --output-watch-events >"$kubectl_watch" &
	local pid=$!
	eventually 20 grep -q c6 "$kubectl_watch" && post c9 z && raw "$base/c9" -X DELETE >/dev/null &&
		eventually 20 grep -q DELETED "$kubectl_watch"
	local status=$?
	kill $pid
	wait $pid 2>/dev/null
	cat "$kubectl_watch"
	return $status
}
check_output "kubectl get -w" 'ADDED +c9.*DELETED +c9' sequence

k get configmaps -n t -w >/dev/null 2>&1 &
open_watch=$!
check "stops in order with a watch open" stop_server
wait $open_watch 2>/dev/null
start_server '--controllers=-*' --scheduler=off
# Events are not kept over a restart: whoever asks from before it is told to list again.
check_output "a revision from before all events" 'ERROR Expired' events "resourceVersion=$start"
check_output "so is a list of then" '"message":"The resourceVersion for the provided list is too old.".*"reason":"Expired".*"code":410' \
	raw "$base?resourceVersion=$start&resourceVersionMatch=Exact"
# A page of then: told, with a token that goes on in the present.
check_output "a page of then" '"reason":"Expired".*"code":410' raw "$base?limit=2&continue=$old_token"
go_on() {
	raw "$base?limit=2&continue=$(raw "$base?limit=2&continue=$old_token" | sed 's/.*"metadata":{"continue":"\([^"]*\)".*/\1/')"
}
check_output "and how to go on all the same" '"name":"c4".*"name":"c5"' go_on
check_output "the present one is fine" '^[^E]*$' events "resourceVersion=$(revision)&allowWatchBookmarks=true"
finish
