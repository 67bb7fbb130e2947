"""What virtctl image-upload sends and waits for, in its order: versions 1.0 to 1.6 differ in what flags they have.

usage: image_upload.py KUBECONFIG.json NAMESPACE dv|pvc NAME [FLAG...]     (kubectl config view --raw -o json)
"""
import argparse, base64, http.client, json, os, ssl, sys, tempfile, time, urllib.parse

CDI = "cdi.kubevirt.io/"
POLL = 0.2


def stop(text):
    sys.exit("error: " + text)


class Answer(Exception):
    def __init__(self, code, body):
        self.code = code
        try:
            body = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            pass
        super().__init__(body)


class Cluster:
    def __init__(self, path):
        config = json.load(open(path))
        by_name = lambda kind, name: next(x[kind[:-1]] for x in config[kind] if x["name"] == name)
        context = by_name("contexts", config["current-context"])
        cluster, user = by_name("clusters", context["cluster"]), by_name("users", context["user"])
        self.url = urllib.parse.urlsplit(cluster["server"])
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile("wb") as f:
            f.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            f.flush()
            self.tls.load_cert_chain(f.name)

    def call(self, method, path, body=None, kind="application/json"):
        c = http.client.HTTPSConnection(self.url.hostname, self.url.port, context=self.tls, timeout=60)
        c.request(method, path, body and json.dumps(body), {"Content-Type": kind, "Accept": "application/json"})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        if r.status // 100 != 2:
            raise Answer(r.status, text)
        return json.loads(text)

    def find(self, path):
        try:
            return self.call("GET", path)
        except Answer as e:
            if e.code == 404:
                return None
            raise


class Upload:
    def __init__(self, args):
        self.a, self.k = args, Cluster(args.kubeconfig)
        ns = "/namespaces/" + args.namespace
        self.claims = "/api/v1" + ns + "/persistentvolumeclaims"
        self.volumes = "/apis/cdi.kubevirt.io/v1beta1" + ns + "/datavolumes"
        self.sources = "/apis/cdi.kubevirt.io/v1beta1" + ns + "/datasources"
        self.events = "/api/v1" + ns + "/events"
        self.tokens = "/apis/upload.cdi.kubevirt.io/v1beta1" + ns + "/uploadtokenrequests"

    def labels(self):
        a, labels = self.a, {}
        for what, name, kind in (
            ("instancetype", a.default_instancetype, a.default_instancetype_kind),
            ("preference", a.default_preference, a.default_preference_kind),
        ):
            if name:
                labels["instancetype.kubevirt.io/default-" + what] = name
                labels["instancetype.kubevirt.io/default-" + what + "-kind"] = kind
        return labels

    def metadata(self, notes):
        if self.a.force_bind:
            notes[CDI + "storage.bind.immediate.requested"] = ""
        return {"name": self.a.name, "namespace": self.a.namespace, "annotations": notes, "labels": self.labels()}

    def content(self):
        return "archive" if self.a.archive_path else "kubevirt"

    def create(self):
        a = self.a
        spec = {"resources": {"requests": {"storage": a.size}}}
        if a.storage_class:
            self.k.call("GET", "/apis/storage.k8s.io/v1/storageclasses/" + a.storage_class)
            spec["storageClassName"] = a.storage_class
        if a.access_mode:
            spec["accessModes"] = [a.access_mode]
        if a.volume_mode:
            spec["volumeMode"] = a.volume_mode.capitalize()
        if a.kind == "pvc":
            spec.setdefault("accessModes", ["ReadWriteOnce"])
            notes = {CDI + "storage.upload.target": "", CDI + "storage.contentType": self.content()}
            self.k.call("POST", self.claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": self.metadata(notes), "spec": spec})
            print("PersistentVolumeClaim %s/%s created" % (a.namespace, a.name))
            return
        dv = {"source": {"upload": {}}, "contentType": self.content(), "storage": spec}
        self.k.call("POST", self.volumes, {"apiVersion": CDI + "v1beta1", "kind": "DataVolume", "metadata": self.metadata({}), "spec": dv, "status": {}})
        print("DataVolume %s/%s created" % (a.namespace, a.name))

    def find_or_create(self):
        a = self.a
        claim = self.k.find(self.claims + "/" + a.name)
        if not claim:
            print("PVC %s/%s not found" % (a.namespace, a.name))
            if a.no_create:
                stop('persistentvolumeclaims "%s" not found' % a.name)
            return self.create()
        if not a.no_create and not a.size:
            stop("PVC creation requires specifying a size")
        if a.kind == "dv":
            dv = self.k.find(self.volumes + "/" + a.name)
            if not dv:
                stop("no dataVolume is associated with the existing PVC %s/%s" % (a.namespace, a.name))
            if dv["metadata"].get("annotations", {}).get(CDI + "storage.usePopulator") == "true":
                if claim.get("status", {}).get("phase") == "Bound":
                    stop("PVC %s already successfully populated" % a.name)
                claim = self.k.call("GET", self.claims + "/" + claim["metadata"]["annotations"][CDI + "storage.populator.pvcPrime"])
        notes = claim["metadata"].setdefault("annotations", {})
        if notes.get(CDI + "storage.pod.phase") == "Succeeded":
            stop("PVC %s already successfully imported/cloned/updated" % a.name)
        if not a.no_create and CDI + "storage.upload.target" not in notes:
            stop("PVC %s not available for upload" % a.name)
        if a.archive_path and notes.get(CDI + "storage.contentType") != "archive":
            stop("PVC %s does not have archive contentType annotation" % a.name)
        if CDI + "storage.upload.target" not in notes:
            notes[CDI + "storage.upload.target"] = ""
            self.k.call("PUT", self.claims + "/" + a.name, claim)
        print("Using existing PVC %s/%s" % (a.namespace, a.name))

    def events_tell(self, claim_name):
        """Of the claim and the DataVolume: why there will be no upload."""
        claim = self.k.find(self.claims + "/" + claim_name) if claim_name else None
        dv = self.k.find(self.volumes + "/" + self.a.name)
        uids = [o["metadata"]["uid"] for o in (claim, dv) if o]
        for e in self.k.call("GET", self.events + "?fieldSelector=" + urllib.parse.quote("involvedObject.name=" + self.a.name))["items"]:
            o = e["involvedObject"]
            if o.get("uid") not in uids:
                continue
            if o["kind"] == "PersistentVolumeClaim" and e["reason"] == "ProvisioningFailed":
                stop("provisioning failed: " + e["message"])
            if o["kind"] == "DataVolume" and e["reason"] == "ErrClaimNotValid":
                stop("claim not valid: " + e["message"])

    def is_ready(self):
        a = self.a
        if a.kind == "pvc":
            claim = self.k.find(self.claims + "/" + a.name)
            if not claim:
                return False
            ready = claim["metadata"].get("annotations", {}).get(CDI + "storage.pod.ready") == "true"
            if not ready:
                self.events_tell(a.name)
            return ready
        dv = self.k.find(self.volumes + "/" + a.name)
        status = (dv or {}).get("status", {})
        phase = status.get("phase")
        if phase in ("WaitForFirstConsumer", "PendingPopulation") and not a.force_bind:
            stop("cannot upload to DataVolume in %s phase, make sure the PVC is Bound, or use force-bind flag" % phase)
        if dv and phase != "UploadReady":
            self.events_tell(status.get("claimName"))
        return phase == "UploadReady"

    def wait(self, seconds, done):
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                stop("timed out waiting for the condition")
            time.sleep(POLL)

    def request(self, method, url, headers, body=None):
        u = urllib.parse.urlsplit(url)
        tls = ssl._create_unverified_context() if self.a.insecure else self.k.tls
        c = http.client.HTTPSConnection(u.hostname, u.port or 443, context=tls, timeout=300)
        try:
            c.request(method, u.path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer may be there
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def send(self, base, token):
        a = self.a
        path = "/%s/upload" % a.upload_version
        headers = {"Authorization": "Bearer " + token}
        url = base.rstrip("/") + path + "-async"
        try:
            if self.request("HEAD", url, headers)[0] != 200:
                url = base.rstrip("/") + path
        except OSError:
            url = base.rstrip("/") + path
        headers.update({"Content-Type": "application/octet-stream", "Content-Length": str(os.stat(a.image_path or a.archive_path).st_size)})
        for n in range(a.retry):
            with open(a.image_path or a.archive_path, "rb") as f:
                try:
                    code, text = self.request("POST", url, headers, f)
                except OSError as e:
                    code, text = 0, str(e)
            if code == 200:
                return
            failure = "unexpected return value %d, %s" % (code, text)
            time.sleep(n * 0.02)
        stop("error uploading image after %d retries: %s" % (a.retry, failure))

    def make_source(self):
        path = self.sources + "/" + self.a.name
        source = {"name": self.a.name, "namespace": self.a.namespace}
        if self.k.find(path):
            self.k.call(
                "PATCH",
                path,
                [{"op": "replace", "path": "/metadata/labels", "value": self.labels()}, {"op": "replace", "path": "/spec/source/pvc", "value": source}],
                "application/json-patch+json",
            )
            return
        self.k.call(
            "POST",
            self.sources,
            {
                "apiVersion": CDI + "v1beta1",
                "kind": "DataSource",
                "metadata": {"name": self.a.name, "namespace": self.a.namespace, "labels": self.labels()},
                "spec": {"source": {"pvc": source}},
                "status": {},
            },
        )

    def is_over(self):
        notes = self.k.call("GET", self.claims + "/" + self.a.name)["metadata"].get("annotations", {})
        return notes.get(CDI + "storage.pod.phase") == "Succeeded"

    def run(self):
        a = self.a
        self.find_or_create()
        self.wait(a.wait_secs, self.is_ready)
        url = a.uploadproxy_url or self.k.call("GET", "/apis/cdi.kubevirt.io/v1beta1/cdiconfigs/config").get("status", {}).get("uploadProxyURL")
        if not url:
            stop("uploadproxy URL not found")
        if "://" not in url:
            url = "https://" + url
        print("Uploading data to " + url)
        token = self.k.call(
            "POST",
            self.tokens,
            {"apiVersion": "upload.cdi.kubevirt.io/v1beta1", "kind": "UploadTokenRequest", "metadata": {"name": "token-for-virtctl"}, "spec": {"pvcName": a.name}, "status": {}},
        )["status"]["token"]
        self.send(url, token)
        if a.datasource:
            self.make_source()
        self.wait(240, self.is_over)
        print("Uploading %s completed successfully" % (a.image_path or a.archive_path))


p = argparse.ArgumentParser()
p.add_argument("kubeconfig")
p.add_argument("namespace")
p.add_argument("kind", choices=("dv", "pvc"))
p.add_argument("name")
for flag in (
    "size storage-class access-mode volume-mode image-path archive-path uploadproxy-url default-instancetype default-preference".split()
):
    p.add_argument("--" + flag, default="")
p.add_argument("--default-instancetype-kind", default="VirtualMachineClusterInstancetype")
p.add_argument("--default-preference-kind", default="VirtualMachineClusterPreference")
p.add_argument("--upload-version", default="v1beta1")
for flag in "no-create force-bind insecure datasource".split():
    p.add_argument("--" + flag, action="store_true")
p.add_argument("--wait-secs", type=int, default=300)
p.add_argument("--retry", type=int, default=5)
try:
    Upload(p.parse_args()).run()
except Answer as e:
    stop(str(e))
