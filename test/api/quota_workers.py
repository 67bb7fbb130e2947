#!/usr/bin/env python3
"""quota_workers.py URL DIR NAMESPACE LIMIT SECONDS: sixteen clients create and delete pods at once.

A watcher follows all events: never may more than LIMIT pods be there, or more than LIMIT / 2 of cpu. In the end all
are deleted, and exactly LIMIT fit again: nothing of what failed is still charged.
"""
import http.client
import json
import random
import ssl
import sys
import threading
import time
import urllib.parse

URL, DIRECTORY, NAMESPACE, LIMIT, SECONDS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WORKERS = 16
host = urllib.parse.urlparse(URL)
tls = ssl.create_default_context(cafile=f"{DIRECTORY}/ca.crt")
tls.load_cert_chain(f"{DIRECTORY}/client.crt", f"{DIRECTORY}/client.key")
failures = []
answers = {}
lock = threading.Lock()


def connect():
    return http.client.HTTPSConnection(host.hostname, host.port, context=tls, timeout=20)


def request(connection, method, path, body=None):
    text = json.dumps(body) if body is not None else None
    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    response = connection.getresponse()
    data = response.read()
    return response.status, json.loads(data) if data else {}


def pod(name, milli):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": name,
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": f"{milli}m"}}}]}}


def note(kind):
    with lock:
        answers[kind] = answers.get(kind, 0) + 1


def work(number, until):
    dice = random.Random(number)
    connection = connect()
    mine = []
    while time.monotonic() < until:
        if mine and dice.random() < 0.45:
            name = mine.pop(dice.randrange(len(mine)))
            code, _ = request(connection, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
            if code != 200:
                failures.append(f"delete {name}: {code}")
            continue
        way = dice.random()
        query = "?dryRun=All" if way < 0.15 else ""
        # Some names are taken by others: these fail after they were admitted, or before.
        metadata = {"name": f"shared-{dice.randrange(6)}"} if way > 0.85 else {"generateName": f"w{number}-"}
        body = pod(metadata, dice.choice([100, 500, 1000]))
        if 0.15 < way < 0.2:
            body["spec"]["containers"][0]["image"] = ""  # refused as invalid
        code, answer = request(connection, "POST", PODS + query, body)
        note(f"{code}{' dry' if query else ''}")
        if code == 201 and not query:
            mine.append(answer["metadata"]["name"])
        elif code == 403 and "exceeded quota: q, requested: " not in answer.get("message", ""):
            failures.append(answer["message"])
        elif code not in (201, 403, 409, 422):
            failures.append(f"create: {code} {answer}")
    for name in mine:
        code, _ = request(connection, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        if code not in (200, 404):
            failures.append(f"delete {name}: {code}")


def milli_of(item):
    text = item["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def follow(revision, stop, most):
    connection = connect()
    connection.request("GET", f"{PODS}?watch=true&resourceVersion={revision}&timeoutSeconds={int(SECONDS) + 10}")
    there = {}
    for line in connection.getresponse():
        event = json.loads(line)
        if event["type"] == "ERROR":
            failures.append(f"watch: {event}")
            return
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            there.pop(name, None)
        else:
            there[name] = milli_of(event["object"])
        most[0], most[1] = max(most[0], len(there)), max(most[1], sum(there.values()))
        if stop.is_set() and not there:
            return


def main():
    connection = connect()
    code, listed = request(connection, "GET", PODS)
    assert code == 200 and not listed["items"], listed
    stop, most = threading.Event(), [0, 0]
    until = time.monotonic() + SECONDS
    follower = threading.Thread(target=follow, args=(listed["metadata"]["resourceVersion"], stop, most))
    follower.start()
    workers = [threading.Thread(target=work, args=(n, until)) for n in range(WORKERS)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    stop.set()
    request(connection, "POST", PODS, pod({"name": "last"}, 100))
    request(connection, "DELETE", f"{PODS}/last?gracePeriodSeconds=0")
    follower.join()
    print("answers:", answers, "most pods:", most[0], "most cpu:", most[1])
    if most[0] > LIMIT or most[1] > LIMIT * 500:
        failures.append(f"the quota was exceeded: {most}")
    if answers.get("403", 0) < 10 or answers.get("201", 0) < 10:
        failures.append("the quota was hardly reached")
    fitted = 0
    while request(connection, "POST", PODS, pod({"name": f"full-{fitted}"}, 100))[0] == 201:
        fitted += 1
    if fitted != LIMIT:
        failures.append(f"{fitted} pods fit after all others are gone, want {LIMIT}")
    for n in range(fitted):
        request(connection, "DELETE", f"{PODS}/full-{n}?gracePeriodSeconds=0")
    for text in failures[:10]:
        print("failed:", text)
    sys.exit(bool(failures))


main()
