/* config_doc.c - struct node_config as a KubeletConfiguration, for /configz. */
#include "lib/base/clock.h"
#include "lib/object/quantity.h"
#include "node/config/config_fields.h"
#include "node/config/config_parts.h"

static struct json *list_doc(struct arena *a, const char *const *list)
{
	struct json *v = json_new_array(a);

	for (size_t i = 0; list[i]; i++)
		json_push(a, v, json_new_string(a, list[i]));
	return v;
}

static struct json *amount_doc(struct arena *a, const struct node_amount *m, bool bytes)
{
	if (m->is_percent)
		return json_new_printf(a, "%g%%", m->percent);
	struct quantity q = {.nano = (__int128)m->value * 1000000000};
	return json_new_string(a, quantity_text(a, q, bytes));
}

static bool counts_bytes(int signal)
{
	return signal == SIGNAL_MEMORY_AVAILABLE || signal == SIGNAL_NODEFS_AVAILABLE ||
	       signal == SIGNAL_IMAGEFS_AVAILABLE;
}

static struct json *signals_doc(struct arena *a, const struct node_config *c, enum field_type type)
{
	struct json *o = json_new_object(a);

	for (int i = 0; i < SIGNAL_COUNT; i++) {
		const struct node_threshold *t =
			type == FIELD_EVICTION_HARD ? &c->eviction_hard[i] : &c->eviction_soft[i];
		const struct node_amount *least = &c->eviction_hard[i].min_reclaim;
		struct json *v = NULL;
		if (type == FIELD_EVICTION_RECLAIM)
			v = least->value || least->percent > 0
				    ? amount_doc(a, least, counts_bytes(i))
				    : NULL;
		else if (type == FIELD_EVICTION_GRACE)
			v = t->set ? json_new_string(a, duration_text(a, t->grace_ms * NS_PER_MS))
				   : NULL;
		else if (t->set)
			v = amount_doc(a, &t->below, counts_bytes(i));
		if (v)
			json_set(a, o, config_signal_names[i], v);
	}
	return o;
}

static struct json *reserved_doc(struct arena *a, const struct node_reserved *r)
{
	struct json *o = json_new_object(a);
	const struct {
		const char *name;
		__int128 nano;
		bool binary;
	} all[] = {
		{"cpu", (__int128)r->cpu_milli * 1000000, false},
		{"memory", (__int128)r->memory_bytes * 1000000000, true},
		{"ephemeral-storage", (__int128)r->ephemeral_bytes * 1000000000, true},
		{"pid", (__int128)r->pids * 1000000000, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct quantity q = {.nano = all[i].nano};
		if (all[i].nano)
			json_set_str(a, o, all[i].name, quantity_text(a, q, all[i].binary));
	}
	return o;
}

struct json *config_taints_doc(struct arena *a, const char *const *list)
{
	struct json *v = json_new_array(a);

	for (size_t i = 0; list[i]; i++) {
		struct json *t = json_new_object(a);
		const char *colon = strrchr(list[i], ':');
		size_t key = strcspn(list[i], "=:");
		json_set_str(a, t, "effect", colon + 1);
		json_set(a, t, "key", json_new_string_n(a, list[i], key));
		if (list[i][key] == '=' && list[i] + key + 1 < colon)
			json_set(a, t, "value",
				json_new_string_n(
					a, list[i] + key + 1, (size_t)(colon - list[i]) - key - 1));
		json_push(a, v, t);
	}
	return v;
}

static struct json *steps_doc(struct arena *a, const struct node_config *c)
{
	struct json *v = json_new_array(a);

	for (size_t i = 0; i < c->shutdown_by_priority_count; i++) {
		struct json *o = json_new_object(a);
		json_set_int(a, o, "priority", c->shutdown_by_priority[i].priority);
		json_set_int(
			a, o, "shutdownGracePeriodSeconds", c->shutdown_by_priority[i].grace_s);
		json_push(a, v, o);
	}
	return v;
}

static struct json *value_doc(struct arena *a, const struct node_config *c, const struct field *f)
{
	const void *at = (const char *)c + f->offset;

	switch (f->type) {
	case FIELD_BOOL:
		return json_new_bool(a, *(const bool *)at);
	case FIELD_INT:
		return json_new_int(a, *(const int64_t *)at);
	case FIELD_NUMBER:
		return json_new_int(a, (int64_t) * (const double *)at);
	case FIELD_STRING:
		return json_new_string(a, *(const char *const *)at);
	case FIELD_MODE:
		return json_new_string(a, c->always_allow ? "AlwaysAllow" : "Webhook");
	case FIELD_LIST:
	case FIELD_IPS:
	case FIELD_SYSCTLS:
		return list_doc(a, *(const char *const *const *)at);
	case FIELD_DURATION:
		return json_new_string(a, duration_text(a, *(const int64_t *)at * NS_PER_MS));
	case FIELD_BYTES: {
		struct quantity q = {.nano = (__int128)*(const int64_t *)at * 1000000000};
		return json_new_string(a, quantity_text(a, q, true));
	}
	case FIELD_EVICTION_HARD:
	case FIELD_EVICTION_SOFT:
	case FIELD_EVICTION_GRACE:
	case FIELD_EVICTION_RECLAIM:
		return signals_doc(a, c, f->type);
	case FIELD_RESERVED:
		return reserved_doc(a, at);
	case FIELD_TAINTS:
		return config_taints_doc(a, c->register_taints);
	case FIELD_SHUTDOWN_STEPS:
		return steps_doc(a, c);
	case FIELD_LABELS:
		break; /* not Kubernetes' */
	}
	return NULL;
}

struct json *node_config_doc(struct arena *a, const struct node_config *c)
{
	struct json *doc = json_new_object(a);

	for (size_t i = 0; i < config_field_count; i++) {
		struct json *v = value_doc(a, c, &config_fields[i]);
		bool empty =
			(json_is(v, JSON_OBJECT) || json_is(v, JSON_ARRAY)) && json_count(v) == 0;
		if (v && !empty)
			json_path_set(a, doc, config_fields[i].path, v);
	}
	json_set_str(a, doc, "apiVersion", "kubelet.config.k8s.io/v1beta1");
	json_set_str(a, doc, "kind", "KubeletConfiguration");
	return doc;
}
