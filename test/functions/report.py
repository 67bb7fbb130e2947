#!/usr/bin/env python3
"""The function suite's results for people.

report.py text CASES RESULTS                     sums, and what did not pass, as comments of TAP
report.py html CASES RESULTS LOGS NAME=VALUE...  one HTML file; NAME=VALUE says what ran, where and when

CASES are lines of run.sh's functions_cases, RESULTS and LOGS what a run has written.
"""
import collections
import html
import os
import re
import sys

Case = collections.namedtuple("Case", "file group scenario id title needs")
Result = collections.namedtuple("Result", "what stack group id title seconds why")

NAMES = {"ok": "passed", "not ok": "failed", "skip": "not available"}
STACKS = {
    "A": "Debian from a cloud disk with cloud-init, guest agent and ssh, on q35",
    "B": "a busybox guest whose kernel is booted directly, on i440fx",
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap }
td.r { white-space: nowrap }
tr.all td { font-weight: bold }
table.facts { width: auto } table.facts th { font-weight: normal; color: #777 }
pre { overflow-x: auto; font-size: 12px; margin: .4rem 0; padding: .5rem; background: #8881 }
summary { cursor: pointer }
.ok { color: #16702e } .not { color: #b3261e; font-weight: bold } .skip { color: #7a6000 } .none { color: #888 }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #ddd } th, td { border-color: #3a3d44 }
  .ok { color: #6ecf86 } .not { color: #ff8a80 } .skip { color: #e0c060 }
}
"""
LOG_LINES = 80


def read(path, kind):
    with open(path, encoding="utf-8", errors="replace", newline="\n") as f:
        return [kind(*line.rstrip("\n").split("|", len(kind._fields) - 1)) for line in f if line.strip()]


def sums(cases, results):
    """Rows of (group, stack, {what: count}), groups in the order of the cases; what is None: not run."""
    stacks = sorted({r.stack for r in results})
    rows = []
    for stack in stacks:
        for group in dict.fromkeys(c.group for c in cases):
            count = collections.Counter(r.what for r in results if (r.group, r.stack) == (group, stack))
            count[None] = sum(c.group == group for c in cases) - sum(count.values())
            rows.append((group, stack, count))
    return rows


def whys(results):
    """Why what is not available: {reason: [result]}."""
    reasons = collections.OrderedDict()
    for r in results:
        if r.what == "skip":
            reasons.setdefault(r.why, []).append(r)
    return reasons


def text(cases, results):
    columns = [*NAMES, None]
    form = "# %-10s %-5s %7s %7s %14s %8s"
    rows = sums(cases, results)
    print(form % ("group", "stack", *NAMES.values(), "not run"))
    for group, stack, count in rows:
        print(form % (group, stack, *(count[w] for w in columns)))
    print(form % ("all", "", *(sum(count[w] for _, _, count in rows) for w in columns)))
    for r in results:
        if r.what == "not ok":
            print(f"# failed: {r.stack} {r.id} {r.title}: {r.why}")
    for why, those in whys(results).items():
        print(f"# not available: {', '.join(f'{r.stack} {r.id}' for r in those)}: {why}")


def steps(case, scenarios={}):
    """The case as it is written."""
    if case.file not in scenarios:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios", case.file + ".sh")
        with open(path, encoding="utf-8") as f:
            scenarios[case.file] = f.read()
    found = re.search(rf"^{re.escape(case.id)}\(\) {{\n(.*?)^}}", scenarios[case.file], re.S | re.M)
    return re.sub(r"^\t", "", found.group(1), flags=re.M) if found else ""


def log_end(logs, result):
    try:
        with open(os.path.join(logs, f"{result.stack}-{result.id}.log"), encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-LOG_LINES:])
    except OSError:
        return ""


def as_html(cases, results, logs, facts):
    e = html.escape
    stacks = sorted({r.stack for r in results})
    by = {(r.stack, r.id): r for r in results}
    columns = [*NAMES, None]
    print("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>")
    print(f"<title>hanok: function suite</title><style>{STYLE}</style><h1>hanok: function suite</h1>")
    print("<p>What an engineer does with virtual machines, through the KubeVirt API by kubectl and <code>hanok virt</code>, with virsh to look. "
          "Each case is a sequence with its expected result. <em>Not available</em>: this host, or this stack's guest, lacks what the case needs.")
    print("<table class=facts>" + "".join(f"<tr><th>{e(name)}<td>{e(value)}" for name, value in facts))
    print("".join(f"<tr><th>Stack {s}<td>{e(STACKS.get(s, ''))}" for s in stacks) + "</table>")

    print("<table><tr><th>Group<th>Stack" + "".join(f"<th class=n>{n}" for n in (*NAMES.values(), "not run", "of", "seconds of cases")))
    rows = sums(cases, results)
    for group, stack, count in rows:
        spent = sum(int(r.seconds) for r in results if (r.group, r.stack) == (group, stack))
        print(f"<tr><td>{e(group)}<td>{e(stack)}" + "".join(f"<td class=n>{count[w]}" for w in columns) + f"<td class=n>{sum(count.values())}<td class=n>{spent}")
    total = [sum(count[w] for _, _, count in rows) for w in columns]
    print("<tr class=all><td>all<td>" + "".join(f"<td class=n>{n}" for n in (*total, sum(total), sum(int(r.seconds) for r in results))) + "</table>")

    # What did not pass comes first, so that nobody must look for it.
    failed = [r for r in results if r.what == "not ok"]
    if failed:
        print("<h2>Failed</h2><table><tr><th>Case<th>Stack<th>What<th>Why")
        for r in failed:
            log = log_end(logs, r)
            print(f"<tr><td class=not>{e(r.id)}<td>{e(r.stack)}<td>{e(r.title)}<td>{e(r.why)}" +
                  (f"<details><summary>end of its log</summary><pre>{e(log)}</pre></details>" if log else ""))
        print("</table>")
    reasons = whys(results)
    if reasons:
        print("<h2>Not available</h2><table><tr><th>Why<th>Cases (stack)")
        for why, those in reasons.items():
            print(f"<tr><td class=skip>{e(why)}<td>{', '.join(f'{e(r.id)} ({e(r.stack)})' for r in those)}")
        print("</table>")

    for group in dict.fromkeys(c.group for c in cases):
        print(f"<h2>{e(group.capitalize())}</h2>")
        for scenario in dict.fromkeys(c.scenario for c in cases if c.group == group):
            print(f"<h3>{e(scenario)}</h3><table><tr><th>Case<th>What" + "".join(f"<th>Stack {s}" for s in stacks))
            for c in cases:
                if (c.group, c.scenario) != (group, scenario):
                    continue
                row = f"<tr id={e(c.id)}><td>{e(c.id)}<td><details><summary>{e(c.title)}</summary><pre>{e(steps(c))}</pre></details>"
                for s in stacks:
                    r = by.get((s, c.id))
                    row += f"<td class='r {r.what.split()[0]}'>{NAMES.get(r.what, r.what)}, {e(r.seconds)} s" if r else "<td class='r none'>not run"
                print(row)
            print("</table>")
    print("<p>One case again: <code>./dev test functions --stack A K01</code>. The words that cases are written in: <code>test/functions/lib.sh</code>.</html>")


def main():
    how, cases, results = sys.argv[1], read(sys.argv[2], Case), read(sys.argv[3], Result)
    if how == "text":
        text(cases, results)
    else:
        as_html(cases, results, sys.argv[4], [fact.split("=", 1) for fact in sys.argv[5:]])


main()
