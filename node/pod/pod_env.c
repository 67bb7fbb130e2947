/* pod_env.c - see pod_env.h. */
#include "node/pod/pod_env.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/table.h"
#include "lib/object/quantity.h"
#include "node/pod/pod_model.h"

enum {
	INVALID_NAMES_MAX_BYTES = 512,
	INDEX_MIN = 32, /* fewer are compared one by one */
};

/* ---- variables by name ---- */

static size_t slot_of(const struct env_vars *v, const char *name, size_t size)
{
	size_t at = (size_t)table_hash(name, size) & (v->index_room - 1);

	for (; v->index[at]; at = (at + 1) & (v->index_room - 1)) {
		const char *there = v->items[v->index[at] - 1].name;
		if (strncmp(there, name, size) == 0 && there[size] == '\0')
			break;
	}
	return at;
}

static void index_one(struct env_vars *v, size_t i)
{
	v->index[slot_of(v, v->items[i].name, strlen(v->items[i].name))] = (uint32_t)i + 1;
}

/* At most half full. */
static void index_grow(struct arena *a, struct env_vars *v)
{
	v->index_room = v->room * 2;
	v->index = arena_zalloc(a, v->index_room * sizeof(*v->index));
	for (size_t i = 0; i < v->count; i++)
		index_one(v, i);
}

static void push(struct arena *a, struct env_vars *v, const char *name, const char *value)
{
	if (v->count == v->room) {
		size_t room = v->room ? v->room * 2 : 16;
		v->items = arena_grow(
			a, v->items, v->room * sizeof(*v->items), room * sizeof(*v->items));
		v->room = room;
		if (room > INDEX_MIN)
			index_grow(a, v);
	}
	v->items[v->count++] = (struct env_var){name, value};
	if (v->index)
		index_one(v, v->count - 1);
}

static struct env_var *find(const struct env_vars *v, const char *name, size_t size)
{
	if (v->index) {
		uint32_t at = v->index[slot_of(v, name, size)];
		return at ? &v->items[at - 1] : NULL;
	}
	for (size_t i = 0; i < v->count; i++) {
		if (strncmp(v->items[i].name, name, size) == 0 && v->items[i].name[size] == '\0')
			return &v->items[i];
	}
	return NULL;
}

static void put(struct arena *a, struct env_vars *v, const char *name, const char *value)
{
	struct env_var *old = find(v, name, strlen(name));

	if (old)
		old->value = value;
	else
		push(a, v, name, value);
}

/* What env and envFrom set, and how much of it there may still be. */
struct own_vars {
	struct env_vars vars;
	size_t sets, room;
};

static int too_much(struct err *err)
{
	return err_set(err, -E2BIG,
		"environment and arguments are more than a process can be given: %u MiB, or more "
		"than "
		"%d variables",
		ENV_TEXT_MAX_BYTES >> 20, ENV_SET_MAX);
}

static int set(
	struct arena *a, struct own_vars *v, const char *name, const char *value, struct err *err)
{
	size_t size = strlen(name) + strlen(value) + 2;

	if (size > v->room || ++v->sets > ENV_SET_MAX)
		return too_much(err);
	v->room -= size;
	put(a, &v->vars, name, value);
	return 0;
}

static const char *expand(struct arena *a, const char *text, const struct env_vars *vars,
	const struct env_vars *more, size_t *room)
{
	if (!strchr(text, '$'))
		return text;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	bool open = false; /* no ')' follows: looked for once, however many "$(" there are */
	buf_add_str(&out, "");
	for (const char *p = text; *p;) {
		if (out.size > *room)
			return NULL;
		if (p[0] != '$' || (p[1] != '$' && p[1] != '(')) {
			buf_add_char(&out, *p++);
			continue;
		}
		if (p[1] == '$') {
			buf_add_char(&out, '$');
			p += 2;
			continue;
		}
		const char *end = open ? NULL : strchr(p + 2, ')');
		open = !end;
		if (!end) {
			/* An open reference is text. */
			buf_add_str(&out, "$(");
			p += 2;
			continue;
		}
		size_t size = (size_t)(end - p) - 2;
		const struct env_var *var = find(vars, p + 2, size);
		if (!var && more)
			var = find(more, p + 2, size);
		if (var)
			buf_add_str(&out, var->value);
		else
			buf_add(&out, p, (size_t)(end - p) + 1);
		p = end + 1;
	}
	if (out.size > *room)
		return NULL;
	*room -= out.size;
	return arena_memdup(a, out.data, out.size);
}

const char *env_expand(struct arena *a, const char *text, const struct env_vars *vars, size_t *room)
{
	return expand(a, text, vars, NULL, room);
}

const char *env_missing(struct arena *a, const char *text, const struct env_vars *vars)
{
	const char *missing = NULL;

	for (const char *p = text, *end; *p;) {
		if (p[0] == '$' && p[1] == '$') {
			p += 2;
			continue;
		}
		if (p[0] != '$' || p[1] != '(') {
			p++;
			continue;
		}
		end = strchr(p + 2, ')');
		if (!end)
			break;
		size_t size = (size_t)(end - p) - 2;
		const struct env_var *var = find(vars, p + 2, size);
		if (!var || !*var->value)
			missing = arena_printf(a, "%s%s%.*s", missing ? missing : "",
				missing ? ", " : "", (int)size, p + 2);
		p = end + 1;
	}
	return missing;
}

/* As the API server checks names: printable ASCII without '='; the older, narrower rule (C
 * identifier with '-' and '.') decides what envFrom skips. */
static bool name_valid(const char *name)
{
	if (!*name || isdigit((unsigned char)*name))
		return false;
	for (const char *p = name; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
			return false;
	}
	return true;
}

/* metadata.labels['key'] -> key; NULL when it has no subscript. */
static const char *subscript(struct arena *a, const char *path, const char *prefix)
{
	size_t size = strlen(prefix);

	if (strncmp(path, prefix, size) != 0 || strncmp(path + size, "['", 2) != 0 ||
		!str_has_suffix(path, "']"))
		return NULL;
	size_t inner = strlen(path) - size - 4;
	return arena_memdup(a, path + size + 2, inner);
}

static int by_name(const void *x, const void *y)
{
	const struct json_member *const *a = x, *const *b = y;

	return strcmp((*a)->name, (*b)->name);
}

/* key="value" lines, as downward API files have maps. */
static const char *map_text(struct arena *a, const struct json *map)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	size_t n = json_count(map);
	const struct json_member **sorted = arena_alloc(a, (n + 1) * sizeof(*sorted));
	size_t count = 0;

	JSON_FOR_EACH_MEMBER(m, map)
		sorted[count++] = m;
	qsort(sorted, count, sizeof(struct json_member *), by_name);
	for (size_t i = 0; i < count; i++) {
		buf_printf(&out, "%s%s=", i ? "\n" : "", sorted[i]->name);
		const char *v = json_str_or(sorted[i]->value, "");
		json_write_string(&out, v, strlen(v));
	}
	return arena_strdup(a, out.data ? out.data : "");
}

int env_field(struct arena *a, const struct json *pod, const char *path,
	const struct env_context *ctx, const char **ret, struct err *err)
{
	static const struct {
		const char *path, *at;
	} plain[] = {
		{"metadata.name", "metadata.name"},
		{"metadata.namespace", "metadata.namespace"},
		{"metadata.uid", "metadata.uid"},
		{"spec.nodeName", "spec.nodeName"},
		{"spec.serviceAccountName", "spec.serviceAccountName"},
	};
	const char *key;

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (streq(path, plain[i].path)) {
			const char *v = json_path_str(pod, plain[i].at);
			*ret = arena_strdup(a, v ? v : "");
			return 0;
		}
	}
	if (streq(path, "status.hostIPs") && ctx->host_ips)
		*ret = ctx->host_ips;
	else if (streq(path, "status.hostIP") || streq(path, "status.hostIPs"))
		*ret = ctx->host_ip ? ctx->host_ip : "";
	else if (streq(path, "status.podIPs") && ctx->pod_ips)
		*ret = ctx->pod_ips;
	else if (streq(path, "status.podIP") || streq(path, "status.podIPs"))
		*ret = ctx->pod_ip ? ctx->pod_ip : "";
	else if (streq(path, "metadata.labels"))
		*ret = map_text(a, json_path(pod, "metadata.labels"));
	else if (streq(path, "metadata.annotations"))
		*ret = map_text(a, json_path(pod, "metadata.annotations"));
	else if ((key = subscript(a, path, "metadata.labels")))
		*ret = json_str_or(json_get(json_path(pod, "metadata.labels"), key), "");
	else if ((key = subscript(a, path, "metadata.annotations")))
		*ret = json_str_or(json_get(json_path(pod, "metadata.annotations"), key), "");
	else
		return err_set(err, -EINVAL, "unsupported fieldPath: %s", path);
	return 0;
}

static bool is_container_resource(const char *name)
{
	return streq(name, "cpu") || streq(name, "memory") || streq(name, "ephemeral-storage") ||
	       str_has_prefix(name, "hugepages-");
}

static int64_t round_up(int64_t value, int64_t divisor)
{
	return divisor > 0 ? value / divisor + (value % divisor > 0) : value;
}

int env_resource(struct arena *a, const struct json *pod, const struct json *container,
	const struct json *ref, const struct env_context *ctx, const char **ret, struct err *err)
{
	const char *other = json_str(json_get(ref, "containerName"));
	const char *resource = json_str_or(json_get(ref, "resource"), "");
	const struct json *divisor = json_get(ref, "divisor");
	const char *dot = strchr(resource, '.');

	if (other && *other)
		container = pod_container_doc_named(pod, other);
	if (!container)
		return err_set(err, -ENOENT, "container %s not found", other ? other : "");
	bool limits = str_has_prefix(resource, "limits.");
	if (!dot || (!limits && !str_has_prefix(resource, "requests.")))
		return err_set(err, -EINVAL, "unsupported container resource: %s", resource);
	const char *what = dot + 1;
	const struct json *list =
		json_path(container, limits ? "resources.limits" : "resources.requests");
	const struct json *amount = json_get(list, what);
	const struct node_amounts *most = ctx->allocatable;

	int64_t n;
	if (!is_container_resource(what))
		return err_set(err, -EINVAL, "unsupported container resource: %s", resource);
	if (streq(what, "cpu")) {
		int64_t milli = quantity_json_milli(amount, limits && most ? most->cpu_milli : 0);
		int64_t by = quantity_json_milli(divisor, 1000);
		n = round_up(milli, by ? by : 1000);
	} else {
		int64_t unset = 0;
		if (limits && most && streq(what, "memory"))
			unset = most->memory_bytes;
		else if (limits && most && streq(what, "ephemeral-storage"))
			unset = most->ephemeral_bytes;
		int64_t value = quantity_json_value(amount, unset);
		int64_t by = quantity_json_value(divisor, 1);
		n = round_up(value, by ? by : 1);
	}
	*ret = arena_printf(a, "%lld", (long long)n);
	return 0;
}

static int from_key_ref(struct arena *a, const struct json *ref, bool secret, const char *ns,
	const struct env_context *ctx, const char **ret, struct err *err)
{
	const char *name = json_str_or(json_get(ref, "name"), "");
	const char *key = json_str_or(json_get(ref, "key"), "");
	bool optional = json_bool_or(json_get(ref, "optional"), false);
	const struct json *o =
		secret ? ctx->secret(ctx->user, name) : ctx->config_map(ctx->user, name);

	*ret = NULL;
	if (!o) {
		if (optional)
			return 0;
		return err_set(
			err, -ENOENT, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
	}
	const char *v = json_str(json_get(json_get(o, "data"), key));
	if (!v) {
		if (optional)
			return 0;
		return err_set(err, -ENOENT, "couldn't find key %s in %s %s/%s", key,
			secret ? "Secret" : "ConfigMap", ns, name);
	}
	if (!secret) {
		*ret = v;
		return 0;
	}
	char *plain;
	size_t size;
	if (base64_decode(a, str_from(v), &plain, &size) < 0)
		return err_set(err, -EINVAL, "key %s of Secret %s/%s is no base64", key, ns, name);
	*ret = plain;
	return 0;
}

static int add_from(struct arena *a, const struct json *from, const char *ns,
	const struct env_context *ctx, struct own_vars *ret, struct err *err)
{
	const struct json *ref = json_get(from, "configMapRef");
	bool secret = !ref;
	if (secret)
		ref = json_get(from, "secretRef");
	if (!ref)
		return 0;
	const char *name = json_str_or(json_get(ref, "name"), "");
	const char *prefix = json_str_or(json_get(from, "prefix"), "");
	const struct json *o =
		secret ? ctx->secret(ctx->user, name) : ctx->config_map(ctx->user, name);
	if (!o) {
		if (json_bool_or(json_get(ref, "optional"), false))
			return 0;
		return err_set(
			err, -ENOENT, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
	}
	_cleanup_(buf_finish) struct buf invalid = BUF_INIT;
	JSON_FOR_EACH_MEMBER(m, json_get(o, "data")) {
		const char *var = *prefix ? arena_printf(a, "%s%s", prefix, m->name)
					  : arena_strdup(a, m->name);
		const char *value = json_str_or(m->value, "");
		size_t size;
		char *plain;
		if (!name_valid(var)) {
			if (invalid.size < INVALID_NAMES_MAX_BYTES)
				buf_printf(&invalid, "%s%s", invalid.size ? ", " : "", var);
			continue;
		}
		if (secret) {
			if (base64_decode(a, str_from(value), &plain, &size) < 0)
				return err_set(err, -EINVAL, "key %s of Secret %s/%s is no base64",
					m->name, ns, name);
			value = plain;
		}
		int r = set(a, ret, var, arena_strdup(a, value), err);
		if (r < 0)
			return r;
	}
	if (invalid.size > 0 && ctx->invalid_names)
		ctx->invalid_names(ctx->user, secret, name, invalid.data);
	return 0;
}

static char *env_prefix(struct arena *a, const char *name)
{
	char *s = arena_strdup(a, name);

	for (char *p = s; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return s;
}

static void service_vars(struct arena *a, const struct json *svc, struct env_vars *ret)
{
	const char *ip = json_path_str(svc, "spec.clusterIP");
	const struct json *ports = json_path(svc, "spec.ports");
	const char *type = json_path_str(svc, "spec.type");
	char port[24];

	if (!ip || !*ip || streq(ip, "None") || streq(type, "ExternalName") ||
		json_count(ports) == 0)
		return;
	const char *p = env_prefix(a, json_str_or(json_path(svc, "metadata.name"), ""));
	put(a, ret, arena_printf(a, "%s_SERVICE_HOST", p), ip);
	snprintf(
		port, sizeof(port), "%lld", (long long)json_path_int(json_at(ports, 0), "port", 0));
	put(a, ret, arena_printf(a, "%s_SERVICE_PORT", p), arena_strdup(a, port));
	JSON_FOR_EACH_ITEM(item, ports) {
		const char *name = json_str(json_get(item, "name"));
		if (name && *name)
			put(a, ret, arena_printf(a, "%s_SERVICE_PORT_%s", p, env_prefix(a, name)),
				arena_printf(a, "%lld",
					(long long)json_int_or(json_get(item, "port"), 0)));
	}
	bool first = true;
	JSON_FOR_EACH_ITEM(item, ports) {
		const char *proto = json_str_or(json_get(item, "protocol"), "TCP");
		char *lower = arena_strdup(a, proto);
		for (char *c = lower; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		long long n = (long long)json_int_or(json_get(item, "port"), 0);
		char *url = arena_printf(a, "%s://%s:%lld", lower, ip, n);
		char *base = arena_printf(a, "%s_PORT_%lld_%s", p, n, proto);
		if (first)
			put(a, ret, arena_printf(a, "%s_PORT", p), url);
		first = false;
		put(a, ret, base, url);
		put(a, ret, arena_printf(a, "%s_PROTO", base), lower);
		put(a, ret, arena_printf(a, "%s_PORT", base), arena_printf(a, "%lld", n));
		put(a, ret, arena_printf(a, "%s_ADDR", base), ip);
	}
}

void env_services(struct arena *a, const struct env_context *ctx, bool links, struct env_vars *ret)
{
	for (size_t i = 0; i < ctx->service_count; i++) {
		const struct json *svc = ctx->services[i];
		bool master = streq(json_path_str(svc, "metadata.name"), "kubernetes") &&
			      streq(json_path_str(svc, "metadata.namespace"), "default");
		if (links || master)
			service_vars(a, svc, ret);
	}
}

int env_make(struct arena *a, const struct json *pod, const struct json *container,
	const struct env_context *ctx, struct env_vars *ret, struct err *err)
{
	const char *ns = json_str_or(json_path(pod, "metadata.namespace"), "");
	struct own_vars own = {.room = ENV_TEXT_MAX_BYTES};
	struct env_vars services = {0};
	int r;

	env_services(a, ctx, json_path_bool(pod, "spec.enableServiceLinks", true), &services);
	JSON_FOR_EACH_ITEM(from, json_get(container, "envFrom")) {
		r = add_from(a, from, ns, ctx, &own, err);
		if (r < 0)
			return r;
	}
	JSON_FOR_EACH_ITEM(e, json_get(container, "env")) {
		const char *name = json_str_or(json_get(e, "name"), "");
		const struct json *from = json_get(e, "valueFrom");
		const struct json *ref;
		const char *value;
		if (!from) {
			value = expand(a, json_str_or(json_get(e, "value"), ""), &own.vars,
				&services, &own.room);
			if (!value)
				return too_much(err);
		} else if ((ref = json_get(from, "fieldRef"))) {
			r = env_field(a, pod, json_str_or(json_get(ref, "fieldPath"), ""), ctx,
				&value, err);
			if (r < 0)
				return r;
		} else if ((ref = json_get(from, "resourceFieldRef"))) {
			r = env_resource(a, pod, container, ref, ctx, &value, err);
			if (r < 0)
				return r;
		} else {
			ref = json_get(from, "configMapKeyRef");
			bool secret = !ref;
			if (secret)
				ref = json_get(from, "secretKeyRef");
			r = from_key_ref(a, ref, secret, ns, ctx, &value, err);
			if (r < 0)
				return r;
			if (!value)
				continue; /* optional, and not there */
		}
		r = set(a, &own, name, value, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < services.count; i++) {
		const struct env_var *s = &services.items[i];
		if (!find(&own.vars, s->name, strlen(s->name)))
			push(a, &own.vars, s->name, s->value);
	}
	*ret = own.vars;
	return 0;
}
