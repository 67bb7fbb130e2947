/* credentials.h - what a VMI's accessCredentials with the propagation method qemuGuestAgent ask of
 * its agent. Pure. */
#pragma once

#include "lib/json/json.h"

#define CREDENTIALS_MAX 32 /* users with keys or passwords, of one VMI */

struct credential {
	bool keys; /* else a password */
	const char *user;
	const char *command; /* of the agent, with its arguments */
	const struct json *arguments;
};

/* Whether there are any. */
bool credentials_wanted(const struct json *vmi_spec);
/* The Secrets they come from, each once: {"spec": {"imagePullSecrets": [{"name"}...]}}, as the
 * watchers of what pods refer to read it. */
struct json *credentials_secrets(struct arena *a, const struct json *vmi_spec);

/* The value of a Secret ({"data": {...}}); NULL = it is not there. */
typedef const struct json *credentials_secret(void *user, const char *name);
/* What is to be done now: the keys of all of a user's Secrets together replace those that he has;
 * each key of a password's Secret is a user. Returns the count; -ENOENT, -EINVAL, -E2BIG. */
int credentials_read(struct arena *a, const struct json *vmi_spec, credentials_secret *secret,
	void *user, struct credential ret[CREDENTIALS_MAX], struct err *err) _must_check_;
