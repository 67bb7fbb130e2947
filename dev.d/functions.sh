# shellcheck shell=bash
# ./dev test functions: the function suite in a lab of its own. See test/functions/README.md.

# functions_run ARG...: run.sh's own arguments.
cmd_functions() {
	local status report=${HANOK_FUNCTION_REPORT:-$UI_LOGS/functions.html}
	need_root "the function suite"
	ui_begin 2
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_TEST $DEPS_NODE $DEPS_LAB $DEPS_IMAGE openssh-client kubernetes-client
	if [ -z "${HANOK_BIN:-}" ]; then
		build_select "${HANOK_TEST_BUILD:-}"
		step build build_directory "$BUILD_DIR" "${BUILD_OPTIONS[@]}"
		export HANOK_BIN=$BUILD_DIR/hanok
	fi
	mkdir -p "$UI_LOGS/functions"
	HANOK_FUNCTION_LOGS=$UI_LOGS/functions bash "$ROOT/test/functions/run.sh" --html "$report" "$@"
	status=$?
	ui_give_back -R "$UI_LOGS/functions"
	echo "report: $report; a log a case: $UI_LOGS/functions"
	return $status
}
