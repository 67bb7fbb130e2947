#!/bin/bash
# A part of the function suite, another with each commit: test/functions/README.md.
exec bash "$(dirname "$0")/../functions/run.sh" --quarter auto
