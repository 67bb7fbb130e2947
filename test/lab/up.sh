#!/bin/bash
# up.sh [HOSTS]: brings up the lab in $HANOK_LAB with the hanok in $HANOK_BIN, without samples; for tests.
set -e
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/dev.d/ui.sh"
. "$ROOT/dev.d/lab.sh"
VERB=test-lab
ui_begin 5
step "network and registry" lab_step_network
step images lab_step_images
step "lab hosts" lab_step_hosts "${1:-1}"
step "hanok server" lab_step_server
step "hanok nodes" lab_step_nodes "${1:-1}"
