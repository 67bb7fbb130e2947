#!/bin/bash
# Errors have Kubernetes' words: code, reason, message and details of many requests.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off --disable-admission-plugins=ServiceAccount
k create namespace t >/dev/null
raw /version >/dev/null # leaves the client's certificate in files

here=$(dirname "$0")
replay() {
	python3 "$here/status_replay.py" "$here/data/status.tsv" "127.0.0.1:$SERVER_PORT" \
		"$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" >"$TEST_DIR/replay"
}
check "all requests are answered" replay

verdict() {
	grep -E "^(ok|bad) $1(:|\$)" "$TEST_DIR/replay" || { echo "not reached"; return 1; }
	grep -qx "ok $1" "$TEST_DIR/replay"
}
while IFS=$'\t' read -r label _; do
	check "$label" verdict "$label"
done < <(grep -v '^#' "$here/data/status.tsv")
finish
