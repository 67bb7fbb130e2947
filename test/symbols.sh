#!/bin/bash
# symbols.sh BUILD: server, node and commands are one binary of static libraries. Of two global symbols of one name the
# linker takes the first without a word, whatever the other library meant by it; so there must be none.
set -euo pipefail
build=${1:?build directory}

# duplicates FILE...: objects and symbols that more than one of them defines. Weak ones may be there twice.
duplicates() {
	nm -A --defined-only --extern-only "$@" | awk 'NF > 2 && $(NF - 1) ~ /^[TDBRGSC]$/ {
		file = $1; sub(/:[0-9a-f]*$/, "", file)
		where[$NF] = where[$NF] "\n    " file
		count[$NF]++
	}
	END { for (s in count) if (count[s] > 1) print "  " s where[s] }'
}

# That it sees one.
try=$(mktemp -d)
trap 'rm -rf "$try"' EXIT
echo 'int once, twice; int both(void); int both(void) { return 0; }' >"$try/a.c"
echo 'static int once; int both(void); int both(void) { return once; }' >"$try/b.c"
for name in a b; do "${CC:-cc}" -c -o "$try/$name.o" "$try/$name.c"; done
[ "$(duplicates "$try"/[ab].o | grep -c '^  [a-z]')" = 1 ] || { echo "the check itself fails"; exit 1; }

# What the binary is linked of, not what else lies in the directory.
mapfile -t parts < <(ninja -C "$build" -t query hanok | awk '/^  outputs:/ { exit } $NF ~ /^[^\/].*\.[ao]$/ { print $NF }')
cd "$build"
[ ${#parts[@]} -gt 20 ] || { echo "hanok is not linked of libraries in $build: build first"; exit 1; }
found=$(duplicates "${parts[@]}")
[ -z "$found" ] || { echo "global symbols that several objects define; rename one, or make it static:"; echo "$found"; exit 1; }
echo "${#parts[@]} libraries and objects, no symbol twice"
