#!/usr/bin/env python3
"""Plays virtctl, which the project does not have: sends to an API server what virtctl sends for each of its commands,
reads what it reads, and says what it would say. The requests, and the answers that are counted upon, are those of
KubeVirt 1.0 to 1.6 (pkg/virtctl, client-go/kubecli); where they differ, --release chooses.

    virtctl.py --kubeconfig FILE [-n NAMESPACE] [--as USER] [--release 1.6] COMMAND ...

Exit code 1 and the error on stderr, as virtctl's. --send and --expect stand for whoever sits at a stream.
"""
import argparse
import base64
import gzip
import hashlib
import http.client
import json
import os
import random
import re
import ssl
import string
import sys
import tempfile
import time
import urllib.parse

JSON = "application/json"
# As client-go names itself and what it takes. Bodies of subresources go without a Content-Type.
HEADERS = {"Accept": JSON + ", */*", "User-Agent": "virtctl/v0.0.0 (linux/amd64) kubernetes/$Format"}
SUB = "/apis/subresources.kubevirt.io/v1"
CDI = "/apis/cdi.kubevirt.io/v1beta1"
POLL_SECONDS = 0.5


class Failed(Exception):
    """What ends the command."""


class StatusError(Failed):
    """An answer of the API that is no success. Its text is a Status' message, as client-go has it."""

    def __init__(self, code, headers, body, method="", path=""):
        self.code = code
        status = {}
        if headers.get("Content-Type") == JSON:  # nothing else is looked into
            try:
                status = json.loads(body)
            except ValueError:
                pass
        self.reason = status.get("reason", "")
        if status.get("kind") == "Status":
            super().__init__(status.get("message", ""))
        else:
            super().__init__(f"the server answered {method} {path} with {code} and no Status: {body[:200]!r}")


class Api:
    def __init__(self, kubeconfig, user=None):
        self.headers = HEADERS | ({"Impersonate-User": user, "Impersonate-Group": "system:authenticated"} if user else {})
        text = open(kubeconfig, encoding="utf-8").read()
        self.url = urllib.parse.urlsplit(re.search(r"server:\s*(\S+)", text)[1])
        with tempfile.TemporaryDirectory() as directory:
            files = {}
            for key in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
                files[key] = os.path.join(directory, key)
                with open(files[key], "wb") as f:
                    f.write(base64.b64decode(re.search(key + r":\s*(\S+)", text)[1]))
            self.context = ssl.create_default_context(cafile=files["certificate-authority-data"])
            self.context.load_cert_chain(files["client-certificate-data"], files["client-key-data"])

    def connect(self):
        return http.client.HTTPSConnection(self.url.hostname, self.url.port, context=self.context, timeout=120)

    def call(self, method, path, body=None, content_type=None):
        """The answer's bytes."""
        headers = dict(self.headers)
        if content_type:
            headers["Content-Type"] = content_type
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = self.connect()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if not 200 <= answer.status <= 206:
            raise StatusError(answer.status, answer.headers, data, method, path)
        return data

    def get(self, path):
        return json.loads(self.call("GET", path))

    def find(self, path):
        """None when it is not there."""
        try:
            return self.get(path)
        except StatusError as e:
            if e.reason != "NotFound":
                raise
            return None

    def create(self, path, document):
        return json.loads(self.call("POST", path, document, JSON))

    def patch(self, path, operations):
        return json.loads(self.call("PATCH", path, operations, "application/json-patch+json"))

    def stream(self, path):
        """A WebSocket as gorilla's dialer opens it."""
        key = base64.b64encode(os.urandom(16)).decode()
        connection = self.connect()
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in {"User-Agent": HEADERS["User-Agent"], "Upgrade": "websocket", "Connection": "Upgrade",
                            "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13",
                            "Sec-WebSocket-Protocol": "plain.kubevirt.io"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        if answer.status != 101:
            # It keeps no more of an answer than this; what does not parse then is lost.
            raise StatusError(answer.status, answer.headers, answer.read()[:1024], "GET", path)
        accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        if answer.headers.get("Sec-WebSocket-Accept") != base64.b64encode(accepted).decode():
            raise Failed("websocket: bad handshake")
        if answer.headers.get("Sec-WebSocket-Protocol") != "plain.kubevirt.io":
            raise Failed(f"the server took the protocol {answer.headers.get('Sec-WebSocket-Protocol')}")
        return Stream(connection, answer)


class Stream:
    def __init__(self, connection, answer):
        self.connection, self.socket = connection, connection.sock or answer.fp.raw._sock  # pylint: disable=W0212
        self.file = answer.fp

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def receive(self):
        """The bytes of the next binary frame; None at the end. Other frames are answered or passed over."""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            opcode, size = head[0] & 15, head[1] & 127
            if size == 126:
                size = int.from_bytes(self.file.read(2), "big")
            elif size == 127:
                size = int.from_bytes(self.file.read(8), "big")
            data = self.file.read(size)
            if opcode == 8:
                code = int.from_bytes(data[:2], "big") if data else 1005
                if code != 1000:
                    raise Failed(f"websocket: close {code} {data[2:].decode()}")
                return None
            if opcode == 9:
                self.send(data, 10)
            if opcode in (0, 2):
                return data

    def talk(self, send, expect):
        """Sends, and reads until the expected stands there or the stream ends."""
        have = b""
        if send:
            self.send(send.encode().decode("unicode_escape").encode())
        while not (expect and re.search(expect.encode(), have)):
            data = self.receive()
            if data is None:
                break
            have += data
        sys.stdout.write(have.decode(errors="replace"))
        if expect and not re.search(expect.encode(), have):
            raise Failed(f"\nthe stream ended without {expect}")


def poll(seconds, what, ask):
    """What ask() returns, once that is something."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what}: timed out waiting for the condition")
        time.sleep(POLL_SECONDS)


class Virtctl:
    def __init__(self, o):
        self.o, self.api = o, Api(o.kubeconfig, getattr(o, "as"))
        self.release = tuple(int(n) for n in o.release.split("."))

    # ---- where things are ----

    def core(self, resource, name=""):
        return f"/api/v1/namespaces/{self.o.namespace}/{resource}" + ("/" + name if name else "")

    def at(self, group, resource, name=""):
        return f"{group}/namespaces/{self.o.namespace}/{resource}" + ("/" + name if name else "")

    def vm(self, name=""):
        return self.at("/apis/kubevirt.io/v1", "virtualmachines", name)

    def vmi(self, name=""):
        return self.at("/apis/kubevirt.io/v1", "virtualmachineinstances", name)

    def vm_sub(self, name, what):
        return f"{SUB}/namespaces/{self.o.namespace}/virtualmachines/{name}/{what}"

    def vmi_sub(self, name, what):
        return f"{SUB}/namespaces/{self.o.namespace}/virtualmachineinstances/{name}/{what}"

    def exports(self, name=""):
        version = "v1alpha1" if self.release < (1, 3) else "v1beta1" if self.release < (1, 7) else "v1"
        return self.at(f"/apis/export.kubevirt.io/{version}", "virtualmachineexports", name)

    def dry(self):
        return {"dryRun": ["All"]} if self.o.dry_run else {}

    # ---- the platform ----

    def version(self):
        group = self.api.get("/apis/subresources.kubevirt.io")
        info = self.api.get(f"/apis/{group['preferredVersion']['groupVersion']}/version")
        print("Server Version:", {k: info[k] for k in ("gitVersion", "gitCommit", "gitTreeState", "buildDate",
                                                       "goVersion", "compiler", "platform")})

    def guestfs(self):
        group = self.api.get("/apis/subresources.kubevirt.io")
        try:
            info = self.api.get(f"/apis/{group['preferredVersion']['groupVersion']}/guestfs")
        except Failed as e:
            raise Failed(f"could not get guestfs image info: {e}") from e
        print("Use image:", info.get("gsImage") or f"{info['registry']}/{info['imagePrefix']}libguestfs-tools")

    def log_verbosity(self):
        items = self.api.get("/apis/kubevirt.io/v1/kubevirts")["items"]
        if len(items) != 1:
            raise Failed("could not detect a KubeVirt installation")
        meta, path = items[0]["metadata"], "/spec/configuration/developerConfiguration"
        url = f"/apis/kubevirt.io/v1/namespaces/{meta['namespace']}/kubevirts/{meta['name']}"
        developer = self.api.get(url)["spec"].get("configuration", {}).get("developerConfiguration")
        levels = (developer or {}).get("logVerbosity") or {}
        if self.o.name is not None:
            levels["virtHandler"] = int(self.o.name)
            operations = [] if developer is not None else [{"op": "add", "path": path, "value": {}}]
            operations.append({"op": "add", "path": path + "/logVerbosity", "value": levels})
            self.api.patch(url, operations)
            print("successfully set the verbosity of the KubeVirt component(s)")
        else:
            print("virt-handler =", levels.get("virtHandler", 2))

    # ---- lifecycle ----

    def change(self, verb, options):
        try:
            self.api.call("PUT", self.vm_sub(self.o.name, verb), options | self.dry())
        except Failed as e:
            raise Failed(f"Error {verb}ing VirtualMachine {e}") from e
        print(f"VM {self.o.name} was scheduled to {verb}")

    def start(self):
        self.change("start", {"paused": True} if self.o.paused else {})

    def stop(self):
        self.change("stop", {} if self.o.grace_period is None else {"gracePeriod": self.o.grace_period})

    def restart(self):
        self.change("restart", {} if self.o.grace_period is None else {"gracePeriodSeconds": self.o.grace_period})

    def migrate(self):
        self.change("migrate", {})

    def migrate_cancel(self):
        try:
            migrations = self.api.get(self.at("/apis/kubevirt.io/v1", "virtualmachineinstancemigrations"))
        except Failed as e:
            raise Failed(f"Error fetching virtual machine instance migration list  {e}") from e
        for m in migrations["items"] or []:
            if m["spec"]["vmiName"] == self.o.name and m["status"]["phase"] not in ("Succeeded", "Failed"):
                return
        raise Failed(f"Found no migration to cancel for {self.o.name}")

    def evacuate_cancel(self):
        sub = self.vm_sub if self.o.kind == "vm" else self.vmi_sub
        self.api.call("PUT", sub(self.o.name, "evacuate/cancel"), self.dry())
        print(f"{self.o.kind.upper()} {self.o.namespace}/{self.o.name} was canceled evacuation")

    def toggle(self, verb):
        name = self.o.name
        if self.o.kind == "vm":
            name = self.api.get(self.vm(name))["metadata"]["name"]
        self.api.call("PUT", self.vmi_sub(name, verb), self.dry())
        print(f"VMI {name} was scheduled to {verb}")

    def pause(self):
        self.toggle("pause")

    def unpause(self):
        self.toggle("unpause")

    def soft_reboot(self):
        self.api.call("PUT", self.vmi_sub(self.o.name, "softreboot"))
        print(f"VMI {self.o.name} was scheduled to soft-reboot")

    def reset(self):
        self.api.call("PUT", self.vmi_sub(self.o.name, "reset"))
        print(f"VMI {self.o.name} was scheduled to reset")

    # ---- streams and what a guest says ----

    def console(self):
        end = time.monotonic() + self.o.timeout
        while True:
            try:
                stream = self.api.stream(self.vmi_sub(self.o.name, "console"))
                break
            except StatusError as e:
                if e.code != 400 or time.monotonic() > end:  # 400: it may come
                    raise
                time.sleep(POLL_SECONDS)
        stream.talk(self.o.send, self.o.expect)

    def vnc(self):
        preserve = "?preserveSession=false" if self.release >= (1, 5) else ""
        self.api.stream(self.vmi_sub(self.o.name, "vnc") + preserve).talk(self.o.send, self.o.expect)

    def screenshot(self):
        picture = self.api.call("GET", self.vmi_sub(self.o.name, "vnc/screenshot") + "?moveCursor=false")
        with open(self.o.output, "wb") as f:
            f.write(picture)

    def port_forward(self):
        """port-forward --stdio; ssh and scp go through the same."""
        kind, name = self.o.name.split("/")
        protocol, _, port = self.o.kind.rpartition("/")
        sub = self.vm_sub if kind in ("vm", "vms", "virtualmachine") else self.vmi_sub
        self.api.stream(sub(name, f"portforward/{port}/{protocol or 'tcp'}")).talk(self.o.send, self.o.expect)

    def usbredir(self):
        self.api.stream(self.vmi_sub(self.o.name, "usbredir"))

    def show(self, document):
        print(json.dumps(document, indent=2))

    def guestosinfo(self):
        self.show(self.api.get(self.vmi_sub(self.o.name, "guestosinfo")))

    def userlist(self):
        self.show(self.api.get(self.vmi_sub(self.o.name, "userlist")))

    def fslist(self):
        self.show(self.api.get(self.vmi_sub(self.o.name, "filesystemlist")))

    def objectgraph(self):
        sub = self.vmi_sub if self.o.kind == "vmi" else self.vm_sub
        options = {"includeOptionalNodes": True}
        self.show(json.loads(self.api.call("GET", sub(self.o.name, "objectgraph"), options)))

    def expand(self):
        if self.o.file:
            machine = json.load(open(self.o.file, encoding="utf-8"))
            path = f"{SUB}/namespaces/{self.o.namespace}/expand-vm-spec"
            self.show(json.loads(self.api.call("PUT", path, machine, JSON)))
        else:
            self.show(self.api.get(self.vm_sub(self.o.name, "expand-spec")))

    # ---- disks ----

    def addvolume(self):
        volume = self.o.volume
        if self.api.find(self.at(CDI, "datavolumes", volume)):
            source = {"dataVolume": {"name": volume, "hotpluggable": True}}
        elif self.api.find(self.core("persistentvolumeclaims", volume)):
            source = {"persistentVolumeClaim": {"claimName": volume, "hotpluggable": True}}
        else:
            raise Failed(f"error adding volume, Volume {volume} is not a DataVolume or PersistentVolumeClaim")
        disk = {"name": "", self.o.disk_type: {"bus": self.o.bus}, "serial": self.o.serial or volume}
        if self.o.cache:
            disk["cache"] = self.o.cache
        options = {"name": volume, "disk": disk, "volumeSource": source} | self.dry()
        sub = self.vm_sub if self.o.persist else self.vmi_sub
        try:
            self.api.call("PUT", sub(self.o.name, "addvolume"), options)
        except Failed as e:
            raise Failed(f"error adding volume, {e}") from e
        print(f"Successfully submitted add volume request to VM {self.o.name} for volume {volume}")

    def removevolume(self):
        sub = self.vm_sub if self.o.persist else self.vmi_sub
        self.api.call("PUT", sub(self.o.name, "removevolume"), {"name": self.o.volume} | self.dry())
        print(f"Successfully submitted remove volume request to VM {self.o.name} for volume {self.o.volume}")

    def memory_dump(self):
        if self.o.kind == "remove":
            self.api.call("PUT", self.vm_sub(self.o.name, "removememorydump"))
            print(f"Successfully submitted remove memory dump association of VM {self.o.name}")
            return
        if self.o.kind == "get":
            if self.o.create_claim:
                self.create_dump_claim()
            self.api.call("PUT", self.vm_sub(self.o.name, "memorydump"),
                          {"claimName": self.o.claim_name or "", "phase": ""})
            print(f"Successfully submitted memory dump request of VM {self.o.name}")
            if not self.o.output:
                return

        def done():
            request = self.api.get(self.vm(self.o.name))["status"].get("memoryDumpRequest")
            return request if request and request["phase"] == "Completed" else None
        claim = poll(self.o.timeout, "memory dump", done)["claimName"]
        print("Memory dump completed successfully")
        self.o.pvc, self.o.name = claim, f"export-{self.o.name}-{claim}"
        self.download()

    def create_dump_claim(self):
        if "memoryDumpRequest" in self.api.get(self.vm(self.o.name)).get("status", {}):
            raise Failed("please remove current memory dump association before creating a new claim for a new memory dump")
        requests = self.api.get(self.vmi(self.o.name))["spec"]["domain"].get("resources", {}).get("requests", {})
        memory = re.fullmatch(r"(\d+)(Mi|Gi)", requests.get("memory", "0Mi"))
        bytes_ = (int(memory[1]) << {"Mi": 20, "Gi": 30}[memory[2]]) + (100 << 20)
        overhead = self.api.get(CDI + "/cdiconfigs/config")["status"]["filesystemOverhead"]
        share = float(overhead.get("storageClass", {}).get("", overhead["global"]))
        size = -(-int(bytes_ * (1 + share)) >> 20)
        self.api.create(self.core("persistentvolumeclaims"), {
            "kind": "PersistentVolumeClaim", "apiVersion": "v1",
            "metadata": {"name": self.o.claim_name, "namespace": self.o.namespace, "creationTimestamp": None,
                         "labels": {"cdi.kubevirt.io/applyStorageProfile": "true"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{size}Mi"}}},
            "status": {}})
        print(f"PVC {self.o.namespace}/{self.o.claim_name} created")

    def image_upload(self):
        name, of_claim, o = self.o.name, self.o.kind == "pvc", self.o
        claim = self.api.find(self.core("persistentvolumeclaims", name))
        notes = {"cdi.kubevirt.io/storage.bind.immediate.requested": ""} if o.force_bind else {}
        if claim:
            have = claim["metadata"].setdefault("annotations", {})
            if not of_claim and not self.api.find(self.at(CDI, "datavolumes", name)):
                raise Failed(f"No DataVolume is associated with the existing PVC {o.namespace}/{name}")
            if have.get("cdi.kubevirt.io/storage.pod.phase") == "Succeeded":
                raise Failed(f"PVC {name} already successfully imported/cloned/updated")
            if "cdi.kubevirt.io/storage.upload.target" not in have:
                if not o.no_create:
                    raise Failed(f"PVC {name} not available for upload")
                have["cdi.kubevirt.io/storage.upload.target"] = ""
                self.api.call("PUT", self.core("persistentvolumeclaims", name), claim, JSON)
            print(f"Using existing PVC {o.namespace}/{name}")
        elif o.no_create:
            raise Failed(f'persistentvolumeclaims "{name}" not found')
        else:
            amount = {"resources": {"requests": {"storage": o.size}}}
            meta = {"name": name, "namespace": o.namespace, "creationTimestamp": None}
            if of_claim:
                kind = "PersistentVolumeClaim"
                notes |= {"cdi.kubevirt.io/storage.upload.target": "",
                          "cdi.kubevirt.io/storage.contentType": "kubevirt"}
                self.api.create(self.core("persistentvolumeclaims"), {
                    "kind": kind, "apiVersion": "v1", "metadata": meta | {"annotations": notes},
                    "spec": {"accessModes": ["ReadWriteOnce"]} | amount, "status": {}})
            else:
                kind = "DataVolume"
                self.api.create(self.at(CDI, "datavolumes"), {
                    "metadata": meta | {"annotations": notes},
                    "spec": {"source": {"upload": {}}, "contentType": "kubevirt", "storage": amount}, "status": {}})
            print(f"{kind} {o.namespace}/{name} created")
        poll(o.timeout, "upload", lambda: self.upload_ready(name, of_claim))
        self.upload(name, of_claim)

    def upload_ready(self, name, of_claim):
        if of_claim:
            claim = self.api.find(self.core("persistentvolumeclaims", name))
            notes = claim["metadata"].get("annotations", {}) if claim else {}
            return notes.get("cdi.kubevirt.io/storage.pod.ready") == "true"
        volume = self.api.find(self.at(CDI, "datavolumes", name))
        phase = volume.get("status", {}).get("phase") if volume else None
        if phase in ("WaitForFirstConsumer", "PendingPopulation") and not self.o.force_bind:
            raise Failed(f"cannot upload to DataVolume in {phase} phase, make sure the PVC is Bound, or use force-bind flag")
        if phase != "UploadReady":
            about = urllib.parse.quote(f"involvedObject.name={name}")
            for event in self.api.get(self.core("events") + "?fieldSelector=" + about)["items"] or []:
                if event["reason"] in ("ProvisioningFailed", "ErrClaimNotValid"):
                    raise Failed(f"provisioning failed: {event['message']}")
        return phase == "UploadReady"

    def upload(self, name, of_claim):
        proxy = self.api.get(CDI + "/cdiconfigs/config")["status"]["uploadProxyURL"]
        url = urllib.parse.urlsplit(proxy if "//" in proxy else "https://" + proxy)
        token = self.api.create(self.at("/apis/upload.cdi.kubevirt.io/v1beta1", "uploadtokenrequests"), {
            "metadata": {"name": "token-for-virtctl", "creationTimestamp": None}, "spec": {"pvcName": name},
            "status": {}})["status"]["token"]
        data = open(self.o.image_path, "rb").read()
        headers = {"Authorization": "Bearer " + token, "User-Agent": "Go-http-client/1.1"}
        connect = lambda: http.client.HTTPSConnection(  # --insecure
            url.hostname, url.port, context=ssl._create_unverified_context(), timeout=120)  # pylint: disable=W0212
        path = url.path + "/v1beta1/upload-async"
        connection = connect()
        connection.request("HEAD", path, headers=headers)
        if connection.getresponse().status != 200:
            path = url.path + "/v1beta1/upload"
        connection = connect()
        connection.request("POST", path, data, headers | {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failed(f"unexpected return value {answer.status}, {answer.read().decode()}")
        print("Uploading data completed successfully, waiting for processing to complete")

        def done():
            claim = self.api.get(self.core("persistentvolumeclaims", name))
            return claim["metadata"]["annotations"].get("cdi.kubevirt.io/storage.pod.phase") == "Succeeded"
        poll(self.o.timeout, "processing", done)
        print(f"Uploading {self.o.image_path} completed successfully")

    # ---- exports ----

    def create_export(self):
        o, sources = self.o, {"vm": ("kubevirt.io", "VirtualMachine"),
                              "snapshot": ("snapshot.kubevirt.io", "VirtualMachineSnapshot"),
                              "pvc": ("", "PersistentVolumeClaim")}
        if self.api.find(self.exports(o.name)):
            raise Failed(f"VirtualMachineExport '{o.namespace}/{o.name}' already exists")
        for of, (group, kind) in sources.items():
            if getattr(o, of):
                source = {"apiGroup": group, "kind": kind, "name": getattr(o, of)}
        secret = "secret-" + o.name
        made = self.api.create(self.exports(), {
            "metadata": {"name": o.name, "namespace": o.namespace, "creationTimestamp": None},
            "spec": {"source": source, "tokenSecretRef": secret} | ({"ttlDuration": o.ttl} if o.ttl else {})})
        token = "".join(random.choices(string.ascii_letters + string.digits, k=20))
        version = self.exports().split("/")[3]
        try:
            self.api.create(self.core("secrets"), {
                "kind": "Secret", "apiVersion": "v1",
                "metadata": {"name": secret, "namespace": o.namespace, "creationTimestamp": None, "ownerReferences": [{
                    "apiVersion": "export.kubevirt.io/" + version, "kind": "VirtualMachineExport", "name": o.name,
                    "uid": made["metadata"]["uid"], "controller": True, "blockOwnerDeletion": False}]},
                "data": {"token": base64.b64encode(token.encode()).decode()}, "type": "Opaque"})
        except StatusError as e:
            if e.reason != "AlreadyExists":
                raise
        print(f"VirtualMachineExport '{o.namespace}/{o.name}' created succesfully")

    def vmexport(self):
        if self.o.kind == "create":
            self.create_export()
        elif self.o.kind == "delete":
            self.api.call("DELETE", self.exports(self.o.name), {"kind": "DeleteOptions", "apiVersion": "v1"}, JSON)
            print(f"VirtualMachineExport '{self.o.namespace}/{self.o.name}' deleted succesfully")
        else:
            self.download()

    def download(self):
        o = self.o
        creates = o.vm or o.snapshot or o.pvc
        if creates:
            self.create_export()

        def ready():
            status = (self.api.find(self.exports(o.name)) or {}).get("status", {})
            return status if status.get("phase") == "Ready" and status.get("links", {}).get("external") else None
        status = poll(o.timeout, "export", ready)
        links = status["links"]["external"]
        secret = self.api.get(self.core("secrets", status.get("tokenSecretRef", "")))
        headers = {"x-kubevirt-export-token": base64.b64decode(secret["data"]["token"]).decode(),
                   "User-Agent": "Go-http-client/1.1"}
        context = ssl.create_default_context(cadata=links["cert"])  # trusts that and nothing else
        if o.manifest:
            kinds = {m["type"]: m["url"] for m in links["manifests"]}
            for kind in ["all"] + (["auth-header-secret"] if o.include_secret else []):
                print(self.fetch(kinds[kind], headers | {"Accept": "application/" + o.format}, context).decode())
            return
        if len(links["volumes"]) > 1 and not o.volume:
            raise Failed(f"detected more than one downloadable volume in '{o.namespace}/{o.name}' VirtualMachineExport: "
                         "Select the expected volume using the --volume flag")
        volume = [v for v in links["volumes"] if len(links["volumes"]) == 1 or v["name"] == o.volume][0]
        formats = {f["format"]: f["url"] for f in volume["formats"]}
        chosen = [f for f in ("gzip", "tar.gz", "raw") if f in formats][0]
        data = self.fetch(formats[chosen], headers | {"Accept-Encoding": "gzip"}, context)
        with open(o.output, "wb") as f:
            f.write(gzip.decompress(data) if o.format == "raw" and chosen != "raw" else data)
        print("Download finished succesfully")
        if creates:
            self.api.call("DELETE", self.exports(o.name), {"kind": "DeleteOptions", "apiVersion": "v1"}, JSON)

    def fetch(self, url, headers, context):
        at = urllib.parse.urlsplit(url)
        connection = http.client.HTTPSConnection(at.hostname, at.port, context=context, timeout=120)
        connection.request("GET", at.path + ("?" + at.query if at.query else ""), headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise Failed(f"Bad status: {answer.status} {answer.reason}")
        return data

    # ---- credentials, services ----

    def credentials(self, kind):
        vm = self.api.get(self.vm(self.o.name))
        found = []
        for c in vm["spec"]["template"]["spec"].get("accessCredentials") or []:
            one = c.get(kind, {})
            agent = one.get("propagationMethod", {}).get("qemuGuestAgent")
            if one and agent is not None and (kind == "userPassword" or self.o.user in agent["users"]):
                found.append(one["source"]["secret"]["secretName"])
        return vm, found

    def owned(self, secret, vm):
        if not any(r["kind"] == "VirtualMachine" and r["uid"] == vm["metadata"]["uid"]
                   for r in secret["metadata"].get("ownerReferences", [])):
            raise Failed(f"secret {secret['metadata']['name']} does not have an owner reference pointing to VM {self.o.name}")

    def either(self, path, first, second):
        """The first patch, or the second where there is nothing yet to patch."""
        try:
            self.api.patch(path, first)
        except StatusError:
            self.api.patch(path, second)

    def add_ssh_key(self):
        vm, secrets = self.credentials("sshPublicKey")
        entry = "ssh-key-" + "".join(random.choices(string.ascii_lowercase, k=6))
        value = base64.b64encode(self.o.value.encode()).decode()
        if secrets:
            path = self.core("secrets", secrets[0])
            self.owned(self.api.get(path), vm)
            add = {"op": "add", "path": "/data/" + entry, "value": value}
            self.either(path, [add], [{"op": "test", "path": "/data", "value": None},
                                      {"op": "add", "path": "/data", "value": {}}, add])
            print(f'Successfully added the key to secret "{secrets[0]}"')
            return
        if not self.o.force and self.api.find(self.vmi(self.o.name)):
            raise Failed(f"virtual machine {self.o.name} is running. Use --force flag to update a running VM, "
                         "it will take effect after restart")
        secret = self.api.create(self.core("secrets"), {
            "kind": "Secret", "apiVersion": "v1",
            "metadata": {"generateName": self.o.name + "-ssh-key-", "namespace": self.o.namespace,
                         "creationTimestamp": None, "ownerReferences": [{
                             "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": self.o.name,
                             "uid": vm["metadata"]["uid"], "controller": True}]},
            "data": {entry: value}})
        at = "/spec/template/spec/accessCredentials"
        add = {"op": "add", "path": at + "/-", "value": {"sshPublicKey": {
            "source": {"secret": {"secretName": secret["metadata"]["name"]}},
            "propagationMethod": {"qemuGuestAgent": {"users": [self.o.user]}}}}}
        self.either(self.vm(self.o.name), [add], [{"op": "test", "path": at, "value": None},
                                                  {"op": "add", "path": at, "value": []}, add])

    def remove_ssh_key(self):
        vm, secrets = self.credentials("sshPublicKey")
        if not secrets:
            print(f"No secrets associated with user {self.o.user}")
        for name in secrets:
            path = self.core("secrets", name)
            secret = self.api.get(path)
            self.owned(secret, vm)
            kept = {}
            for key, data in secret.get("data", {}).items():
                lines = [x for x in base64.b64decode(data).decode().split("\n")
                         if x.strip() and not x.strip().startswith(self.o.value)]
                if lines:
                    kept[key] = base64.b64encode("\n".join(lines).encode()).decode()
            secret["data"] = kept
            self.api.call("PUT", path, secret, JSON)

    def set_password(self):
        vm, secrets = self.credentials("userPassword")
        if not secrets:
            raise Failed("no secrets assigned to UserPassword AccessCredentials")
        path = self.core("secrets", secrets[0])
        self.owned(self.api.get(path), vm)
        add = {"op": "add", "path": "/data/" + self.o.user, "value": base64.b64encode(self.o.value.encode()).decode()}
        self.either(path, [add], [{"op": "test", "path": "/data", "value": None},
                                  {"op": "add", "path": "/data", "value": {}}, add])
        print(f'Successfully set password in secret "{secrets[0]}"')

    def expose(self):
        """Until 1.4 by the machine's own labels, then by the one that its launcher has."""
        if self.release >= (1, 5):
            selector = {"vm.kubevirt.io/name": self.o.name}
        elif self.o.kind == "vm":
            selector = self.api.get(self.vm(self.o.name))["spec"]["template"].get("metadata", {}).get("labels", {})
        else:
            selector = self.api.get(self.vmi(self.o.name))["metadata"].get("labels", {})
            for unwanted in ("kubevirt.io/nodeName", "kubevirt.io/vmpool-revision-name",
                             "kubevirt.io/migrationTargetNodeName"):
                selector.pop(unwanted, None)
        if not selector:
            raise Failed(f"missing label information for {self.o.kind}: {self.o.name}")
        self.api.create(self.core("services"), {
            "kind": "Service", "apiVersion": "v1",
            "metadata": {"name": self.o.service, "namespace": self.o.namespace, "creationTimestamp": None},
            "spec": {"ports": [{"protocol": "TCP", "port": int(self.o.port), "targetPort": ""}], "selector": selector,
                     "type": "ClusterIP"}, "status": {"loadBalancer": {}}})
        print(f"Service {self.o.service} successfully exposed for {self.o.kind} {self.o.name}")


def options():
    kinds = ("pause", "unpause", "evacuate_cancel", "objectgraph", "memory_dump", "image_upload", "vmexport", "expose")
    p = argparse.ArgumentParser()
    p.add_argument("--kubeconfig", required=True)
    p.add_argument("-n", "--namespace", default="default")
    p.add_argument("--release", default="1.6")
    p.add_argument("command")
    p.add_argument("arguments", nargs="*", help="[KIND] NAME, or NAME KIND")
    for flag in ("dry-run", "paused", "persist", "force", "force-bind", "no-create", "create-claim", "manifest",
                 "include-secret"):
        p.add_argument("--" + flag, action="store_true")
    for flag in ("as", "send", "expect", "file", "output", "cache", "serial", "claim-name", "size", "image-path", "ttl", "vm",
                 "snapshot", "pvc", "volume", "user", "value", "service", "port"):
        p.add_argument("--" + flag)
    p.add_argument("--format", default="yaml")
    p.add_argument("--bus", default="scsi")
    p.add_argument("--disk-type", default="disk")
    p.add_argument("--grace-period", type=int)
    p.add_argument("--timeout", type=float, default=240)
    o = p.parse_args()
    o.command = o.command.replace("-", "_")
    o.kind = o.arguments.pop(0) if o.command in kinds else None
    o.name = o.arguments.pop(0) if o.arguments else None
    if o.arguments:
        o.kind = o.arguments.pop(0)
    return o


def main():
    o = options()
    try:
        getattr(Virtctl(o), o.command)()
    except Failed as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
