# shellcheck shell=bash
# What test scripts share. A script in test/api or test/e2e sources this, makes its checks, and ends with
# "finish". It prints TAP: one "ok" or "not ok" line a check, what a failed check printed as comments.
#
#   start_server [OPTION...]          an own hanok server on a free port, with own data; ended at exit
#   use_lab                           a lab: the runner's, else one of the script's own
#   k ARG...                          kubectl on it, in the script's own namespace after use_namespace
#   use_namespace NAME
#   check NAME COMMAND...             COMMAND must succeed
#   check_fails NAME COMMAND...       COMMAND must fail
#   check_output NAME REGEX COMMAND...   COMMAND must succeed and its output match (extended regex)
#   check_refused NAME REGEX COMMAND...  COMMAND must fail and its output match
#   tap NAME COMMAND...               COMMAND prints TAP; its cases are the script's, that it ends well is one more
#   k_count, k_field                  what kubectl get finds, in numbers and values
#   eventually SECONDS COMMAND...     until COMMAND succeeds, else fails with its last output

TEST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HANOK=${HANOK_BIN:-$TEST_ROOT/build/hanok}
KUBECTL=${KUBECTL:-kubectl}
unset KUBECONFIG # the tester's own, of a lab perhaps
TEST_NAME=$(basename "$0" .sh)
TEST_DIR=${HANOK_TEST_DIR:-$(mktemp -d "/tmp/hanok-$TEST_NAME.XXXXXX")}
TEST_COUNT=0
TEST_FAILED=0
TEST_NAMESPACE=()
TEST_FINISHED=

# shellcheck source=test/lab/lab.sh
. "$TEST_ROOT/test/lab/lab.sh"

# shellcheck disable=SC2317
test_at_exit() {
	local status=$?
	if [ -z "$TEST_FINISHED" ]; then
		TEST_COUNT=$((TEST_COUNT + 1))
		echo "not ok $TEST_COUNT - $TEST_NAME ran to its end (it stopped with exit code $status)"
	fi
	if [ -n "${TEST_OWN_LAB:-}" ]; then
		lab_down >&2
		rm -rf "$LAB"
	fi
	[ -z "${SERVER_DIR:-}" ] || stop_server
	[ -n "${KEEP:-}" ] || rm -rf "$TEST_DIR"
	exit $((TEST_FAILED > 0 || status != 0 || TEST_COUNT == 0))
}
trap test_at_exit EXIT
trap 'exit 130' INT TERM

test_result() {
	local status=$1 name=$2 output=$3
	TEST_COUNT=$((TEST_COUNT + 1))
	if [ "$status" = 0 ]; then
		echo "ok $TEST_COUNT - $name"
		return
	fi
	TEST_FAILED=$((TEST_FAILED + 1))
	echo "not ok $TEST_COUNT - $name"
	head -c 4000 "$output" | sed 's/^/#   /'
	return 1
}

check() {
	local name=$1 output=$TEST_DIR/check.out status=0
	shift
	"$@" >"$output" 2>&1 </dev/null || status=$?
	[ $status = 0 ] || echo "exit code $status: $*" >>"$output"
	test_result $status "$name" "$output" || true
}

check_fails() {
	local name=$1 output=$TEST_DIR/check.out status=0
	shift
	"$@" >"$output" 2>&1 </dev/null && status=1 && echo "succeeded: $*" >>"$output"
	test_result $status "$name" "$output" || true
}

# test_match NAME WANTED_STATUS(zero|nonzero) REGEX COMMAND...
test_match() {
	local name=$1 wanted=$2 regex=$3 output=$TEST_DIR/check.out code=0 status=0
	shift 3
	"$@" >"$output" 2>&1 </dev/null || code=$?
	case $wanted:$code in
	zero:0 | nonzero:[1-9]*) ;;
	*)
		status=1
		echo "exit code $code: $*" >>"$output"
		;;
	esac
	# The whole output without its last newlines is matched, so that a pattern may span lines.
	if [ $status = 0 ] && ! [[ $(<"$output") =~ $regex ]]; then
		status=1
		echo "does not match: $regex" >>"$output"
	fi
	test_result $status "$name" "$output" || true
}

check_output() { test_match "$1" zero "${@:2}"; }
check_refused() { test_match "$1" nonzero "${@:2}"; }

tap() {
	local name=$1 output=$TEST_DIR/tap.out status=0 line
	shift
	"$@" >"$output" 2>"$output.err" </dev/null || status=$?
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			TEST_COUNT=$((TEST_COUNT + 1))
			[[ $line == ok* ]] || TEST_FAILED=$((TEST_FAILED + 1))
			echo "${line%% [0-9]*} $TEST_COUNT - ${line#* - }"
			;;
		1..*) continue ;;
		*) echo "$line" ;;
		esac
	done <"$output"
	grep -q '^1\.\.' "$output" || { status=1; echo "no end" >>"$output.err"; }
	[ $status = 0 ] || echo "exit code $status: $*" >>"$output.err"
	test_result $status "$name went to their end" "$output.err" || true
}

# eventually SECONDS COMMAND...: SECONDS is what it may take on a machine that does nothing else; a busy one is slow, not
# wrong.
PATIENCE=${HANOK_TEST_PATIENCE:-4}
# More where there is more to do for each processor: what a guest's boot needs of one comes the later.
patience() {
	local load
	read -r load _ </proc/loadavg
	load=$((${load%.*} / $(nproc)))
	echo $((load > 16 ? 16 : load > PATIENCE ? load : PATIENCE))
}
eventually() {
	local seconds=$(($1 * $(patience)))
	shift
	lab_await "$seconds" "$*" "$@"
}

# matches REGEX COMMAND...: for eventually.
matches() {
	local regex=$1 output
	shift
	output=$("$@" 2>&1) || { echo "$output"; return 1; }
	echo "$output"
	[[ $output =~ $regex ]]
}

finish() {
	TEST_FINISHED=1
	echo "1..$TEST_COUNT"
}

# Below those that the kernel gives to clients: one of these must not have it when a server comes back to it.
free_port() {
	python3 -c '
import random, socket
least = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(20000, least) if least > 24000 else 0
    try:
        s = socket.socket()
        s.bind(("127.0.0.1", port))
        break
    except OSError:
        continue
print(s.getsockname()[1])'
}

# An own server in $SERVER_DIR. Called again after stop_server or a kill, it continues on the same data and port.
start_server() {
	SERVER_DIR=${SERVER_DIR:-$TEST_DIR/server}
	SERVER_PORT=${SERVER_PORT:-$(free_port)}
	mkdir -p "$SERVER_DIR"
	"$HANOK" server --data "$SERVER_DIR" --listen "127.0.0.1:$SERVER_PORT" "$@" >>"$TEST_DIR/server.log" 2>&1 &
	SERVER_PID=$!
	eventually 30 server_ready || {
		sed 's/^/# /' "$TEST_DIR/server.log"
		echo "Bail out! hanok server did not become ready"
		exit 1
	}
	KUBECONFIG_FILE=$SERVER_DIR/admin.kubeconfig
	# A kubectl lives for a moment: its collector of garbage would cost a third of its time.
	export GOGC=off GOMEMLIMIT=256MiB
}

server_ready() {
	kill -0 "$SERVER_PID" || return 99
	curl -sSf --cacert "$SERVER_DIR/pki/ca.crt" "https://127.0.0.1:$SERVER_PORT/readyz"
}

stop_server() {
	[ -n "${SERVER_PID:-}" ] || return 0
	kill -TERM "$SERVER_PID" 2>/dev/null
	wait "$SERVER_PID"
	local status=$?
	SERVER_PID=
	return $status
}

# Like a power cut of that one process.
kill_server() {
	kill -KILL "$SERVER_PID"
	wait "$SERVER_PID" 2>/dev/null
	SERVER_PID=
}

# What is awaited (--timeout=120s) has the same patience as eventually has; a second or five are a look, or meant so.
k() {
	local argument arguments=() seconds
	for argument in "$@"; do
		if [[ $argument =~ ^--timeout=([1-9][0-9]{1,2})s$ ]]; then
			seconds=$(patience)
			seconds=$((BASH_REMATCH[1] * seconds < 600 ? BASH_REMATCH[1] * seconds : 600))
			[ $seconds -le "${BASH_REMATCH[1]}" ] || argument=--timeout=${seconds}s
		fi
		arguments+=("$argument")
	done
	HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}" "${arguments[@]}"
}

# k_count ARG...: how many objects kubectl get finds. Without an answer nothing is known, not even that there are none.
k_count() {
	local found
	found=$(k get "$@" --ignore-not-found -o name 2>/dev/null) || { echo unknown; return 1; }
	if [ -z "$found" ]; then echo 0; else wc -l <<<"$found"; fi
}

# k_field OBJECT JSONPATH...: their values, with a space between.
k_field() {
	local object=$1 path template=
	shift
	for path in "$@"; do template="$template${template:+ }{$path}"; done
	k get "$object" -o "jsonpath=$template"
}

# raw PATH [CURL-OPTION...]: the API without a client's help, as the admin.
raw() {
	local path=$1
	shift
	if [ ! -e "$TEST_DIR/client.crt" ]; then
		awk '/client-certificate-data:/ { print $2 }' "$KUBECONFIG_FILE" | base64 -d >"$TEST_DIR/client.crt"
		awk '/client-key-data:/ { print $2 }' "$KUBECONFIG_FILE" | base64 -d >"$TEST_DIR/client.key"
		awk '/certificate-authority-data:/ { print $2 }' "$KUBECONFIG_FILE" | base64 -d >"$TEST_DIR/ca.crt"
		SERVER_URL=$(awk '/server:/ { print $2 }' "$KUBECONFIG_FILE")
	fi
	curl -sS --max-time 60 --cacert "$TEST_DIR/ca.crt" --cert "$TEST_DIR/client.crt" --key "$TEST_DIR/client.key" \
		"$@" "$SERVER_URL$path"
}

use_namespace() {
	KUBECONFIG_FILE=${KUBECONFIG_FILE:?start_server or use_lab first}
	TEST_NAMESPACE=()
	k get namespace "$1" >/dev/null 2>&1 || k create namespace "$1" >/dev/null || return
	TEST_NAMESPACE=(--namespace "$1")
}

# The runner brings one lab up for all scripts; a script that is run by itself makes its own.
use_lab() {
	if [ -z "${HANOK_TEST_LAB:-}" ]; then
		TEST_OWN_LAB=1
		HANOK_LAB=$(mktemp -d /tmp/hanok-lab.XXXXXX)
		export HANOK_LAB
		lab_use "$HANOK_LAB" # one that did not come up is ended, too
		HANOK_BIN=$HANOK "$TEST_ROOT/test/lab/up.sh" "$@" >&2 || exit 1
	else
		lab_use "$HANOK_TEST_LAB"
	fi
	KUBECONFIG_FILE=$LAB/kubeconfig
	export GOGC=off GOMEMLIMIT=256MiB # as in start_server
}

# Commands in the lab's first host, and its libvirt.
on_node() { lab_exec "$@"; }
lab_virsh() {
	local said status=0
	{ said=$(lab_exec 1 virsh -q -c qemu:///system "$@" 2>&1 >&3); } 3>&1 || status=$?
	# It may just be starting again.
	if [ $status != 0 ] && [[ $said == *"failed to connect to the hypervisor"* ]] &&
		lab_await 30 "libvirtd answers" lab_exec 1 virsh -c qemu:///system version; then
		lab_exec 1 virsh -q -c qemu:///system "$@"
		return
	fi
	[ -z "$said" ] || echo "$said" >&2
	return $status
}
