#!/usr/bin/env python3
"""report.py RESULTS WHEN VERSION SECONDS: the function suite's results as one HTML file, on standard output."""
import collections
import html
import sys

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap }
tr.all td { font-weight: bold }
.ok { color: #16702e } .not { color: #b3261e; font-weight: bold } .skip { color: #7a6000 }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #ddd } th, td { border-color: #3a3d44 }
  .ok { color: #6ecf86 } .not { color: #ff8a80 } .skip { color: #e0c060 }
}
"""
NAMES = {"ok": "passed", "not ok": "failed", "skip": "not available"}


def main():
    path, when, version, seconds = sys.argv[1:5]
    e = html.escape
    with open(path, encoding="utf-8", errors="replace", newline="\n") as f:
        rows = [line.rstrip("\n").split("|", 6) for line in f]
    sums = collections.OrderedDict()
    total, spent = collections.Counter(), collections.Counter()
    for what, stack, group, _, _, took, _ in rows:
        sums.setdefault((group, stack), collections.Counter())[what] += 1
        total[what] += 1
        spent[(group, stack)] += int(took)
    print("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>")
    print(f"<title>hanok: function suite</title><style>{STYLE}</style>")
    print(f"<h1>Function suite</h1><p>{e(version)}, {e(when)}, {int(seconds) // 60} min {int(seconds) % 60} s")
    print("<table><tr><th>Group<th>Stack<th class=n>Passed<th class=n>Failed<th class=n>Not available<th class=n>Seconds of cases")
    for (group, stack), c in sorted(sums.items(), key=lambda item: item[0][1]):
        print(f"<tr><td>{e(group)}<td>{e(stack)}" + "".join(f"<td class=n>{c[w]}" for w in NAMES) + f"<td class=n>{spent[(group, stack)]}")
    print("<tr class=all><td>all<td>" + "".join(f"<td class=n>{total[w]}" for w in NAMES) + f"<td class=n>{sum(spent.values())}</table>")
    # What failed comes first, then what is not available, so that nobody must look for it.
    order = {"not ok": 0, "skip": 1, "ok": 2}
    print("<table><tr><th>Case<th>Stack<th>What<th>Result<th class=n>Seconds<th>Why")
    for what, stack, _, case, title, took, why in sorted(rows, key=lambda r: (order.get(r[0], 0), r[1], r[3])):
        print(f"<tr><td>{e(case)}<td>{e(stack)}<td>{e(title)}<td class={what.split()[0]}>{NAMES.get(what, e(what))}<td class=n>{e(took)}<td>{e(why)}")
    print("</table></html>")


main()
