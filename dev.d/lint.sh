# shellcheck shell=bash
# What a machine can check of the style, and what no one should have to look for: formatting, the direction
# of includes, shell scripts.

LINT_FOLDERS="lib server node cli api fuzz bench guest test"

lint_c_files() {
	local folder folders=()
	for folder in $LINT_FOLDERS; do [ ! -d "$ROOT/$folder" ] || folders+=("$ROOT/$folder"); done
	find "${folders[@]}" -name '*.[ch]' | sort
}

lint_shell_files() {
	{
		find "$ROOT"/dev.d "$ROOT"/test "$ROOT"/guest "$ROOT"/bench "$ROOT"/packaging -name '*.sh' 2>/dev/null
		echo "$ROOT/dev"
	} | sort
}

lint_format() {
	lint_c_files | xargs -r clang-format --dry-run -Werror || fail "files are not formatted" "./dev format"
	progress 1 1 "$(lint_c_files | wc -l) files"
}

# lint_forbid FOLDER PATTERN WHY: no file below FOLDER includes what PATTERN matches.
lint_forbid() {
	local found
	[ -d "$ROOT/$1" ] || return 0
	found=$(grep -rnE --include='*.[ch]' "^#[[:space:]]*include \"($2)" "$ROOT/$1")
	[ -z "$found" ] || {
		echo "$found"
		echo "  $1: $3"
		return 1
	}
}

lint_includes() {
	local status=0
	lint_forbid lib 'server/|node/|cli/|api/' "the library knows none of its users" || status=1
	lint_forbid server 'node/|cli/' "the server meets the node only at the API" || status=1
	lint_forbid node 'server/|cli/' "the node meets the server only at the API" || status=1
	lint_forbid server/controllers 'server/(store|api|scheduler)/' "controllers see only lib/client and lib/object" || status=1
	lint_forbid server/scheduler 'server/(store|api|controllers)/' "the scheduler sees only lib/client and lib/object" || status=1
	lint_forbid server/store 'server/(api|controllers|scheduler)/' "the store knows no kind" || status=1
	lint_forbid lib/base 'lib/(json|http|grpc|object|client)/' "includes point one way" || status=1
	lint_forbid lib/json 'lib/(http|grpc|object|client)/' "includes point one way" || status=1
	lint_forbid lib/object 'lib/(http|grpc|client)/' "includes point one way" || status=1
	[ $status = 0 ] || fail "includes against the layers" "lib is below all others; what is shared belongs into lib/"
	progress 1 1 "layers hold"
}

lint_shell() {
	lint_shell_files | xargs -r shellcheck -x -P "$ROOT" --severity=warning || fail "shellcheck has found something" \
		"correct what it names"
	progress 1 1 "$(lint_shell_files | wc -l) scripts"
}

cmd_lint() {
	ui_begin 4
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_LINT
	step formatting lint_format
	step includes lint_includes
	step "shell scripts" lint_shell
}

cmd_format() {
	command -v clang-format >/dev/null || ui_die "clang-format is not installed" "sudo ./dev deps"
	lint_c_files | xargs -r clang-format -i
}
