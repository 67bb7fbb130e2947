"""Records what clients see of a server that is killed and paused under them, and judges it.

usage: history.py HANOK DATA PORT KILLS SEED

Writers create, update (compare and swap), read and delete ten ConfigMaps and list them; watchers follow,
resume and list anew, and a gap is announced by 410. history_judge.py says what is wrong with what they saw.

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

from history_judge import Judgement, Operation, Watch

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
                segment["to"] = revision
                if event["type"] == "BOOKMARK":
                    segment["events"].append(("BOOKMARK", None, None, revision, None))
                elif o["metadata"]["name"] in KEYS:
                    segment["events"].append((event["type"], o["metadata"]["name"], value_of(o), revision,
                                              o["metadata"]["labels"]["even"]))
            client.connection.close()
            client.connection = None
        except (OSError, http.client.HTTPException, ValueError):
            client.connection = None
            time.sleep(0.01)


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
    j = Judgement(KEYS, operations, watches)
    violations.extend(j.violations)
    unknown = sum(not o.sure for o in operations)
    print(f"{KILLS} kills, {len(operations)} operations ({unknown} of unknown outcome), {len(j.owner)} acknowledged writes, "
          f"{j.told} events told in {j.segments} segments, {len(violations)} violations (seed {SEED})")
    for v in violations[:20]:
        print("violation:", v)
    sys.exit(1 if violations or len(j.owner) < 20 * max(KILLS, 1) // 4 else 0)


main()
