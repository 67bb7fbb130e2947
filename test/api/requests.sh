#!/bin/bash
# Every request of every kubectl command, with the headers that kubectl 1.27 to 1.33 send, has an answer of the
# form that Kubernetes gives it.
. "$(dirname "$0")/../lib.sh"
here=$(dirname "$0")
start_server '--controllers=-*' --scheduler=off --disable-admission-plugins=ServiceAccount
raw /version >/dev/null # leaves the client's certificate in files

"$HANOK" kubeconfig --data "$SERVER_DIR" --node n1 --server "https://127.0.0.1:$SERVER_PORT" >"$TEST_DIR/n1.kubeconfig"
for part in certificate key; do
	awk "/client-$part-data:/ { print \$2 }" "$TEST_DIR/n1.kubeconfig" | base64 -d >"$TEST_DIR/n1.$part"
done
python3 "$here/fake_node.py" "$TEST_DIR/ca.crt" "$TEST_DIR/n1.certificate" "$TEST_DIR/n1.key" >"$TEST_DIR/node.port" &
node_pid=$!
eventually 20 test -s "$TEST_DIR/node.port"

tap "the requests" python3 "$here/requests.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" \
	"$(cat "$TEST_DIR/node.port")" "$here/data/requests.tsv"
kill $node_pid
finish
