/* PodSecurity: the labels pod-security.kubernetes.io/{enforce,warn,audit}[-version] of a namespace
 * say what its pods may be (Kubernetes: "Pod Security Admission"). Pods that may not be are
 * refused; templates of pods only get a warning: their pods will be refused in their time. */
#include "server/api/admission/admission_internal.h"
#include "server/api/admission/pod_security_policy.h"

#define PREFIX "pod-security.kubernetes.io/"
#define PODS_CHECKED_MAX 3000 /* of a namespace whose labels change */

struct policies {
	struct pod_security_policy enforce, warn, audit;
};

static const struct pod_security_policy unbound = {POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST};

static void label_error(
	struct field_errors *errors, const char *key, const char *value, const char *want)
{
	field_error(errors, FIELD_INVALID, arena_printf(errors->arena, "metadata.labels[%s]", key),
		json_new_string(errors->arena, value), "%s", want);
}

/* One label. What can't be read is taken for the strictest where it is enforced, else passed over.
 */
static void apply_label(
	struct policies *p, const char *key, const char *value, struct field_errors *errors)
{
	static const struct {
		const char *name;
		size_t offset;
	} modes[] = {
		{"enforce", offsetof(struct policies, enforce)},
		{"warn", offsetof(struct policies, warn)},
		{"audit", offsetof(struct policies, audit)},
	};
	const char *rest = key + strlen(PREFIX);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct pod_security_policy *to =
			(struct pod_security_policy *)(void *)((char *)p + modes[i].offset);
		size_t size = strlen(modes[i].name);
		if (strncmp(rest, modes[i].name, size) != 0)
			continue;
		if (!rest[size]) {
			if (pod_security_level_parse(value, &to->level) == 0)
				return;
			to->level = i == 0 ? POD_SECURITY_RESTRICTED : POD_SECURITY_PRIVILEGED;
			if (errors)
				label_error(errors, key, value,
					"must be one of privileged, baseline, restricted");
		} else if (streq(rest + size, "-version")) {
			if (pod_security_version_parse(value, &to->minor) == 0)
				return;
			to->minor = POD_SECURITY_LATEST;
			if (errors)
				label_error(errors, key, value, "must be \"latest\" or \"v1.x\"");
		}
	}
}

static struct policies policies_of_map(const struct json *labels, struct field_errors *errors)
{
	struct policies p = {unbound, unbound, unbound};
	JSON_FOR_EACH_MEMBER(m, labels)
		if (str_has_prefix(m->name, PREFIX))
			apply_label(&p, m->name, json_str_or(m->value, ""), errors);
	return p;
}

/* False when the namespace says nothing: the usual case, which must cost nothing. */
static bool policies_of_namespace(const struct admission_review *r, struct policies *ret)
{
	const struct api *api = r->req->api;
	const struct object *o = cache_get(api->cache, api->namespaces, "", r->namespace);
	bool any = false;
	*ret = (struct policies){unbound, unbound, unbound};
	for (size_t i = 0; o && i < o->label_count; i++) {
		if (!str_has_prefix(o->labels[i].key, PREFIX))
			continue;
		any = true;
		apply_label(ret, o->labels[i].key, o->labels[i].value, NULL);
	}
	return any;
}

static int evaluate(const struct admission_review *r, const struct policies *p,
	const struct json *annotations, const struct json *spec, bool enforce)
{
	struct arena *a = r->req->arena;
	const char *reasons, *details;
	if (enforce && !pod_security_allows(a, p->enforce, annotations, spec, &reasons, &details))
		return admission_forbid(r, "violates PodSecurity \"%s\": %s",
			pod_security_policy_text(a, p->enforce), details);
	if (!pod_security_allows(a, p->warn, annotations, spec, &reasons, &details))
		api_warn(r->req, arena_printf(a, "would violate PodSecurity \"%s\": %s",
					 pod_security_policy_text(a, p->warn), details));
	return 0;
}

/* ---- pods ---- */

static bool is_ignored(const char *part)
{
	static const char *const ignored[] = {
		"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		if (streq(part, ignored[i]))
			return true;
	return false;
}

static bool same_images(const struct json *now, const struct json *was)
{
	if (json_count(now) != json_count(was))
		return false;
	for (size_t i = 0; i < json_count(now); i++)
		if (!json_equal(
			    json_get(json_at(now, i), "image"), json_get(json_at(was, i), "image")))
			return false;
	return true;
}

/* Of what can change, only this counts. */
static bool significant(const struct json *doc, const struct json *old)
{
	static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!same_images(json_get(json_get(doc, "spec"), lists[i]),
			    json_get(json_get(old, "spec"), lists[i])))
			return true;
	const struct json *now = json_path(doc, "metadata.annotations");
	const struct json *was = json_path(old, "metadata.annotations");
	static const char *const prefixes[] = {"seccomp.security.alpha.kubernetes.io/",
		"container.seccomp.security.alpha.kubernetes.io/",
		"container.apparmor.security.beta.kubernetes.io/"};
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		JSON_FOR_EACH_MEMBER(m, now)
			if (str_has_prefix(m->name, prefixes[i]) &&
				!json_equal(m->value, json_get(was, m->name)))
				return true;
		JSON_FOR_EACH_MEMBER(m, was)
			if (str_has_prefix(m->name, prefixes[i]) && !json_get(now, m->name))
				return true;
	}
	return false;
}

static int check_pod(const struct admission_review *r)
{
	struct policies p;
	if (is_ignored(r->part) || !policies_of_namespace(r, &p))
		return 0;
	if (r->old && !significant(r->doc, r->old))
		return 0;
	return evaluate(
		r, &p, json_path(r->doc, "metadata.annotations"), json_get(r->doc, "spec"), true);
}

/* ---- templates ---- */

/* Where the pod's template is in the kind; NULL = it has none. */
static const char *template_path(const struct kind *k)
{
	static const struct {
		const char *group, *kind, *path;
	} known[] = {
		{"", "PodTemplate", "template"},
		{"", "ReplicationController", "spec.template"},
		{"apps", "ReplicaSet", "spec.template"},
		{"apps", "Deployment", "spec.template"},
		{"apps", "DaemonSet", "spec.template"},
		{"apps", "StatefulSet", "spec.template"},
		{"batch", "Job", "spec.template"},
		{"batch", "CronJob", "spec.jobTemplate.spec.template"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(k->kind, known[i].kind) && streq(k->group, known[i].group))
			return known[i].path;
	return NULL;
}

static int check_template(const struct admission_review *r)
{
	struct policies p;
	if (*r->part || !policies_of_namespace(r, &p) || p.warn.level == POD_SECURITY_PRIVILEGED)
		return 0;
	const char *path = template_path(r->kind);
	const struct json *template = path ? json_path(r->doc, path) : NULL;
	if (!template)
		return 0;
	return evaluate(r, &p, json_path(template, "metadata.annotations"),
		json_get(template, "spec"), false);
}

/* ---- virtual machines ---- */

/* A disk that is a file of the host is what a hostPath is to a pod: not for baseline. (Of the rest
 * of a machine nothing is a container's.) Templates get a warning. */
static int check_machine(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	bool instance = streq(r->kind->kind, "VirtualMachineInstance");
	const char *path = instance ? "spec.volumes" : "spec.template.spec.volumes";
	const struct json *volumes = json_path(r->doc, path);
	struct policies p;
	if (!policies_of_namespace(r, &p) ||
		(r->old && json_equal(volumes, json_path(r->old, path))))
		return 0;
	struct json *spec = json_new_object(a), *paths = json_array_at(a, spec, "volumes");
	JSON_FOR_EACH_ITEM(v, volumes) {
		struct json *one = json_new_object(a);
		if (!json_get(v, "hostDisk"))
			continue;
		json_set_str(a, one, "name", json_str_or(json_get(v, "name"), ""));
		json_set(a, one, "hostPath", json_new_object(a));
		json_push(a, paths, one);
	}
	if (!json_count(paths))
		return 0;
	p.enforce.level = MIN(p.enforce.level, POD_SECURITY_BASELINE);
	p.warn.level = MIN(instance ? p.warn.level : MAX(p.warn.level, p.enforce.level),
		POD_SECURITY_BASELINE);
	return evaluate(r, &p, NULL, spec, instance);
}

static bool is_machine(const struct kind *k)
{
	return streq(k->group, "kubevirt.io") &&
	       (streq(k->kind, "VirtualMachineInstance") || streq(k->kind, "VirtualMachine"));
}

/* ---- namespaces ---- */

/* Pods with the same faults are told together, by the first name of them. */
struct fault {
	const char *text, *pod;
	size_t count;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *fault_text(struct arena *a, const struct fault *f)
{
	if (f->count == 1)
		return arena_printf(a, "%s: %s", f->pod, f->text);
	return arena_printf(a, "%s (and %zu other pod%s): %s", f->pod, f->count - 1,
		f->count > 2 ? "s" : "", f->text);
}

static void warn_of_pods(const struct admission_review *r, struct pod_security_policy policy)
{
	struct api *api = r->req->api;
	struct arena *a = r->req->arena;
	struct cache_page page;
	cache_list(api->cache, &(struct cache_query){.kind = api->pods, .namespace = r->name}, a,
		&page);
	size_t count = MIN(page.count, (size_t)PODS_CHECKED_MAX), found = 0;
	struct fault *faults = arena_alloc(a, (count + 1) * sizeof(*faults));
	for (size_t i = 0; i < count; i++) {
		const char *reasons, *details;
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(page.items[i], &scratch);
		if (pod_security_allows(&scratch, policy, json_path(doc, "metadata.annotations"),
			    json_get(doc, "spec"), &reasons, &details))
			continue;
		size_t n = 0;
		while (n < found && !streq(faults[n].text, reasons))
			n++;
		/* Pods come in the order of their names. */
		if (n == found)
			faults[found++] = (struct fault){
				arena_strdup(a, reasons), arena_strdup(a, page.items[i]->name), 0};
		faults[n].count++;
	}
	if (count < page.count)
		api_warn(r->req,
			arena_printf(a,
				"new PodSecurity enforce level only checked against the first %zu "
				"of %zu existing pods",
				count, page.count));
	if (!found)
		return;
	api_warn(r->req, arena_printf(a,
				 "existing pods in namespace \"%s\" violate the new PodSecurity "
				 "enforce level \"%s\"",
				 r->name, pod_security_policy_text(a, policy)));
	const char **texts = arena_alloc(a, found * sizeof(*texts));
	for (size_t i = 0; i < found; i++)
		texts[i] = fault_text(a, &faults[i]);
	qsort(texts, found, sizeof(*texts), by_text);
	for (size_t i = 0; i < found; i++)
		api_warn(r->req, texts[i]);
}

static int check_namespace(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	struct field_errors errors = {.arena = a}, old_errors = {.arena = a};
	if (*r->part)
		return 0;
	struct policies p = policies_of_map(json_path(r->doc, "metadata.labels"), &errors);
	struct policies was = policies_of_map(json_path(r->old, "metadata.labels"), &old_errors);
	/* Labels that were wrong before may stay so. */
	if (field_error_count(&errors) &&
		!(r->old && old_errors.causes && json_equal(errors.causes, old_errors.causes)))
		return status_invalid(a, &r->req->st, r->kind, r->name, &errors);
	bool same = p.enforce.level == was.enforce.level && p.enforce.minor == was.enforce.minor;
	bool relaxed = p.enforce.minor == was.enforce.minor && p.enforce.level <= was.enforce.level;
	if (r->old && !same && !relaxed && p.enforce.level != POD_SECURITY_PRIVILEGED)
		warn_of_pods(r, p.enforce);
	return 0;
}

static int validate(const struct admission_review *r)
{
	if (admission_is_pod(r))
		return check_pod(r);
	if (r->kind == r->req->api->namespaces)
		return check_namespace(r);
	if (is_machine(r->kind))
		return check_machine(r);
	return *r->namespace ? check_template(r) : 0;
}

const struct admission_plugin admission_pod_security = {
	.name = "PodSecurity",
	.validate = validate,
};
