#!/usr/bin/env python3
"""terminal.py SECONDS STEP... -- COMMAND...: runs COMMAND on a terminal and plays a dialogue with it.

A STEP is "expect:REGEX" (wait until the output since the last match has it), "never:REGEX" (from here on, to wait
ends in failure as soon as the output has that), "send:TEXT" (with \\n, \\r, \\x1d and the like), or "end:CODE" (the
command must end by itself with that exit code). All within SECONDS. Prints what the terminal showed.
"""
import os
import pty
import re
import select
import signal
import sys
import time


def main():
    split = sys.argv.index("--")
    deadline = time.monotonic() + float(sys.argv[1])
    steps, command = sys.argv[2:split], sys.argv[split + 1:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    seen, ended, never = "", False, None

    def read_more(what):
        nonlocal seen, ended
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"\nterminal: no {what} in time")
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            ended = True
            return
        text = data.decode(errors="replace")
        sys.stdout.write(text)
        seen += text

    for step in steps:
        kind, _, text = step.partition(":")
        if kind == "send":
            os.write(terminal, text.encode().decode("unicode_escape").encode("latin-1"))
        elif kind == "never":
            never = text
        elif kind == "expect":
            while not (found := re.search(text, seen)):
                if never and re.search(never, seen):
                    os.kill(pid, signal.SIGHUP)
                    sys.exit(f"\nterminal: {never!r} in place of {text!r}")
                if ended:
                    sys.exit(f"\nterminal: the command ended without {text!r}")
                read_more(repr(text))
            seen = seen[found.end():]
        elif kind == "end":
            while not ended:
                read_more("end of the command")
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            if code != int(text):
                sys.exit(f"\nterminal: exit code {code}, not {text}")
            return
        else:
            sys.exit(f"terminal: unknown step {step}")
    os.kill(pid, signal.SIGHUP)
    os.close(terminal)
    os.waitpid(pid, 0)


main()
