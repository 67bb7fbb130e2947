# shellcheck shell=bash
# ./dev test functions: the function suite in a lab of its own. See test/functions/README.md.

# cmd_functions ARG...: run.sh's own arguments.
cmd_functions() {
	local status pid logs=${HANOK_FUNCTION_LOGS:-$UI_LOGS/functions} report=${HANOK_FUNCTION_REPORT:-$UI_LOGS/functions.html}
	need_root "the function suite"
	ui_begin 2
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_TEST $DEPS_NODE $DEPS_LAB $DEPS_IMAGE openssh-client kubernetes-client
	if [ -z "${HANOK_BIN:-}" ]; then
		build_select "${HANOK_TEST_BUILD:-}"
		step build build_directory "$BUILD_DIR" "${BUILD_OPTIONS[@]}"
		export HANOK_BIN=$BUILD_DIR/hanok
	fi
	mkdir -p "$logs"
	# A shell that waits for a job hears of a signal at once; the run ends its cases and their guests, and says what is known.
	HANOK_FUNCTION_LOGS=$logs bash "$ROOT/test/functions/run.sh" --html "$report" "$@" &
	pid=$!
	trap 'kill "$pid" 2>/dev/null' INT TERM HUP
	while :; do
		wait "$pid"
		status=$?
		kill -0 "$pid" 2>/dev/null || break
	done
	trap - INT TERM HUP
	ui_give_back -R "$logs"
	echo "report: $report; a log a case: $logs"
	return $status
}
