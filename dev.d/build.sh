# shellcheck shell=bash
# Building with meson and ninja. One directory a kind of build: build, build-asan, build-tsan, build-clang.

# Under sudo as the one whose source tree it is: they must be able to go on without it.
build_as_owner() {
	local uid gid
	read -r uid gid < <(stat -c '%u %g' "$ROOT")
	if [ "$(id -u)" = 0 ] && [ "$uid" != 0 ]; then
		HOME=$(getent passwd "$uid" | cut -d: -f6) setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"
	else
		"$@"
	fi
}

# build_directory DIR [meson option...]: a step's work.
build_directory() {
	local dir=$1 line at total
	shift
	# Meson says no more than the first missing library; the package names are ours to say.
	if [ ! -e "$dir/build.ninja" ]; then
		progress 0 0 "configuring"
		build_as_owner meson setup "$dir" "$ROOT" "$@" ||
			fail "meson could not configure $(basename "$dir")" "sudo ./dev deps, then run again"
	fi
	# The last line of a pipeline's first command is its status.
	NINJA_STATUS='[%f/%t] ' build_as_owner ninja -C "$dir" | while IFS= read -r line; do
		printf '%s\n' "$line"
		if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (.*) ]]; then
			at=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
			progress "$at" "$total" "${BASH_REMATCH[3]##* }"
		fi
	done
	[ "${PIPESTATUS[0]}" = 0 ] || fail "the code does not compile" "correct what the compiler names, then run again"
	progress 1 1 "$(basename "$dir")"
}

# build_select --asan|...: sets BUILD_DIR and BUILD_OPTIONS.
build_select() {
	BUILD_OPTIONS=()
	case ${1:-} in
	'') BUILD_DIR=$ROOT/build ;;
	--asan)
		BUILD_DIR=$ROOT/build-asan
		BUILD_OPTIONS=("-Db_sanitize=address,undefined" -Db_lundef=false)
		;;
	--tsan)
		BUILD_DIR=$ROOT/build-tsan
		BUILD_OPTIONS=(-Db_sanitize=thread -Db_lundef=false)
		;;
	--clang)
		BUILD_DIR=$ROOT/build-clang
		BUILD_OPTIONS=()
		command -v clang >/dev/null || ui_die "clang is not installed" "sudo ./dev deps"
		export CC=clang
		;;
	*) ui_usage "build: unknown option $1" ;;
	esac
}

cmd_build() {
	build_select "${1:-}"
	ui_begin 2
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD
	step "build ${1:-}" build_directory "$BUILD_DIR" "${BUILD_OPTIONS[@]}"
	echo "built: $BUILD_DIR/hanok"
}

# The fuzzers are libFuzzer targets: clang, with the sanitizers that find what is done wrong silently.
cmd_fuzz() {
	local seconds=${1:-60} target name
	[[ $seconds =~ ^[0-9]+$ ]] || ui_usage "fuzz: a number of seconds, not '$seconds'"
	export CC=clang
	ui_begin 2
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_FUZZ
	step build build_directory "$ROOT/build-fuzz" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
	local targets=("$ROOT"/build-fuzz/fuzz/*-fuzz)
	[ -x "${targets[0]}" ] || ui_die "no fuzz targets were built" "look at fuzz/meson.build"
	ui_begin ${#targets[@]}
	for target in "${targets[@]}"; do
		name=$(basename "$target" -fuzz)
		step "fuzz $name" fuzz_target "$target" "$name" "$seconds"
	done
}

# fuzz_target PROGRAM NAME SECONDS: the repository's corpus is read, what is new goes to .cache, and what
# breaks the target to a folder of its own there, so that a later run does not begin with it.
fuzz_target() {
	local found=$ROOT/.cache/fuzz/$2 broken=$ROOT/.cache/fuzz-findings/$2
	mkdir -p "$found" "$broken" "$ROOT/fuzz/corpus/$2"
	cd "$found" || exit 1
	"$1" -max_total_time="$3" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$broken/" \
		"$found" "$ROOT/fuzz/corpus/$2" ||
		fail "$2: the fuzzer found an input that breaks it, see $broken" \
			"correct the parser and add that input to fuzz/corpus/$2"
}

cmd_bench() {
	build_select
	ui_begin 2
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_NODE $DEPS_LAB $DEPS_TEST kubernetes-client
	step build build_directory "$BUILD_DIR"
	[ -x "$ROOT/bench/run" ] || ui_die "bench/run is missing"
	"$ROOT/bench/run" "$@"
}
