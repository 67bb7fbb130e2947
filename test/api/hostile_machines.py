#!/usr/bin/env python3
"""Writes objects of virtual machines that no honest client writes, and acts on them as their users would.

    hostile_machines.py URL CA CERT KEY [COUNT [SEED]]

Each place in an object of each kind is left out, made null, empty, huge or of another type, in spec and status alike; so is
each field that the kind's schema has besides. What the server takes goes on: snapshots of such contents are restored, cloned
and exported, and manifests of exports are downloaded. COUNT: so many of these objects, chosen by SEED; else all. Prints what was
sent and taken; exit code 1 when the server went away.
"""
import concurrent.futures
import copy
import http.client
import json
import random
import ssl
import sys
import threading
import urllib.parse

URL, CA, CERT, KEY = sys.argv[1:5]
COUNT, SEED = (int(a) for a in (sys.argv[5:7] + ["0", "1"][len(sys.argv) - 5:]))
NS = "namespaces/hostile"
SNAPSHOTS, CLONES, EXPORTS = "/apis/snapshot.kubevirt.io/", "/apis/clone.kubevirt.io/", "/apis/export.kubevirt.io/"
NOW = "2026-01-02T03:04:05Z"
LEFT_OUT = object()
HUGE = 2**63 - 1
VM_REF = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "vm"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "hanok-local",
         "volumeMode": "Filesystem"}
MACHINE = {
    "runStrategy": "Halted",
    "dataVolumeTemplates": [{"metadata": {"name": "d", "labels": {"a": "b"}, "annotations": {"a": "b"}},
                             "spec": {"source": {"blank": {}}, "storage": CLAIM}}],
    "template": {
        "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
        "spec": {
            "domain": {"memory": {"guest": "64Mi"}, "cpu": {"cores": 1}, "firmware": {"uuid": "x", "serial": "y"},
                       "devices": {"disks": [{"name": "a", "disk": {"bus": "virtio"}}, {"name": "d", "disk": {}}],
                                   "interfaces": [{"name": "default", "macAddress": "02:00:00:00:00:01", "masquerade": {}}]}},
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "a"}}, {"name": "d", "dataVolume": {"name": "d"}},
                        {"name": "e", "containerDisk": {"image": "i"}}],
        },
    },
}
META = {"name": "vm", "namespace": "hostile", "uid": "u", "labels": {"a": "b"}, "annotations": {"a": "b"}}
CONTENT = {
    "virtualMachineSnapshotName": "s",
    "source": {"virtualMachine": {"metadata": META, "spec": MACHINE}},
    "volumeBackups": [
        {"volumeName": name, "volumeSnapshotName": f"vmsnapshot-1-volume-{name}",
         "persistentVolumeClaim": {"metadata": dict(META, name=name), "spec": CLAIM}} for name in ("a", "d")],
}
CONDITIONS = [{"type": "Ready", "status": "True", "reason": "x", "lastTransitionTime": NOW}]
ERROR = {"message": "m", "time": NOW}
CONTENT_STATUS = {"creationTime": NOW, "readyToUse": True, "error": ERROR,
                  "volumeSnapshotStatus": [{"volumeSnapshotName": "vmsnapshot-1-volume-a", "readyToUse": True, "error": ERROR}]}
LINK = {"cert": "x", "volumes": [{"name": "a", "formats": [{"format": "gzip", "url": "https://x"}]}],
        "manifests": [{"type": "all", "url": "https://x"}]}

# (collection, spec, status): each written alone, in the first version that is given and in the others.
KINDS = [
    (SNAPSHOTS, "virtualmachinesnapshots", ("v1beta1", "v1alpha1"),
     {"source": VM_REF, "deletionPolicy": "Delete", "failureDeadline": "5m"},
     {"phase": "InProgress", "creationTime": NOW, "error": ERROR, "readyToUse": False, "sourceUID": "u", "conditions": CONDITIONS,
      "indications": ["Online"], "sourceIndications": [{"indication": "Online", "message": "m"}],
      "snapshotVolumes": {"includedVolumes": ["a"], "excludedVolumes": ["b"]},
      "virtualMachineSnapshotContentName": "none"}),
    (SNAPSHOTS, "virtualmachinesnapshotcontents", ("v1beta1", "v1alpha1"), CONTENT, CONTENT_STATUS),
    (SNAPSHOTS, "virtualmachinerestores", ("v1beta1", "v1alpha1"),
     {"target": VM_REF, "virtualMachineSnapshotName": "s", "targetReadinessPolicy": "FailImmediate",
      "volumeRestoreOverrides": [{"volumeName": "a", "restoreName": "b", "labels": {"a": "b"}, "annotations": {"a": "b"}}],
      "volumeRestorePolicy": "InPlace", "volumeOwnershipPolicy": "None",
      "patches": ['{"op": "add", "path": "/spec/x", "value": 1}']},
     {"complete": False, "conditions": CONDITIONS, "deletedDataVolumes": ["d"], "restoreTime": NOW,
      "restores": [{"volumeName": "a", "persistentVolumeClaim": "a", "dataVolumeName": "d", "volumeSnapshotName": "s"}]}),
    (CLONES, "virtualmachineclones", ("v1beta1", "v1alpha1"),
     {"source": VM_REF, "target": dict(VM_REF, name="other"), "annotationFilters": ["*", "!a"], "labelFilters": ["a"],
      "template": {"annotationFilters": ["*"], "labelFilters": ["!["]}, "newMacAddresses": {"default": "02:00:00:00:00:02"},
      "newSMBiosSerial": "z", "patches": ['{"op": "add", "path": "/spec/x", "value": 1}'], "volumeNamePolicy": "PrefixTargetName"},
     {"phase": "RestoreInProgress", "snapshotName": "s", "restoreName": "r", "targetName": "t", "creationTime": NOW,
      "conditions": CONDITIONS}),
    (EXPORTS, "virtualmachineexports", ("v1", "v1beta1", "v1alpha1"),
     {"source": dict(VM_REF), "tokenSecretRef": "token", "ttlDuration": "1h"},
     {"phase": "Ready", "conditions": CONDITIONS, "links": {"external": LINK, "internal": LINK}, "serviceName": "s",
      "tokenSecretRef": "token", "ttlExpirationTime": NOW, "virtualMachineName": "vm"}),
    ("/apis/kubevirt.io/", "virtualmachines", ("v1", "v1alpha3"), MACHINE,
     {"conditions": CONDITIONS, "created": True, "ready": True, "printableStatus": "Running", "runStrategy": "Halted",
      "memoryDumpRequest": {"claimName": "a", "phase": "Associating", "fileName": "f", "message": "m", "remove": False},
      "stateChangeRequests": [{"action": "Start", "uid": "u", "data": {"a": "b"}}], "snapshotInProgress": "s",
      "restoreInProgress": "r", "startFailure": {"consecutiveFailCount": 1, "lastFailedVMIUID": "u", "retryAfterTimestamp": NOW},
      "volumeRequests": [{"addVolumeOptions": {"name": "n", "disk": {}, "volumeSource": {}}}],
      "volumeSnapshotStatuses": [{"name": "a", "enabled": True}], "desiredGeneration": 1, "observedGeneration": 1}),
    ("/apis/kubevirt.io/", "virtualmachineinstances", ("v1",), MACHINE["template"]["spec"],
     {"phase": "Running", "conditions": CONDITIONS, "nodeName": "n1", "interfaces": [{"name": "default", "ipAddress": "1.2.3.4"}],
      "volumeStatus": [{"name": "a", "target": "vda"}], "guestOSInfo": {"id": "x"}}),
    ("/apis/kubevirt.io/", "virtualmachineinstancereplicasets", ("v1",),
     {"replicas": 1, "paused": False, "selector": {"matchLabels": {"a": "b"}}, "template": MACHINE["template"]},
     {"replicas": 1, "readyReplicas": 1, "labelSelector": "a=b", "conditions": CONDITIONS}),
    ("/apis/kubevirt.io/", "virtualmachineinstancemigrations", ("v1",), {"vmiName": "vm"},
     {"phase": "Running", "conditions": CONDITIONS}),
    ("/apis/pool.kubevirt.io/", "virtualmachinepools", ("v1beta1", "v1alpha1"),
     {"replicas": 1, "paused": False, "selector": {"matchLabels": {"a": "b"}}, "maxUnavailable": "50%",
      "nameGeneration": {"appendIndexToConfigMapRefs": True, "appendIndexToSecretRefs": True},
      "virtualMachineTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": MACHINE}},
     {"replicas": 1, "readyReplicas": 1, "labelSelector": "a=b", "conditions": CONDITIONS}),
    ("/apis/instancetype.kubevirt.io/", "virtualmachineinstancetypes", ("v1beta1", "v1alpha2", "v1alpha1"),
     {"cpu": {"guest": 1, "dedicatedCPUPlacement": False}, "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}},
      "gpus": [{"name": "g", "deviceName": "x/y"}], "hostDevices": [{"name": "h", "deviceName": "x/y"}]}, None),
    ("/apis/instancetype.kubevirt.io/", "virtualmachinepreferences", ("v1beta1", "v1alpha2", "v1alpha1"),
     {"cpu": {"preferredCPUTopology": "sockets", "spreadOptions": {"across": "CoresThreads", "ratio": 2}},
      "devices": {"preferredDiskBus": "virtio"}, "requirements": {"cpu": {"guest": 1}, "memory": {"guest": "64Mi"}},
      "annotations": {"a": "b"}}, None),
    ("/apis/cdi.kubevirt.io/", "datavolumes", ("v1beta1",),
     {"source": {"snapshot": {"name": "vmsnapshot-1-volume-a", "namespace": "hostile"}}, "storage": CLAIM, "contentType": "kubevirt"},
     {"phase": "Pending", "progress": "1%", "claimName": "a", "restartCount": 1, "conditions": CONDITIONS}),
    ("/apis/cdi.kubevirt.io/", "datasources", ("v1beta1",), {"source": {"pvc": {"name": "a", "namespace": "hostile"}}},
     {"conditions": CONDITIONS, "source": {"pvc": {"name": "a", "namespace": "hostile"}}}),
]

local = threading.local()
counts = {"sent": 0, "taken": 0}
lock = threading.Lock()
gone = threading.Event()  # the server does not answer any more


def request(method, path, body=None, headers=None):
    """(code, document); code 0 = no answer."""
    if gone.is_set():
        return 0, None
    text = json.dumps(body) if body is not None else None
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    for _ in range(2):
        try:
            if not getattr(local, "connection", None):
                context = ssl.create_default_context(cafile=CA)
                context.load_cert_chain(CERT, KEY)
                host = urllib.parse.urlparse(URL)
                local.connection = http.client.HTTPSConnection(host.hostname, host.port, context=context, timeout=120)
            local.connection.request(method, path, text, {"Content-Type": kind, **(headers or {})})
            answer = local.connection.getresponse()
            data = answer.read()
            break
        except (OSError, http.client.HTTPException):
            local.connection = None
    else:
        gone.set()
        return 0, None
    with lock:
        counts["sent"] += 1
        counts["taken"] += answer.status < 300
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, None


def places(value, at=()):
    """Every place in a document, but its root."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from places(child, at + (key,))


def bad_values(value):
    yield LEFT_OUT
    yield None
    if isinstance(value, dict):
        yield from ({}, "x", [None], {"": None}, {"x" * 70: {}})
    elif isinstance(value, list):
        yield from ([], [None], {}, [{}], value * 2)
    elif isinstance(value, bool):
        yield from ("x", {})
    elif isinstance(value, int):
        yield from (-1, HUGE, 0, "x")
    else:
        yield from ("", "x" * 5000, "../..\r\nx: y?#%00", "-9999999999999999999Gi", 1, [None])


def changed(document, at, value):
    document = copy.deepcopy(document)
    spot = document
    for key in at[:-1]:
        spot = spot[key]
    if value is LEFT_OUT:
        del spot[at[-1]]
    else:
        spot[at[-1]] = value
    return document


def variants(document):
    yield document
    for at in places(document):
        spot = document
        for key in at:
            spot = spot[key]
        for value in bad_values(spot):
            yield changed(document, at, value)


def fields(group, plural, version):
    """Names and types of the members of spec and status, by the schema that the server tells."""
    schemas = request("GET", f"/openapi/v3{group}{version}")[1]["components"]["schemas"]
    _, resources = request("GET", f"{group}{version}")
    kind = next(r["kind"] for r in resources["resources"] if r["name"] == plural)

    def resolve(s):
        while s:
            if "allOf" in s:
                s = s["allOf"][0]
            elif "$ref" in s:
                s = schemas.get(s["$ref"].split("/")[-1])
            else:
                break
        return s or {}
    root = next((s for s in schemas.values() for known in s.get("x-kubernetes-group-version-kind", ())
                 if known["kind"] == kind and known["version"] == version and known["group"] == group.split("/")[2]), {})
    return {part: {name: resolve(s).get("type") for name, s in resolve(root.get("properties", {}).get(part)).get("properties", {}).items()}
            for part in ("spec", "status")}


EXAMPLES = {"object": {"x": "y"}, "array": ["x"], "boolean": True, "integer": 1, "number": 1, "string": "x", None: "x"}


def with_fields(part, known):
    """Members that the sample has not, each alone."""
    for name, kind in known.items():
        if name not in (part or {}):
            for value in bad_values(EXAMPLES[kind]):
                if value is not LEFT_OUT:
                    yield {**(part or {}), name: value}


def write(group, plural, version, name, spec, status=None):
    path = f"{group}{version}/{NS}/{plural}"
    labels = {"hanok.io/node": "n1"} if plural.endswith("contents") else {"a": "b"}
    code, _ = request("POST", path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    if code == 201 and status is not None:
        request("PATCH", f"{path}/{name}/status", {"status": status})
    return code == 201


def use_content(name):
    """What users do with a snapshot whose content is this."""
    write(SNAPSHOTS, "virtualmachinesnapshots", "v1beta1", name, {"source": VM_REF},
          {"phase": "Succeeded", "readyToUse": True, "creationTime": NOW, "virtualMachineSnapshotContentName": name})
    target = dict(VM_REF, name=f"t-{name}")
    spec = {"target": target, "virtualMachineSnapshotName": name}
    write(SNAPSHOTS, "virtualmachinerestores", "v1beta1", name, spec)
    write(CLONES, "virtualmachineclones", "v1beta1", name, {
        "source": {"apiGroup": "snapshot.kubevirt.io", "kind": "VirtualMachineSnapshot", "name": name},
        "target": dict(target, name=f"c-{name}"), "labelFilters": ["a"], "annotationFilters": ["a"]})
    download(name, {"apiGroup": "snapshot.kubevirt.io", "kind": "VirtualMachineSnapshot", "name": name})


def download(name, source):
    volume = {"name": "a", "formats": [{"format": "gzip", "url": "https://x"}]}
    links = {"volumes": [volume, dict(volume, name="d")], "cert": "x"}
    path = f"{EXPORTS}v1/{NS}/virtualmachineexports"
    request("POST", path, {"metadata": {"name": name}, "spec": {"source": source, "tokenSecretRef": "token"}})
    status = {"phase": "Ready", "tokenSecretRef": "token", "links": {"external": links, "internal": links}}
    read_export(path, name, status)


def read_export(path, name, status):
    request("PATCH", f"{path}/{name}/status", {"status": status})
    base = f"/api/export.kubevirt.io/v1/{NS}/virtualmachineexports/{name}"
    for place in ("external/manifests/all", "internal/manifests/secret", "volumes/a/disk.img"):
        request("GET", f"{base}/{place}", headers={"x-kubevirt-export-token": "secret"})


def one(job):
    group, plural, version, name, spec, status = job
    if not write(group, plural, version, name, spec, status):
        return
    if plural.endswith("contents"):
        use_content(name)
    elif plural == "virtualmachines":
        request("POST", f"{SNAPSHOTS}v1beta1/{NS}/virtualmachinesnapshots",
                {"metadata": {"name": f"of-{name}"}, "spec": {"source": dict(VM_REF, name=name)}})
        base = f"/apis/subresources.kubevirt.io/v1/{NS}/virtualmachines/{name}"
        request("PUT", base + "/start", {})
        request("GET", base + "/expand-spec")
        request("GET", base + "/objectgraph")
        download(name, dict(VM_REF, name=name))
    elif plural == "virtualmachineexports":
        read_export(f"{group}v1/{NS}/{plural}", name, status)


def jobs():
    for number, (group, plural, versions, spec, status) in enumerate(KINDS):
        known = fields(group, plural, versions[0])
        specs = list(variants(spec)) + list(with_fields(spec, known["spec"]))
        statuses = list(variants(status)) + list(with_fields(status, known["status"])) if status else [None]
        name = f"k{number}"
        for i, one_spec in enumerate(specs):
            version = versions[i % len(versions)]
            yield group, plural, version, f"{name}-{i}", one_spec, status
        for i, one_status in enumerate(statuses):
            yield group, plural, versions[i % len(versions)], f"{name}-s{i}", spec, one_status


def main():
    request("POST", "/api/v1/namespaces", {"metadata": {"name": "hostile"}})
    request("POST", f"/api/v1/{NS}/secrets", {"metadata": {"name": "token"}, "stringData": {"token": "secret"}})
    write("/apis/kubevirt.io/", "virtualmachines", "v1", "vm", MACHINE)
    every = list(jobs())
    chosen = random.Random(SEED).sample(every, min(COUNT or len(every), len(every)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in pool.map(one, chosen):
            pass
    code, _ = request("GET", "/livez")
    print(f"{len(chosen)} of {len(every)} objects, {counts['sent']} requests, {counts['taken']} of them taken")
    return 0 if code == 200 else 1


sys.exit(main())
