#!/bin/bash
# test/api/commands/record.sh [KUBECTL...]: records anew what the scripts print on kube-apiserver 1.20.2, which
# it builds first (bench/peer.sh), into expected/MINOR. KUBECTL: all that are installed, when none is named.
# Only the control loops that hanok has run on the other side, too.
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
# shellcheck source=test/lab/lab.sh
. "$ROOT/test/lab/lab.sh"
# shellcheck source=bench/lib.sh
. "$ROOT/bench/lib.sh"
# shellcheck source=bench/cases.sh
. "$ROOT/bench/cases.sh"
# shellcheck source=bench/peer.sh
. "$ROOT/bench/peer.sh"
# shellcheck source=test/api/commands/versions.sh
. "$HERE/versions.sh"

DIR=$(mktemp -d /tmp/hanok-record.XXXXXX)
trap 'peer_stop; rm -rf "$DIR"' EXIT
peer_build kube-apiserver kube-controller-manager kubectl || exit
kubectls=("$@")
[ $# -gt 0 ] || mapfile -t kubectls < <(commands_kubectls)
for kubectl in "${kubectls[@]}"; do
	# A cluster of its own for each: nothing is left of the one before.
	peer_start "$DIR" --authorization-mode RBAC || exit
	"$PEER_CACHE/bin/kube-controller-manager" --kubeconfig "$PEER_CONFIG" --leader-elect=false --port=0 \
		--secure-port=0 --controllers "$COMMANDS_LOOPS" --service-account-private-key-file "$DIR/pki/sa.key" \
		--root-ca-file "$DIR/pki/ca.crt" >"$DIR/kcm.log" 2>&1 &
	PEER_PIDS+=($!)
	"$HERE/run.py" record "$kubectl" "$PEER_CONFIG" "$HERE/expected/$(commands_version "$kubectl")" "$HERE"/scripts/*.txt
	peer_stop
	rm -rf "$DIR"
	mkdir "$DIR"
done
