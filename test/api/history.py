"""Records what clients see of a server that is killed and paused under them, and judges it.

usage: history.py HANOK DATA PORT KILLS SEED

Writers create, update (compare and swap), read and delete ten ConfigMaps and list them; watchers follow,
resume and list anew. Then:

  linearizable  each key's history is one of a single register (Wing and Gong's search, as Lowe's and
                porcupine do it): every operation takes effect at one moment between call and answer.
                What was under way when the server died took effect before it died, or never.
  lists         hold, at their revision, what the writes with lower revisions left.
  revisions     rise with real time; none is given twice; none goes back over a restart.
  watches       Ordered, Unique, Filter, Reliable (everything acknowledged in the range that was
                followed was told), Resumable, Bookmarkable; a gap is announced by 410.

Prints what it saw; the exit code is 1 and the violations are named when there are any.
"""

import http.client
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time

HANOK, DATA, PORT, KILLS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
BASE = "/api/v1/namespaces/default/configmaps"
KEYS = [f"k{i}" for i in range(10)]
WRITERS, WATCHERS = 6, 4
random.seed(SEED)

stop = threading.Event()
lock = threading.Lock()
operations = []  # finished ones
watches = []
violations = []
deaths = []  # (moment) in order


def violation(text):
    with lock:
        violations.append(text)


class Server:
    def __init__(self):
        self.process = None

    def start(self):
        log = open(os.path.join(DATA, "server.log"), "ab")
        self.process = subprocess.Popen([HANOK, "server", "--data", DATA, "--listen", f"127.0.0.1:{PORT}",
                                         "--controllers=-*", "--scheduler=off"], stderr=log, stdout=log)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended by itself: {self.process.returncode}")
            try:
                status, _ = Client().call("GET", "/readyz")
                if status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit("the server did not become ready")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        deaths.append(time.monotonic())

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


def tls():
    import base64
    text = open(os.path.join(DATA, "admin.kubeconfig")).read()
    context = ssl.create_default_context(cafile=os.path.join(DATA, "pki/ca.crt"))
    pem = ""
    for field in ("client-certificate-data", "client-key-data"):
        pem += base64.b64decode(text.split(field + ":")[1].split()[0]).decode()
    path = os.path.join(DATA, "client.pem")
    with open(path, "w") as f:
        f.write(pem)
    context.load_cert_chain(path)
    return context


class NotSent(OSError):
    """Nothing can have reached the server."""


class Client:
    context = None

    def __init__(self):
        self.connection = None
        self.born = 0  # how often the server had died when the connection was made

    def connect(self):
        self.born = len(deaths)
        if not Client.context:
            Client.context = tls() if os.path.exists(os.path.join(DATA, "admin.kubeconfig")) else ssl._create_unverified_context()
        self.connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=30, context=Client.context)
        self.connection.connect()

    def send(self, method, path, body=None, content="application/json"):
        if not self.connection:
            try:
                self.connect()
            except OSError as e:
                self.connection = None
                raise NotSent(str(e)) from e
        self.connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": content})

    def call(self, method, path, body=None):
        try:
            self.send(method, path, body)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else None
        except NotSent:
            raise
        except (OSError, http.client.HTTPException) as e:
            self.connection = None
            raise OSError(str(e)) from e


class Operation:
    __slots__ = ("kind", "key", "value", "expected", "call", "end", "result", "revision", "sure")

    def __init__(self, kind, key, value=None, expected=None):
        self.kind, self.key, self.value, self.expected = kind, key, value, expected
        self.call, self.end = time.monotonic(), None
        self.result = self.revision = None
        self.sure = True


def version(o):
    return int(o["metadata"]["resourceVersion"])


def value_of(o):
    return o["data"]["v"]


def config_map(key, value, revision=None):
    meta = {"name": key, "labels": {"even": str(value % 2)}}
    if revision:
        meta["resourceVersion"] = str(revision)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"v": str(value)}}


counter = [0]


def fresh_value():
    with lock:
        counter[0] += 1
        return counter[0]


def perform(client, op):
    path = f"{BASE}/{op.key}" if op.key else BASE
    if op.kind == "create":
        return client.call("POST", BASE, config_map(op.key, op.value))
    if op.kind == "update":
        return client.call("PUT", path, config_map(op.key, op.value, op.expected[1]))
    if op.kind == "delete":
        return client.call("DELETE", path)
    return client.call("GET", path)


def writer(number):
    client, chance = Client(), random.Random(SEED * 1000 + number)
    known = {}  # key -> (value, revision) as this client last saw it
    while not stop.is_set():
        key = chance.choice(KEYS)
        kind = chance.choices(["update", "get", "create", "delete", "list"], [8, 6, 3, 2, 1])[0]
        if kind == "update" and key not in known:
            kind = "get"
        op = Operation(kind, None if kind == "list" else key,
                       fresh_value() if kind in ("create", "update") else None, known.get(key))
        try:
            status, answer = perform(client, op)
            op.end = time.monotonic()
        except OSError as e:
            if kind in ("get", "list") or isinstance(e, NotSent):
                time.sleep(0.01)
                continue
            # It took effect before the server died, if it did.
            while len(deaths) == client.born and not stop.is_set():
                time.sleep(0.005)
            op.end, op.sure, op.result = time.monotonic(), False, "unknown"
            with lock:
                operations.append(op)
            known.pop(key, None)
            continue
        if status in (200, 201) and kind in ("create", "update"):
            op.result, op.revision = "ok", version(answer)
            known[key] = (str(op.value), op.revision)
        elif kind == "get" and status == 200:
            op.result, op.revision = value_of(answer), version(answer)
            known[key] = (op.result, op.revision)
        elif kind == "list" and status == 200:
            op.revision = int(answer["metadata"]["resourceVersion"])
            op.result = {o["metadata"]["name"]: (value_of(o), version(o)) for o in answer["items"] if o["metadata"]["name"] in KEYS}
        elif kind == "delete" and status == 200:
            op.result = "ok"
        elif status in (404, 409):
            op.result = "absent" if status == 404 else "refused"
            known.pop(key, None)
        elif status in (429, 500, 503):
            continue  # refused before anything was done (the server is starting or stopping)
        else:
            violation(f"{kind} {key}: unexpected answer {status} {answer}")
            continue
        with lock:
            operations.append(op)


class Watch:
    """One watcher's history: segments begin with a list; within one nothing may be missing."""

    def __init__(self, label):
        self.label = label
        self.segments = []  # {"from": revision, "items": {...}, "events": [...], "to": revision}


def watcher(number):
    label = None if number % 2 else str(number // 2 % 2)
    selector = f"&labelSelector=even%3D{label}" if label else ""
    w, client, chance = Watch(label), Client(), random.Random(SEED * 77 + number)
    with lock:
        watches.append(w)
    segment = None
    while not stop.is_set():
        try:
            if segment is None:
                status, answer = client.call("GET", f"{BASE}?limit=500{selector}")
                if status != 200:
                    continue
                segment = {"from": int(answer["metadata"]["resourceVersion"]), "events": [],
                           "items": {o["metadata"]["name"]: version(o) for o in answer["items"] if o["metadata"]["name"] in KEYS}}
                segment["to"] = segment["from"]
                w.segments.append(segment)
            client.send("GET", f"{BASE}?watch=true&allowWatchBookmarks=true&timeoutSeconds={chance.randint(1, 3)}"
                               f"&resourceVersion={segment['to']}{selector}")
            answer = client.connection.getresponse()
            leave_after = chance.choice([5, 50, 10**9])
            while not stop.is_set() and leave_after > 0:
                line = answer.readline()
                if not line or not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                leave_after -= 1
                if event["type"] == "ERROR":
                    if event["object"]["code"] != 410:
                        violation(f"watch: {event}")
                    segment = None
                    break
                o = event["object"]
                revision = version(o)
                if revision < segment["to"] or (revision == segment["to"] and event["type"] != "BOOKMARK"):
                    violation(f"watch not Ordered or not Unique: {revision} after {segment['to']}")
                segment["to"] = revision
                if event["type"] != "BOOKMARK" and o["metadata"]["name"] in KEYS:
                    segment["events"].append((event["type"], o["metadata"]["name"], value_of(o), revision,
                                              o["metadata"]["labels"]["even"]))
            client.connection.close()
            client.connection = None
        except (OSError, http.client.HTTPException, ValueError):
            client.connection = None
            time.sleep(0.01)


# ---- judging ----


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
            raise SystemExit("the search for an order is too large: fewer writers or kills are needed")
        for i in candidates:
            if not ops[i].sure:
                todo.append((front, done | {i}, state))
        for i in candidates:
            after = step(ops[i], state)
            if after is not None:
                todo.append((front, done | {i}, after))
    return False


def judge_registers():
    per_key = {k: [] for k in KEYS}
    for op in operations:
        if op.key:
            per_key[op.key].append(op)
        else:
            for k in KEYS:  # a list is a read of each key
                read = Operation("get", k)
                read.call, read.end = op.call, op.end
                read.result = op.result[k][0] if k in op.result else "absent"
                per_key[k].append(read)
    for k, ops in per_key.items():
        if not linearizable(ops):
            violation(f"the history of {k} is not linearizable ({len(ops)} operations)")


def judge_revisions():
    writes = sorted((o for o in operations if o.revision and o.kind in ("create", "update")), key=lambda o: o.call)
    owner = {}
    for o in writes:
        if o.revision in owner:
            violation(f"revision {o.revision} was given twice")
        owner[o.revision] = o
    answered = sorted(writes, key=lambda o: o.end)
    newest, at = 0, 0
    for o in writes:  # everything answered before this call has a lower revision
        while at < len(answered) and answered[at].end < o.call:
            newest = max(newest, answered[at].revision)
            at += 1
        if o.revision <= newest:
            violation(f"revision {o.revision} was given after {newest} had been answered")
    newest, at, answered = 0, 0, sorted((o for o in operations if o.revision), key=lambda o: o.end)
    for o in sorted((o for o in operations if o.kind == "list"), key=lambda o: o.call):
        while at < len(answered) and answered[at].end < o.call:
            newest = max(newest, answered[at].revision)
            at += 1
        if o.revision < newest:
            violation(f"a list is of revision {o.revision} after {newest} had been seen")
    return owner


def judge_lists(owner):
    for o in operations:
        if o.kind != "list":
            continue
        for k in KEYS:
            below = [r for r, w in owner.items() if w.key == k and r <= o.revision]
            if k in o.result:
                value, revision = o.result[k]
                if revision > o.revision or (below and max(below) > revision):
                    violation(f"list of {o.revision} has {k} as of {revision}, newer was {max(below, default=0)}")
                if revision in owner and str(owner[revision].value) != value:
                    violation(f"list of {o.revision} has another value of {k}@{revision}")


def judge_watches(owner):
    told = resumed = 0
    for w in watches:
        for s in w.segments:
            resumed += 1
            by_revision = {e[3]: e for e in s["events"]}
            told += len(s["events"])
            present = dict(s["items"])
            for kind, key, value, revision, even in s["events"]:
                if w.label is not None and even != w.label:
                    violation(f"watch not Filtered: {key} {value}")
                if (kind == "ADDED") != (key not in present):
                    violation(f"{kind} of {key} at {revision}, which the watcher had: {key in present}")
                if kind == "DELETED":
                    present.pop(key, None)
                else:
                    present[key] = revision
                    if revision in owner and str(owner[revision].value) != value:
                        violation(f"event {revision} of {key} has another value")
            for revision, o in owner.items():
                matching = w.label is None or str(o.value % 2) == w.label
                if s["from"] < revision <= s["to"] and matching and revision not in by_revision:
                    violation(f"watch not Reliable: {o.key} at {revision} is missing in ({s['from']}, {s['to']}]")
    return told, resumed


def main():
    server = Server()
    server.start()
    Client.context = tls()
    threads = [threading.Thread(target=writer, args=(i,), daemon=True) for i in range(WRITERS)]
    threads += [threading.Thread(target=watcher, args=(i,), daemon=True) for i in range(WATCHERS)]
    for t in threads:
        t.start()
    for i in range(KILLS):
        time.sleep(random.uniform(0.05, 0.5))
        if i % 3 == 2:
            server.pause(random.uniform(0.05, 0.3))
            time.sleep(random.uniform(0.05, 0.2))
        server.kill()
        server.start()
    time.sleep(0.5)
    stop.set()
    server.pause(0.01)
    for t in threads[:WRITERS]:
        t.join(60)
    time.sleep(0.1)
    server.process.terminate()
    server.process.wait()
    for t in threads[WRITERS:]:
        t.join(60)
    judge_registers()
    owner = judge_revisions()
    judge_lists(owner)
    told, segments = judge_watches(owner)
    unknown = sum(not o.sure for o in operations)
    print(f"{KILLS} kills, {len(operations)} operations ({unknown} of unknown outcome), {len(owner)} acknowledged writes, "
          f"{told} events told in {segments} segments, {len(violations)} violations (seed {SEED})")
    for v in violations[:20]:
        print("violation:", v)
    sys.exit(1 if violations or len(owner) < 20 * max(KILLS, 1) // 4 else 0)


main()
