/* discovery.c - which groups, versions and resources there are, in the legacy documents and in the
 * aggregated one (KEP-3352). Made from the kinds on request: clients keep it for hours. */
#include <stdio.h>

#include "lib/object/custom.h"
#include "server/api/api_internal.h"
#include "server/api/machines/subresources.h"

static const char *const etag_seed = "discovery " HANOK_VERSION;

/* In the order that clients prefer: built-in groups as the kind files have them, then those of
 * custom kinds by name; in each, stable versions before beta before alpha, new before old. */
struct gv {
	const char *group, *version;
	size_t place; /* of the group */
	bool custom;
};

struct gvs {
	struct gv *items;
	size_t count;
};

static bool has_resources(const struct kind *k)
{
	return k->served && k->verb_count;
}

/* "v2beta1" is 2, 1 (beta), 1; anything else than such names is 0, 0, 0. */
struct version_number {
	int64_t major;
	int stability; /* 2 stable, 1 beta, 0 alpha or no such name */
	int64_t minor;
};

static struct version_number version_parse(const char *v)
{
	struct version_number none = {-1, -1, -1}, n = {0, 2, 0};
	char *end;
	if (v[0] != 'v' || v[1] < '1' || v[1] > '9')
		return none;
	n.major = strtoll(v + 1, &end, 10);
	if (!*end)
		return n;
	n.stability = str_has_prefix(end, "beta");
	if (!n.stability && !str_has_prefix(end, "alpha"))
		return none;
	n.minor = strtoll(end + (n.stability ? 4 : 5), &end, 10);
	return *end ? none : n;
}

static int version_compare(const char *a, const char *b)
{
	struct version_number x = version_parse(a), y = version_parse(b);
	if (x.stability != y.stability)
		return x.stability > y.stability ? -1 : 1;
	if (x.major != y.major)
		return x.major > y.major ? -1 : 1;
	if (x.minor != y.minor)
		return x.minor > y.minor ? -1 : 1;
	return strcmp(a, b);
}

static int gv_compare(const void *a, const void *b)
{
	const struct gv *x = a, *y = b;
	if (x->custom != y->custom)
		return x->custom ? 1 : -1;
	if (!x->custom && x->place != y->place)
		return x->place < y->place ? -1 : 1;
	int c = strcmp(x->group, y->group);
	return c ? c : version_compare(x->version, y->version);
}

static void add_gv(struct gvs *g, const char *group, const char *version, bool custom)
{
	struct gv gv = {group, version, g->count, custom};
	for (size_t i = 0; i < g->count; i++) {
		if (!streq(g->items[i].group, group))
			continue;
		if (streq(g->items[i].version, version))
			return;
		/* A custom kind may be in a group of built-in ones. */
		gv.place = g->items[i].place;
		gv.custom = g->items[i].custom;
	}
	g->items[g->count++] = gv;
}

static struct gvs list_gvs(struct api *api, struct arena *a)
{
	size_t n = kind_count(api->kinds);
	struct gvs g = {arena_alloc(a, (n + 1) * sizeof(struct gv)), 0};
	for (int custom = 0; custom < 2; custom++) {
		for (size_t i = 0; i < n; i++) {
			const struct kind *k = kind_at(api->kinds, i);
			if (has_resources(k) && k->custom == custom)
				add_gv(&g, k->group, k->version, custom);
		}
		if (!custom)
			add_gv(&g, VM_SUBRESOURCES_GROUP, "v1", false);
	}
	qsort(g.items, g.count, sizeof(*g.items), gv_compare);
	return g;
}

static bool is_subresources_group(const char *group)
{
	return streq(group, VM_SUBRESOURCES_GROUP);
}

static struct json *strings(struct arena *a, const char *const *s, size_t count)
{
	struct json *list = json_new_array(a);
	for (size_t i = 0; i < count; i++)
		json_push(a, list, json_new_string(a, s[i]));
	return list;
}

static const char * or (const char *s, const char *fallback)
{
	return s && *s ? s : fallback;
}

/* The legacy form: one row a resource or subresource. */
static struct json *resource_row(struct arena *a, const char *name, const char *singular,
	bool namespaced, const char *kind, struct json *verbs)
{
	struct json *row = json_new_object(a);
	json_set_str(a, row, "name", name);
	json_set_str(a, row, "singularName", singular);
	json_set_bool(a, row, "namespaced", namespaced);
	json_set_str(a, row, "kind", kind);
	json_set(a, row, "verbs", verbs);
	return row;
}

static void add_rows(struct arena *a, struct json *rows, const struct kind *k)
{
	struct json *row = resource_row(a, k->plural, or (k->singular, ""), k->namespaced, k->kind,
		strings(a, k->verbs, k->verb_count));
	if (k->short_name_count)
		json_set(a, row, "shortNames", strings(a, k->short_names, k->short_name_count));
	if (k->category_count)
		json_set(a, row, "categories", strings(a, k->categories, k->category_count));
	json_push(a, rows, row);
	for (size_t i = 0; i < k->subresource_count; i++) {
		const struct kind_subresource *s = &k->subresources[i];
		row = resource_row(a, arena_printf(a, "%s/%s", k->plural, s->name), "",
			k->namespaced, or (s->kind, k->kind), strings(a, s->verbs, s->verb_count));
		if (s->kind && (!streq(or (s->group, k->group), k->group) ||
				       !streq(or (s->version, k->version), k->version))) {
			json_set_str(a, row, "group", s->group);
			json_set_str(a, row, "version", s->version);
		}
		json_push(a, rows, row);
	}
}

static void respond_resource_list(struct api_request *req)
{
	struct arena *a = req->arena;
	struct api *api = req->api;
	const struct route *r = &req->route;
	struct json *rows = json_new_array(a);
	for (size_t i = 0; i < kind_count(api->kinds); i++) {
		const struct kind *k = kind_at(api->kinds, i);
		if (has_resources(k) && streq(k->group, r->group) && streq(k->version, r->version))
			add_rows(a, rows, k);
	}
	if (is_subresources_group(r->group) && streq(r->version, "v1")) {
		const char *update = "update";
		json_push(a, rows,
			resource_row(a, "expand-vm-spec", "", true, "VirtualMachine",
				strings(a, &update, 1)));
		for (size_t i = 0; i < vm_subresource_count; i++) {
			const struct vm_subresource *s = &vm_subresources[i];
			const char *verb = vm_subresource_verb(s);
			json_push(a, rows,
				resource_row(a, arena_printf(a, "%s/%s", s->resource, s->name), "",
					true, s->kind, strings(a, &verb, 1)));
		}
	}
	if (!json_count(rows)) {
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
		return;
	}
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "kind", "APIResourceList");
	json_set_str(a, doc, "apiVersion", "v1");
	json_set(a, doc, "groupVersion",
		*r->group ? json_new_printf(a, "%s/%s", r->group, r->version)
			  : json_new_string(a, r->version));
	json_set(a, doc, "resources", rows);
	api_respond_doc(req, 200, doc);
}

static struct json *group_doc(struct arena *a, const struct gvs *all, const char *group)
{
	struct json *versions = json_new_array(a);
	for (size_t i = 0; i < all->count; i++) {
		if (!streq(all->items[i].group, group))
			continue;
		struct json *v = json_new_object(a);
		json_set(a, v, "groupVersion",
			json_new_printf(a, "%s/%s", group, all->items[i].version));
		json_set_str(a, v, "version", all->items[i].version);
		json_push(a, versions, v);
	}
	if (!json_count(versions))
		return NULL;
	struct json *g = json_new_object(a);
	json_set_str(a, g, "name", group);
	json_set(a, g, "versions", versions);
	json_set(a, g, "preferredVersion", json_at(versions, 0));
	return g;
}

static bool first_of_group(const struct gvs *all, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (streq(all->items[j].group, all->items[i].group))
			return false;
	return true;
}

static void respond_group_list(struct api_request *req, const struct gvs *all)
{
	struct arena *a = req->arena;
	struct json *doc = json_new_object(a), *groups = json_new_array(a);
	json_set_str(a, doc, "kind", "APIGroupList");
	json_set_str(a, doc, "apiVersion", "v1");
	for (size_t i = 0; i < all->count; i++)
		if (*all->items[i].group && first_of_group(all, i))
			json_push(a, groups, group_doc(a, all, all->items[i].group));
	json_set(a, doc, "groups", groups);
	api_respond_doc(req, 200, doc);
}

static void respond_versions(struct api_request *req)
{
	struct arena *a = req->arena;
	struct json *doc = json_new_object(a), *versions = json_new_array(a);
	json_set_str(a, doc, "kind", "APIVersions");
	json_push(a, versions, json_new_string(a, "v1"));
	json_set(a, doc, "versions", versions);
	json_set(a, doc, "serverAddressByClientCIDRs", json_new_array(a));
	api_respond_doc(req, 200, doc);
}

/* The aggregated form. */
static struct json *response_kind(
	struct arena *a, const char *group, const char *version, const char *kind)
{
	struct json *k = json_new_object(a);
	json_set_str(a, k, "group", group);
	json_set_str(a, k, "version", version);
	json_set_str(a, k, "kind", kind);
	return k;
}

static struct json *aggregated_resource(struct arena *a, const struct kind *k)
{
	struct json *r = json_new_object(a);
	json_set_str(a, r, "resource", k->plural);
	json_set(a, r, "responseKind", response_kind(a, k->group, k->version, k->kind));
	json_set_str(a, r, "scope", k->namespaced ? "Namespaced" : "Cluster");
	json_set_str(a, r, "singularResource", or (k->singular, ""));
	json_set(a, r, "verbs", strings(a, k->verbs, k->verb_count));
	if (k->short_name_count)
		json_set(a, r, "shortNames", strings(a, k->short_names, k->short_name_count));
	if (k->category_count)
		json_set(a, r, "categories", strings(a, k->categories, k->category_count));
	struct json *subs = json_new_array(a);
	for (size_t i = 0; i < k->subresource_count; i++) {
		const struct kind_subresource *s = &k->subresources[i];
		struct json *sub = json_new_object(a);
		json_set_str(a, sub, "subresource", s->name);
		json_set(a, sub, "responseKind",
			s->kind ? response_kind(a, or (s->group, s->version ? "" : k->group),
					  or (s->version, k->version), s->kind)
				: response_kind(a, k->group, k->version, k->kind));
		json_set(a, sub, "verbs", strings(a, s->verbs, s->verb_count));
		json_push(a, subs, sub);
	}
	if (json_count(subs))
		json_set(a, r, "subresources", subs);
	return r;
}

/* Resources that exist only through their subresources have an empty responseKind. */
static void add_vm_subresources(struct arena *a, struct json *resources)
{
	for (size_t i = 0; i < vm_subresource_count;) {
		const char *resource = vm_subresources[i].resource;
		struct json *r = json_new_object(a), *subs = json_new_array(a);
		json_set_str(a, r, "resource", resource);
		json_set(a, r, "responseKind", response_kind(a, "", "", ""));
		json_set_str(a, r, "scope", "Namespaced");
		json_set_str(a, r, "singularResource", "");
		json_set(a, r, "verbs", json_new_array(a));
		for (; i < vm_subresource_count && streq(vm_subresources[i].resource, resource);
			i++) {
			const struct vm_subresource *s = &vm_subresources[i];
			const char *verb = vm_subresource_verb(s);
			struct json *sub = json_new_object(a);
			json_set_str(a, sub, "subresource", s->name);
			json_set(a, sub, "responseKind",
				response_kind(a, VM_SUBRESOURCES_GROUP, "v1", s->kind));
			json_set(a, sub, "verbs", strings(a, &verb, 1));
			json_push(a, subs, sub);
		}
		json_set(a, r, "subresources", subs);
		json_push(a, resources, r);
	}
}

static struct json *aggregated_group(
	struct api *api, struct arena *a, const struct gvs *all, const char *group)
{
	struct json *item = json_new_object(a), *versions = json_new_array(a);
	struct json *meta = json_object_at(a, item, "metadata");
	json_set(a, meta, "creationTimestamp", json_new_null(a));
	if (*group)
		json_set_str(a, meta, "name", group);
	for (size_t i = 0; i < all->count; i++) {
		if (!streq(all->items[i].group, group))
			continue;
		struct json *v = json_new_object(a), *resources = json_new_array(a);
		json_set_str(a, v, "version", all->items[i].version);
		for (size_t n = 0; n < kind_count(api->kinds); n++) {
			const struct kind *k = kind_at(api->kinds, n);
			if (has_resources(k) && streq(k->group, group) &&
				streq(k->version, all->items[i].version))
				json_push(a, resources, aggregated_resource(a, k));
		}
		if (is_subresources_group(group))
			add_vm_subresources(a, resources);
		json_set(a, v, "resources", resources);
		json_set_str(a, v, "freshness", "Current");
		json_push(a, versions, v);
	}
	json_set(a, item, "versions", versions);
	return item;
}

/* Known from the first answer on, until the kinds change: who has the document gets it never built.
 */
static char *etag_of(struct api_request *req, bool core)
{
	struct discovery_etags *tags = &req->api->discovery_etags;
	uint64_t generation = kind_registry_generation(req->api->kinds) + 1;
	if (tags->generation != generation)
		*tags = (struct discovery_etags){.generation = generation};
	return tags->text[core][streq(req->wanted.version, "v2")];
}

static bool is_fresh(const struct api_request *req, const char *etag)
{
	return *etag && req->if_none_match && strstr(req->if_none_match, etag);
}

static void respond_aggregated(struct api_request *req, const struct gvs *all)
{
	struct arena *a = req->arena;
	struct json *doc = json_new_object(a), *items = json_new_array(a);
	json_set_str(a, doc, "kind", "APIGroupDiscoveryList");
	json_set(a, doc, "apiVersion",
		json_new_printf(a, "apidiscovery.k8s.io/%s", req->wanted.version));
	json_set(a, doc, "metadata", json_new_object(a));
	bool core = req->route.type == ROUTE_API;
	char *etag = etag_of(req, core);
	for (size_t i = 0; i < all->count && !is_fresh(req, etag); i++)
		if (core == !*all->items[i].group && first_of_group(all, i))
			json_push(
				a, items, aggregated_group(req->api, a, all, all->items[i].group));
	json_set(a, doc, "items", items);
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	json_write(&out, doc);
	if (!*etag)
		snprintf(etag, DISCOVERY_ETAG_ROOM, "\"%016llX\"",
			(unsigned long long)(fnv1a_64(out.data, out.size) ^
					     fnv1a_64(etag_seed, strlen(etag_seed))));
	const char *extra =
		arena_printf(a, "ETag: %s\r\nVary: Accept\r\nCache-Control: public\r\n", etag);
	if (is_fresh(req, etag)) {
		api_respond_text(req, 304, NULL, extra, "", 0);
		return;
	}
	const char *type = arena_printf(a,
		"application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
		req->wanted.version);
	api_respond_text(req, 200, type, extra, out.data, out.size);
}

void api_discovery(struct api_request *req)
{
	enum route_type type = req->route.type;
	bool root = type == ROUTE_API || type == ROUTE_APIS;
	if (accept_parse(req->arena, req->accept, root ? SERVES(ACCEPT_DISCOVERY) : 0,
		    &req->wanted) < 0) {
		status_set(req->arena, &req->st, 406, "NotAcceptable",
			"only the following media types are accepted: application/json, "
			"application/yaml");
		api_fail(req);
		return;
	}
	struct gvs all = list_gvs(req->api, req->arena);
	if (root && req->wanted.form == ACCEPT_DISCOVERY) {
		respond_aggregated(req, &all);
	} else if (type == ROUTE_API) {
		respond_versions(req);
	} else if (type == ROUTE_APIS) {
		respond_group_list(req, &all);
	} else if (type == ROUTE_GROUP) {
		struct json *g = group_doc(req->arena, &all, req->route.group);
		if (!g) {
			api_respond_text(req, 404, "text/plain; charset=utf-8", NULL,
				"404 page not found\n", 19);
			return;
		}
		json_set_str(req->arena, g, "kind", "APIGroup");
		json_set_str(req->arena, g, "apiVersion", "v1");
		api_respond_doc(req, 200, g);
	} else {
		respond_resource_list(req);
	}
}
