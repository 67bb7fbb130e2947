#include "server/scheduler/workload.h"

#include <stdio.h>

#include "lib/base/clock.h"

/* Virtual machines with processors of their own go where a node has them to give: KubeVirt's label.
 */
#define CPU_MANAGER_LABEL "cpumanager"

struct workload *workload_ref(struct workload *w)
{
	w->refs++;
	return w;
}

void workload_unref(struct workload *w)
{
	if (!w || --w->refs > 0)
		return;
	object_unref(w->object);
	arena_finish(&w->arena);
	free(w);
}

static void hold(struct workload *w, struct object *o)
{
	w->object = object_ref(o);
	w->ns = o->namespace;
	w->name = o->name;
	w->uid = o->uid;
	w->labels = o->labels;
	w->label_count = o->label_count;
	w->terminating = o->deleting;
}

void workload_renew(struct workload *w, struct object *o)
{
	struct object *old = w->object;
	hold(w, o);
	object_unref(old);
}

/* Selectors of nodes. */

/* The document goes before the workload does. */
static struct selector node_requirements(struct arena *a, const struct json *list)
{
	_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
	struct selector s = selector_from_node_requirements(&scratch, list);
	return selector_copy(a, &s);
}

static struct node_term node_term(struct arena *a, const struct json *term, int64_t weight)
{
	const struct json *labels = json_get(term, "matchExpressions"),
			  *fields = json_get(term, "matchFields");
	return (struct node_term){
		.labels = node_requirements(a, labels),
		.fields = node_requirements(a, fields),
		.empty = !json_count(labels) && !json_count(fields),
		.weight = weight,
	};
}

const struct node_term *node_terms_read(struct arena *a, const struct json *list, size_t *ret_count)
{
	struct node_term *all = arena_alloc(a, (json_count(list) + 1) * sizeof(*all));
	*ret_count = 0;
	JSON_FOR_EACH_ITEM(t, list)
		all[(*ret_count)++] = node_term(a, t, 0);
	return all;
}

static void read_node_affinity(struct workload *w, const struct json *spec)
{
	struct arena *a = &w->arena;
	const struct json *node = json_path(spec, "affinity.nodeAffinity");
	const struct json *required =
		json_get(node, "requiredDuringSchedulingIgnoredDuringExecution");
	const struct json *terms = json_get(required, "nodeSelectorTerms");
	const struct json *preferred =
		json_get(node, "preferredDuringSchedulingIgnoredDuringExecution");
	if (!node)
		return;
	w->has_terms = json_is(required, JSON_OBJECT);
	w->terms = node_terms_read(a, terms, &w->term_count);
	struct node_term *like = arena_alloc(a, (json_count(preferred) + 1) * sizeof(*like));
	JSON_FOR_EACH_ITEM(t, preferred)
		like[w->preferred_count++] = node_term(
			a, json_get(t, "preference"), json_int_or(json_get(t, "weight"), 0));
	w->preferred = like;
}

static void read_node_selector(struct workload *w, const struct json *spec, bool own_processors)
{
	const struct json *map = json_get(spec, "nodeSelector");
	size_t count = json_count(map) + own_processors;
	if (!count)
		return;
	struct requirement *items = arena_alloc(&w->arena, count * sizeof(*items));
	w->selector.items = items;
	JSON_FOR_EACH_MEMBER(m, map) {
		const char **value = arena_alloc(&w->arena, sizeof(*value));
		*value = arena_strdup(&w->arena, json_str_or(m->value, ""));
		items[w->selector.count++] =
			(struct requirement){arena_strdup(&w->arena, m->name), SEL_EQ, value, 1};
	}
	if (own_processors) {
		static const char *yes[] = {"true"};
		items[w->selector.count++] =
			(struct requirement){CPU_MANAGER_LABEL, SEL_EQ, yes, 1};
	}
}

static enum taint_effect effect_of(const char *text)
{
	return streq(text, "NoSchedule")	 ? TAINT_NO_SCHEDULE
	       : streq(text, "PreferNoSchedule") ? TAINT_PREFER_NO_SCHEDULE
	       : streq(text, "NoExecute")	 ? TAINT_NO_EXECUTE
						 : TAINT_ANY;
}

static void read_tolerations(struct workload *w, const struct json *spec)
{
	struct arena *a = &w->arena;
	const struct json *list = json_get(spec, "tolerations");
	if (!json_count(list))
		return;
	struct toleration *all = arena_alloc(a, json_count(list) * sizeof(*all));
	JSON_FOR_EACH_ITEM(t, list)
		all[w->toleration_count++] = (struct toleration){
			.key = arena_strdup(a, json_str_or(json_get(t, "key"), "")),
			.value = arena_strdup(a, json_str_or(json_get(t, "value"), "")),
			.exists = streq(json_str(json_get(t, "operator")), "Exists"),
			.effect = effect_of(json_str_or(json_get(t, "effect"), "")),
		};
	w->tolerations = all;
}

bool workload_tolerates(const struct workload *w, const struct taint *t)
{
	for (size_t n = 0; n < w->toleration_count; n++) {
		const struct toleration *to = &w->tolerations[n];
		if (to->effect != TAINT_ANY && to->effect != t->effect)
			continue;
		if (!to->key[0] ? to->exists
				: streq(to->key, t->key) &&
					  (to->exists || streq(to->value, t->value)))
			return true;
	}
	return false;
}

/* Pods. */

static bool is_sidecar(const struct json *container)
{
	return streq(json_str(json_get(container, "restartPolicy")), "Always");
}

static void add_ports(
	struct workload *w, const struct json *containers, bool sidecars, bool host_network)
{
	JSON_FOR_EACH_ITEM(c, containers) {
		if (sidecars && !is_sidecar(c))
			continue;
		JSON_FOR_EACH_ITEM(p, json_get(c, "ports")) {
			int64_t port = json_int_or(json_get(p, "hostPort"),
				host_network ? json_int_or(json_get(p, "containerPort"), 0) : 0);
			const char *ip = json_str_or(json_get(p, "hostIP"), "");
			if (port <= 0)
				continue;
			struct host_port *to = &w->ports[w->port_count++];
			*to = (struct host_port){.port = port};
			snprintf(to->ip, sizeof(to->ip), "%s",
				streq(ip, "0.0.0.0") || streq(ip, "::") ? "" : ip);
			snprintf(to->protocol, sizeof(to->protocol), "%s",
				json_str_or(json_get(p, "protocol"), "TCP"));
		}
	}
}

static void read_ports(struct workload *w, const struct json *spec)
{
	bool host_network = json_path_bool(spec, "hostNetwork", false);
	const struct json *containers = json_get(spec, "containers"),
			  *init = json_get(spec, "initContainers");
	size_t room = 0;
	JSON_FOR_EACH_ITEM(c, containers)
		room += json_count(json_get(c, "ports"));
	JSON_FOR_EACH_ITEM(c, init)
		room += json_count(json_get(c, "ports"));
	if (!room)
		return;
	w->ports = arena_alloc(&w->arena, room * sizeof(*w->ports));
	add_ports(w, containers, false, host_network);
	add_ports(w, init, true, host_network);
}

/* "name" is "name:latest" on nodes. */
static const char *image_name(struct arena *a, const char *image)
{
	const char *base = strrchr(image, '/');
	return strpbrk(base ? base : image, ":@") ? arena_strdup(a, image)
						  : arena_printf(a, "%s:latest", image);
}

static void read_images(struct workload *w, const struct json *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	size_t room = json_count(json_get(spec, "containers")) +
		      json_count(json_get(spec, "initContainers"));
	w->images = arena_alloc(&w->arena, (room + 1) * sizeof(*w->images));
	for (size_t n = 0; n < ARRAY_LEN(lists); n++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[n])) {
			const char *image = json_str_or(json_get(c, "image"), "");
			w->images[w->image_count++] = image_name(&w->arena, image);
		}
}

static void add_claim(struct workload *w, const char *name, bool ephemeral)
{
	if (name && name[0])
		w->claims[w->claim_count++] =
			(struct workload_claim){arena_strdup(&w->arena, name), ephemeral};
}

static void read_claims(struct workload *w, const struct json *spec)
{
	const struct json *volumes = json_get(spec, "volumes");
	if (!json_count(volumes))
		return;
	w->claims = arena_alloc(&w->arena, json_count(volumes) * sizeof(*w->claims));
	JSON_FOR_EACH_ITEM(v, volumes) {
		if (json_path(v, "ephemeral.volumeClaimTemplate"))
			add_claim(w,
				arena_printf(&w->arena, "%s-%s", w->name,
					json_str_or(json_get(v, "name"), "")),
				true);
		else if (json_get(v, "persistentVolumeClaim"))
			add_claim(w, json_path_str(v, "persistentVolumeClaim.claimName"), false);
		else if (json_path(v, "ephemeral.persistentVolumeClaim"))
			add_claim(w, json_path_str(v, "ephemeral.persistentVolumeClaim.claimName"),
				false);
		else if (json_get(v, "dataVolume")) /* makes a claim of its name */
			add_claim(w, json_path_str(v, "dataVolume.name"), false);
	}
}

static void read_pod(struct workload *w, const struct json *spec)
{
	const char *node = json_path_str(spec, "nodeName");
	workload_pod_requests(w, spec);
	read_ports(w, spec);
	read_images(w, spec);
	w->node_name = node && node[0] ? arena_strdup(&w->arena, node) : NULL;
	w->gated = json_count(json_get(spec, "schedulingGates")) > 0;
}

static void read_status(struct workload *w, const struct json *status)
{
	const char *nominated = json_path_str(status, "nominatedNodeName");
	const char *started = json_path_str(status, "startTime");
	if (nominated && nominated[0])
		w->nominated = arena_strdup(&w->arena, nominated);
	if (started && time_parse_rfc3339(started, &w->started_ns) < 0)
		w->started_ns = 0;
}

/* The server notes there what the priority class comes to: the kind has no field for it. */
static int64_t instance_priority(const struct json *doc)
{
	const char *text =
		json_str(json_get(json_path(doc, "metadata.annotations"), "hanok.io/priority"));
	int64_t priority;
	return text && parse_i64(str_from(text), &priority) == 0 ? priority : 0;
}

struct workload *workload_create(struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a), *spec = json_get(doc, "spec");
	bool pod = o->kind->group[0] == '\0';
	struct workload *w = xcalloc(1, sizeof(*w));
	w->refs = 1;
	w->arena.first_size = 512;
	hold(w, o);
	if (pod)
		read_pod(w, spec);
	else
		workload_instance_requests(w, spec);
	read_node_selector(
		w, spec, !pod && json_path_bool(spec, "domain.cpu.dedicatedCpuPlacement", false));
	read_node_affinity(w, spec);
	read_tolerations(w, spec);
	read_claims(w, spec);
	workload_read_affinity(w, spec);
	read_status(w, json_get(doc, "status"));
	w->priority = pod ? json_path_int(doc, "spec.priority", 0) : instance_priority(doc);
	w->never_preempts = streq(json_path_str(spec, "preemptionPolicy"), "Never");
	return w;
}
