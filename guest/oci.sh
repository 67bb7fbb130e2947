# shellcheck shell=bash
# Writes OCI images (image-spec v1, a directory in the "image layout" form) with nothing but tar and
# sha256sum. Equal input gives an equal image, so that a push of what the registry has is no work.

# oci_blob LAYOUT FILE: moves FILE in, prints its descriptor's digest and size.
oci_blob() {
	local digest size
	digest=$(sha256sum "$2" | cut -d' ' -f1)
	size=$(stat -c %s "$2")
	mv "$2" "$1/blobs/sha256/$digest"
	echo "sha256:$digest $size"
}

# oci_image LAYOUT ROOT OWNER CONFIG: an image of one layer with the files below ROOT, owned by OWNER
# (UID:GID); CONFIG is the JSON object of the image's "config".
oci_image() {
	local layout=$1 root=$2 owner=$3 config=$4 work diff_id layer config_blob manifest
	work=$layout.work
	rm -rf "$layout" "$work"
	mkdir -p "$layout/blobs/sha256" "$work"
	tar -C "$root" --format=gnu --sort=name --mtime=@0 --numeric-owner --owner="${owner%:*}" --group="${owner#*:}" \
		-cf "$work/layer.tar" . || return
	diff_id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
	gzip -n -6 "$work/layer.tar" || return
	read -r -a layer <<<"$(oci_blob "$layout" "$work/layer.tar.gz")"

	printf '{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$config" "$diff_id" >"$work/config"
	read -r -a config_blob <<<"$(oci_blob "$layout" "$work/config")"

	printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' \
		application/vnd.oci.image.manifest.v1+json \
		"$(oci_descriptor config.v1+json "${config_blob[@]}")" \
		"$(oci_descriptor layer.v1.tar+gzip "${layer[@]}")" >"$work/manifest"
	read -r -a manifest <<<"$(oci_blob "$layout" "$work/manifest")"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"%s","size":%s,"annotations":{"%s":"latest"}}]}' \
		application/vnd.oci.image.manifest.v1+json "${manifest[@]}" org.opencontainers.image.ref.name >"$layout/index.json"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	rm -rf "$work"
}

oci_descriptor() {
	printf '{"mediaType":"application/vnd.oci.image.%s","digest":"%s","size":%s}' "$1" "$2" "$3"
}

# oci_digest LAYOUT: what a registry calls this image.
oci_digest() { sed -n 's/.*"digest":"\([^"]*\)".*/\1/p' "$1/index.json"; }
