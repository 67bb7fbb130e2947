#!/bin/bash
# VirtualMachineExports: phases and conditions by their source, links, tokens, and the manifests with which another cluster makes
# the machine anew, as KubeVirt's controller and export server have them. (Disks: test/e2e/clones.sh.)
. "$(dirname "$0")/../lib.sh"
start_server --controllers=virtualmachineexport,storageprofile --scheduler=off
create() { k create -f - <<<"$1"; }
status() { # RESOURCE/NAME JSON
	k patch "$1" --subresource=status --type=merge -p "{\"status\":$2}"
}
claim() { # NAME
	create "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1, annotations: {volume.kubernetes.io/selected-node: n1}},
		spec: {accessModes: [ReadWriteOnce], storageClassName: hanok-local, volumeName: pv-$1, resources: {requests: {storage: 1Gi}}}}"
}
bound() { status "pvc/$1" '{"phase":"Bound"}'; }
export_of() { # NAME GROUP KIND SOURCE MORE
	create "{apiVersion: export.kubevirt.io/v1, kind: VirtualMachineExport, metadata: {name: $1},
		spec: {source: {apiGroup: \"$2\", kind: $3, name: $4}${5:-}}}"
}
condition() { k_field "vmexport/$1" ".status.conditions[?(@.type==\"$2\")].status" ".status.conditions[?(@.type==\"$2\")].reason" \
	".status.conditions[?(@.type==\"$2\")].message" .status.phase; }
becomes() { # WHAT EXPORT CONDITION REGEX
	check "$1" eventually 20 matches "$4" condition "$2" "$3"
}

check "an export of a claim that is not there" export_of of-claim '' PersistentVolumeClaim data
becomes "waits for it" of-claim PVCReady '^False PVCNotFound PersistentVolumeClaim default/data not found Pending$'
becomes "and is being made" of-claim Ready '^False Initializing .*Pending$'
check "the claim" claim data
becomes "is not bound" of-claim PVCReady '^False PVCPending .*Pending$'
becomes "nor filled" of-claim Ready '^False PVCPending PersistentVolumeClaim default/data is not populated Pending$'
bound data >/dev/null
becomes "it is" of-claim PVCReady '^True PVCBound .*Ready$'
becomes "so is the export" of-claim Ready '^True PodReady .*Ready$'
check_output "a token was made for it" '^[a-z0-9]{20}$' eval "k get secret export-token-of-claim -o 'jsonpath={.data.token}' | base64 -d"
check_output "and is told" '^export-token-of-claim$' k_field vmexport/of-claim .status.tokenSecretRef
check_output "with an event" 'Created default secret default/export-token-of-claim' k get events --field-selector reason=SecretCreated -o 'jsonpath={.items[*].message}'
check "a pod with the claim" create '{apiVersion: v1, kind: Pod, metadata: {name: user}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: i}],
	volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}}'
becomes "writes to it" of-claim Ready '^False InUse PersistentVolumeClaim default/data is in use Pending$'
check_output "which is told" 'PersistentVolumeClaim default/data is in use' k get events --field-selector reason=ExportPaused -o 'jsonpath={.items[*].message}'
check_output "and the links are gone" '^$' k_field vmexport/of-claim .status.links
k delete pod user --wait=false --force --grace-period=0 >/dev/null 2>&1
becomes "until it is gone" of-claim Ready '^True PodReady .*Ready$'

check "one of a machine that is not there" export_of of-vm kubevirt.io VirtualMachine web ', tokenSecretRef: mine, ttlDuration: 1h'
becomes "waits for it" of-vm Ready '^False VMNotFound Virtual Machine default/web not found Pending$'
create '{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: empty}, spec: {runStrategy: Halted, template: {spec: {domain: {devices: {}}}}}}' >/dev/null
check "one of a machine without disks" export_of of-empty kubevirt.io VirtualMachine empty
becomes "is skipped" of-empty Ready '^False VMNoVolumes Virtual Machine default/empty has no volumes Skipped$'
create '{apiVersion: instancetype.kubevirt.io/v1beta1, kind: VirtualMachineInstancetype, metadata: {name: small}, spec: {cpu: {guest: 2}, memory: {guest: 1Gi}}}' >/dev/null
check "a machine" create '{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, labels: {app: web},
	annotations: {hanok.io/current-snapshot: s, note: kept}}, spec: {runStrategy: Halted, instancetype: {kind: VirtualMachineInstancetype, name: small},
	dataVolumeTemplates: [{metadata: {name: web-root}, spec: {sourceRef: {kind: DataSource, name: d}, storage: {resources: {requests: {storage: 1Gi}}}}}],
	template: {spec: {domain: {devices: {}}, volumes: [{name: root, dataVolume: {name: web-root}}, {name: data, persistentVolumeClaim: {claimName: data}},
		{name: seed, cloudInitNoCloud: {userData: "#cloud-config"}}]}}}}'
becomes "whose disks are not there yet" of-vm Ready '^False VolumesNotPopulated Not all volumes in the Virtual Machine default/web are populated Pending$'
claim web-root >/dev/null
bound web-root >/dev/null
becomes "nor is the token" of-vm Ready '^False TokenSecretNotFound secret default/mine not found Pending$'
check "which its owner gives" k create secret generic mine --from-literal=token=opensesameopensesame
becomes "it is ready" of-vm Ready '^True PodReady .*Ready$'
check_output "says whose it is" '^web$' k_field vmexport/of-vm .status.virtualMachineName
check_output "its volumes" '^web-root data$' k_field vmexport/of-vm '.status.links.external.volumes[*].name'
check_output "in two forms" '^raw gzip$' k_field vmexport/of-vm '.status.links.internal.volumes[0].formats[*].format'
check_output "its manifests" '^all auth-header-secret$' k_field vmexport/of-vm '.status.links.external.manifests[*].type'
check_output "of a claim there is but the secret" '^auth-header-secret$' k_field vmexport/of-claim '.status.links.external.manifests[*].type'
check_output "it lives as long as was said" '^3600$' eval 'echo $(($(date -d "$(k_field vmexport/of-vm .status.ttlExpirationTime)" +%s) - $(date -d "$(k_field vmexport/of-vm .metadata.creationTimestamp)" +%s)))'

# What virtctl vmexport download --manifest does.
k get vmexport of-vm -o 'jsonpath={.status.links.external.cert}' >"$TEST_DIR/ca.crt"
manifest() { # SIDE TYPE ACCEPT [TOKEN]
	curl -sS --fail --cacert "$TEST_DIR/ca.crt" -H "Accept: $3" -H "x-kubevirt-export-token: ${4:-opensesameopensesame}" \
		"$(k get vmexport of-vm -o "jsonpath={.status.links.$1.manifests[?(@.type==\"$2\")].url}")"
}
check_refused "a wrong token gets nothing" '401' manifest external all application/yaml wrong
check "all as YAML" eval 'manifest external all application/yaml >"$TEST_DIR/all.yaml"'
check_output "is what kubectl takes" '^configmap/export-ca-cm-of-vm virtualmachine.kubevirt.io/web datavolume.cdi.kubevirt.io/data $' \
	eval 'k create --dry-run=client --validate=false -f "$TEST_DIR/all.yaml" -o name | tr "\n" " "'
member() { k create --dry-run=client --validate=false -f "$TEST_DIR/all.yaml" -o json | python3 -c "
import json, sys
text = sys.stdin.read()
at, found, decoder = 0, {}, json.JSONDecoder()
while text[at:].strip():
    o, n = decoder.raw_decode(text[at:].lstrip())
    at = len(text) - len(text[at:].lstrip()) + n
    for i in o.get('items', [o]):
        found[i['kind']] = i
print(json.dumps($1))"; }
check_output "the CA" '"-----BEGIN CERTIFICATE' member 'found["ConfigMap"]["data"]["ca.pem"]'
base=$(k get vmexport of-vm -o 'jsonpath={.status.links.external.volumes[0].formats[1].url}')
check_output "the machine's template imports from here" "^\\{\"http\": \\{\"certConfigMap\": \"export-ca-cm-of-vm\", \"secretExtraHeaders\": \\[\"header-secret-of-vm\"\\], \"url\": \"$base\"\\}\\}\$" \
	member 'found["VirtualMachine"]["spec"]["dataVolumeTemplates"][0]["spec"]["source"]'
check_output "and from nowhere else" '^false$' member '"sourceRef" in found["VirtualMachine"]["spec"]["dataVolumeTemplates"][0]["spec"]'
check_output "the instancetype is written out" '^\["1Gi", 2, false\]$' member \
	'[found["VirtualMachine"]["spec"]["template"]["spec"]["domain"][k]["guest" if k == "memory" else "sockets"] for k in ("memory", "cpu")] + ["instancetype" in found["VirtualMachine"]["spec"]]'
check_output "what only means something here is left out" '^\["annotations", "labels", "name", "namespace"\] \["note"\]$' eval \
	'member "sorted(found[\"VirtualMachine\"][\"metadata\"])" | tr -d "\n"; echo -n " "; member "sorted(found[\"VirtualMachine\"][\"metadata\"][\"annotations\"])"'
check_output "a claim that was only named becomes a DataVolume" '^\["accessModes", "resources"(, "volumeMode")?\] .*volumes/data/disk.img.gz' eval \
	'member "sorted(found[\"DataVolume\"][\"spec\"][\"pvc\"])" | tr -d "\n"; echo -n " "; member "found[\"DataVolume\"][\"spec\"][\"source\"][\"http\"][\"url\"]"'
check_output "as JSON it is one list" '^List 3$' eval 'manifest internal all application/json | python3 -c "import json, sys; o = json.load(sys.stdin); print(o[\"kind\"], len(o[\"items\"]))"'
check_output "the secret has the header" '^kind: Secret.*name: header-secret-of-vm.*token: "?x-kubevirt-export-token:opensesameopensesame' \
	eval 'manifest external auth-header-secret application/yaml | grep -v ^apiVersion | tr "\n" " "'

virt() { "$HANOK" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n default; }
check_output "hanok virt prints both" '^kind: ConfigMap kind: VirtualMachine kind: DataVolume kind: Secret $' \
	eval 'virt vmexport download of-vm --manifest --include-secret | grep ^kind: | tr "\n" " "'
check "or writes one, as JSON" virt export download of-vm --manifest --manifest-output-format json --output "$TEST_DIR/vm.json"
check_output "which is a list" '^List$' eval 'python3 -c "import json, sys; print(json.load(sys.stdin)[\"kind\"])" <"$TEST_DIR/vm.json"'
check "an export that a manifest is of stays" virt export download another --vm web --manifest --labels a=b,c=d --output "$TEST_DIR/vm.yaml"
check_output "with its labels" '^b d$' k_field vmexport/another .metadata.labels.a .metadata.labels.c
check_refused "of a claim there is none" 'there are none of a claim' virt export download one --pvc data --manifest
check_refused "a disk has to go somewhere" '.*--output is needed' virt export download of-vm
check_refused "there are two, one has to be said" 'several: --volume' virt export download of-vm --output "$TEST_DIR/disk"
check_refused "why nothing comes is told" 'node.*n1.* not found' virt export download of-vm --volume data --output "$TEST_DIR/disk"
check_refused "and what it waits for" 'Virtual Machine default/none not found' virt export create none --vm none --timeout 1
check_refused "labels are pairs" "--labels: 'a' is no KEY=VALUE" virt export create two --vm web --labels a
create '{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: web}, spec: {domain: {devices: {}, memory: {guest: 128Mi}}}}' >/dev/null
becomes "while the machine runs there is nothing" of-vm Ready '^False InUse Virtual Machine default/web is running Pending$'
url=$(sed 's,/volumes.*,/external/manifests/all,' <<<"$base")
told() { curl -sS --cacert "$TEST_DIR/ca.crt" -H 'x-kubevirt-export-token: opensesameopensesame' "$url"; }
check_output "and a client is told so" 'VirtualMachineExport .*of-vm.* is not ready' told

# A snapshot: the machine as it was.
create '{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineSnapshot, metadata: {name: s}, spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}' >/dev/null
check "an export of a snapshot" export_of of-snap snapshot.kubevirt.io VirtualMachineSnapshot s ', tokenSecretRef: mine'
becomes "that is not taken yet" of-snap VolumesCreated '^False NotAllPVCsCreated VirtualMachineSnapshot default/s does not contain any volume snapshots Pending$'
create '{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineSnapshotContent, metadata: {name: c, labels: {hanok.io/node: n1}},
	spec: {virtualMachineSnapshotName: s, source: {virtualMachine: {metadata: {name: web, namespace: default},
		spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}, volumes: [{name: old, persistentVolumeClaim: {claimName: before}}]}}}}},
	volumeBackups: [{volumeName: old, volumeSnapshotName: v, persistentVolumeClaim: {metadata: {name: before}, spec: {accessModes: [ReadWriteOnce], volumeName: x,
		resources: {requests: {storage: 2Gi}}}}}]}}' >/dev/null
status vmsnapshot/s '{"readyToUse":true,"virtualMachineSnapshotContentName":"c"}' >/dev/null
becomes "is ready with it" of-snap Ready '^True PodReady .*Ready$'
becomes "as its volumes are" of-snap VolumesCreated '^True AllPVCsReady .*Ready$'
check_output "which are called as their claims were" '^before web$' k_field vmexport/of-snap '.status.links.external.volumes[*].name' .status.virtualMachineName
old() {
	curl -sS --fail --cacert "$TEST_DIR/ca.crt" -H 'x-kubevirt-export-token: opensesameopensesame' \
		"$(k get vmexport of-snap -o 'jsonpath={.status.links.external.manifests[0].url}')" | tr -d ' \n'
}
check_output "its manifests are of the machine as it was" '"runStrategy":"Always".*"claimName":"before".*"kind":"DataVolume".*"storage":"2Gi"' old

check "one that lives for a second" export_of short '' PersistentVolumeClaim data ', ttlDuration: 1s'
gone() { ! k get vmexport short; }
check "is deleted then" eventually 20 gone
finish
