#!/bin/bash
# Certificates and keys in a data directory: who can read them, and what mends itself.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off

# what anybody but the owner can read, of what is secret
readable() { find "$SERVER_DIR" \( -name '*.key' -o -name '*.kubeconfig' -o -name '*.db*' \) -perm /077; }
check_output "keys, kubeconfigs and the store are their owner's alone" '^$' readable
check_output "and there are keys" '^5$' sh -c "find '$SERVER_DIR' -name '*.key' | wc -l"

stop_server
cp "$SERVER_DIR/pki/admin.key" "$SERVER_DIR/pki/server.key"
start_server "--controllers=-*" --scheduler=off
check "a key that is not its certificate's is replaced with it" raw /livez
check_output "the server's key is still its own" '^600$' stat -c %a "$SERVER_DIR/pki/server.key"
finish
