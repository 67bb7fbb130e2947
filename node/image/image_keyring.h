/* image_keyring.h - which credentials to show to the registry of an image, by the rules of
 * Kubernetes' image pull secrets. Pure.
 *
 * Credentials stand in documents of the Docker client's form, each under a key such as
 * "registry.example:5000/team", "https://index.docker.io/v1/" or "*.example". A key fits an image
 * when hosts have the same number of parts and each part matches (with '*' and '?'), ports are the
 * same, and the key's path begins the image's. More specific keys come first; then all that fit are
 * tried in turn. */
#pragma once

#include "lib/json/json.h"

struct image_auth {
	const char *username, *password, *identity_token; /* "" = none */
	/* The Secret it stands in; NULL = the node's own file. */
	const char *secret_namespace, *secret_name, *secret_uid;
	char hash[65]; /* SHA-256 of the credentials, hexadecimal */
};

struct image_keyring {
	struct arena *arena; /* everything lives here */
	struct image_key *keys;
	size_t count, room;
};

void image_keyring_init(struct image_keyring *k, struct arena *a);
/* A Secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg; others add nothing.
 */
void image_keyring_add_secret(struct image_keyring *k, const struct json *secret);
/* The node's own file, in either form. -EINVAL when it is no JSON. These are tried last. */
int image_keyring_add_file(
	struct image_keyring *k, const char *text, size_t size, struct err *err) _must_check_;
/* All that fit the image, the most specific first; at most room of them. */
size_t image_keyring_find(
	struct image_keyring *k, const char *image, struct image_auth *ret, size_t room);

#define IMAGE_AUTHS_MAX 32
