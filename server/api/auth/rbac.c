#include "server/api/auth/rbac.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

struct role {
	struct policy policy; /* packed */
	size_t uses;	      /* bindings that refer to it, whether or not it is there */
	uint64_t visit;	      /* the last walk that saw it: many bindings may lead to one role */
	bool present;
};

struct grant {
	struct binding *binding;
	const char *subject_kind; /* a literal */
};

struct grants {
	VEC(struct grant) all;
};

struct subject {
	struct grants everywhere;
	struct table by_namespace; /* struct grants * */
	size_t uses;
};

/* What a binding put where, to take it away again. */
struct placement {
	char *key; /* of users or groups */
	bool group;
};

struct binding {
	char *namespace; /* "" for a ClusterRoleBinding */
	char *name;
	char *role_name, *role_key;
	bool cluster_role;
	struct role *role;
	VEC(struct placement) placements;
};

enum { ROLES, CLUSTER_ROLES, BINDINGS, CLUSTER_BINDINGS, KINDS };

struct rbac {
	struct cache *cache;
	const struct kind *kinds[KINDS];
	struct cache_watcher *watchers[KINDS]; /* NULL when closed */
	struct table roles;		       /* "NS/NAME", "/NAME": struct role * */
	struct table bindings;		       /* the same: struct binding * */
	struct table users, groups;	       /* struct subject * */
	uint64_t visit;			       /* of the present walk */
};

static char *key_of(const char *namespace, const char *name)
{
	return xasprintf("%s/%s", namespace, name);
}

static struct role *role_get(struct rbac *r, const char *key)
{
	struct role *role = table_get(&r->roles, key);
	if (!role) {
		role = xcalloc(1, sizeof(*role));
		table_set(&r->roles, key, role);
	}
	return role;
}

static void role_release(struct rbac *r, const char *key, struct role *role)
{
	if (role->present || role->uses)
		return;
	table_remove(&r->roles, key);
	free(role);
}

static void role_set(struct rbac *r, const struct object *o, bool removed)
{
	_cleanup_(free_p) char *key = key_of(o->namespace, o->name);
	struct role *role = role_get(r, key);
	free((void *)(uintptr_t)role->policy.rules);
	role->policy = (struct policy){0};
	role->present = !removed;
	if (!removed) {
		struct arena a = ARENA_INIT;
		struct policy p = policy_decode(&a, json_get(object_doc(o, &a), "rules"));
		role->policy = (struct policy){policy_pack(&p), p.count};
		arena_finish(&a);
	}
	role_release(r, key, role);
}

static struct grants *grants_in(struct subject *s, const char *namespace, bool create)
{
	if (!*namespace)
		return &s->everywhere;
	struct grants *g = table_get(&s->by_namespace, namespace);
	if (!g && create) {
		g = xcalloc(1, sizeof(*g));
		table_set(&s->by_namespace, namespace, g);
	}
	return g;
}

static void place(struct rbac *r, struct binding *b, const char *kind, const char *name)
{
	bool group = streq(kind, "Group");
	struct table *t = group ? &r->groups : &r->users;
	struct subject *s = table_get(t, name);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		table_set(t, name, s);
	}
	s->uses++;
	struct grants *g = grants_in(s, b->namespace, true);
	VEC_PUSH(&g->all, ((struct grant){b, kind}));
	VEC_PUSH(&b->placements, ((struct placement){xstrdup(name), group}));
}

static void unplace(struct rbac *r, struct binding *b, const struct placement *p)
{
	struct table *t = p->group ? &r->groups : &r->users;
	struct subject *s = table_get(t, p->key);
	struct grants *g = grants_in(s, b->namespace, false);
	for (size_t i = 0; i < g->all.count; i++) {
		if (g->all.items[i].binding != b)
			continue;
		VEC_REMOVE(&g->all, i);
		break; /* one a placement */
	}
	if (!g->all.count && *b->namespace) {
		VEC_FINISH(&g->all);
		table_remove(&s->by_namespace, b->namespace);
		free(g);
	}
	if (--s->uses)
		return;
	table_remove(t, p->key);
	VEC_FINISH(&s->everywhere.all);
	table_finish(&s->by_namespace);
	free(s);
}

static void binding_free(struct rbac *r, struct binding *b)
{
	for (size_t i = 0; i < b->placements.count; i++) {
		unplace(r, b, &b->placements.items[i]);
		free(b->placements.items[i].key);
	}
	VEC_FINISH(&b->placements);
	if (b->role) {
		b->role->uses--;
		role_release(r, b->role_key, b->role);
	}
	free(b->namespace);
	free(b->name);
	free(b->role_name);
	free(b->role_key);
	free(b);
}

static void place_subject(struct rbac *r, struct binding *b, const struct json *subject)
{
	const char *kind = json_str_or(json_get(subject, "kind"), "");
	const char *name = json_str_or(json_get(subject, "name"), "");
	const char *ns = json_str_or(json_get(subject, "namespace"), "");
	if (streq(kind, "User"))
		place(r, b, "User", name);
	else if (streq(kind, "Group"))
		place(r, b, "Group", name);
	if (!streq(kind, "ServiceAccount"))
		return;
	if (!*ns)
		ns = b->namespace;
	if (!*ns || !*name)
		return;
	_cleanup_(free_p) char *user = xasprintf(SERVICE_ACCOUNT_PREFIX "%s:%s", ns, name);
	place(r, b, "ServiceAccount", user);
}

static void binding_set(struct rbac *r, const struct object *o, bool removed)
{
	_cleanup_(free_p) char *key = key_of(o->namespace, o->name);
	struct binding *old = table_remove(&r->bindings, key);
	if (old)
		binding_free(r, old);
	if (removed)
		return;
	struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a);
	const char *role = json_path_str(doc, "roleRef.name");
	struct binding *b = xcalloc(1, sizeof(*b));
	b->namespace = xstrdup(o->namespace);
	b->name = xstrdup(o->name);
	b->cluster_role = streq(json_path_str(doc, "roleRef.kind"), "ClusterRole");
	b->role_name = xstrdup(role ? role : "");
	b->role_key = key_of(b->cluster_role ? "" : o->namespace, b->role_name);
	b->role = role_get(r, b->role_key);
	b->role->uses++;
	table_set(&r->bindings, key, b);
	JSON_FOR_EACH_ITEM(subject, json_get(doc, "subjects"))
		place_subject(r, b, subject);
	arena_finish(&a);
}

static void apply(struct rbac *r, int kind, const struct object *o, bool removed)
{
	if (kind == ROLES || kind == CLUSTER_ROLES)
		role_set(r, o, removed);
	else
		binding_set(r, o, removed);
}

static void forget(struct rbac *r)
{
	struct table_iter it = table_iterate(&r->bindings);
	while (table_next(&it))
		binding_free(r, it.value);
	table_finish(&r->bindings);
	it = table_iterate(&r->roles);
	while (table_next(&it)) {
		struct role *role = it.value;
		free((void *)(uintptr_t)role->policy.rules);
		free(role);
	}
	table_finish(&r->roles);
	table_finish(&r->users);
	table_finish(&r->groups);
	r->roles = r->bindings = r->users = r->groups = TABLE_INIT;
}

static void follow(struct rbac *r);

static void on_notify(void *user)
{
	follow(user);
}

static void watch(struct rbac *r)
{
	for (int i = 0; i < KINDS; i++) {
		struct cache_watch_options o = {
			.kind = r->kinds[i], .since = cache_revision(r->cache)};
		if (cache_watch(r->cache, &o, on_notify, r, &r->watchers[i]) < 0)
			abort(); /* the present revision is never too old */
	}
}

static void load(struct rbac *r)
{
	forget(r);
	for (int i = 0; i < KINDS; i++) {
		struct arena a = ARENA_INIT;
		struct cache_page page;
		cache_list(r->cache, &(struct cache_query){.kind = r->kinds[i]}, &a, &page);
		for (size_t n = 0; n < page.count; n++)
			apply(r, i, page.items[n], false);
		arena_finish(&a);
	}
}

/* Takes in what happened since the last time. */
static void follow(struct rbac *r)
{
	for (int i = 0; i < KINDS; i++) {
		struct cache_event e;
		int n = 0;
		while (r->watchers[i] && (n = cache_watch_next(r->watchers[i], &e)) > 0)
			apply(r, i, e.object, e.type == CACHE_DELETED);
		if (n == 0)
			continue;
		/* More happened than the cache remembers. */
		rbac_close(r);
		load(r);
		watch(r);
		return;
	}
}

int rbac_create(
	struct cache *cache, const struct kind_registry *kinds, struct rbac **ret, struct err *err)
{
	static const char *const names[KINDS] = {
		"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"};
	struct rbac *r = xcalloc(1, sizeof(*r));
	r->cache = cache;
	for (int i = 0; i < KINDS; i++) {
		r->kinds[i] = kind_by_name(kinds, "rbac.authorization.k8s.io", "v1", names[i]);
		if (!r->kinds[i]) {
			free(r);
			return err_set(err, -EINVAL, "the kind %s is missing", names[i]);
		}
	}
	load(r);
	watch(r);
	*ret = r;
	return 0;
}

void rbac_close(struct rbac *r)
{
	for (int i = 0; i < KINDS; i++)
		cache_watch_close(TAKE_PTR(r->watchers[i]));
}

void rbac_destroy(struct rbac *r)
{
	if (!r)
		return;
	rbac_close(r);
	forget(r);
	free(r);
}

/* Visits the grants of one subject that count in a namespace. The visitor ends the walk by true. */
typedef bool grant_visitor(void *user, const struct grant *g);

static bool visit_subject(
	const struct subject *s, const char *namespace, grant_visitor *visit, void *user)
{
	const struct grants *g =
		*namespace ? table_get(&s->by_namespace, namespace) : &s->everywhere;
	for (size_t i = 0; g && i < g->all.count; i++)
		if (visit(user, &g->all.items[i]))
			return true;
	return false;
}

static bool visit_grants(struct rbac *r, const struct api_user *u, const char *namespace,
	grant_visitor *visit, void *user)
{
	const struct subject *s = table_get(&r->users, u->name);
	if (s && visit_subject(s, namespace, visit, user))
		return true;
	for (size_t i = 0; i < u->group_count; i++) {
		s = table_get(&r->groups, u->groups[i]);
		if (s && visit_subject(s, namespace, visit, user))
			return true;
	}
	return false;
}

static bool first_visit(const struct rbac *r, struct role *role)
{
	bool first = role->visit != r->visit;
	role->visit = r->visit;
	return first;
}

struct question {
	const struct rbac *rbac;
	const struct access *access;
	const struct grant *grant;
};

static bool decide(void *user, const struct grant *g)
{
	struct question *q = user;
	struct role *role = g->binding->role;
	if (!first_visit(q->rbac, role) || !policy_find(&role->policy, q->access))
		return false;
	q->grant = g;
	return true;
}

bool rbac_allows(struct rbac *r, const struct access *x, struct rbac_grant *ret)
{
	follow(r);
	r->visit++;
	struct question q = {.rbac = r, .access = x};
	const char *ns = x->is_resource ? x->namespace : "";
	if (!visit_grants(r, x->user, "", decide, &q) &&
		!(*ns && visit_grants(r, x->user, ns, decide, &q)))
		return false;
	if (!ret)
		return true;
	const struct binding *b = q.grant->binding;
	*ret = (struct rbac_grant){
		.binding_namespace = *b->namespace ? b->namespace : NULL,
		.binding = b->name,
		.role_kind = b->cluster_role ? "ClusterRole" : "Role",
		.role = b->role_name,
		.subject_kind = q.grant->subject_kind,
		.subject = x->user->name,
	};
	/* By which of his groups: the first that was granted it. */
	for (size_t i = 0; streq(ret->subject_kind, "Group") && i < x->user->group_count; i++) {
		const struct subject *s = table_get(&r->groups, x->user->groups[i]);
		const struct grants *g =
			s ? grants_in((struct subject *)(uintptr_t)s, b->namespace, false) : NULL;
		for (size_t n = 0; g && n < g->all.count; n++)
			if (&g->all.items[n] == q.grant)
				ret->subject = x->user->groups[i];
	}
	return true;
}

const char *rbac_allowed_reason(struct arena *a, const struct rbac_grant *g)
{
	const char *subject = g->subject, *ns, *name;
	if (streq(g->subject_kind, "ServiceAccount") &&
		user_service_account(a, g->subject, &ns, &name))
		subject = arena_printf(a, "%s/%s", name, ns);
	const char *binding = g->binding_namespace
				      ? arena_printf(a, "%s/%s", g->binding, g->binding_namespace)
				      : g->binding;
	return arena_printf(a, "RBAC: allowed by %s %s of %s %s to %s %s",
		g->binding_namespace ? "RoleBinding" : "ClusterRoleBinding",
		text_quoted(a, binding), g->role_kind, text_quoted(a, g->role), g->subject_kind,
		text_quoted(a, subject));
}

struct missing {
	struct arena *arena;
	struct json *texts;
};

static bool collect_missing(void *user, const struct grant *g)
{
	struct missing *m = user;
	const struct binding *b = g->binding;
	if (b->role->present)
		return false;
	const char *text = arena_printf(m->arena, "%s.rbac.authorization.k8s.io %s not found",
		b->cluster_role ? "clusterrole" : "role", text_quoted(m->arena, b->role_name));
	JSON_FOR_EACH_ITEM(t, m->texts)
		if (streq(json_str(t), text))
			return false;
	json_push(m->arena, m->texts, json_new_string(m->arena, text));
	return json_count(m->texts) >= 16;
}

const char *rbac_denied_reason(struct arena *a, struct rbac *r, const struct access *x)
{
	struct missing m = {a, json_new_array(a)};
	visit_grants(r, x->user, "", collect_missing, &m);
	if (x->is_resource && *x->namespace)
		visit_grants(r, x->user, x->namespace, collect_missing, &m);
	size_t count = json_count(m.texts);
	if (!count)
		return "";
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	buf_add_str(&out, count > 1 ? "RBAC: [" : "RBAC: ");
	for (size_t i = 0; i < count; i++)
		buf_printf(&out, "%s%s", i ? ", " : "", json_str(json_at(m.texts, i)));
	buf_add_str(&out, count > 1 ? "]" : "");
	return arena_memdup(a, out.data, out.size);
}

struct gathering {
	const struct rbac *rbac;
	struct arena *arena;
	struct policy_rule *rules;
	size_t count, room;
};

static bool gather(void *user, const struct grant *g)
{
	struct gathering *all = user;
	const struct policy *p = &g->binding->role->policy;
	if (!first_visit(all->rbac, g->binding->role))
		return false;
	if (all->count + p->count > all->room) {
		size_t room = MAX(all->room * 2, all->count + p->count);
		all->rules = arena_grow(all->arena, all->rules, all->room * sizeof(*all->rules),
			room * sizeof(*all->rules));
		all->room = room;
	}
	if (p->count)
		memcpy(all->rules + all->count, p->rules, p->count * sizeof(*p->rules));
	all->count += p->count;
	return false;
}

struct policy rbac_rules_of(
	struct arena *a, struct rbac *r, const struct api_user *user, const char *namespace)
{
	follow(r);
	r->visit++;
	struct gathering all = {.rbac = r, .arena = a};
	visit_grants(r, user, "", gather, &all);
	if (*namespace)
		visit_grants(r, user, namespace, gather, &all);
	return (struct policy){all.rules, all.count};
}

bool rbac_role_rules(struct rbac *r, const char *namespace, const char *name, struct policy *ret)
{
	follow(r);
	_cleanup_(free_p) char *key = key_of(namespace, name);
	const struct role *role = table_get(&r->roles, key);
	if (!role || !role->present)
		return false;
	*ret = role->policy;
	return true;
}
