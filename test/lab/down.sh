#!/bin/bash
# down.sh: ends the lab in $HANOK_LAB; fails if anything of it is left on the machine.
. "$(dirname "$0")/lab.sh"
lab_use "$HANOK_LAB"
lab_down
