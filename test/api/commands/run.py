#!/usr/bin/env python3
"""Runs scripts of kubectl commands and compares what they print with what they print on kube-apiserver.

    run.py record|compare KUBECTL KUBECONFIG EXPECTED_DIR SCRIPT...

A script is a file of shell lines, run in order in manifests/ with `kubectl` on PATH and a namespace of the
script's own (its name). A line "@ COMMAND" waits until COMMAND succeeds and is not compared; "# ..." is a
comment. "record" writes EXPECTED_DIR/SCRIPT.txt, "compare" prints "ok - COMMAND" or
"not ok - COMMAND", and what differs.

What differs from run to run (times, UIDs, addresses, random names) is replaced before it is kept or compared.
A difference between kube-apiserver of that version and of today's Kubernetes is listed in exceptions.txt:

    SCRIPT || COMMAND || REASON || REGEX

The output here must match the regex then, instead of being the same. With "*" as COMMAND, lines that match
as a whole are not compared.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
AWAIT_SECONDS = 120
COMMAND_SECONDS = 300
SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"

RULES = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"https://127\.0\.0\.1:\d+", "SERVER"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\b10\.96\.\d+\.\d+\b", "CLUSTER-IP"),
    (r"\b(resourceVersion:|ResourceVersion:|Resource Version:) *\"?\d+\"?", r"\1 N"),
    (r"\"resourceVersion\": *\"\d+\"", '"resourceVersion": N'),
    (r"(-|pod-template-hash[=:] ?)" + SUFFIX + r"{8,10}(-" + SUFFIX + r"{5})?\b", r"\1HASH"),
    (r"\b((?:[a-z0-9]+-)+)" + SUFFIX + r"{5}\b(?!-)", r"\1RANDOM"),
    (r"(?<![\w.:-])(\d+[ydhms]){1,2}(?![\w.:-])", "AGE"),
    (r"<invalid>", "AGE"),
    (r"(NodePort: +<unset> +|:)3\d{4}/", r"\1NODEPORT/"),
    (r"nodePort: 3\d{4}", "nodePort: N"),
    (r"/tmp/[\w./-]+", "FILE"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
]


def as_json(text):
    """JSON in one order of its members; other text as it is. Who set which field is not told: apply has tests."""
    try:
        doc = json.loads(text)
    except ValueError:
        return text
    if isinstance(doc, dict) and isinstance(doc.get("metadata"), dict):
        doc["metadata"].pop("managedFields", None)
    return json.dumps(doc, sort_keys=True) if isinstance(doc, dict) else text


def normalize(text):
    text = as_json(text)
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines()]
    return "\n".join(lines).strip("\n")


def commands(script):
    with open(script, encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                yield line


class Runner:
    def __init__(self, kubectl, kubeconfig, namespace):
        self.namespace = namespace
        self.home = tempfile.mkdtemp(prefix="hanok-commands.")
        tools = os.path.join(self.home, "bin")
        os.mkdir(tools)
        with open(os.path.join(tools, "kubectl"), "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\nexec "{kubectl}" --kubeconfig "$SCRIPT_KUBECONFIG" "$@"\n')
        os.chmod(f.name, 0o755)
        config = os.path.join(self.home, "kubeconfig")
        with open(kubeconfig, encoding="utf-8") as original, open(config, "w", encoding="utf-8") as f:
            f.write(original.read())
        self.environment = dict(os.environ, HOME=self.home, SCRIPT_KUBECONFIG=config, NS=namespace,
                                PATH=tools + ":" + os.environ["PATH"], KUBECONFIG=config, TZ="UTC", LC_ALL="C.UTF-8")
        self.shell("kubectl config set-context --current --namespace " + namespace)
        # What a new namespace gets from the loops is there before the script begins.
        for line in ("kubectl create namespace " + namespace, "kubectl get serviceaccount default",
                     "kubectl get configmap kube-root-ca.crt"):
            code, _, err = self.wait(line)
            if code:
                sys.exit(f"{line}: {err}")

    def shell(self, line):
        try:
            done = subprocess.run(["bash", "-c", line], cwd=os.path.join(HERE, "manifests"), env=self.environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=COMMAND_SECONDS, check=False)
            return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired as e:
            return 124, (e.stdout or b"").decode(errors="replace"), "did not end"

    def wait(self, line):
        until = time.monotonic() + AWAIT_SECONDS
        while True:
            code, out, err = self.shell(line)
            if code == 0 or time.monotonic() > until:
                return code, out, err
            time.sleep(0.1)

    def close(self):
        self.shell(f"kubectl delete namespace {self.namespace} --wait=false")
        subprocess.run(["rm", "-rf", self.home], check=False)


def block(line, result):
    code, out, err = result
    text = f"$ {line}\n"
    if code:
        text += f"exit {code}\n"
    out, err = normalize(out), normalize(err)
    return text + (out + "\n" if out else "") + ("stderr:\n" + err + "\n" if err else "")


def read_expected(path):
    blocks, current = [], None
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("$ "):
                current = [line]
                blocks.append(current)
            elif current is not None:
                current.append(line)
    found = {}
    for b in blocks:
        found.setdefault(b[0][2:].rstrip("\n"), []).append("".join(b).rstrip("\n") + "\n")
    return found


def read_exceptions(script, version):
    found, edits = {}, []
    path = os.path.join(HERE, "exceptions.txt")
    if os.path.exists(path):
        for line in open(path, encoding="utf-8"):
            if line.startswith("#") or not line.strip():
                continue
            name, command, reason, regex = (part.strip() for part in line.rstrip("\n").split(" || "))
            if name not in ("*", script, f"{script}@{version}"):
                continue
            if command == "*":
                edits.append(regex)
            else:
                found[command] = regex
    return found, edits


def without(text, edits):
    lines = [line for line in text.rstrip("\n").split("\n") if not any(re.fullmatch(edit, line) for edit in edits)]
    while lines and lines[-1] == "stderr:":
        lines.pop()
    return "\n".join(lines)


def run_script(mode, kubectl, kubeconfig, directory, path):
    """The lines to print; in record mode none."""
    version = os.path.basename(directory.rstrip("/"))
    script = os.path.basename(path).removesuffix(".txt")
    runner = Runner(kubectl, kubeconfig, script)
    expected_path = os.path.join(directory, script + ".txt")
    expected = read_expected(expected_path) if mode == "compare" else {}
    exceptions, edits = read_exceptions(script, version)
    recorded, lines = [], []
    for line in commands(path):
        if line.startswith("@ "):
            runner.wait(line[2:])
            continue
        got = block(line, runner.shell(line))
        if mode == "record":
            recorded.append(got)
            continue
        if line in exceptions:
            good = re.search(exceptions[line], got.split("\n", 1)[1], re.S) is not None
            wanted = "match of: " + exceptions[line]
        else:
            # The same command again may print something else.
            wanted = expected[line].pop(0) if expected.get(line) else "(nothing recorded)\n"
            good = without(wanted, edits) == without(got, edits)
            # On a busy machine a second may end before kubectl has got an answer, and it says so in other words.
            for seconds in (5, 25, 125) if "--timeout=1s" in line else ():
                if good:
                    break
                again = runner.shell(line.replace("--timeout=1s", f"--timeout={seconds}s"))
                got = block(line, again)
                good = without(wanted, edits) == without(got, edits)
        lines.append(("ok" if good else "not ok") + f" - {version} {script}: {line}".replace("#", ""))
        if not good:
            for title, text in (("kube-apiserver", wanted), ("here", got)):
                lines.append(f"#  {title}:")
                lines += ["#    " + one for one in text.splitlines()[:60]]
    runner.close()
    if mode == "record":
        os.makedirs(directory, exist_ok=True)
        with open(expected_path, "w", encoding="utf-8") as f:
            f.write("\n".join(recorded))
    return lines


def main():
    mode, kubectl, kubeconfig, directory, scripts = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]
    # Each script has a namespace of its own, and names of its own for what is in no namespace.
    with concurrent.futures.ThreadPoolExecutor(len(scripts)) as pool:
        done = list(pool.map(lambda path: run_script(mode, kubectl, kubeconfig, directory, path), scripts))
    lines = [line for one in done for line in one]
    print("\n".join(lines))
    return 1 if any(line.startswith("not ok") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
