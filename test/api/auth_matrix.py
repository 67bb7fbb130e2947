#!/usr/bin/env python3
"""auth_matrix.py URL CA USERS: for each user (token) asks the server what he may do, then does it.

The answer of SelfSubjectAccessReview and the fate of the request must agree: 403 if and only if it says
no. Prints the cells and the differences; fails on any difference. Requests that change something are sent
as dry runs."""
import http.client
import json
import ssl
import sys
from urllib.parse import urlsplit

url, ca, tokens = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3:]
context = ssl.create_default_context(cafile=ca)
NS = "auth-test"

# (group, version, resource, namespaced)
RESOURCES = [
    ("", "v1", "pods", True), ("", "v1", "secrets", True), ("", "v1", "configmaps", True),
    ("", "v1", "nodes", False), ("", "v1", "namespaces", False), ("", "v1", "serviceaccounts", True),
    ("apps", "v1", "deployments", True), ("batch", "v1", "jobs", True),
    ("coordination.k8s.io", "v1", "leases", True), ("example.org", "v1", "things", True),
    ("rbac.authorization.k8s.io", "v1", "roles", True),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", False),
    ("kubevirt.io", "v1", "virtualmachines", True),
]
# verb: (method, named, query, scopes)
VERBS = {
    "get": ("GET", True, ""), "list": ("GET", False, ""),
    "watch": ("GET", False, "watch=true&timeoutSeconds=10&resourceVersion=0"),
    "create": ("POST", False, "dryRun=All"), "update": ("PUT", True, "dryRun=All"),
    "patch": ("PATCH", True, "dryRun=All"), "delete": ("DELETE", True, "dryRun=All"),
    "deletecollection": ("DELETE", False, "dryRun=All"),
}
SUBRESOURCES = [("pods", "log", "get"), ("pods", "exec", "create"), ("pods", "exec", "get"), ("pods", "status", "patch"),
                ("pods", "eviction", "create"), ("deployments", "scale", "get"), ("deployments", "scale", "patch"),
                ("serviceaccounts", "token", "create"), ("nodes", "proxy", "get"), ("namespaces", "finalize", "update")]
PATHS = ["/api", "/apis/apps/v1", "/version", "/metrics", "/healthz", "/readyz/ping", "/openapi/v3", "/openid/v1/jwks", "/"]


class Client:
    def __init__(self, token):
        self.token = token
        self.connect()

    def connect(self):
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=20)

    def request(self, method, path, body=None):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        self.connection.request(method, path, body=body,
                                headers={"Authorization": "Bearer " + self.token, "Content-Type": kind})
        answer = self.connection.getresponse()
        if answer.status == 200 and "watch=true" in path:
            # Granted: what it shows, and its end, need not be waited for.
            self.connection.close()
            self.connect()
            return answer.status, b""
        return answer.status, answer.read()

    def may(self, spec):
        body = json.dumps({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec})
        status, text = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        assert status in (201, 403), (status, text)
        return json.loads(text)["status"]["allowed"] if status == 201 else None


def cells():
    for group, version, resource, namespaced in RESOURCES:
        for verb, (method, named, query) in VERBS.items():
            for ns in ([NS, "default", ""] if namespaced else [""]):
                if not ns and namespaced and verb not in ("list", "watch", "deletecollection"):
                    continue
                if resource == "namespaces" and named:
                    ns = "x"  # an object that makes a namespace is in it
                attributes = {"verb": verb, "group": group, "version": version, "resource": resource, "namespace": ns,
                              "name": "x" if named else ""}
                path = ("/apis/" + group if group else "/api") + "/" + version
                if ns and resource != "namespaces":
                    path += "/namespaces/" + ns
                path += "/" + resource + ("/x" if named else "")
                yield attributes, method, path + ("?" + query if query else "")
    for resource, subresource, verb in SUBRESOURCES:
        group, version, _, namespaced = next(r for r in RESOURCES if r[2] == resource)
        ns = NS if namespaced else "x" if resource == "namespaces" else ""
        attributes = {"verb": verb, "group": group, "version": version, "resource": resource, "subresource": subresource,
                      "namespace": ns, "name": "x"}
        path = ("/apis/" + group if group else "/api") + "/" + version
        path += ("/namespaces/" + ns if namespaced else "") + f"/{resource}/x/{subresource}"
        yield attributes, VERBS[verb][0], path


count = wrong = refused = 0
for token in tokens:
    client = Client(token)
    for attributes, method, path in cells():
        allowed = client.may({"resourceAttributes": attributes})
        status, text = client.request(method, path, "{}" if method in ("POST", "PUT", "PATCH") else None)
        # Refusals for other reasons than roles do not say what the user cannot do.
        forbidden = status == 403 and b" cannot " in text
        count += 1
        refused += forbidden
        if allowed is not None and forbidden == allowed:
            wrong += 1
            print("differs:", token[:16], allowed, status, method, path, text[:160])
    for path in PATHS:
        allowed = client.may({"nonResourceAttributes": {"path": path, "verb": "get"}})
        status, text = client.request("GET", path)
        count += 1
        refused += status == 403
        if allowed is not None and (status == 403) == allowed:
            wrong += 1
            print("differs:", token[:16], allowed, status, path)
print(f"{count} cells, {refused} refused, {wrong} differ")
sys.exit(wrong > 0 or refused in (0, count))
