"""Judges what clients saw of a server (history.py records it).

  linearizable  each key's history is one of a single register (Wing and Gong's search, as Lowe's and
                porcupine do it): every operation takes effect at one moment between call and answer.
                What was under way when the server died took effect before it died, or never.
  lists         hold, at their revision, what the writes with lower revisions left.
  revisions     rise with real time; none is given twice; none goes back over a restart.
  watches       Ordered, Unique, Filter, Reliable (everything acknowledged in the range that was
                followed was told), Resumable, Bookmarkable.
"""

import bisect
import time


class Operation:
    __slots__ = ("kind", "key", "value", "expected", "call", "end", "result", "revision", "sure")

    def __init__(self, kind, key, value=None, expected=None):
        self.kind, self.key, self.value, self.expected = kind, key, value, expected
        self.call, self.end = time.monotonic(), None
        self.result = self.revision = None
        self.sure = True


class Watch:
    """One watcher's history: segments begin with a list; within one nothing may be missing."""

    def __init__(self, label):
        self.label = label  # "0", "1": of the values' parity; None = all
        # {"from": revision, "items": {key: revision}, "events": [...], "to": revision}; an event is
        # (type, key, value, revision, parity), of bookmarks ("BOOKMARK", None, None, revision, None)
        self.segments = []


def step(op, state):
    """What a register does: the new state when the operation can have had this result, else None."""
    if op.kind == "get":
        return state if (op.result if op.result != "absent" else "") == state else None
    if op.kind == "create":
        if op.result == "refused":
            return state if state else None
        return str(op.value) if not state else None
    if op.kind == "update":
        if op.result == "ok" or not op.sure:
            return str(op.value) if state == op.expected[0] else None
        if op.result == "absent":
            return state if not state else None
        return state if state != op.expected[0] else None
    if op.result == "absent":
        return state if not state else None
    return "" if state else None


def linearizable(ops):
    """Searches for an order of one key's operations. What changes nothing and fits takes effect at once: later
    it could only fit less. Of changes, every one that may be next is tried; a search that was at a set of
    operations with a state is not made twice."""
    ops = sorted(ops, key=lambda o: o.call)
    n = len(ops)
    seen = set()
    todo = [(0, frozenset(), "")]
    while todo:
        front, done, state = todo.pop()
        moved = True
        while moved:
            moved = False
            while front in done:
                done = done - {front}
                front += 1
            candidates, first_end = [], float("inf")
            for i in range(front, n):
                if ops[i].call > first_end:
                    break
                if i not in done:
                    candidates.append(i)
                    first_end = min(first_end, ops[i].end)
            quiet = [i for i in candidates if ops[i].sure and step(ops[i], state) == state]
            if quiet:
                done, moved = done | set(quiet), True
        if front == n:
            return True
        if (front, done, state) in seen:
            continue
        seen.add((front, done, state))
        if len(seen) > 1000000:
            raise OverflowError("the search for an order is too large: fewer writers or kills are needed")
        for i in candidates:
            if not ops[i].sure:
                todo.append((front, done | {i}, state))
        for i in candidates:
            after = step(ops[i], state)
            if after is not None:
                todo.append((front, done | {i}, after))
    return False


class Judgement:
    def __init__(self, keys, operations, watches):
        self.keys, self.operations, self.watches = keys, operations, watches
        self.violations = []
        self.told = self.segments = 0
        self.owner = {}  # revision -> the write that it was given to
        self.registers()
        self.revisions()
        self.lists()
        self.streams()

    def violation(self, text):
        self.violations.append(text)

    def registers(self):
        per_key = {k: [] for k in self.keys}
        for op in self.operations:
            if op.key:
                per_key[op.key].append(op)
                continue
            for k in self.keys:  # a list is a read of each key
                read = Operation("get", k)
                read.call, read.end = op.call, op.end
                read.result = op.result[k][0] if k in op.result else "absent"
                per_key[k].append(read)
        for k, ops in per_key.items():
            if not linearizable(ops):
                self.violation(f"the history of {k} is not linearizable ({len(ops)} operations)")

    def revisions(self):
        writes = sorted((o for o in self.operations if o.revision and o.kind in ("create", "update")), key=lambda o: o.call)
        for o in writes:
            if o.revision in self.owner:
                self.violation(f"revision {o.revision} was given twice")
            self.owner[o.revision] = o
        seen = sorted(writes, key=lambda o: o.end)
        self.rises(writes, seen, lambda o, newest: o.revision <= newest, "was given after {} had been answered")
        seen = sorted((o for o in self.operations if o.revision), key=lambda o: o.end)
        lists = sorted((o for o in self.operations if o.kind == "list"), key=lambda o: o.call)
        self.rises(lists, seen, lambda o, newest: o.revision < newest, "is a list's after {} had been seen")

    def rises(self, operations, seen, wrong, text):
        newest, at = 0, 0
        for o in operations:
            while at < len(seen) and seen[at].end < o.call:
                newest = max(newest, seen[at].revision)
                at += 1
            if wrong(o, newest):
                self.violation(f"revision {o.revision} " + text.format(newest))

    def lists(self):
        of_key = {k: sorted(r for r, w in self.owner.items() if w.key == k) for k in self.keys}
        for o in self.operations:
            if o.kind != "list":
                continue
            for k in self.keys:
                if k not in o.result:
                    continue
                value, revision = o.result[k]
                at = bisect.bisect_right(of_key[k], o.revision)
                newest = of_key[k][at - 1] if at else 0
                if revision > o.revision or newest > revision:
                    self.violation(f"list of {o.revision} has {k} as of {revision}, newer was {newest}")
                self.check_value(f"list of {o.revision}", k, value, revision)

    def check_value(self, where, key, value, revision):
        if revision in self.owner and (self.owner[revision].key != key or str(self.owner[revision].value) != value):
            self.violation(f"{where} has another value of {key}@{revision}")

    def streams(self):
        self.ordered = sorted(self.owner)
        for w in self.watches:
            for s in w.segments:
                self.segments += 1
                self.stream(w.label, s)

    def stream(self, label, s):
        at, told, present = s["from"], set(), dict(s["items"])
        for kind, key, value, revision, parity in s["events"]:
            if revision < at or (revision == at and kind != "BOOKMARK"):
                self.violation(f"watch not Ordered or not Unique: {revision} after {at}")
            at = max(at, revision)
            if kind == "BOOKMARK":
                continue
            self.told += 1
            told.add(revision)
            if label is not None and parity != label:
                self.violation(f"watch not Filtered: {key} {value}")
            if (kind == "ADDED") != (key not in present):
                self.violation(f"{kind} of {key} at {revision}, which the watcher had: {key in present}")
            if kind == "DELETED":
                present.pop(key, None)
                continue
            present[key] = revision
            self.check_value("watch", key, value, revision)
        at = max(at, s["to"])
        first, last = bisect.bisect_right(self.ordered, s["from"]), bisect.bisect_right(self.ordered, at)
        for revision in self.ordered[first:last]:
            o = self.owner[revision]
            if (label is None or str(o.value % 2) == label) and revision not in told:
                self.violation(f"watch not Reliable: {o.key} at {revision} is missing in ({s['from']}, {at}]")
