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

/* For agents before QEMU 5.2, which know no keys but run programs: a command, as agent_exec.h has
 * it, that does the same as a credential's with keys. It acts as that user, so that no link in a
 * home directory leads it into another's files. *ret_input is its standard input. */
struct json *credentials_keys_program(
	struct arena *a, const struct credential *c, const char **ret_input);
/* Whether that is what this agent needs, by its guest-info (as a fact); NULL = not known. */
bool credentials_need_program(const struct json *info);
