#!/bin/bash
# What a DataVolume may not be, in CDI's words, and that it stays what it was.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=datavolume,uploadclaim,storageprofile,garbagecollector,pvc-protection' --scheduler=off
raw /version >/dev/null
create() { k create --validate=strict -f - <<<"$1"; }
S='storage: {resources: {requests: {storage: 1Gi}}}'
# volume NAME SPEC
volume() { create "{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: $1}, spec: {$2}}"; }
refused() { check_refused "$1" "$2" volume bad "$3"; }

refused "no claim" 'Missing Data volume PVC' 'source: {blank: {}}'
refused "two claims" 'both target storage and target pvc defined' "source: {blank: {}}, $S, pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"
refused "no size" 'Storage size is missing' 'source: {blank: {}}, storage: {}'
refused "no size of a claim" 'PVC size is missing' 'source: {blank: {}}, pvc: {accessModes: [ReadWriteOnce]}'
refused "a size of nothing" "Storage size can't be equal or less than zero" 'source: {blank: {}}, storage: {resources: {requests: {storage: "0"}}}'
refused "no access mode" 'Required value: at least 1 access mode is required' 'source: {blank: {}}, pvc: {resources: {requests: {storage: 1Gi}}}'
refused "two access modes" 'PVC multiple accessModes' 'source: {blank: {}}, pvc: {accessModes: [ReadWriteOnce, ReadOnlyMany], resources: {requests: {storage: 1Gi}}}'
refused "an unknown one" 'Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"' \
	'source: {blank: {}}, storage: {accessModes: [Sometimes], resources: {requests: {storage: 1Gi}}}'
refused "no source" 'should have either Source or SourceRef' "$S"
refused "an empty source" 'Missing Data volume source' "source: {}, $S"
refused "two sources" 'Multiple Data volume sources' "source: {blank: {}, upload: {}}, $S"
refused "a source and a reference" 'should have either Source or SourceRef' "source: {blank: {}}, sourceRef: {kind: DataSource, name: a}, $S"
refused "no address" 'source URL is empty' "source: {http: {url: \"\"}}, $S"
refused "an address that is none" 'Invalid source URL: nowhere' "source: {http: {url: nowhere}}, $S"
refused "an address of another scheme" 'Invalid source URL scheme: ftp://host/x' "source: {http: {url: \"ftp://host/x\"}}, $S"
refused "a checksum that is none" 'spec.source.http.checksum: Invalid value: "sha256:zz": must be ALGORITHM:HEX' "source: {http: {url: \"http://host/x\", checksum: \"sha256:zz\"}}, $S"
refused "an image from elsewhere" 'Illegal registry source URL scheme http://host/x' "source: {registry: {url: \"http://host/x\"}}, $S"
refused "an unknown way to pull" 'ImportMethod never is neither' "source: {registry: {url: \"docker://host/x\", pullMethod: never}}, $S"
refused "an archive of an image" 'ContentType must be kubevirt when Source is Registry' "contentType: archive, source: {registry: {url: \"docker://host/x\"}}, $S"
refused "unknown content" 'ContentType not one of: kubevirt, archive' "contentType: tape, source: {blank: {}}, $S"
refused "a blank archive" 'SourceType cannot be blank and the contentType be archive' "contentType: archive, source: {blank: {}}, $S"
refused "an archive" 'archives of files are not supported here' "contentType: archive, source: {upload: {}}, $S"
refused "half a source" 'source VDDK is not valid' "source: {vddk: {url: \"https://host\"}}, $S"
refused "a reference to another kind" 'currently only DataSource is supported' "sourceRef: {kind: Pod, name: a}, $S"
check "a claim" create '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: bad}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}'
refused "somebody's claim" 'Destination PVC default/bad already exists' "source: {blank: {}}, $S"

check "a good one" volume good "source: {http: {url: \"http://host/x\"}}, $S"
check "its claim" eventually 20 matches "^1Gi$" k_field pvc/good .spec.resources.requests.storage
check_output "with the access that nobody asked for" '^\["ReadWriteOnce"\]$' k_field pvc/good .spec.accessModes
check_refused "it stays so" 'Cannot update DataVolume Spec' k patch dv good --type merge -p '{"spec":{"source":{"http":{"url":"http://host/y"}}}}'
check "its labels don't" k label dv good a=b

check "one of a DataSource that comes later" volume named "sourceRef: {kind: DataSource, name: later}, $S"
check "the DataSource" create '{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataSource, metadata: {name: later}, spec: {source: {pvc: {namespace: default, name: bad}}}}'
check "its source is put in place" eventually 20 matches '^bad$' k_field dv/named .spec.source.pvc.name

# ---- uploads into claims ----
check "a claim that asks for an upload" create '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: plain, annotations: {cdi.kubevirt.io/storage.upload.target: ""}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}'
check "gets a data volume" eventually 20 matches '^[{][}]$' k_field dv/plain .spec.source.upload
check "which is the claim's" matches '^PersistentVolumeClaim plain$' k_field dv/plain '.metadata.ownerReferences[0].kind' '.metadata.ownerReferences[0].name'
check "it takes no bytes yet" eventually 20 matches '^false$' k_field pvc/plain '.metadata.annotations.cdi\.kubevirt\.io/storage\.pod\.ready'
check "the claim goes" k delete pvc plain --timeout=60s
check "and the data volume with it" eventually 20 matches '^0$' k_count dv/plain

check "a claim that asks for the upload of an archive" create '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: packed, annotations: {cdi.kubevirt.io/storage.upload.target: "", cdi.kubevirt.io/storage.contentType: archive}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}'
check "is told that there is none" eventually 20 matches 'ProvisioningFailed.*archives of files are not supported here' k get events --field-selector involvedObject.name=packed

# ---- what clients read before ----
profile() { k_field storageprofile/hanok-local "$@"; }
config() { k_field cdiconfig/config "$@"; }
check "the class has a profile" eventually 20 matches '^\["ReadWriteOnce"\] Filesystem csi-clone hanok.io/local hanok-local$' \
	profile '.status.claimPropertySets[0].accessModes' '.status.claimPropertySets[0].volumeMode' .status.cloneStrategy .status.provisioner .status.storageClass
check "which may be told otherwise" k patch storageprofile hanok-local --type merge \
	-p '{"spec":{"cloneStrategy":"copy","claimPropertySets":[{"accessModes":["ReadOnlyMany"],"volumeMode":"Filesystem"}]}}'
check "and follows" eventually 20 matches '^\["ReadOnlyMany"\] copy$' profile '.status.claimPropertySets[0].accessModes' .status.cloneStrategy
check "a volume that leaves it open" volume told "source: {blank: {}}, $S"
check "is made so" eventually 20 matches '^\["ReadOnlyMany"\]$' k_field pvc/told .spec.accessModes
check "another class" create '{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: other}, provisioner: example.com/x}'
check "has one, too" eventually 20 matches '^example.com/x copy$' k_field storageprofile/other .status.provisioner .status.cloneStrategy
check "the class goes" k delete storageclass other
check "and its profile" eventually 20 matches '^0$' k_count storageprofile/other
check "the default class is told" eventually 20 matches '^hanok-local 0$' config .status.scratchSpaceStorageClass .status.filesystemOverhead.global
url=$(config .status.uploadProxyURL)
check "where to upload to" matches '^https://' echo "$url"
check "may be another place" k patch cdiconfig config --type merge -p '{"spec":{"uploadProxyURLOverride":"https://upload.example"}}'
check "which clients see" eventually 20 matches '^https://upload.example$' config .status.uploadProxyURL
check "or not any more" k patch cdiconfig config --type merge -p '{"spec":{"uploadProxyURLOverride":null}}'
check "as it was" eventually 20 matches "^$url$" config .status.uploadProxyURL
finish
