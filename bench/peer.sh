# shellcheck shell=bash
# What hanok is compared with: kube-apiserver of Debian's source package `kubernetes` (1.20.2) on
# Debian's etcd. Built once into PEER_CACHE, which takes some 10 minutes and 2.5 GB; nothing there
# is part of the repository, and ./dev test does not need it.
#
#   peer_build NAME...           the named programs of cmd/
#   peer_start DIR [OPTION...]   etcd and kube-apiserver on loopback: PEER_PIDS, PEER_CONFIG
#   peer_stop

PEER_CACHE=${HANOK_PEER_CACHE:-/var/cache/hanok-peer}
PEER_PACKAGES=(golang-go golang-github-modern-go-reflect2-dev etcd-server etcd-client)

# peer_build NAME...: the named programs of cmd/, made where they are not there yet.
peer_build() {
	local name missing=()
	for name; do
		[ -x "$PEER_CACHE/bin/$name" ] || missing+=("$name")
	done
	mkdir -p "$PEER_CACHE" || return
	dpkg-query -W "${PEER_PACKAGES[@]}" >/dev/null 2>&1 ||
		apt-get install -y --no-install-recommends "${PEER_PACKAGES[@]}" >>"$PEER_CACHE/build.log" 2>&1 || return
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "building ${missing[*]} from Debian's source, once, in $PEER_CACHE (about 10 minutes)"
	{
		peer_source && peer_generate && for name in "${missing[@]}"; do
			peer_go build -ldflags "$(peer_version)" -o "$PEER_CACHE/bin/$name" "k8s.io/kubernetes/cmd/$name" || return
		done
	} >>"$PEER_CACHE/build.log" 2>&1
}

# The tree, by apt with a state of its own: the system's sources stay as they are.
peer_source() {
	local apt=$PEER_CACHE/apt mirror keyring options
	[ ! -e "$PEER_CACHE/tree/.complete" ] || return 0
	mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' /etc/apt/sources.list)
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$PEER_CACHE/source"
	echo "deb-src [signed-by=$keyring] $mirror bookworm main" >"$apt/sources.list"
	options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
	apt-get "${options[@]}" update || return
	(cd "$PEER_CACHE/source" && apt-get "${options[@]}" source --download-only kubernetes) || return
	rm -rf "$PEER_CACHE/tree"
	mkdir -p "$PEER_CACHE/tree" "$PEER_CACHE/go/src/k8s.io"
	tar -xzf "$PEER_CACHE"/source/kubernetes_*.orig.tar.gz -C "$PEER_CACHE/tree" --strip-components=1 || return
	ln -sfn "$PEER_CACHE/tree" "$PEER_CACHE/go/src/k8s.io/kubernetes"
	# The vendored reflect2 1.0.1 corrupts memory under Go 1.18 and later.
	rm -rf "$PEER_CACHE/tree/vendor/github.com/modern-go/reflect2"
	cp -rL /usr/share/gocode/src/github.com/modern-go/reflect2 "$PEER_CACHE/tree/vendor/github.com/modern-go/" || return
	touch "$PEER_CACHE/tree/.complete"
}

peer_go() {
	(cd "$PEER_CACHE/go/src/k8s.io/kubernetes" &&
		env GOPATH="$PEER_CACHE/go" GO111MODULE=off CGO_ENABLED=0 GOFLAGS='' GOCACHE="$PEER_CACHE/gocache" \
			PATH="$PEER_CACHE/tools:$PATH" nice go "$@")
}

# What the programs call themselves, as the Makefile would have it from git.
peer_version() {
	local package
	for package in component-base/version client-go/pkg/version; do
		package=k8s.io/kubernetes/vendor/k8s.io/$package
		echo "-X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20"
	done
}

# What the tree expects its own Makefile to have made: the OpenAPI definitions and embedded files.
peer_generate() {
	local tree=$PEER_CACHE/tree k=k8s.io/kubernetes/vendor
	[ ! -e "$tree/.generated" ] || return 0
	mkdir -p "$PEER_CACHE/tools"
	peer_go build -o "$PEER_CACHE/tools/openapi-gen" $k/k8s.io/kube-openapi/cmd/openapi-gen || return
	peer_go build -o "$PEER_CACHE/tools/go-bindata" $k/github.com/go-bindata/go-bindata/go-bindata || return
	(
		cd "$PEER_CACHE/go/src/k8s.io/kubernetes" || exit
		export GOPATH=$PEER_CACHE/go GO111MODULE=off CGO_ENABLED=0 GOFLAGS='' GOCACHE=$PEER_CACHE/gocache
		peer_openapi pkg/generated/openapi \
			"$(grep -Rl --include=*.go '+k8s:openapi-gen=' pkg vendor/k8s.io/ | grep -vE 'code-generator|sample-apiserver|_test.go')" &&
			peer_openapi staging/src/k8s.io/kube-aggregator/pkg/generated/openapi \
				"$(grep -rl --include=*.go '+k8s:openapi-gen=' vendor/k8s.io/kube-aggregator/ vendor/k8s.io/apimachinery/pkg/{apis/meta/v1,runtime,version}/)" &&
			peer_openapi staging/src/k8s.io/apiextensions-apiserver/pkg/generated/openapi \
				"$(grep -rl --include=*.go '+k8s:openapi-gen=' vendor/k8s.io/apiextensions-apiserver/ vendor/k8s.io/api/autoscaling/v1/ vendor/k8s.io/apimachinery/pkg/{apis/meta/v1,runtime,version}/)" &&
			"$PEER_CACHE/tools/go-bindata" -nometadata -nocompress -pkg generated \
				-o staging/src/k8s.io/kubectl/pkg/generated/bindata.go \
				-ignore .jpg -ignore .png -ignore .md -ignore 'BUILD(\.bazel)?' translations/...
	) || return
	touch "$tree/.generated"
}

# peer_openapi OUTPUT FILES: the packages of the files, as openapi-gen wants them.
peer_openapi() {
	local packages
	packages=$(xargs -n 1 dirname <<<"$2" | LC_ALL=C sort -u | sed 's|^vendor/||; t; s|^|k8s.io/kubernetes/|' | paste -sd,)
	"$PEER_CACHE/tools/openapi-gen" -O zz_generated.openapi --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
		-i "$packages" -p "k8s.io/kubernetes/$1" -r "$PEER_CACHE/violations"
}

# Without controllers and scheduler. Without OPTIONs every client with a certificate of its CA may do
# anything, and pods need no service account (nothing would make it).
peer_start() {
	local dir=$1 etcd peer port
	shift
	[ $# -gt 0 ] || set -- --authorization-mode AlwaysAllow --disable-admission-plugins ServiceAccount
	etcd=$(bench_free_port) peer=$(bench_free_port) port=$(bench_free_port)
	mkdir -p "$dir/pki" && peer_keys "$dir/pki" >"$dir/pki.log" 2>&1 || return
	PEER_PIDS=()
	etcd --name bench --data-dir "$dir/etcd" --listen-client-urls "http://127.0.0.1:$etcd" \
		--advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" \
		--initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "bench=http://127.0.0.1:$peer" \
		--quota-backend-bytes $((8 << 30)) >"$dir/etcd.log" 2>&1 &
	PEER_PIDS+=($!)
	"$PEER_CACHE/bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 \
		--advertise-address 127.0.0.1 --secure-port "$port" --cert-dir "$dir/certs" \
		--tls-cert-file "$dir/pki/server.crt" --tls-private-key-file "$dir/pki/server.key" \
		--client-ca-file "$dir/pki/ca.crt" --service-cluster-ip-range 10.96.0.0/16 \
		--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$dir/pki/sa.pub" \
		--service-account-signing-key-file "$dir/pki/sa.key" "$@" >"$dir/apiserver.log" 2>&1 &
	PEER_PIDS+=($!)
	peer_config "$dir" "https://127.0.0.1:$port" >"$dir/kubeconfig"
	# shellcheck disable=SC2034
	PEER_CONFIG=$dir/kubeconfig
	lab_await 90 "kube-apiserver is ready" curl -sSf --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" \
		--key "$dir/pki/admin.key" "https://127.0.0.1:$port/readyz" && return
	tail -n 3 "$dir/apiserver.log" "$dir/etcd.log"
	peer_stop
	return 1
}

peer_stop() {
	[ ${#PEER_PIDS[@]} -gt 0 ] || return 0
	kill -KILL "${PEER_PIDS[@]}" 2>/dev/null
	wait "${PEER_PIDS[@]}" 2>/dev/null
	PEER_PIDS=()
}

# Keys of the kind that hanok makes, so that both sides do the same work in handshakes and records.
peer_keys() {
	local dir=$1 name
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench-ca \
		-keyout "$dir/ca.key" -out "$dir/ca.crt" || return
	for name in server admin; do
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=system:masters/CN=$name" \
			-keyout "$dir/$name.key" -out "$dir/$name.csr" &&
			openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
				-extfile <(echo "subjectAltName=IP:127.0.0.1") -out "$dir/$name.crt" || return
	done
	openssl genrsa -out "$dir/sa.key" 2048 && openssl rsa -in "$dir/sa.key" -pubout -out "$dir/sa.pub"
}

peer_config() {
	cat <<-END
		apiVersion: v1
		kind: Config
		current-context: bench
		clusters: [{name: bench, cluster: {server: "$2", certificate-authority: $1/pki/ca.crt}}]
		users: [{name: bench, user: {client-certificate: $1/pki/admin.crt, client-key: $1/pki/admin.key}}]
		contexts: [{name: bench, context: {cluster: bench, user: bench}}]
	END
}
