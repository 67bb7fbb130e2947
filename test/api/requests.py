#!/usr/bin/env python3
"""Sends the requests that kubectl makes (data/requests.tsv) and looks at the form of each answer: its code, its
media type, the kind of what it holds. Prints TAP.

    requests.py URL CA CERT KEY NODE-PORT TABLE

Each request meets a world in which the objects that it names are there: what a request has changed is put
back after it. NODE-PORT is where the agent of node n1 listens.
"""
import base64
import hashlib
import http.client
import json
import os
import re
import ssl
import sys
import urllib.parse

URL, CA, CERT, KEY, NODE_PORT, TABLE = sys.argv[1:7]
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
DISCOVERY = JSON + ";g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList"
TABLES = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON};as=Table;v=v1beta1;g=meta.k8s.io,{JSON}"
OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
ACCEPT = {
    "J": JSON, "J*": JSON + ", */*", "TABLE": TABLES, "PB,J": f"{PROTOBUF},{JSON}",
    "DISC2beta1": f"{DISCOVERY % 'v2beta1'},{JSON}",
    "DISC2": f"{DISCOVERY % 'v2'},{DISCOVERY % 'v2beta1'},{JSON}", "OPENAPI2-PB": OPENAPI_V2,
}
CONTENT = {
    "J": JSON, "PB": PROTOBUF, "SMP": "application/strategic-merge-patch+json",
    "MP": "application/merge-patch+json", "JP": "application/json-patch+json",
    "APPLY": "application/apply-patch+yaml", "": None,
}
POD = {"containers": [{"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}]}], "nodeName": "n1"}
SCALED = {"replicas": 1, "selector": {"matchLabels": {"app": "d1"}},
          "template": {"metadata": {"labels": {"app": "d1"}}, "spec": {"containers": POD["containers"]}}}
# As kubectl leaves it after an apply by the server, in the middle of the steps that take the object over.
APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"v1","data":{"k":"2"},"kind":"ConfigMap",'
           '"metadata":{"labels":{"app":"a"},"name":"cm1","namespace":"t"}}\n'}
T = "/api/v1/namespaces/t"
APPS = "/apis/apps/v1/namespaces/t"


def world(csr):
    """(collection, object), in the order in which they are made."""
    def thing(collection, name, **members):
        labels = members.pop("labels", {"app": "a"})
        annotations = members.pop("annotations", {})
        return collection, {"metadata": {"name": name, "labels": labels, "annotations": annotations}, **members}
    return [
        thing("/api/v1/namespaces", "t"),
        thing("/api/v1/namespaces", "kube-node-lease"),
        thing("/api/v1/nodes", "n1"),
        thing("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "n1"),
        thing("/apis/certificates.k8s.io/v1/certificatesigningrequests", "csr1",
              spec={"signerName": "example.com/none", "usages": ["client auth"], "request": csr}),
        thing(T + "/pods", "p1", spec=POD),
        thing(T + "/pods", "d1-0", spec=POD, labels={"app": "d1"}),
        thing(T + "/pods", "node-debugger-n1-x", spec=POD),
        thing(T + "/pods", "p1c", spec={"containers": POD["containers"]}),
        thing(T + "/pods", "r1", spec={"containers": POD["containers"]}),
        thing(T + "/pods", "r2", spec={"containers": POD["containers"]}),
        thing(T + "/configmaps", "cm1", data={"k": "2", "q": "1"}, annotations=APPLIED),
        thing(T + "/configmaps", "cmx", data={"xx": "1"}),
        thing(T + "/serviceaccounts", "sa1"),
        thing(T + "/services", "s1", spec={"selector": {"app": "a"}, "ports": [{"port": 80}]}),
        thing(T + "/endpoints", "s1"),
        thing(APPS + "/deployments", "d1", spec=SCALED),
        thing(APPS + "/deployments", "d2", spec=SCALED),
    ]


class Api:
    def __init__(self):
        self.context = ssl.create_default_context(cafile=CA)
        self.context.load_cert_chain(CERT, KEY)
        self.address = urllib.parse.urlsplit(URL).netloc
        self.connection = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.address, context=self.context, timeout=20)

    def send(self, method, uri, body=None, headers=None, connection=None):
        """The answer, unread."""
        connection = connection or self.connection
        connection.request(method, uri, body, headers or {})
        return connection.getresponse()

    def do(self, method, uri, doc=None, patch=False):
        headers = {"Content-Type": CONTENT["MP"] if patch else JSON}
        answer = self.send(method, uri, None if doc is None else json.dumps(doc), headers)
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def must(self, *args, **options):
        status, doc = self.do(*args, **options)
        if status >= 300:
            sys.exit(f"{args[:2]}: {status} {doc}")
        return doc


api = Api()
values = {}  # of what a request names as RV, UID, ...
made = {}  # "collection/name" -> document


def remove(path):
    api.do("PATCH", path, {"metadata": {"finalizers": None}}, patch=True)
    api.do("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})


def make(collection, doc):
    path = collection + "/" + doc["metadata"]["name"]
    whole = collection + "?fieldManager=kubectl-client-side-apply"
    status, answer = api.do("POST", whole, doc)
    if status == 409 and not collection.endswith("/namespaces"):  # a request has made it, or changed it
        remove(path)
        status, answer = api.do("POST", whole, doc)
    if status >= 300 and not collection.endswith("/namespaces"):
        sys.exit(f"{path}: {status} {answer}")
    made[path] = (collection, doc)
    if path == T + "/pods/p1":
        values["UID"] = answer["metadata"]["uid"]


def finish(path):
    """What a new object gets from others: the node its address, the pod its container."""
    if path == "/api/v1/nodes/n1":
        api.must("PATCH", path + "/status", {"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": int(NODE_PORT)}}}}, patch=True)
    elif path == T + "/pods/p1":
        ended = {"terminated": {"exitCode": 1, "containerID": "x://1"}}
        api.must("PATCH", path + "/status", {"status": {"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 1,
            "state": {"running": {}}, "lastState": ended}]}}, patch=True)


def put_back(uri, answer):
    """Undoes what a request did to the object at uri, or to the one that it made there."""
    path = uri.partition("?")[0]
    for subresource in ("/scale", "/ephemeralcontainers", "/approval", "/eviction"):
        path = path.removesuffix(subresource)
    if path not in made:
        name = ((answer or {}).get("metadata") or {}).get("name")
        path += f"/{name}"
    if path in made:
        make(*made[path])
        finish(path)
    elif (answer or {}).get("kind") != "Status":
        remove(path)


def change_something(uri):
    """A watch of this shows it."""
    collection, _, query = uri.partition("?")
    wanted = re.search(r"metadata\.name=([\w-]+)", urllib.parse.unquote(query))
    name = wanted[1] if wanted else "d1-0"
    values["n"] = str(int(values.get("n", 0)) + 1)
    api.must("PATCH", f"{collection}/{name}", {"metadata": {"annotations": {"n": values["n"]}}}, patch=True)


def filled(uri):
    """The request's target with the values of this run."""
    path, question, query = uri.replace("-X", "-x").partition("?")
    parts = []
    for part in query.split("&") if question else []:
        name, _, value = part.partition("=")
        if name == "resourceVersion" and value == "RV":
            value = values["RV"]
        elif name == "hash":
            value = values[path.removeprefix("/openapi/v3/")]
        value = {"N": "302", "D": "5m2s"}.get(value, value.replace("uid=UID", "uid=" + values["UID"]))
        parts.append(name + "=" + urllib.parse.quote(value, safe=""))
    return path + question + "&".join(parts)


# ---- what an answer must be ----

def media(answer):
    return answer.headers.get("Content-Type", "").replace(" ", "").partition(";charset")[0]


def table_problem(doc, whole):
    if doc.get("kind") != "Table" or not doc.get("apiVersion", "").startswith("meta.k8s.io/"):
        return f"no Table but {doc.get('kind')}"
    columns = doc.get("columnDefinitions")
    if not columns or any(len(row["cells"]) != len(columns) for row in doc["rows"]):
        return "columns and cells differ"
    objects = {row["object"]["kind"] for row in doc["rows"]}
    if objects - ({"PartialObjectMetadata"} if not whole else {"Pod"}):
        return f"rows hold {objects}"
    return None


def kind_problem(doc, uri, kind):
    if kind == "Table":
        return table_problem(doc, "includeObject=Object" in uri)
    if kind == "version":
        return None if doc.get("gitVersion", "").startswith("v1.") else "no version"
    if kind == "openapi.v3 index":
        return None if "api/v1" in doc.get("paths", {}) else "no paths"
    if kind == "openapi.v3":
        return None if doc.get("openapi", "").startswith("3.") and doc.get("components") else "no OpenAPI 3"
    if doc.get("kind") != kind:
        return f"kind {doc.get('kind')}, not {kind}"
    if kind == "APIGroupDiscoveryList":
        return None if all(item["versions"] for item in doc["items"]) else "a group without versions"
    if kind.endswith("List") and kind != "APIResourceList":
        if "apiVersion" not in doc or "resourceVersion" not in doc["metadata"]:
            return "a list without its version"
    elif kind not in ("Status", "APIResourceList", "Scale") and uri.startswith("/api"):
        group_version = uri.split("/")[2] if uri.startswith("/api/") else "/".join(uri.split("/")[2:4])
        if doc.get("apiVersion") not in (group_version, "authentication.k8s.io/v1"):
            return f"version {doc.get('apiVersion')}"
    return None


def status_problem(doc, code):
    if doc.get("kind") != "Status" or doc.get("apiVersion") != "v1":
        return f"no Status but {doc.get('kind')}"
    if code >= 400 and (doc["status"], doc["code"]) != ("Failure", code):
        return f"status {doc['status']}, code {doc['code']}"
    if code >= 400 and not (doc.get("reason") and doc.get("message")):
        return "neither a reason nor a message"
    return None if code >= 400 or doc["status"] == "Success" else "no success"


def problem_of(answer, body, uri, accept, kind):
    wanted = JSON
    if kind == "text":
        return None if media(answer).startswith("text/plain") else "media type " + media(answer)
    if kind == "APIGroupDiscoveryList":
        wanted = DISCOVERY % accept[len("DISC"):].replace("2beta1", "v2beta1").replace("2", "v2", accept == "DISC2")
        if set(media(answer).split(";")) != set(wanted.split(";")):
            return "media type " + media(answer)
        wanted = media(answer)
    if kind == "openapi.v2":
        if media(answer) not in ("application/octet-stream", OPENAPI_V2) or body[:1] != b"\x0a":
            return "media type " + media(answer)
        return None if body[2:5] == b"2.0" and answer.headers.get("ETag") else "no OpenAPI 2, or without an ETag"
    if media(answer) != wanted:
        return "media type " + media(answer)
    doc = json.loads(body)
    return status_problem(doc, answer.status) if kind == "Status" else kind_problem(doc, uri, kind)


def watch_problem(answer, uri, kind):
    if media(answer) != JSON:
        return "media type " + media(answer)
    event = json.loads(answer.readline())
    if event.get("type") not in ("ADDED", "MODIFIED"):
        return f"event {event.get('type')}"
    return kind_problem(event["object"], uri, kind)


# ---- sending ----

def name_in(body):
    """Of an object that a body would make, when it is one of this world's."""
    text = base64.b64decode(body[7:]) if body.startswith("base64:") else body.encode()
    names = {path.rpartition("/")[2] for path in made}
    found = re.search(rb'"name":"([\w-]+)"', text)
    found = found or re.search(rb"\x0a.\x0a.([\w-]+)\x12\x00", text)  # ObjectMeta with an empty generateName
    name = found[1].decode().replace("-X", "-x") if found else ""
    return name if name in names else None


def agent_of(versions):
    minor = re.split("[-,]", versions)[-1]
    return f"kubectl/v1.{minor}.0 (linux/amd64) kubernetes/abcdef0"


def upgrade(method, uri, accept, headers):
    protocols = accept.partition(":")[2].split(",")
    connection = api.connect()
    if accept.startswith("SPDY"):
        headers |= {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        connection.putrequest(method, uri)
        for protocol in protocols:  # a header each, as kubectl has it
            connection.putheader("X-Stream-Protocol-Version", protocol)
        connection.putheader("Content-Length", "0")
    else:
        key = base64.b64encode(os.urandom(16)).decode()
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": key, "Sec-WebSocket-Protocol": ",".join(protocols)}
        connection.putrequest(method, uri)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    problem = None
    if answer.status != 101:
        problem = f"code {answer.status}: {answer.read(300)}"
    elif accept.startswith("SPDY"):
        chosen = answer.headers.get("X-Stream-Protocol-Version")
        if answer.headers.get("Upgrade", "").lower() != "spdy/3.1" or chosen not in protocols:
            problem = f"upgraded to {answer.headers.get('Upgrade')}, {chosen}"
    else:
        accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        if answer.headers.get("Sec-WebSocket-Accept") != base64.b64encode(accepted).decode():
            problem = "no answer to the WebSocket's key"
        elif answer.headers.get("Sec-WebSocket-Protocol") not in protocols:
            problem = f"protocol {answer.headers.get('Sec-WebSocket-Protocol')}"
    connection.close()
    return problem


def row_problem(versions, method, uri, accept, content, body, wanted):
    code, _, kind = wanted.partition(" ")
    values["RV"] = api.must("GET", T)["metadata"]["resourceVersion"]
    if kind.startswith("watch "):
        pods = api.must("GET", (T if "/pods" in uri else APPS) + ("/pods" if "/pods" in uri else "/deployments"))
        values["RV"] = pods["metadata"]["resourceVersion"]
        change_something(uri)
    uri = filled(uri)
    if method == "POST" and f"{uri.partition('?')[0]}/{name_in(body)}" in made:
        remove(f"{uri.partition('?')[0]}/{name_in(body)}")
    headers = {"User-Agent": agent_of(versions)}
    if code == "101":
        return upgrade(method, uri, accept, headers)
    headers["Accept"] = ACCEPT[accept]
    if CONTENT[content]:
        headers["Content-Type"] = CONTENT[content]
    if body == "-":
        body = None
    elif body.startswith("base64:"):
        body = base64.b64decode(body[7:]).replace(b"node-debugger-n1-X", b"node-debugger-n1-x")
    else:
        body = body.replace("node-debugger-n1-X", "node-debugger-n1-x")
        if content == "JP":
            name = api.must("GET", uri.partition("?")[0])
            body = body.replace('"RV"', json.dumps(name["metadata"]["resourceVersion"]))
        body = body.encode()
    # A watch does not end by itself.
    connection = api.connect() if kind.startswith("watch ") else None
    answer = api.send(method, uri, body, headers, connection)
    if connection and answer.status == 200:
        problem = watch_problem(answer, uri, kind.removeprefix("watch "))
        connection.close()
        return problem
    text = answer.read()
    if str(answer.status) != code:
        problem = f"code {answer.status}: {text[:300]}"
    else:
        problem = problem_of(answer, text, uri, accept, kind)
    if method != "GET" and "dryRun" not in uri:
        put_back(uri, json.loads(text) if media(answer) == JSON else None)
    return problem


def main():
    with open(TABLE, encoding="utf-8") as table:
        rows = [line.rstrip("\n").split("\t") for line in table if not line.startswith("#")]
    csr = next(json.loads(row[6])["spec"]["request"] for row in rows if row[3].endswith("/approval"))
    for collection, doc in world(csr):
        make(collection, doc)
    for path in list(made):
        finish(path)
    for path, entry in api.must("GET", "/openapi/v3")["paths"].items():
        values[path] = entry["serverRelativeURL"].partition("hash=")[2]
    for number, (command, *row) in enumerate(rows, 1):
        problem = row_problem(*row)
        name = f"{command}: {row[1]} {row[2]} as {row[3]}".replace("#", "")
        print(f"{'not ok' if problem else 'ok'} {number} - {name}")
        if problem:
            print(f"#   {problem}, wanted {row[6]}")
    print(f"1..{len(rows)}")


main()
