#!/bin/bash
# The API beside tables of what Kubernetes serves.
. "$(dirname "$0")/../lib.sh"
start_server --disable-admission-plugins=StorageObjectInUseProtection
k delete storageclass hanok-local >/dev/null # claims would get it
raw /readyz >/dev/null
tap "the comparisons" python3 "$(dirname "$0")/facts.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" "$TEST_ROOT/test/api/data"
finish
