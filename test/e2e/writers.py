#!/usr/bin/env python3
"""writers.py KUBECONFIG NAMESPACE COUNT STOP-FILE: COUNT writers, each with a connection of its own, create, patch
and delete config maps and unschedulable pods until STOP-FILE exists, whatever happens to the server meanwhile.

Then what the server has is compared with what it acknowledged: a write that was answered must be there, a deleted
object must stay deleted, and no revision may ever go back. A request without an answer may have been done or
not. Prints the numbers; fails if anything was lost, or if too little was written to mean anything.
"""
import base64
import http.client
import json
import os
import re
import ssl
import sys
import tempfile
import threading
import time

KUBECONFIG, NAMESPACE, COUNT, STOP = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
UNKNOWN = object()  # the request got no answer


def credentials(path):
    text = open(path, encoding="utf-8").read()

    def field(name):
        return re.search(rf"^\s*{name}:\s*(\S+)", text, re.M).group(1)

    files = []
    for name in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(base64.b64decode(field(name)))
            files.append(file.name)
    context = ssl.create_default_context(cafile=files[0])
    context.load_cert_chain(files[1], files[2])
    for name in files:
        os.unlink(name)
    host, port = re.fullmatch(r"https://(.*):(\d+)", field("server")).groups()
    return host, int(port), context


HOST, PORT, CONTEXT = credentials(KUBECONFIG)


class Client:
    def __init__(self):
        self.connection = None

    def request(self, method, path, body=None, kind="application/json"):
        """(code, document), or UNKNOWN."""
        try:
            if not self.connection:
                self.connection = http.client.HTTPSConnection(HOST, PORT, timeout=10, context=CONTEXT)
            self.connection.request(method, path, body and json.dumps(body), {"Content-Type": kind})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            if self.connection:
                self.connection.close()
            self.connection = None
            time.sleep(0.01)  # the server is being started: no need to spin
            return UNKNOWN


class Writer(threading.Thread):
    def __init__(self, number):
        super().__init__()
        self.number = number
        self.client = Client()
        self.resource = "pods" if number % 4 == 3 else "configmaps"
        self.path = f"/api/v1/namespaces/{NAMESPACE}/{self.resource}"
        self.revision = 0
        self.present = {}  # name -> (least acknowledged value, greatest that was tried)
        self.deleted = set()
        self.unanswered = 0
        self.answered = 0
        self.wrong = []

    def send(self, method, path, body=None, kind="application/json"):
        result = self.client.request(method, path, body, kind)
        if result is UNKNOWN:
            self.unanswered += 1
            return UNKNOWN
        code, document = result
        if code >= 500 or code == 429:
            self.unanswered += 1
            return UNKNOWN
        self.answered += 1
        if code < 300 and method in ("POST", "PATCH"):
            revision = int(document["metadata"]["resourceVersion"])
            if revision <= self.revision:
                self.wrong.append(f"{method} {path}: revision {revision} after {self.revision}")
            self.revision = revision
        return result

    def document(self, name, value):
        meta = {"name": name, "annotations": {"value": str(value)}, "labels": {"writer": str(self.number)}}
        if self.resource == "configmaps":
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"text": "x" * 500}}
        spec = {"nodeSelector": {"nowhere": "at-all"}, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "none"}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def expect(self, what, result, codes):
        if result[0] not in codes:
            self.wrong.append(f"{what}: {result[0]} {result[1].get('message')}")
        return result[0] in codes

    def run(self):
        index = 0
        while not os.path.exists(STOP):
            index += 1
            name, acknowledged, tried = f"w{self.number}-{index}", 0, 0
            result = self.send("POST", self.path, self.document(name, 0))
            if result is UNKNOWN:
                continue  # may be there or not: says nothing
            if not self.expect(f"create {name}", result, (201,)):
                continue
            for value in range(1, 4):
                tried = value
                patch = {"metadata": {"annotations": {"value": str(value)}}}
                result = self.send("PATCH", f"{self.path}/{name}", patch, "application/merge-patch+json")
                if result is not UNKNOWN and self.expect(f"patch {name}", result, (200,)):
                    acknowledged = value
            self.present[name] = (acknowledged, tried)
            if index % 3 == 0:
                result = self.send("DELETE", f"{self.path}/{name}")
                if result is UNKNOWN:
                    del self.present[name]
                elif self.expect(f"delete {name}", result, (200, 202)):
                    del self.present[name]
                    self.deleted.add(name)

    def compare(self):
        code, listed = self.client.request("GET", f"{self.path}?labelSelector=writer%3D{self.number}")
        if code != 200:
            self.wrong.append(f"list: {code}")
            return
        found = {item["metadata"]["name"]: int(item["metadata"]["annotations"]["value"]) for item in listed["items"]}
        for name, (least, most) in self.present.items():
            if name not in found:
                self.wrong.append(f"{name} was acknowledged and is lost")
            elif not least <= found[name] <= most:
                self.wrong.append(f"{name} has value {found[name]}, acknowledged was {least}, tried {most}")
        for name in self.deleted & set(found):
            self.wrong.append(f"{name} was deleted and is there again")
        if int(listed["metadata"]["resourceVersion"]) < self.revision:
            self.wrong.append(f"list's revision is before {self.revision}")


def main():
    writers = [Writer(number) for number in range(COUNT)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for writer in writers:
        writer.client = Client()
        writer.compare()
    wrong = [text for writer in writers for text in writer.wrong]
    answered = sum(writer.answered for writer in writers)
    print(f"{answered} requests answered, {sum(writer.unanswered for writer in writers)} without an answer, "
          f"{sum(len(writer.present) for writer in writers)} objects kept, "
          f"{sum(len(writer.deleted) for writer in writers)} deleted, {len(wrong)} wrong")
    for text in wrong[:20]:
        print(text)
    sys.exit(bool(wrong) or answered < 100)


main()
