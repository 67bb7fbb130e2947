#!/bin/bash
# Images: policies, names, a private registry with TLS and passwords, secrets of pods and accounts, whose an image
# is that lies here already, and what users see when a pull can't work.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-images
PRIVATE=registry.lab:5443
registry_dir=$LAB/fabric/etc/private-registry
certs_dir="$LAB/node1/etc/containerd/certs.d/$PRIVATE"

end_registry() {
	lab_service_end fabric private-registry
	rm -rf "$certs_dir" "$registry_dir" "$LAB/fabric/var/lib/private-registry" "$LAB/node1/var/lib/hanok/config.json"
}

# The registry's certificate comes from an authority that only containerd's certs.d knows.
start_registry() {
	mkdir -p "$registry_dir" "$certs_dir" || return
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=private registry" -keyout "$registry_dir/key.pem" \
		-out "$registry_dir/cert.pem" -addext "subjectAltName=DNS:registry.lab,IP:$LAB_FABRIC_ADDRESS" || return
	cp "$registry_dir/cert.pem" "$certs_dir/ca.crt"
	printf 'server = "https://%s"\n[host."https://%s"]\n  ca = "/etc/containerd/certs.d/%s/ca.crt"\n' \
		"$PRIVATE" "$PRIVATE" "$PRIVATE" >"$certs_dir/hosts.toml"
	for user in alice bob; do
		python3 -W ignore -c 'import crypt, sys; print(sys.argv[1] + ":" + crypt.crypt(sys.argv[1] + "-password", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' $user
	done >"$registry_dir/htpasswd"
	cat >"$registry_dir/config.yml" <<-END_CONFIG
		version: 0.1
		log: {level: info, accesslog: {disabled: false}}
		storage: {filesystem: {rootdirectory: /var/lib/private-registry}}
		auth: {htpasswd: {realm: private, path: /etc/private-registry/htpasswd}}
		http:
		  addr: "$LAB_FABRIC_ADDRESS:5443"
		  tls: {certificate: /etc/private-registry/cert.pem, key: /etc/private-registry/key.pem}
	END_CONFIG
	lab_service fabric private-registry docker-registry serve /etc/private-registry/config.yml || return
	eventually 20 lab_in fabric curl -sf --cacert /etc/private-registry/cert.pem -u alice:alice-password "https://$PRIVATE/v2/"
}

# push NAME: the sample image with a label that makes it another one, so that no other test has it already.
push() {
	local name=$1 dir=$TEST_DIR/image-$1
	lab_in fabric skopeo --insecure-policy copy -q --src-tls-verify=false "docker://$LAB_REGISTRY/web:latest" "dir:/tmp/$name" || return
	mv "$LAB/fabric/tmp/$name" "$dir" || return
	python3 - "$dir" "$name" <<-'END_PYTHON' || return
		import hashlib, json, sys, time
		folder, name = sys.argv[1:]
		manifest = json.load(open(folder + "/manifest.json"))
		config = json.load(open(folder + "/" + manifest["config"]["digest"].split(":")[1]))
		config.setdefault("config", {}).setdefault("Labels", {})["test"] = name + " " + str(time.time())
		text = json.dumps(config).encode()
		digest = hashlib.sha256(text).hexdigest()
		open(folder + "/" + digest, "wb").write(text)
		manifest["config"].update(digest="sha256:" + digest, size=len(text))
		json.dump(manifest, open(folder + "/manifest.json", "w"))
	END_PYTHON
	mv "$dir" "$LAB/fabric/tmp/$name"
	lab_in fabric skopeo --insecure-policy copy -q --dest-tls-verify=false --dest-creds alice:alice-password \
		"dir:/tmp/$name" "docker://$PRIVATE/$name:1"
	rm -rf "$LAB/fabric/tmp/$name"
}

# pod NAME IMAGE [POLICY [SECRET...]]
pod() {
	local name=$1 image=$2 policy=${3:-} secrets=
	shift 3 2>/dev/null || shift $#
	for secret in "$@"; do secrets="$secrets{name: $secret},"; done
	cat <<-END_POD
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: $name}
		spec:
		  terminationGracePeriodSeconds: 0
		  imagePullSecrets: [$secrets]
		  containers: [{name: c, image: "$image", command: [sleep, "1000"]${policy:+, imagePullPolicy: $policy}}]
	END_POD
}
waiting() { k_field "pod/$1" '.status.containerStatuses[0].state.waiting.reason' '.status.containerStatuses[0].state.waiting.message'; }
events_of() { k get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.type} {.reason}: {.message}{"\n"}{end}'; }
phase_of() { k_field "pod/$1" .status.phase; }

trap 'end_registry >/dev/null 2>&1; test_at_exit' EXIT
check "a private registry with its own certificate and passwords" start_registry
check "push two images" push one
check "and the second" push two
for name in many byfile; do push $name >/dev/null 2>&1; done
k create secret docker-registry alice --docker-server="$PRIVATE" --docker-username=alice --docker-password=alice-password >/dev/null
k create secret docker-registry wrong --docker-server="https://$PRIVATE/v1/" --docker-username=alice --docker-password=guessed >/dev/null
k create secret docker-registry bob --docker-server="registry.*:5443" --docker-username=bob --docker-password=bob-password >/dev/null
k create serviceaccount puller >/dev/null
k patch serviceaccount puller -p '{"imagePullSecrets":[{"name":"bob"}]}' >/dev/null

{
	pod stranger "$PRIVATE/one:1"
	pod missing-secret "$PRIVATE/one:1" IfNotPresent nobody
	pod friend "$PRIVATE/two:1" IfNotPresent wrong alice
	pod never registry.lab:5000/nothing-there:1 Never
	pod no-tag registry.lab:5000/web:nothing-there
	pod no-registry 172.31.0.253:1/web:1
	pod upper registry.lab:5000/Web:1
	pod plain registry.lab:5000/web
	pod account "$PRIVATE/one:1" Always | sed 's/imagePullSecrets: .*/serviceAccountName: puller/'
} >"$TEST_DIR/pods.yaml"
# The stranger comes first, so that nobody has pulled for it.
pod stranger "$PRIVATE/one:1" | k apply -f - >/dev/null
check "without credentials: the cause, then a back-off" eventually 20 matches 'ImagePullBackOff Back-off pulling image "registry.lab:5443/one:1": ErrImagePull: .*(401|authorization failed)' waiting stranger
check "pods of all kinds" k apply -f "$TEST_DIR/pods.yaml"
check "a name that can't be" eventually 10 matches 'InvalidImageName Failed to apply default image tag "registry.lab:5000/Web:1": couldn.t parse image name "registry.lab:5000/Web:1": invalid reference format: repository name \(Web\) must be lowercase' waiting upper
check "policy Never" eventually 10 matches 'ErrImageNeverPull Container image "registry.lab:5000/nothing-there:1" is not present with pull policy of Never' waiting never
check "a tag that is not there" eventually 20 matches 'ImagePullBackOff Back-off .*ErrImagePull: rpc error: code = NotFound desc = .*not found' waiting no-tag
check "a registry that is not there" eventually 20 matches 'ImagePullBackOff .*(connection refused|no route to host|i/o timeout)' waiting no-registry
check "the second of two secrets is the right one" eventually 20 matches '^Running$' phase_of friend
check "events tell how long it took and how much it was" eventually 20 matches 'Normal Pulled: Successfully pulled image "registry.lab:5443/two:1" in [0-9.]+m?s \([0-9.]+m?s including waiting\). Image size: [0-9]+ bytes\.' events_of friend
check "and that it began" eventually 20 matches 'Normal Pulling: Pulling image "registry.lab:5443/two:1"' events_of friend
check_output "the image's id is its digest in the registry" '^registry.lab:5443/two@sha256:[0-9a-f]{64} registry.lab:5443/two:1$' k_field pod/friend '.status.containerStatuses[0].imageID' '.status.containerStatuses[0].image'
check_output "secrets of the account are the pod's" 'bob' k_field pod/account '.spec.imagePullSecrets[0].name'
check "and a key with a star fits" eventually 20 matches '^Running$' phase_of account
check "a secret that is missing is told" eventually 10 matches 'Warning FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets \(nobody\); attempting to pull the image may not succeed\.' events_of missing-secret
check "what has no tag is pulled always" eventually 20 matches 'Successfully pulled image "registry.lab:5000/web"' events_of plain

# What lies here, fetched with somebody's credentials, is not for everybody.
digest=$(k_field pod/friend '.status.containerStatuses[0].imageID')
{
	pod cached-stranger "$PRIVATE/two:1" IfNotPresent
	pod cached-never "$PRIVATE/two:1" Never
	pod cached-friend "$PRIVATE/two:1" Never alice
	pod cached-other "$PRIVATE/two:1" IfNotPresent bob
	pod by-digest "$digest" IfNotPresent alice
	pod present "registry.lab:5000/web:latest" IfNotPresent
} | k apply -f - >/dev/null
check "a cached private image is not given to strangers" eventually 20 matches 'ErrImagePull.*(401|authorization failed)' waiting cached-stranger
check "nor with policy Never" eventually 10 matches 'ErrImageNeverPull Container image "registry.lab:5443/two:1" is present, but was pulled with credentials' waiting cached-never
check "but to who has the same secret" eventually 20 matches '^Running$' phase_of cached-friend
check "without pulling" eventually 20 matches 'already present on machine and can be accessed by the pod' events_of cached-friend
check "others pull with their own" eventually 20 matches '^Running$' phase_of cached-other
check "which is what they do" eventually 20 matches 'Successfully pulled' events_of cached-other
check "by digest" eventually 20 matches '^Running$' phase_of by-digest
check "what is public is everybody's" eventually 20 matches 'Container image "registry.lab:5000/web:latest" already present on machine' events_of present

check "the node's status lists images by their names" eventually 20 matches 'registry.lab:5443/two:1' k get node node1 -o 'jsonpath={.status.images[*].names}'

# Ten pods, one pull.
cat >"$TEST_DIR/many.yaml" <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 10
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      terminationGracePeriodSeconds: 0
      imagePullSecrets: [{name: alice}]
      containers: [{name: c, image: "$PRIVATE/many:1", command: [sleep, "1000"]}]
END
check "ten pods of one image" k apply -f "$TEST_DIR/many.yaml"
check "all run" k wait --for='jsonpath={.status.readyReplicas}=10' deployment/many --timeout=120s
fetches() { grep -c 'http.request.method=GET.*http.request.uri="\?/v2/many/manifests.*http.response.status=200' "$LAB/fabric/var/log/private-registry.log"; }
check_output "the image was fetched once" '^1$' fetches

# Credentials of the node.
printf '{"auths":{"%s":{"auth":"%s"}}}' "$PRIVATE" "$(printf alice:alice-password | base64)" >"$LAB/node1/var/lib/hanok/config.json"
pod by-file "$PRIVATE/byfile:1" | k apply -f - >/dev/null
check "credentials of the node itself" eventually 20 matches '^Running$' phase_of by-file
rm -f "$LAB/node1/var/lib/hanok/config.json"
pod by-file-too "$PRIVATE/byfile:1" IfNotPresent | k apply -f - >/dev/null
check "make an image everybody's" eventually 20 matches '^Running$' phase_of by-file-too

check "delete" k delete deployment,pod --all --timeout=120s
finish
