# shellcheck shell=bash
# A lab of the measurements' own, brought up by the first that needs one and gone with the run. HANOK_BENCH_LAB=DIR: one
# that is there, with the binary that it runs, and stays.

# shellcheck source=test/lab/lab.sh
. "$ROOT/test/lab/lab.sh"

# bench_lab: fails, and says so, when it can't be brought up.
bench_lab() {
	[ -z "${BENCH_LAB:-}" ] || { [ -n "${BENCH_LAB_READY:-}" ]; return; }
	BENCH_LAB=${HANOK_BENCH_LAB:-$(mktemp -d /tmp/hanok-bench-lab.XXXXXX)}
	lab_use "$BENCH_LAB"
	[ -n "${HANOK_BENCH_LAB:-}" ] || HANOK_LAB=$BENCH_LAB HANOK_BIN=$HANOK "$ROOT/test/lab/up.sh" 1 || return
	mkdir -p "$LAB/node1/tmp/bench"
	cp "$BENCH_BUILD/bench/cri-bench" "$ROOT/bench/pod.json" "$LAB/node1/tmp/bench/" && BENCH_LAB_READY=1
}

bench_lab_down() {
	[ -n "${BENCH_LAB:-}" ] && [ -z "${HANOK_BENCH_LAB:-}" ] || return 0
	lab_down && rm -rf "$BENCH_LAB"
	BENCH_LAB=
}

bench_kubectl() { kubectl --kubeconfig "$LAB/kubeconfig" --cache-dir "$LAB/kubectl-cache" "$@"; }
bench_virsh() { lab_exec 1 virsh -q -c qemu:///system "$@"; }

# bench_create FILE NAME: hanok's side of a round in the lab.
bench_create() { "$BENCH_BUILD/bench/create-bench" "$LAB/kubeconfig" "$ROOT/bench/$1" "$2"; }

# bench_lab_pid PIDFILE: as the machine sees a process that host 1 knows by its own number.
bench_lab_pid() {
	local inner namespace
	inner=$(lab_exec 1 cut -d' ' -f1 "$1") || return
	namespace=$(readlink "/proc/$(lab_pid node1)/ns/pid")
	for pid in /proc/[0-9]*; do
		[ "$(readlink "$pid/ns/pid")" = "$namespace" ] || continue
		[ "$(awk '/^NSpid:/ { print $NF }' "$pid/status")" = "$inner" ] && basename "$pid" && return
	done
	return 1
}
