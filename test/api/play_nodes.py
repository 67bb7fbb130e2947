#!/usr/bin/env python3
"""Plays the node's side of the API for nodes that there are not: pods that were placed become ready, those that are to
go end, nodes report in.

usage: play_nodes.py URL CA CERT KEY NODE...

A pod with the annotation test/phase gets that phase and stays so; with test/unready it runs but does not become ready.
"""
import datetime
import http.client
import json
import ssl
import sys
import time
import urllib.parse

PATCH = "application/merge-patch+json"


class Api:
    def __init__(self, url, ca, cert, key):
        self.address = urllib.parse.urlparse(url).netloc
        self.context = ssl.create_default_context(cafile=ca)
        self.context.load_cert_chain(cert, key)
        self.connection = None

    def call(self, method, path, body=None, content_type="application/json"):
        for _ in range(2):
            try:
                if not self.connection:
                    self.connection = http.client.HTTPSConnection(self.address, context=self.context, timeout=10)
                self.connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": content_type})
                response = self.connection.getresponse()
                text = response.read()
                return response.status, json.loads(text) if text else {}
            except (OSError, http.client.HTTPException):
                self.connection = None
        return 0, {}


def now(micro=False):
    text = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return text if micro else text[:19] + "Z"


def report_in(api, node):
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now(True)},
    }
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    if api.call("POST", leases, lease)[0] == 409:
        api.call("PATCH", f"{leases}/{node}", {"spec": lease["spec"]}, PATCH)


def register(api, node):
    labels = {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}
    api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}})
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
    room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    status = {"capacity": room, "allocatable": room, "conditions": [ready]}
    api.call("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, PATCH)
    report_in(api, node)


def play(api, pod, address):
    meta, status = pod["metadata"], pod.get("status", {})
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    if "deletionTimestamp" in meta:
        api.call("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
        return False
    wanted = meta.get("annotations", {})
    phase = wanted.get("test/phase", "Running")
    ready = "True" if phase == "Running" and "test/unready" not in wanted else "False"
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if status.get("phase") == phase and conditions.get("Ready") == ready:
        return False
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": now()}
    rest = [c for c in status.get("conditions", []) if c["type"] != "Ready"]
    new = {"phase": phase, "podIP": status.get("podIP", address), "conditions": rest + [condition]}
    return api.call("PATCH", path + "/status", {"metadata": {"uid": meta["uid"]}, "status": new}, PATCH)[0] == 200


def main():
    url, ca, cert, key, *nodes = sys.argv[1:]
    api = Api(url, ca, cert, key)
    for node in nodes:
        register(api, node)
    print("ready", flush=True)
    reported, addresses = time.monotonic(), 0
    while True:
        code, pods = api.call("GET", "/api/v1/pods")
        if code == 0:
            return
        for pod in pods.get("items", []):
            if pod.get("spec", {}).get("nodeName") in nodes:
                addresses += play(api, pod, f"10.9.{addresses // 250}.{addresses % 250 + 1}")
        if time.monotonic() - reported > 10:
            reported = time.monotonic()
            for node in nodes:
                report_in(api, node)
        time.sleep(0.05)


main()
