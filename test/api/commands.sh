#!/bin/bash
# Every kubectl command, its output compared with what the same kubectl printed on kube-apiserver: see
# commands/run.py. The newest kubectl that there is a record of; KUBECTL_ALL=1: all of them.
. "$(dirname "$0")/../lib.sh"
HERE=$(cd "$(dirname "$0")/commands" && pwd)
# shellcheck source=test/api/commands/versions.sh
. "$HERE/versions.sh"

known=()
for kubectl in $(commands_kubectls); do
	[ ! -d "$HERE/expected/$(commands_version "$kubectl")" ] || known+=("$kubectl")
done
if [ ${#known[@]} = 0 ]; then
	echo "1..0 # SKIP no record of what $(command -v "$KUBECTL") ($(commands_version "$KUBECTL")) prints on kube-apiserver"
	TEST_COUNT=1
	finish >/dev/null
	exit
fi
[ -n "${KUBECTL_ALL:-}" ] || known=("${known[-1]}")
for kubectl in "${known[@]}"; do
	start_server --scheduler off --controllers "$COMMANDS_LOOPS"
	"$HERE/run.py" compare "$kubectl" "$KUBECONFIG_FILE" "$HERE/expected/$(commands_version "$kubectl")" "$HERE"/scripts/*.txt >"$TEST_DIR/compare.out"
	while IFS= read -r line; do
		case $line in
		"ok - "* | "not ok - "*)
			TEST_COUNT=$((TEST_COUNT + 1))
			[[ $line == ok* ]] || TEST_FAILED=$((TEST_FAILED + 1))
			echo "${line%% - *} $TEST_COUNT - ${line#* - }"
			;;
		*) echo "$line" ;;
		esac
	done <"$TEST_DIR/compare.out"
	stop_server
done
finish
