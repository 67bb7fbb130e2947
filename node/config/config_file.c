/* config_file.c - reads a KubeletConfiguration into struct node_config. */
#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/listing.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/object/quantity.h"
#include "node/config/config_fields.h"
#include "node/config/sysctls.h"

#define FILE_MAX_BYTES (1u << 20)
#define API_VERSION "kubelet.config.k8s.io/v1beta1"
enum { PATH_ROOM = 256, SHOWN_MAX = 120 };

struct reading {
	struct arena *a;
	const char *file;
	struct node_config *c;
	struct err *err;
	struct listing unused;
	VEC(const char *) soft_signals; /* of evictionSoft, which need a grace period each */
};

/* "FILE: field: value: what to give" */
static int refuse(struct reading *r, const char *path, const struct json *v, const char *mend)
{
	const char *text = json_text(r->a, v);
	size_t size = utf8_cut(text, strlen(text), SHOWN_MAX);

	return err_set(r->err, -EINVAL, "%s: %s: %.*s%s: %s", r->file, path, (int)size, text,
		text[size] ? "..." : "", mend);
}

static bool is_zero(const struct json *v)
{
	int64_t ns;

	switch (v->type) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return !v->b;
	case JSON_INT:
		return v->i == 0;
	case JSON_DOUBLE:
		return v->d == 0;
	case JSON_STRING:
		return v->count == 0 || (duration_parse(v->s, &ns) >= 0 && ns == 0);
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	JSON_FOR_EACH_MEMBER(m, v) {
		if (!is_zero(m->value))
			return false;
	}
	return !json_is(v, JSON_ARRAY) || json_count(v) == 0;
}

static bool is_choice(const char *choices, const char *text)
{
	struct str rest = str_from(choices), one;

	while (str_split(&rest, '|', &one)) {
		if (str_eq(one, text))
			return true;
	}
	return false;
}

static bool is_plain(const struct json *v) /* a string without NUL bytes in it */
{
	return json_is(v, JSON_STRING) && strlen(v->s) == v->count;
}

static bool is_ip(const char *text)
{
	struct in6_addr in;

	return inet_pton(AF_INET, text, &in) == 1 || inet_pton(AF_INET6, text, &in) == 1;
}

static int read_number(struct reading *r, const struct field *f, const struct json *v, int64_t *ret)
{
	bool whole = json_is(v, JSON_INT) || json_is(v, JSON_DOUBLE);
	int64_t i = whole ? json_int_or(v, INT64_MIN) : INT64_MIN;

	if (i == INT64_MIN || i < f->min || i > f->max)
		return refuse(r, f->path, v,
			f->max >= INT64_C(2147483647)
				? arena_printf(r->a, "give a whole number of at least %lld",
					  (long long)f->min)
				: arena_printf(r->a, "give a whole number from %lld to %lld",
					  (long long)f->min, (long long)f->max));
	*ret = i;
	return 0;
}

/* ret_ms */
static int read_duration(struct reading *r, const char *path, const struct json *v, int64_t min,
	int64_t max, int64_t *ret)
{
	int64_t ns;

	if (!is_plain(v) || duration_parse(v->s, &ns) < 0)
		return refuse(r, path, v, "give a duration such as \"30s\" or \"5m0s\"");
	if (ns < min * NS_PER_MS || ns / NS_PER_MS > max)
		return refuse(r, path, v,
			max >= INT64_MAX / NS_PER_MS
				? arena_printf(r->a, "give at least %s",
					  duration_text(r->a, min * NS_PER_MS))
				: arena_printf(r->a, "give from %s to %s",
					  duration_text(r->a, min * NS_PER_MS),
					  duration_text(r->a, max * NS_PER_MS)));
	*ret = ns / NS_PER_MS;
	return 0;
}

static int read_list(
	struct reading *r, const struct field *f, const struct json *v, const char *const **ret)
{
	if (!json_is(v, JSON_ARRAY))
		return refuse(r, f->path, v, "give a list of strings");
	const char **list = arena_alloc(r->a, (json_count(v) + 1) * sizeof(*list));
	size_t count = 0;
	JSON_FOR_EACH_ITEM(it, v) {
		if (!is_plain(it) || it->count == 0)
			return refuse(r, f->path, it, "give a list of strings");
		if (f->type == FIELD_IPS && !is_ip(it->s))
			return refuse(r, f->path, it, "give IPv4 or IPv6 addresses");
		struct err why = ERR_INIT;
		if (f->type == FIELD_SYSCTLS && sysctl_check_pattern(it->s, &why) < 0)
			return refuse(r, f->path, it, why.msg);
		if (f->choices && !is_choice(f->choices, it->s))
			return refuse(
				r, f->path, it, arena_printf(r->a, "give one of %s", f->choices));
		list[count++] = it->s;
	}
	list[count] = NULL;
	*ret = list;
	return 0;
}

/* "5%" or a quantity. */
static int read_amount(struct reading *r, const char *path, const struct json *v, bool positive,
	struct node_amount *ret)
{
	const char *mend = positive
				   ? "give a quantity above 0 (\"100Mi\") or a percentage (\"10%\")"
				   : "give a quantity (\"100Mi\") or a percentage (\"10%\")";
	struct quantity q;

	if (!is_plain(v))
		return refuse(r, path, v, mend);
	if (str_has_suffix(v->s, "%")) {
		char *end;
		double percent = v->s[0] >= '0' && v->s[0] <= '9' ? strtod(v->s, &end) : -1;
		if (percent < 0 || percent > 100 || !streq(end, "%"))
			return refuse(r, path, v, "give a percentage from 0% to 100%");
		*ret = (struct node_amount){.is_percent = true, .percent = percent};
		return 0;
	}
	if (quantity_parse(v->s, &q) < 0 || q.nano < 0 || (positive && q.nano == 0))
		return refuse(r, path, v, mend);
	*ret = (struct node_amount){.value = quantity_value(q)};
	return 0;
}

/* -1 = known to Kubernetes, not here; -ENOENT = unknown. */
static int signal_number(const char *name)
{
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		if (streq(config_signal_names[i], name))
			return i;
	}
	return streq(name, "allocatableMemory.available") || streq(name, "containerfs.available") ||
			       streq(name, "containerfs.inodesFree")
		       ? -1
		       : -ENOENT;
}

static int read_signals(struct reading *r, const struct field *f, const struct json *v)
{
	struct node_threshold *hard = r->c->eviction_hard, *soft = r->c->eviction_soft;

	if (!json_is(v, JSON_OBJECT))
		return refuse(r, f->path, v, "give a map of signals, such as memory.available");
	/* What the map leaves out is off: it takes the place of the defaults as a whole. */
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		if (f->type == FIELD_EVICTION_HARD)
			hard[i] = (struct node_threshold){.min_reclaim = hard[i].min_reclaim};
	}
	JSON_FOR_EACH_MEMBER(m, v) {
		const char *path = arena_printf(r->a, "%s.%s", f->path, m->name);
		int at = signal_number(m->name), e = 0;
		if (at == -ENOENT)
			return refuse(r, path, m->value,
				"no such eviction signal: give memory.available, nodefs.available, "
				"nodefs.inodesFree, imagefs.available, imagefs.inodesFree or "
				"pid.available");
		if (at < 0) {
			listing_add(&r->unused, "%s", path);
			continue;
		}
		struct node_threshold *t = f->type == FIELD_EVICTION_HARD ? &hard[at] : &soft[at];
		struct node_amount amount;
		switch (f->type) {
		case FIELD_EVICTION_HARD:
		case FIELD_EVICTION_SOFT:
			/* 0% and 100% turn a signal off, as in Kubernetes. */
			if (is_plain(m->value) &&
				(streq(m->value->s, "0%") || streq(m->value->s, "100%")))
				continue;
			e = read_amount(r, path, m->value, true, &t->below);
			t->set = true;
			if (f->type == FIELD_EVICTION_SOFT)
				VEC_PUSH(&r->soft_signals, m->name);
			break;
		case FIELD_EVICTION_GRACE:
			e = read_duration(
				r, path, m->value, 0, INT64_MAX / NS_PER_MS, &t->grace_ms);
			break;
		default:
			e = read_amount(r, path, m->value, false, &amount);
			hard[at].min_reclaim = soft[at].min_reclaim = amount;
			break;
		}
		if (e < 0)
			return e;
	}
	return 0;
}

static int read_reserved(struct reading *r, const struct field *f, const struct json *v)
{
	struct node_reserved *to = (struct node_reserved *)((char *)r->c + f->offset);

	if (!json_is(v, JSON_OBJECT))
		return refuse(r, f->path, v, "give a map such as {cpu: 100m, memory: 200Mi}");
	*to = (struct node_reserved){0};
	JSON_FOR_EACH_MEMBER(m, v) {
		const char *path = arena_printf(r->a, "%s.%s", f->path, m->name);
		struct quantity q;
		if (!is_plain(m->value) || quantity_parse(m->value->s, &q) < 0 || q.nano < 0)
			return refuse(r, path, m->value, "give a quantity of 0 or more");
		if (streq(m->name, "cpu"))
			to->cpu_milli = quantity_milli_value(q);
		else if (streq(m->name, "memory"))
			to->memory_bytes = quantity_value(q);
		else if (streq(m->name, "ephemeral-storage"))
			to->ephemeral_bytes = quantity_value(q);
		else if (streq(m->name, "pid"))
			to->pids = quantity_value(q);
		else
			return refuse(r, path, m->value,
				"only cpu, memory, ephemeral-storage and pid can be reserved");
	}
	return 0;
}

static bool is_taint_effect(const char *text)
{
	return text && is_choice("NoSchedule|PreferNoSchedule|NoExecute", text);
}

static int read_taints(struct reading *r, const struct field *f, const struct json *v)
{
	if (!json_is(v, JSON_ARRAY))
		return refuse(r, f->path, v, "give a list of {key, value, effect}");
	const char **list = arena_alloc(r->a, (json_count(v) + 1) * sizeof(*list));
	size_t count = 0;
	JSON_FOR_EACH_ITEM(it, v) {
		const char *key = json_str(json_get(it, "key"));
		const char *effect = json_str(json_get(it, "effect"));
		if (!key || !*key || !is_taint_effect(effect))
			return refuse(r, f->path, it,
				"a taint has a key and the effect NoSchedule, PreferNoSchedule or "
				"NoExecute");
		list[count++] = arena_printf(
			r->a, "%s=%s:%s", key, json_str_or(json_get(it, "value"), ""), effect);
	}
	list[count] = NULL;
	r->c->register_taints = list;
	return 0;
}

static int read_labels(struct reading *r, const struct field *f, const struct json *v)
{
	if (!json_is(v, JSON_OBJECT))
		return refuse(r, f->path, v, "give a map of labels");
	const char **list = arena_alloc(r->a, (json_count(v) + 1) * sizeof(*list));
	size_t count = 0;
	JSON_FOR_EACH_MEMBER(m, v) {
		if (!is_plain(m->value))
			return refuse(r, arena_printf(r->a, "%s.%s", f->path, m->name), m->value,
				"give a string");
		list[count++] = arena_printf(r->a, "%s=%s", m->name, m->value->s);
	}
	list[count] = NULL;
	r->c->register_labels = list;
	return 0;
}

static int by_priority(const void *x, const void *y)
{
	const struct node_shutdown_step *a = x, *b = y;

	return a->priority < b->priority ? -1 : a->priority > b->priority;
}

static int read_steps(struct reading *r, const struct field *f, const struct json *v)
{
	if (!json_is(v, JSON_ARRAY))
		return refuse(
			r, f->path, v, "give a list of {priority, shutdownGracePeriodSeconds}");
	struct node_shutdown_step *list = arena_alloc(r->a, (json_count(v) + 1) * sizeof(*list));
	size_t count = 0;
	JSON_FOR_EACH_ITEM(it, v) {
		int64_t priority = json_int_or(json_get(it, "priority"), INT64_MIN);
		int64_t grace = json_int_or(json_get(it, "shutdownGracePeriodSeconds"), -1);
		if (priority < INT32_MIN || priority > INT32_MAX || grace < 0 || grace > INT32_MAX)
			return refuse(r, f->path, it,
				"give whole numbers for priority and shutdownGracePeriodSeconds, "
				"the latter of 0 or more");
		list[count++] = (struct node_shutdown_step){priority, grace};
	}
	if (count > 1)
		qsort(list, count, sizeof(*list), by_priority);
	r->c->shutdown_by_priority = list;
	r->c->shutdown_by_priority_count = count;
	return 0;
}

static int read_field(struct reading *r, const struct field *f, const struct json *v)
{
	void *at = (char *)r->c + f->offset;
	struct quantity q;
	int64_t i;
	int e;

	if (json_is(v, JSON_NULL) || (f->zero_is_default && is_zero(v)))
		return 0;
	switch (f->type) {
	case FIELD_BOOL:
		if (!json_is(v, JSON_BOOL))
			return refuse(r, f->path, v, "give true or false");
		*(bool *)at = v->b;
		return 0;
	case FIELD_INT:
		return read_number(r, f, v, at);
	case FIELD_NUMBER:
		e = read_number(r, f, v, &i);
		if (e >= 0)
			*(double *)at = (double)i;
		return e;
	case FIELD_STRING:
	case FIELD_MODE:
		if (!is_plain(v))
			return refuse(r, f->path, v, "give a string");
		if (f->choices && !is_choice(f->choices, v->s))
			return refuse(
				r, f->path, v, arena_printf(r->a, "give one of %s", f->choices));
		if (f->type == FIELD_MODE)
			r->c->always_allow = streq(v->s, "AlwaysAllow");
		else
			*(const char **)at = v->s;
		return 0;
	case FIELD_LIST:
	case FIELD_IPS:
	case FIELD_SYSCTLS:
		return read_list(r, f, v, at);
	case FIELD_DURATION:
		return read_duration(r, f->path, v, f->min, f->max, at);
	case FIELD_BYTES:
		if (!is_plain(v) || quantity_parse(v->s, &q) < 0 || quantity_value(q) < f->min)
			return refuse(r, f->path, v, "give a quantity above 0, such as \"10Mi\"");
		*(int64_t *)at = quantity_value(q);
		return 0;
	case FIELD_EVICTION_HARD:
	case FIELD_EVICTION_SOFT:
	case FIELD_EVICTION_GRACE:
	case FIELD_EVICTION_RECLAIM:
		return read_signals(r, f, v);
	case FIELD_RESERVED:
		return read_reserved(r, f, v);
	case FIELD_TAINTS:
		return read_taints(r, f, v);
	case FIELD_LABELS:
		return read_labels(r, f, v);
	case FIELD_SHUTDOWN_STEPS:
		return read_steps(r, f, v);
	}
	return 0;
}

static const struct field *field_at(const char *path)
{
	for (size_t i = 0; i < config_field_count; i++) {
		if (streq(config_fields[i].path, path))
			return &config_fields[i];
	}
	return NULL;
}

/* Some field's path begins with "path.". */
static bool is_group(const char *path)
{
	size_t size = strlen(path);

	for (size_t i = 0; i < config_field_count; i++) {
		const char *p = config_fields[i].path;
		if (str_has_prefix(p, path) && p[size] == '.')
			return true;
	}
	return false;
}

static bool is_unused(const char *path)
{
	for (size_t i = 0; config_unused[i]; i++) {
		if (streq(config_unused[i], path))
			return true;
	}
	return false;
}

static int read_group(struct reading *r, const char *above, const struct json *group)
{
	char path[PATH_ROOM];

	JSON_FOR_EACH_MEMBER(m, group) {
		if (!above && (streq(m->name, "apiVersion") || streq(m->name, "kind")))
			continue;
		int n = snprintf(path, sizeof(path), "%s%s%s", above ? above : "", above ? "." : "",
			m->name);
		const struct field *f = n < PATH_ROOM ? field_at(path) : NULL;
		int e = 0;
		if (f)
			e = read_field(r, f, m->value);
		else if (n < PATH_ROOM && is_unused(path))
			/* Generated files are full of fields that say nothing. */
			is_zero(m->value) ? (void)0 : listing_add(&r->unused, "%s", path);
		else if (n >= PATH_ROOM || !is_group(path))
			return err_set(r->err, -EINVAL,
				"%s: unknown field \"%s\": remove it, or see KubeletConfiguration "
				"of " API_VERSION " for its spelling",
				r->file, path);
		else if (json_is(m->value, JSON_NULL))
			continue;
		else if (!json_is(m->value, JSON_OBJECT))
			return refuse(r, path, m->value, "give a map");
		else
			e = read_group(r, path, m->value);
		if (e < 0)
			return e;
	}
	return 0;
}

/* What only shows when all is read. */
static int check_together(struct reading *r)
{
	struct node_config *c = r->c;

	for (size_t i = 0; i < r->soft_signals.count; i++) {
		const char *name = r->soft_signals.items[i];
		if (c->eviction_soft[signal_number(name)].grace_ms == 0)
			return err_set(r->err, -EINVAL,
				"%s: evictionSoft.%s: grace period must be specified for the soft "
				"eviction threshold: give evictionSoftGracePeriod.%s",
				r->file, name, name);
	}
	if (c->image_gc_low_percent >= c->image_gc_high_percent)
		return err_set(r->err, -EINVAL,
			"%s: imageGCLowThresholdPercent: %lld: give less than "
			"imageGCHighThresholdPercent, which is %lld",
			r->file, (long long)c->image_gc_low_percent,
			(long long)c->image_gc_high_percent);
	if (c->image_maximum_gc_age_ms && c->image_maximum_gc_age_ms <= c->image_minimum_gc_age_ms)
		return err_set(r->err, -EINVAL,
			"%s: imageMaximumGCAge: %s: give more than imageMinimumGCAge, or 0s",
			r->file, duration_text(r->a, c->image_maximum_gc_age_ms * NS_PER_MS));
	if (c->shutdown_grace_critical_ms > c->shutdown_grace_ms)
		return err_set(r->err, -EINVAL,
			"%s: shutdownGracePeriodCriticalPods: %s: give at most "
			"shutdownGracePeriod, of which it is a part",
			r->file, duration_text(r->a, c->shutdown_grace_critical_ms * NS_PER_MS));
	if (c->shutdown_by_priority_count &&
		(c->shutdown_grace_ms || c->shutdown_grace_critical_ms))
		return err_set(r->err, -EINVAL,
			"%s: shutdownGracePeriodByPodPriority: cannot be used together with "
			"shutdownGracePeriod and shutdownGracePeriodCriticalPods: give one of them",
			r->file);
	if (!*c->tls_cert_file != !*c->tls_key_file)
		return err_set(r->err, -EINVAL,
			"%s: tlsCertFile: give it together with tlsPrivateKeyFile", r->file);
	if (!is_ip(c->address))
		return err_set(r->err, -EINVAL, "%s: address: \"%s\": give an IP address", r->file,
			c->address);
	if (c->healthz_port && !is_ip(c->healthz_bind_address))
		return err_set(r->err, -EINVAL,
			"%s: healthzBindAddress: \"%s\": give an IP address", r->file,
			c->healthz_bind_address);
	const char *const *enforced = c->enforce_node_allocatable;
	for (size_t i = 0; enforced[i]; i++) {
		/* Groups of the system's own are left as they are. */
		if (!streq(enforced[i], "pods") && !streq(enforced[i], "none"))
			listing_add(&r->unused, "enforceNodeAllocatable.%s", enforced[i]);
		if (streq(enforced[i], "none") && (i || enforced[1]))
			return err_set(r->err, -EINVAL,
				"%s: enforceNodeAllocatable: may not contain additional "
				"enforcements "
				"when \"none\" is specified: give [none] alone, or leave it out",
				r->file);
		if (streq(enforced[i], "pods") && !c->cgroups_per_qos)
			return err_set(r->err, -EINVAL,
				"%s: enforceNodeAllocatable: \"pods\": needs cgroupsPerQOS: give "
				"[none], or cgroupsPerQOS: true",
				r->file);
	}
	if (c->pod_pids_limit == 0)
		return err_set(r->err, -EINVAL,
			"%s: podPidsLimit: 0: no container could start: give -1 for no limit, or "
			"more than 0",
			r->file);
	return 0;
}

static int parse(struct reading *r, struct str text)
{
	struct json *doc;
	size_t space = 0;
	int e;

	while (space < text.size && strchr(" \t\r\n", text.p[space]))
		space++;
	if (space < text.size && text.p[space] == '{')
		e = json_parse(r->a, text.p, text.size, NULL, &doc, r->err);
	else
		e = yaml_parse(r->a, text.p, text.size, NULL, &doc, r->err);
	if (e < 0)
		return err_context(r->err, e, "%s", r->file);
	if (!streq(json_str(json_get(doc, "apiVersion")), API_VERSION) ||
		!streq(json_str(json_get(doc, "kind")), "KubeletConfiguration"))
		return err_set(r->err, -EINVAL,
			"%s: not a configuration of the node agent: it begins with "
			"\"apiVersion: " API_VERSION "\" and \"kind: KubeletConfiguration\"",
			r->file);
	e = read_group(r, NULL, doc);
	return e < 0 ? e : check_together(r);
}

int node_config_parse(
	struct arena *a, const char *path, struct str text, struct node_config *c, struct err *err)
{
	struct err own = ERR_INIT;
	struct reading r = {.a = a, .file = path, .c = c, .err = err ? err : &own};
	r.unused.between = ", ";

	int e = parse(&r, text);
	const char *unused = listing_take(&r.unused, a);
	if (e >= 0 && *unused)
		log_warn("settings that have no effect here", "file", path, "fields", unused, NULL);
	VEC_FINISH(&r.soft_signals);
	return e;
}

int node_config_read(struct arena *a, const char *path, struct node_config *c, struct err *err)
{
	struct str text;
	int r = file_load(a, path, FILE_MAX_BYTES, &text, err);

	return r < 0 ? r : node_config_parse(a, path, text, c, err);
}

/* ---- command line ---- */

static const char *const *add_to_list(
	struct arena *a, const char *const *old, const char *text, size_t *ret_from)
{
	size_t count = 0, more = 1;

	while (old[count])
		count++;
	for (const char *p = text; *p; p++)
		more += *p == ',';
	const char **list = arena_alloc(a, (count + more + 1) * sizeof(*list));
	memcpy(list, old, count * sizeof(*list));
	*ret_from = count;
	struct str rest = str_from(text), one;
	while (str_split(&rest, ',', &one)) {
		if (one.size)
			list[count++] = arena_memdup(a, one.p, one.size);
	}
	list[count] = NULL;
	return list;
}

int node_config_add_labels(
	struct arena *a, struct node_config *c, const char *text, struct err *err)
{
	size_t i;
	const char *const *list = add_to_list(a, c->register_labels, text, &i);

	for (; list[i]; i++) {
		if (*list[i] == '=' || !strchr(list[i], '='))
			return err_set(err, -EINVAL, "label '%s': give KEY=VALUE", list[i]);
	}
	c->register_labels = list;
	return 0;
}

int node_config_add_taints(
	struct arena *a, struct node_config *c, const char *text, struct err *err)
{
	size_t i;
	const char *const *list = add_to_list(a, c->register_taints, text, &i);

	for (; list[i]; i++) {
		const char *colon = strrchr(list[i], ':');
		if (!colon || !is_taint_effect(colon + 1) || *list[i] == '=' || *list[i] == ':')
			return err_set(err, -EINVAL,
				"taint '%s': give KEY[=VALUE]:EFFECT, the effect being NoSchedule, "
				"PreferNoSchedule or NoExecute",
				list[i]);
	}
	c->register_taints = list;
	return 0;
}
