/* memory_dump.c - memorydump and removememorydump: requests in the machine's status, for the loop
 * that has the guest's memory written to a claim. */
#include "server/api/machines/machines.h"

#include "lib/object/quantity.h"

struct dump {
	const char *claim; /* "" = that of the last one */
	bool remove;
};

static int refuse(struct update *u, const char *detail)
{
	return machines_conflict(u->req, "virtualmachine", detail);
}

static int add(struct update *u, const struct json *present, struct json *request)
{
	const struct dump *d = u->user;
	struct arena *a = u->req->arena;
	const struct json *was = json_path(present, "status.memoryDumpRequest");
	const char *old = json_str_or(json_get(was, "claimName"), "");
	const char *phase = json_str_or(json_get(was, "phase"), "");
	const char *claim = *d->claim ? d->claim : old;
	if (!*claim)
		return status_bad_request(
			a, &u->req->st, "Memory dump requires claim name to be set");
	if (*old && !streq(old, claim))
		return refuse(u, arena_printf(a,
					 "can't request memory dump for pvc [%s] while pvc [%s] is "
					 "still associated as the memory dump pvc",
					 claim, old));
	if (streq(phase, "Dissociating"))
		return refuse(u, arena_printf(a,
					 "can't dump memory for pvc [%s] a remove memory dump "
					 "request is in progress",
					 claim));
	if (was && !streq(phase, "Completed") && !streq(phase, "Failed"))
		return refuse(
			u, arena_printf(a, "memory dump request for pvc [%s] already in progress",
				   claim));
	json_set_str(a, request, "claimName", claim);
	json_set_str(a, request, "phase", "Associating");
	return 0;
}

static int dissociate(struct update *u, const struct json *present, struct json *request)
{
	struct arena *a = u->req->arena;
	const struct json *was = json_path(present, "status.memoryDumpRequest");
	const char *claim = json_str_or(json_get(was, "claimName"), "");
	if (!was)
		return refuse(u, arena_printf(a,
					 "can't remove memory dump association for vm %s, no "
					 "association found",
					 u->name));
	if (json_path_bool(was, "remove", false))
		return refuse(
			u, arena_printf(a, "memory dump remove request for pvc [%s] already exists",
				   claim));
	json_set_str(a, request, "claimName", claim);
	json_set_str(a, request, "phase", "Dissociating");
	json_set_bool(a, request, "remove", true);
	return 0;
}

static int change(struct update *u, const struct json *present, struct json **ret)
{
	const struct dump *d = u->user;
	struct arena *a = u->req->arena;
	struct json *doc = json_copy(a, present), *request = json_new_object(a);
	int r = d->remove ? dissociate(u, present, request) : add(u, present, request);
	if (r < 0)
		return r;
	json_set(a, json_object_at(a, doc, "status"), "memoryDumpRequest", request);
	*ret = doc;
	return 0;
}

/* The claim must take the guest's memory and 100 MiB of what the file has besides. */
#define FILE_OVERHEAD_BYTES (100LL << 20)

static int check_claim(struct api_request *req, const char *name)
{
	struct arena *a = req->arena;
	const struct object *vmi = machines_instance(req);
	if (!vmi)
		return machines_not_found(req, "virtualmachineinstance", req->route.name);
	if (!streq(object_field(vmi, "status.phase"), "Running"))
		return machines_conflict(req, "virtualmachineinstance", "VMI is not running");
	if (!*name)
		return 0;
	const struct object *pvc = cache_get(req->api->cache,
		kind_by_resource(req->api->kinds, "", "v1", "persistentvolumeclaims"),
		req->route.namespace, name);
	struct route route = req->route;
	req->route.name = name; /* the words are about the claim */
	int r = 0;
	if (!pvc) {
		r = machines_not_found(req, "persistentvolumeclaim", name);
	} else {
		const struct json *spec = json_get(object_doc(pvc, a), "spec");
		bool writable = false;
		JSON_FOR_EACH_ITEM(mode, json_get(spec, "accessModes"))
			writable |= !streq(json_str(mode), "ReadOnlyMany");
		const struct json *wanted = json_path(spec, "resources.requests.storage");
		const struct json *domain = json_path(object_doc(vmi, a), "spec.domain");
		const struct json *guest = json_path(domain, "memory.guest");
		if (!guest)
			guest = json_path(domain, "resources.requests.memory");
		int64_t least = quantity_json_value(guest, 0) + FILE_OVERHEAD_BYTES;
		if (streq(json_str(json_get(spec, "volumeMode")), "Block"))
			r = machines_conflict(
				req, "persistentvolumeclaim", "pvc should be filesystem pvc");
		else if (!writable)
			r = machines_conflict(
				req, "persistentvolumeclaim", "pvc access mode can't be read only");
		else if (quantity_json_value(wanted, INT64_MAX) < least)
			r = machines_conflict(req, "persistentvolumeclaim",
				arena_printf(a, "pvc size [%s] should be bigger then [%lldMi]",
					json_str_or(wanted, "0"), (long long)(least >> 20)));
	}
	req->route = route;
	return r;
}

static void run(struct api_request *req, bool remove)
{
	struct dump *d = ARENA_NEW(req->arena, struct dump);
	struct json *options;
	int r = machines_options(req, &options);
	*d = (struct dump){
		.claim = json_str_or(json_get(options, "claimName"), ""), .remove = remove};
	if (r == 0 && !machines_machine(req))
		r = machines_not_found(req, "virtualmachine", req->route.name);
	if (r == 0 && !remove)
		r = check_claim(req, d->claim);
	if (r < 0) {
		api_fail(req);
		return;
	}
	machines_update(req, &(struct machines_change){req->kind, "lifecycle", change, NULL, d});
}

void machines_memory_dump(struct api_request *req)
{
	run(req, false);
}

void machines_remove_memory_dump(struct api_request *req)
{
	run(req, true);
}
