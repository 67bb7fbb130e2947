#!/bin/bash
# Upstream's programs on the other side of the API (1.20.2, see bench/peer.sh): their kubelet on hanok's server,
# and hanok's node on their API server, each in a host of its own. docs/compatibility.md says what they do.
. "$(dirname "$0")/../lib.sh"
PEER=${HANOK_PEER_CACHE:-/var/cache/hanok-peer}/bin

skip() {
	echo "1..0 # SKIP $1"
	# shellcheck disable=SC2034 # lib.sh looks at them
	TEST_COUNT=1 TEST_FINISHED=1
	exit 0
}
for program in "$PEER"/{kubelet,kube-apiserver,kube-controller-manager,kube-scheduler} /usr/bin/etcd; do
	[ -x "$program" ] || skip "there is no $program"
done
use_lab
use_namespace e2e-upstream
lab_host_down 8 2>/dev/null
lab_host_down 9 2>/dev/null
rm -rf "${LAB:?}/node8" "$LAB/node9"
THEIRS=/var/lib/upstream # in their hosts
KUBELET_HOST=8 API_HOST=9

cat >"$TEST_DIR/web.yaml" <<END
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {title: from a config map}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {key: opensesame}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeSelector: {kubernetes.io/hostname: HOST}
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, image: "registry.lab:5000/web:latest", command: [sh, -c, "echo init >/scratch/a"], volumeMounts: [{name: scratch, mountPath: /scratch}]}
  containers:
  - name: web
    image: registry.lab:5000/web:latest
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: KEY, valueFrom: {secretKeyRef: {name: key, key: key}}}]
    ports: [{containerPort: 80, name: http}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
    livenessProbe: {exec: {command: [test, -e, /scratch/a]}, periodSeconds: 2}
    resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 200m, memory: 32Mi}}
    volumeMounts: [{name: page, mountPath: /page}, {name: key, mountPath: /key}, {name: scratch, mountPath: /scratch}]
  volumes: [{name: page, configMap: {name: page}}, {name: key, secret: {secretName: key}}, {name: scratch, emptyDir: {}}]
END
# shellcheck disable=SC2016 # the container's variables
SHOW='echo "$POD $KEY $(cat /page/title) $(cat /scratch/a)"'
SHOWN='^web opensesame from a config map init$'

# ---- their kubelet on hanok ----

kubelet_up() {
	local dir=$LAB/node$KUBELET_HOST$THEIRS
	lab_host_up $KUBELET_HOST || return
	mkdir -p "$dir" && cp "$PEER/kubelet" "$LAB/server/pki/ca.crt" "$dir/" || return
	(umask 077 && "$LAB/bin/hanok" kubeconfig --data "$LAB/server" --node node$KUBELET_HOST \
		--server "https://$LAB_FABRIC_ADDRESS:6443" >"$dir/kubeconfig") || return
	cat >"$dir/config.yaml" <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $THEIRS/ca.crt}}
		authorization: {mode: Webhook}
		serverTLSBootstrap: true
		clusterDNS: [10.96.0.10]
		clusterDomain: cluster.local
		cgroupDriver: cgroupfs
		failSwapOn: false
	END
	lab_thresholds >>"$dir/config.yaml"
	lab_service node$KUBELET_HOST kubelet $THEIRS/kubelet --kubeconfig $THEIRS/kubeconfig --config $THEIRS/config.yaml \
		--container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock \
		--hostname-override=node$KUBELET_HOST --node-ip=172.31.0.$KUBELET_HOST --root-dir=$THEIRS/root --cert-dir=$THEIRS/pki
}

# Its network is the administrator's business: a bridge on the range that hanok gave the node.
kubelet_network() {
	local range
	range=$(k_field node/node$KUBELET_HOST .spec.podCIDR) && [ -n "$range" ] || return
	mkdir -p "$LAB/node$KUBELET_HOST/etc/cni/net.d"
	cat >"$LAB/node$KUBELET_HOST/etc/cni/net.d/10-bridge.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
			"ipam": {"type": "host-local", "ranges": [[{"subnet": "$range"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
	END
}

serving_request() { k get csr --no-headers | awk -v node="system:node:node$KUBELET_HOST" '/kubelet-serving/ && /Pending/ && index($0, node) { print $1; found = 1 } END { exit !found }'; }

check "their kubelet starts" kubelet_up
check "it registers its node" eventually 60 k get node node$KUBELET_HOST
check "with a pod range from hanok" eventually 20 kubelet_network
check "the node becomes Ready" k wait --for=condition=Ready node/node$KUBELET_HOST --timeout=120s
check_output "in its version" 'v1\.20\.2' k_field node/node$KUBELET_HOST .status.nodeInfo.kubeletVersion
check "it asks for a certificate to serve with" eventually 30 serving_request
approve() { serving_request | xargs -n 1 "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" certificate approve; }
check_output "which is approved" approved approve
sed "s/HOST/node$KUBELET_HOST/" "$TEST_DIR/web.yaml" >"$TEST_DIR/there.yaml"
check "a pod for that node" k apply -f "$TEST_DIR/there.yaml"
check "runs and is Ready" k wait --for=condition=Ready pod/web --timeout=120s
check "the certificate is issued, and served with" eventually 30 k get --raw /api/v1/nodes/node$KUBELET_HOST/proxy/healthz
check_output "environment, secret, config map, init container" "$SHOWN" k exec web -c web -- sh -c "$SHOW"
check_output "a service account's token" token k exec web -c web -- ls /var/run/secrets/kubernetes.io/serviceaccount
check_output "the cluster's DNS in resolv.conf" 'search e2e-upstream.svc.cluster.local' k exec web -c web -- cat /etc/resolv.conf
check_output "logs" 'serving container web' k logs web -c web
check_output "its port's other paths, through hanok" '^ok' k get --raw /api/v1/nodes/node$KUBELET_HOST/proxy/healthz
check "events" eventually 20 matches 'Started container web' k describe pod web
check "cp" k cp "$TEST_DIR/web.yaml" web:/tmp/copied -c web
check_output "and the copy is there" opensesame k exec web -c web -- cat /tmp/copied
check "delete" k delete pod web --timeout=120s
check "the node's lease is there" k -n kube-node-lease get lease node$KUBELET_HOST
lab_service_end node$KUBELET_HOST kubelet >/dev/null 2>&1
k delete node node$KUBELET_HOST >/dev/null
lab_host_down $KUBELET_HOST

# ---- hanok's node on their API server ----

their_keys() {
	local name subject
	cd "$1" || return
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=their-ca -keyout ca.key -out ca.crt || return
	while read -r name subject; do
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" -keyout "$name.key" -out "$name.csr" &&
			openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$name.crt" \
				-extfile <(echo "subjectAltName=IP:172.31.0.$API_HOST,IP:10.96.0.1,DNS:kubernetes") || return
	done <<-END
		server /CN=kube-apiserver
		admin /O=system:masters/CN=admin
		node /O=system:nodes/CN=system:node:node$API_HOST
	END
	openssl genrsa -out sa.key 2048 && openssl rsa -in sa.key -pubout -out sa.pub || return
	for name in admin node; do
		cat >"../$name.kubeconfig" <<-END
			apiVersion: v1
			kind: Config
			current-context: c
			clusters: [{name: c, cluster: {server: "https://172.31.0.$API_HOST:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
			users: [{name: c, user: {client-certificate-data: $(base64 -w0 "$name.crt"), client-key-data: $(base64 -w0 "$name.key")}}]
			contexts: [{name: c, context: {cluster: c, user: c}}]
		END
	done
}

theirs() { lab_exec $API_HOST timeout 60 kubectl --kubeconfig $THEIRS/admin.kubeconfig "$@"; }
their_service() { lab_service node$API_HOST "$@"; }

their_api_up() {
	local dir=$LAB/node$API_HOST$THEIRS pki=$THEIRS/pki
	lab_host_up $API_HOST || return
	mkdir -p "$dir/pki" && cp "$PEER"/kube-{apiserver,controller-manager,scheduler} "$dir/" || return
	(their_keys "$dir/pki") || return
	their_service etcd etcd --data-dir $THEIRS/etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
		--initial-cluster default=http://127.0.0.1:2380 || return
	their_service apiserver $THEIRS/kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 0.0.0.0 \
		--advertise-address 172.31.0.$API_HOST --secure-port 6443 --cert-dir $THEIRS/certs --tls-cert-file $pki/server.crt \
		--tls-private-key-file $pki/server.key --client-ca-file $pki/ca.crt --kubelet-client-certificate $pki/admin.crt \
		--kubelet-client-key $pki/admin.key --kubelet-certificate-authority $pki/ca.crt --kubelet-preferred-address-types InternalIP \
		--service-cluster-ip-range 10.96.0.0/16 --service-account-issuer https://kubernetes.default.svc \
		--service-account-key-file $pki/sa.pub --service-account-signing-key-file $pki/sa.key \
		--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction || return
	lab_await 90 "their API server is ready" theirs get --raw /readyz || return
	their_service controllers $THEIRS/kube-controller-manager --kubeconfig $THEIRS/admin.kubeconfig --leader-elect=false --port=0 \
		--secure-port=0 --use-service-account-credentials --service-account-private-key-file $pki/sa.key --root-ca-file $pki/ca.crt \
		--allocate-node-cidrs --cluster-cidr 10.245.0.0/16 --service-cluster-ip-range 10.96.0.0/16 || return
	their_service scheduler $THEIRS/kube-scheduler --kubeconfig $THEIRS/admin.kubeconfig --leader-elect=false --port=0 --bind-address 127.0.0.1
}

# What the proxy and the policies of a hanok node read, beyond the role of a kubelet.
their_roles() {
	theirs create clusterrolebinding hanok-proxy --clusterrole system:node-proxier --group system:nodes &&
		theirs create clusterrole hanok-node --verb get,list,watch --resource networkpolicies.networking.k8s.io,namespaces,pods &&
		theirs create clusterrolebinding hanok-node --clusterrole hanok-node --group system:nodes
}

check "their API server, controllers and scheduler start" their_api_up
cp "$LAB_SOURCE/kubelet.yaml" "$LAB/node$API_HOST$THEIRS/"
check "roles for hanok's node" their_roles
check "hanok's node starts" their_service hanok-node hanok node --data /var/lib/hanok --kubeconfig $THEIRS/node.kubeconfig \
	--name node$API_HOST --cri unix:///run/containerd/containerd.sock --config $THEIRS/kubelet.yaml
check "it registers there" eventually 30 theirs get node node$API_HOST
check "and becomes Ready" theirs wait --for=condition=Ready node/node$API_HOST --timeout=120s
sed "s/HOST/node$API_HOST/" "$TEST_DIR/web.yaml" >"$LAB/node$API_HOST$THEIRS/web.yaml"
check "the default service account is there" eventually 30 theirs get serviceaccount default
check "a pod" theirs apply -f $THEIRS/web.yaml
check "runs and is Ready there" theirs wait --for=condition=Ready pod/web --timeout=120s
check_output "environment, secret, config map, init container there" "$SHOWN" theirs exec web -c web -- sh -c "$SHOW"
check_output "logs there" 'serving container web' theirs logs web -c web
check_output "events there" 'Started container web' theirs describe pod web
check_output "their server reaches the node's port" '^ok' theirs get --raw /api/v1/nodes/node$API_HOST/proxy/healthz
check_refused "exit codes there" 'exit code 7' theirs exec web -c web -- sh -c 'exit 7'
check "delete there" theirs delete pod web --timeout=120s
check "the lease is renewed there" theirs -n kube-node-lease get lease node$API_HOST
lab_host_down $API_HOST
[ -n "${KEEP:-}" ] || rm -rf "${LAB:?}/node$API_HOST" "$LAB/node$KUBELET_HOST"
finish
