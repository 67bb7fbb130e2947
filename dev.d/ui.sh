# shellcheck shell=bash
# How ./dev shows its work: numbered steps with the time they took, a bar where the end is known, and on
# failure the step, the reason and the mend. A terminal sees one line a step that is redrawn; elsewhere each
# step gives a line when it starts, now and then, and when it ends.
#
#   ui_begin COUNT                    how many steps will follow
#   step TITLE FUNCTION [ARG...]      runs FUNCTION in a subshell, its output in a log file
#   progress DONE TOTAL [TEXT]        from inside a step
#   fail REASON MEND                  from inside a step: ends it
#   ui_die REASON [MEND]              outside steps

UI_LOGS=$ROOT/.cache/log
UI_STEP=0
UI_COUNT=0
UI_WIDTH=24
[ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && UI_TTY=1 || UI_TTY=

if [ -n "$UI_TTY" ]; then
	UI_BOLD=$(printf '\033[1m') UI_RED=$(printf '\033[31m') UI_GREEN=$(printf '\033[32m') UI_PLAIN=$(printf '\033[0m')
	UI_CLEAR=$(printf '\r\033[K')
else
	UI_BOLD='' UI_RED='' UI_GREEN='' UI_PLAIN='' UI_CLEAR=''
fi

ui_begin() {
	UI_COUNT=$1
	UI_STEP=0
	mkdir -p "$UI_LOGS"
	ui_give_back "$ROOT/.cache" "$UI_LOGS"
}

# What root makes in the source tree belongs to the one whose tree it is.
ui_give_back() {
	[ "$(id -u)" != 0 ] || chown "$(stat -c %u:%g "$ROOT")" "$@" 2>/dev/null || true
}

ui_die() {
	printf '%s%s%s\n' "$UI_RED" "dev: $1" "$UI_PLAIN" >&2
	[ -z "${2:-}" ] || echo "  mend: $2" >&2
	exit 1
}

progress() { echo "progress $1 $2 ${3:-}" >&9; }

fail() {
	{
		echo "reason $1"
		echo "mend ${2:-}"
	} >&9
	exit 1
}

ui_seconds() {
	local now=${EPOCHREALTIME/[^0-9]/} tenths
	tenths=$(((now - UI_START) / 100000))
	printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# ui_bar DONE TOTAL
ui_bar() {
	local filled=$(($1 * UI_WIDTH / ($2 > 0 ? $2 : 1))) bar
	[ $filled -le $UI_WIDTH ] || filled=$UI_WIDTH
	printf -v bar '%*s' $filled ''
	printf '[%s%*s] %d/%d' "${bar// /#}" $((UI_WIDTH - filled)) '' "$1" "$2"
}

ui_title() { printf '%s[%d/%d]%s %-26s' "$UI_BOLD" $UI_STEP "$UI_COUNT" "$UI_PLAIN" "$1"; }

# ui_draw TITLE DONE TOTAL TEXT: the running step on a terminal, cut to its width.
ui_draw() {
	local text columns
	columns=$(($(tput cols 2>/dev/null || echo 80) - 1))
	if [ "$3" -gt 0 ]; then
		text="$(ui_bar "$2" "$3")  $(ui_seconds)  $4"
	else
		text="$(ui_seconds)  $4"
	fi
	printf '%s%s%s' "$UI_CLEAR" "$(ui_title "$1")" "${text:0:$((columns > 45 ? columns - 35 : 10))}"
}

step() {
	local title=$1 log line status='' at=0 total=0 text='' tenth=0 shown=0 reason='' mend='' input
	shift
	UI_STEP=$((UI_STEP + 1))
	UI_START=${EPOCHREALTIME/[^0-9]/}
	log=$UI_LOGS/$VERB-$(printf '%02d' $UI_STEP)-${title//[^a-z0-9]/-}.log
	if [ -n "$UI_TTY" ]; then ui_draw "$title" 0 0 ''; else printf '%s...\n' "$(ui_title "$title")"; fi
	exec {input}< <(
		exec 9>&1 >"$log" 2>&1 </dev/null
		("$@")
		echo "exit $?" >&9
	)
	while [ -z "$status" ]; do
		# Above 128 the half second is over; else the step ended without a word.
		IFS= read -r -t 0.5 line <&"$input" || {
			[ $? -gt 128 ] || status=1
			[ -z "$UI_TTY" ] || ui_draw "$title" "$at" "$total" "$text"
			continue
		}
		case $line in
		exit\ *) status=${line#exit } ;;
		reason\ *) reason=${line#reason } ;;
		mend\ *) mend=${line#mend } ;;
		progress\ *)
			read -r _ at total text <<<"$line"
			if [ -n "$UI_TTY" ]; then
				ui_draw "$title" "$at" "$total" "$text"
			elif [ "$total" -gt 0 ]; then
				tenth=$((at * 4 / total))
				[ $tenth -le $shown ] || [ "$at" = "$total" ] ||
					printf '%s%s  %s\n' "$(ui_title "$title")" "$(ui_bar "$at" "$total")" "$text"
				[ $tenth -le $shown ] || shown=$tenth
			fi
			;;
		esac
	done
	exec {input}<&-
	ui_give_back "$log"
	if [ "$status" = 0 ]; then
		printf '%s%s%sdone%s  %s  %s\n' "$UI_CLEAR" "$(ui_title "$title")" "$UI_GREEN" "$UI_PLAIN" "$(ui_seconds)" \
			"$([ "$total" -gt 0 ] && echo "$text")"
		return 0
	fi
	printf '%s%s%sFAILED%s after %s\n' "$UI_CLEAR" "$(ui_title "$title")" "$UI_RED" "$UI_PLAIN" "$(ui_seconds)"
	[ -z "$reason" ] || echo "  why:  $reason"
	if [ -s "$log" ]; then
		echo "  last lines of $log:"
		tail -n 15 "$log" | sed 's/^/    /'
	fi
	echo "  mend: ${mend:-look into that log; then run ./dev $VERB again, it goes on from there}"
	exit 1
}
