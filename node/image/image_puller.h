/* image_puller.h - pulls of images for all pods of the node: the same image for many pods, with the
 * same credentials, is pulled once and all wait for it; how many run at a time, and how often the
 * registries are asked, is bounded (max_parallel_image_pulls or serialize_image_pulls,
 * registry_pull_qps and registry_burst of the configuration). What is beyond waits its turn.
 *
 * With several credentials each is tried until one is taken, the most specific first. */
#pragma once

#include "node/cri/cri.h"
#include "node/image/image_keyring.h"
#include "node/image/image_records.h"
#include "node/node_config.h"

struct image_puller;
struct image_puller_options {
	uv_loop_t *loop;
	struct clock *clock;
	const struct node_config *config;
	struct cri *cri;
	const char *data_dir; /* the file of image_records.h is kept there, and config.json read */
};
struct image_puller *image_puller_create(const struct image_puller_options *options);
void image_puller_destroy(struct image_puller *p); /* those who wait hear nothing; NULL allowed */

struct image_pulled {
	const char *error; /* NULL = it is there; else the runtime's words */
	const char *id;	   /* of the image */
	int64_t pull_ns;   /* how long it took, without the waiting */
};

struct image_pull_request {
	const char *image; /* image_ref_check() has passed */
	const struct image_auth *auths;
	size_t auth_count; /* 0 = as anybody */
	const Cri__PodSandboxConfig *sandbox_config;
	/* While it takes long: how far it is. May be NULL. */
	void (*progress)(void *user, const char *text);
	void (*done)(void *user, const struct image_pulled *r); /* once, later */
	void *user;
};
/* Everything of the request is copied. */
struct image_pull_wait;
struct image_pull_wait *image_pull(struct image_puller *p, const struct image_pull_request *r);
/* No callback after this. A pull that nobody waits for any more is broken off. NULL allowed. */
void image_pull_cancel(struct image_pull_wait *w);

/* The node's own credentials, added to those of a pod: DATA/config.json. */
void image_puller_add_node_auths(struct image_puller *p, struct image_keyring *k);
struct image_records *image_puller_records(struct image_puller *p);
