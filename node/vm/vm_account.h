/* vm_account.h - a volume of serviceAccount: a disk with the files that pods have of their account
 * (namespace, token, ca.crt). The token is asked for at each start and is bound to the instance:
 * it ends with it. Nobody writes to the disk of a running guest: the token is one that lasts. */
#pragma once

#include "node/vm/spec/vm_spec.h"

#define VM_ACCOUNT_AUTHORITY "kube-root-ca.crt" /* ConfigMap of every namespace */

/* The account of such a volume; NULL = it is another one. */
const char *vm_account_of(const struct vm_disk *d);
/* The TokenRequest. */
struct json *vm_account_request(struct arena *a, const struct vm_spec *s);
/* Fills in d->fields, in the arena: `status` is that of the answer, `authority` the ConfigMap's
 * data. -ENOENT names what is missing. */
int vm_account_read(struct arena *a, const struct vm_spec *s, const struct json *status,
	const struct json *authority, struct vm_disk *d, struct err *err) _must_check_;
