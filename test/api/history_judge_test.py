"""The judge of histories is given some that are right, and others that are wrong in one way each: it must say
so, and what of it."""

import random
import sys
import unittest

from history_judge import Judgement, Operation, Watch

KEYS = ["a", "b"]


def op(kind, call, end, result, value=None, expected=None, revision=None, key="a", sure=True):
    o = Operation(kind, key, value, expected)
    o.call, o.end, o.result, o.revision, o.sure = call, end, result, revision, sure
    return o


def create(call, end, value, revision, key="a"):
    return op("create", call, end, "ok", value, None, revision, key)


def update(call, end, value, expected, revision):
    return op("update", call, end, "ok", value, expected, revision)


def get(call, end, result, revision=None):
    return op("get", call, end, result, None, None, revision)


def listed(call, end, revision, result):
    return op("list", call, end, result, None, None, revision, None)


def unsure(kind, call, end, value=None, expected=None):
    return op(kind, call, end, "unknown", value, expected, None, "a", False)


def watch(events, start=0, items=None, label=None, to=0):
    w = Watch(label)
    w.segments.append({"from": start, "items": items or {}, "events": events, "to": max([to] + [e[3] for e in events])})
    return w


def event(kind, value, revision, key="a"):
    return (kind, key, str(value), revision, str(value % 2))


BASE = [create(0, 1, 1, 10), update(2, 3, 2, ("1", 10), 11)]


class JudgeTest(unittest.TestCase):
    def judge(self, operations, *watches):
        return Judgement(KEYS, operations, watches).violations

    def good(self, operations, *watches):
        self.assertEqual(self.judge(operations, *watches), [])

    def bad(self, text, operations, *watches):
        found = self.judge(operations, *watches)
        self.assertTrue(any(text in v for v in found), f"{text!r} not in {found}")

    def test_good(self):
        self.good([])
        self.good(BASE + [get(4, 5, "2", 11), op("delete", 6, 7, "ok"), get(8, 9, "absent")])
        # At the same time: either order.
        self.good(BASE + [get(2.5, 2.6, "1", 10), get(2.7, 2.8, "2", 11)])
        self.good([create(0, 9, 1, 10), op("create", 1, 8, "refused", 2), get(2, 3, "absent"), get(4, 5, "1", 10)])
        # A reader sees the write before the writer has its answer.
        self.good([create(0, 10, 1, 10), get(1, 2, "1", 10), update(3, 4, 2, ("1", 10), 11)])

    def test_unknown_outcome(self):
        self.good(BASE + [unsure("update", 4, 6, 3, ("2", 11)), get(7, 8, "2", 11)])
        self.good(BASE + [unsure("update", 4, 6, 3, ("2", 11)), get(7, 8, "3", 12)])
        self.good(BASE + [unsure("delete", 4, 6), get(7, 8, "absent")])
        self.bad("not linearizable", BASE + [unsure("update", 4, 6, 3, ("2", 11)), get(7, 8, "2", 11), get(9, 10, "3", 12)])
        self.bad("not linearizable", BASE + [unsure("update", 4, 6, 3, ("1", 10)), get(7, 8, "3", 12)])

    def test_not_linearizable(self):
        cases = {
            "a stale read": BASE + [get(4, 5, "1", 10)],
            "a read that goes back": [create(0, 1, 1, 10), update(2, 9, 2, ("1", 10), 11), get(3, 4, "2", 11), get(5, 6, "1", 10)],
            "a lost write": BASE + [get(4, 5, "absent")],
            "a lost creation": [create(0, 1, 1, 10), create(2, 3, 2, 11)],
            "a value of nobody": BASE + [get(4, 5, "7", 12)],
            "two of the same before": BASE + [update(4, 5, 3, ("2", 11), 12), update(4, 5, 4, ("2", 11), 13)],
            "a compare that was not": BASE + [update(4, 5, 3, ("1", 10), 12)],
            "risen from the dead": BASE + [op("delete", 4, 5, "ok"), get(6, 7, "2", 11)],
            "deleted twice": BASE + [op("delete", 4, 5, "ok"), op("delete", 6, 7, "ok")],
            "read before it was written": [get(0, 1, "1", 10), create(2, 3, 1, 10)],
            "refused for nothing": [op("create", 0, 1, "refused", 1)],
            "absent but there": BASE + [op("delete", 4, 5, "absent")],
            "a list that is stale": BASE + [listed(4, 5, 11, {"a": ("1", 10)})],
            "a list without it": BASE + [listed(4, 5, 11, {})],
        }
        for name, operations in cases.items():
            with self.subTest(name):
                self.bad("the history of a is not linearizable", operations)
                random.Random(1).shuffle(operations)  # the order in which it was noted is of no account
                self.bad("the history of a is not linearizable", operations)

    def test_revisions(self):
        self.bad("given twice", [create(0, 1, 1, 10), create(2, 3, 1, 10, "b")])
        self.bad("was given after 10", [create(0, 1, 1, 10), create(2, 3, 1, 9, "b")])
        self.bad("is a list's after 11", BASE + [listed(4, 5, 10, {"a": ("2", 11)})])
        self.good([create(0, 3, 1, 10), create(1, 2, 1, 9, "b")])

    def test_lists(self):
        self.good(BASE + [listed(4, 5, 12, {"a": ("2", 11)})])
        self.bad("newer was 11", BASE + [listed(4, 5, 11, {"a": ("1", 10)})])
        self.bad("newer was", BASE + [listed(4, 5, 11, {"a": ("2", 12)})])
        self.bad("has another value", BASE + [listed(4, 5, 11, {"a": ("5", 11)})])

    def test_watches(self):
        added, modified = event("ADDED", 1, 10), event("MODIFIED", 2, 11)
        bookmark = ("BOOKMARK", None, None, 11, None)
        self.good(BASE, watch([added, modified, bookmark]), watch([modified], 10, {"a": 10}))
        self.good(BASE, watch([added, event("DELETED", 1, 11)], label="1"))
        self.bad("not Ordered", BASE, watch([event("ADDED", 2, 11), event("MODIFIED", 1, 10)]))
        self.bad("not Unique", BASE, watch([added, added, modified]))
        self.bad("not Ordered", BASE, watch([added, bookmark, ("BOOKMARK", None, None, 10, None)]))
        self.bad("a at 11 is missing", BASE, watch([added, event("ADDED", 1, 12, "b")]))
        self.bad("a at 10 is missing", BASE, watch([event("ADDED", 2, 11)]))
        self.bad("a at 11 is missing", BASE, watch([added, bookmark]))
        self.bad("a at 11 is missing", BASE, watch([added], to=11))
        self.bad("not Filtered", BASE, watch([event("ADDED", 2, 11)], 10, label="1"))
        self.bad("another value", BASE, watch([added, event("MODIFIED", 4, 11)]))
        self.bad("another value", BASE, watch([event("ADDED", 1, 10, "b"), event("ADDED", 2, 11)]))
        self.bad("which the watcher had", BASE, watch([added, event("ADDED", 2, 11)]))
        self.bad("which the watcher had", BASE, watch([event("DELETED", 2, 12)], 11))

    def test_broken_at_random(self):
        """Long histories with much at the same time: right as they are, wrong when one read is of an old value."""
        caught = 0
        for seed in range(200):
            chance, operations, value, revision, now = random.Random(seed), [], None, 1, 0.0
            past = []
            for n in range(60):
                now += 1
                begin, end = now - chance.random() * 3, now + chance.random() * 3
                if value is None:
                    value, revision = n, revision + 1
                    operations.append(create(begin, end, n, revision))
                elif chance.random() < 0.4:
                    operations.append(update(begin, end, n, (str(value), revision), revision + 1))
                    past.append((now, value))
                    value, revision = n, revision + 1
                else:
                    operations.append(get(begin, end, str(value)))
            self.assertEqual([v for v in self.judge(operations) if "linearizable" in v], [])
            late = [o for o in operations if o.kind == "get" and any(o.call > at + 4 for at, _ in past)]
            if not late:
                continue
            victim = chance.choice(late)
            # Replaced so long ago that its replacement was answered before this read began.
            victim.result = str(chance.choice([v for at, v in past if victim.call > at + 4]))
            self.bad("not linearizable", operations)
            caught += 1
        self.assertGreater(caught, 150)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
