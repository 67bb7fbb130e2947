#!/bin/bash
# The API beside tables of what Kubernetes serves.
. "$(dirname "$0")/../lib.sh"
start_server --disable-admission-plugins=StorageObjectInUseProtection
raw /readyz >/dev/null
python3 "$(dirname "$0")/facts.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" "$TEST_ROOT/test/api/data" >"$TEST_DIR/facts.out" 2>&1
# Its cases are this script's.
while IFS= read -r line; do
	case $line in
	ok\ * | not\ ok\ *)
		TEST_COUNT=$((TEST_COUNT + 1))
		case $line in not*) TEST_FAILED=$((TEST_FAILED + 1)) ;; esac
		;;
	1..*) continue ;;
	esac
	echo "$line"
done <"$TEST_DIR/facts.out"
check "the comparison went to its end" grep -q '^1\.\.' "$TEST_DIR/facts.out"
finish
