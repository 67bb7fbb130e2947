#include "node/vm/vm_account.h"

/* Kubernetes lets tokens of pods be valid for a year for the same reason: who holds them may not
 * look for a new one. */
#define LIFETIME_S (365 * 24 * 3600)

const char *vm_account_of(const struct vm_disk *d)
{
	if (d->volume != VM_VOLUME_CLOUD_INIT || d->seed != VM_SEED_SERVICE_ACCOUNT)
		return NULL;
	return json_str_or(json_get(d->cloud_init, "serviceAccountName"), "");
}

struct json *vm_account_request(struct arena *a, const struct vm_spec *s)
{
	struct json *doc = json_new_object(a), *spec = json_object_at(a, doc, "spec");
	struct json *bound = json_object_at(a, spec, "boundObjectRef");

	json_set_str(a, doc, "apiVersion", "authentication.k8s.io/v1");
	json_set_str(a, doc, "kind", "TokenRequest");
	json_set(a, spec, "audiences", json_new_array(a)); /* the server's own */
	json_set_int(a, spec, "expirationSeconds", LIFETIME_S);
	json_set_str(a, bound, "apiVersion", "kubevirt.io/v1");
	json_set_str(a, bound, "kind", "VirtualMachineInstance");
	json_set_str(a, bound, "name", s->name);
	json_set_str(a, bound, "uid", s->uid);
	return doc;
}

int vm_account_read(struct arena *a, const struct vm_spec *s, const struct json *status,
	const struct json *authority, struct vm_disk *d, struct err *err)
{
	const char *token = json_str(json_get(status, "token"));
	const char *certificate = json_str(json_get(authority, "ca.crt"));
	struct json *files = json_new_object(a);

	if (!token || !*token)
		return err_set(err, -ENOENT, "no token of serviceaccount '%s'", vm_account_of(d));
	if (!certificate)
		return err_set(err, -ENOENT, "configmap '" VM_ACCOUNT_AUTHORITY "' has no ca.crt");
	json_set_str(a, files, "ca.crt", certificate);
	json_set_str(a, files, "namespace", s->namespace);
	json_set_str(a, files, "token", token);
	d->fields = files;
	return 0;
}
