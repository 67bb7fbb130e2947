#include "server/api/auth/tokens.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define LEGACY "kubernetes.io/serviceaccount/"
#define KNOWN_MAX 1024
#define KEYS_MAX 16
#define CLOCK_SKEW_NS (60 * NS_PER_S)	  /* a token may come from a server that is ahead */
#define DELETION_GRACE_NS (60 * NS_PER_S) /* an object's token outlives its deletion by this */

struct identity {
	const char *namespace, *account, *account_uid;
	const char *pod, *pod_uid, *secret, *secret_uid, *node, *node_uid; /* NULL = none */
	const char *machine, *machine_uid;				   /* likewise */
	const char *id;							   /* jti; NULL = none */
	int64_t not_before_ns, expires_ns;				   /* 0 = none */
	bool legacy;
};
#define IDENTITY_TEXTS 12 /* at the beginning */

/* A token whose signature and audience were found good. */
struct known {
	char *token; /* NULL = free; the identity's texts stand behind it */
	struct identity who;
	uint64_t secret_revision; /* legacy: the Secret that was seen to hold it */
};

struct tokens {
	struct tokens_options options;
	char *issuer;
	const struct kind *accounts, *pods, *secrets, *nodes, *machines;
	VEC(struct jwt_key *) keys; /* the first one signs */
	struct known *known;	    /* KNOWN_MAX places, by the hash of the token */
};

static int add_public_keys(struct tokens *t, const char *pem, struct err *err)
{
	while (pem) {
		struct jwt_key *k;
		int r = jwt_key_from_public(pem, &k, &pem, err);
		if (r < 0)
			return r;
		bool had = t->keys.count >= KEYS_MAX;
		for (size_t i = 0; i < t->keys.count; i++)
			had |= streq(jwt_key_id(t->keys.items[i]), jwt_key_id(k));
		if (had)
			jwt_key_destroy(k);
		else
			VEC_PUSH(&t->keys, k);
	}
	return 0;
}

int tokens_create(const struct tokens_options *options, struct tokens **ret, struct err *err)
{
	struct tokens *t = xcalloc(1, sizeof(*t));
	struct jwt_key *k;
	t->options = *options;
	t->issuer = xstrdup(options->issuer);
	t->known = xcalloc(KNOWN_MAX, sizeof(*t->known));
	t->accounts = kind_by_resource(options->kinds, "", "v1", "serviceaccounts");
	t->pods = kind_by_resource(options->kinds, "", "v1", "pods");
	t->secrets = kind_by_resource(options->kinds, "", "v1", "secrets");
	t->nodes = kind_by_resource(options->kinds, "", "v1", "nodes");
	t->machines =
		kind_by_resource(options->kinds, "kubevirt.io", "v1", "virtualmachineinstances");
	int r = jwt_key_from_private(options->private_pem, &k, err);
	if (r == 0) {
		VEC_PUSH(&t->keys, k);
		r = add_public_keys(t, options->public_pem, err);
	}
	if (r < 0) {
		tokens_destroy(t);
		return err_context(err, r, "keys of service account tokens");
	}
	*ret = t;
	return 0;
}

void tokens_destroy(struct tokens *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->keys.count; i++)
		jwt_key_destroy(t->keys.items[i]);
	VEC_FINISH(&t->keys);
	for (size_t i = 0; t->known && i < KNOWN_MAX; i++)
		free(t->known[i].token);
	free(t->known);
	free(t->issuer);
	free(t);
}

const char *tokens_issuer(const struct tokens *t)
{
	return t->issuer;
}

/* Issuing. */

static void set_reference(
	struct arena *a, struct json *owner, const char *name, const struct object *o)
{
	struct json *ref = json_object_at(a, owner, name);
	json_set_str(a, ref, "name", o->name);
	json_set_str(a, ref, "uid", o->uid);
}

int tokens_issue(struct tokens *t, struct arena *a, const struct token_request *request,
	char **ret_token, int64_t *ret_expires_ns, struct err *err)
{
	int64_t now_s = t->options.clock->wall_ns(t->options.clock) / NS_PER_S;
	struct json *claims = json_new_object(a), *own = json_new_object(a);
	const struct object *account = request->account;
	json_set(a, claims, "aud", json_copy(a, request->audiences));
	json_set_int(a, claims, "exp", now_s + request->lifetime_s);
	json_set_int(a, claims, "iat", now_s);
	json_set_str(a, claims, "iss", t->issuer);
	json_set_str(a, claims, "jti", request->id);
	json_set_str(a, own, "namespace", account->namespace);
	if (request->node)
		set_reference(a, own, "node", request->node);
	else if (request->node_name)
		json_set_str(a, json_object_at(a, own, "node"), "name", request->node_name);
	if (request->pod)
		set_reference(a, own, "pod", request->pod);
	if (request->secret)
		set_reference(a, own, "secret", request->secret);
	if (request->machine)
		set_reference(a, own, "virtualmachineinstance", request->machine);
	set_reference(a, own, "serviceaccount", account);
	json_set(a, claims, "kubernetes.io", own);
	json_set_int(a, claims, "nbf", now_s);
	json_set(a, claims, "sub",
		json_new_printf(
			a, SERVICE_ACCOUNT_PREFIX "%s:%s", account->namespace, account->name));
	*ret_expires_ns = (now_s + request->lifetime_s) * NS_PER_S;
	return jwt_sign(a, t->keys.items[0], claims, ret_token, err);
}

int tokens_issue_for_secret(struct tokens *t, struct arena *a, const struct object *account,
	const char *secret, char **ret_token, struct err *err)
{
	struct json *claims = json_new_object(a);
	json_set_str(a, claims, "iss", LEGACY_ISSUER);
	json_set_str(a, claims, LEGACY "namespace", account->namespace);
	json_set_str(a, claims, LEGACY "secret.name", secret);
	json_set_str(a, claims, LEGACY "service-account.name", account->name);
	json_set_str(a, claims, LEGACY "service-account.uid", account->uid);
	json_set(a, claims, "sub",
		json_new_printf(
			a, SERVICE_ACCOUNT_PREFIX "%s:%s", account->namespace, account->name));
	return jwt_sign(a, t->keys.items[0], claims, ret_token, err);
}

/* Examining: what the token itself says. */

static int bad(struct err *err, const char *what)
{
	return err_set(err, -EACCES, "%s", what);
}

static const char *text_of(const struct json *v)
{
	const char *s = json_str(v);
	return s && *s && strlen(s) == v->count ? s : NULL;
}

/* Seconds since 1970 as a claim has them. */
static bool time_of(const struct json *v, int64_t *ret_ns)
{
	*ret_ns = 0;
	if (!v)
		return true;
	int64_t s = json_int_or(v, -1);
	if (s < 0 || s > INT64_MAX / NS_PER_S)
		return false;
	*ret_ns = s * NS_PER_S;
	return true;
}

/* The wanted ones that the claim names: a text or a list of them. */
static struct json *common_audiences(
	struct arena *a, const struct json *claim, const struct json *wanted)
{
	struct json *common = json_new_array(a);
	JSON_FOR_EACH_ITEM(w, wanted) {
		bool has = json_is(claim, JSON_STRING) && json_equal(claim, w);
		JSON_FOR_EACH_ITEM(c, claim)
			has |= json_equal(c, w);
		if (has)
			json_push(a, common, json_copy(a, w));
	}
	return common;
}

static struct json *own_audience(struct arena *a, const struct tokens *t)
{
	struct json *list = json_new_array(a);
	json_push(a, list, json_new_string(a, t->issuer));
	return list;
}

static bool signed_by_us(const struct tokens *t, const struct jwt *jwt)
{
	for (size_t i = 0; i < t->keys.count; i++)
		if ((!jwt->key_id || streq(jwt->key_id, jwt_key_id(t->keys.items[i]))) &&
			jwt_verify(jwt, t->keys.items[i]))
			return true;
	return false;
}

int tokens_sign(struct tokens *t, struct arena *a, const struct json *claims, char **ret_token,
	struct err *err)
{
	return jwt_sign(a, t->keys.items[0], claims, ret_token, err);
}

int tokens_verify(struct tokens *t, struct arena *a, const char *token,
	const struct json **ret_claims, struct err *err)
{
	struct jwt jwt;
	int r = jwt_parse(a, str_from(token), &jwt, err);
	if (r < 0)
		return r;
	if (!signed_by_us(t, &jwt))
		return err_set(err, -EINVAL, "the token was not signed here");
	*ret_claims = jwt.claims;
	return 0;
}

static bool read_reference(
	const struct json *ref, const char **ret_name, const char **ret_uid, bool need_uid)
{
	*ret_name = text_of(json_get(ref, "name"));
	*ret_uid = text_of(json_get(ref, "uid"));
	return !ref || (*ret_name && (*ret_uid || !need_uid));
}

static bool read_claims(const struct json *claims, struct identity *who)
{
	const struct json *own = json_get(claims, "kubernetes.io");
	who->namespace = text_of(json_get(own, "namespace"));
	who->id = text_of(json_get(claims, "jti"));
	return json_is(own, JSON_OBJECT) && json_get(own, "serviceaccount") &&
	       read_reference(
		       json_get(own, "serviceaccount"), &who->account, &who->account_uid, true) &&
	       read_reference(json_get(own, "pod"), &who->pod, &who->pod_uid, true) &&
	       read_reference(json_get(own, "secret"), &who->secret, &who->secret_uid, true) &&
	       read_reference(json_get(own, "node"), &who->node, &who->node_uid, !who->pod) &&
	       read_reference(json_get(own, "virtualmachineinstance"), &who->machine,
		       &who->machine_uid, true) &&
	       time_of(json_get(claims, "exp"), &who->expires_ns) && who->expires_ns;
}

static bool read_legacy_claims(const struct json *claims, struct identity *who)
{
	who->legacy = true;
	who->namespace = text_of(json_get(claims, LEGACY "namespace"));
	who->account = text_of(json_get(claims, LEGACY "service-account.name"));
	who->account_uid = text_of(json_get(claims, LEGACY "service-account.uid"));
	who->secret = text_of(json_get(claims, LEGACY "secret.name"));
	return who->account && who->account_uid && who->secret &&
	       time_of(json_get(claims, "exp"), &who->expires_ns);
}

static int examine(struct tokens *t, struct arena *a, const char *token, const struct json *wanted,
	struct identity *ret, struct json **ret_audiences, struct err *err)
{
	struct jwt jwt;
	int r = jwt_parse(a, str_from(token), &jwt, err);
	if (r < 0)
		return r;
	const struct json *claims = jwt.claims;
	const char *issuer = text_of(json_get(claims, "iss"));
	bool legacy = streq(issuer, LEGACY_ISSUER);
	if (!legacy && !streq(issuer, t->issuer))
		return bad(err, "the token is from another issuer");
	if (!signed_by_us(t, &jwt))
		return bad(err, "the token's signature is not of any of our keys");
	struct identity who = {0};
	if (!(legacy ? read_legacy_claims(claims, &who) : read_claims(claims, &who)) ||
		!who.namespace || !time_of(json_get(claims, "nbf"), &who.not_before_ns))
		return bad(err, "the token lacks claims, or they are malformed");
	const char *subject = text_of(json_get(claims, "sub"));
	if (!streq(subject,
		    arena_printf(a, SERVICE_ACCOUNT_PREFIX "%s:%s", who.namespace, who.account)))
		return bad(err, "the token's subject is not its account");
	/* The old form has no audience: it is for us. */
	const struct json *audience = legacy ? own_audience(a, t) : json_get(claims, "aud");
	*ret_audiences = common_audiences(a, audience, wanted);
	if (!json_count(*ret_audiences))
		return bad(err, "token audiences do not include any that was asked for");
	*ret = who;
	return 0;
}

/* Examining: what is there. */

static bool is_gone(const struct object *o, int64_t now_ns)
{
	if (!o->deleting)
		return false;
	struct arena a = ARENA_INIT;
	const char *time = json_path_str(object_doc(o, &a), "metadata.deletionTimestamp");
	int64_t at;
	bool gone = !time || time_parse_rfc3339(time, &at) < 0 || at < now_ns - DELETION_GRACE_NS;
	arena_finish(&a);
	return gone;
}

static const struct object *find(struct tokens *t, const struct kind *k, const char *namespace,
	const char *name, const char *uid, int64_t now_ns)
{
	const struct object *o = cache_get(t->options.cache, k, namespace, name);
	return o && (!uid || streq(o->uid, uid)) && !is_gone(o, now_ns) ? o : NULL;
}

static bool secret_holds(const struct object *secret, const char *token)
{
	struct arena a = ARENA_INIT;
	const char *data = json_str(json_get(json_get(object_doc(secret, &a), "data"), "token"));
	char *held;
	size_t size;
	bool holds = data && base64_decode(&a, str_from(data), &held, &size) == 0 &&
		     size == strlen(token) && memcmp(held, token, size) == 0;
	arena_finish(&a);
	return holds;
}

static int check_living(struct tokens *t, const struct identity *who, const char *token,
	uint64_t *secret_revision, struct err *err)
{
	int64_t now_ns = t->options.clock->wall_ns(t->options.clock);
	if (who->expires_ns && now_ns >= who->expires_ns)
		return bad(err, "service account token has expired");
	if (who->not_before_ns > now_ns + CLOCK_SKEW_NS)
		return bad(err, "service account token is not valid yet");
	if (!find(t, t->accounts, who->namespace, who->account, who->account_uid, now_ns))
		return bad(err, "service account token has been invalidated");
	if (who->pod && !find(t, t->pods, who->namespace, who->pod, who->pod_uid, now_ns))
		return bad(err, "service account token has been invalidated: its pod is gone");
	if (who->node && !who->pod && !find(t, t->nodes, "", who->node, who->node_uid, now_ns))
		return bad(err, "service account token has been invalidated: its node is gone");
	if (who->machine && (!t->machines || !find(t, t->machines, who->namespace, who->machine,
						     who->machine_uid, now_ns)))
		return bad(err, "service account token has been invalidated: its virtual machine "
				"instance is gone");
	if (!who->secret)
		return 0;
	const struct object *secret =
		find(t, t->secrets, who->namespace, who->secret, who->secret_uid, now_ns);
	if (!secret)
		return bad(err, "service account token has been invalidated: its secret is gone");
	if (!who->legacy || secret->revision == *secret_revision)
		return 0;
	if (!secret_holds(secret, token))
		return bad(err, "service account token does not match its secret");
	*secret_revision = secret->revision;
	return 0;
}

static struct api_user user_of(struct arena *a, const struct identity *who)
{
	const char **groups = arena_alloc(a, 3 * sizeof(*groups));
	groups[0] = "system:serviceaccounts";
	groups[1] = arena_printf(a, "system:serviceaccounts:%s", who->namespace);
	groups[2] = GROUP_AUTHENTICATED;
	const struct {
		const char *key, *value;
	} extras[] = {
		{"authentication.kubernetes.io/credential-id",
			who->id ? arena_printf(a, "JTI=%s", who->id) : NULL},
		{"authentication.kubernetes.io/node-name", who->node},
		{"authentication.kubernetes.io/node-uid", who->node_uid},
		{"authentication.kubernetes.io/pod-name", who->pod},
		{"authentication.kubernetes.io/pod-uid", who->pod_uid},
	};
	struct json *extra = json_new_object(a);
	for (size_t i = 0; i < ARRAY_LEN(extras); i++)
		if (extras[i].value)
			json_push(a, json_array_at(a, extra, extras[i].key),
				json_new_string(a, extras[i].value));
	return (struct api_user){
		.name = arena_printf(
			a, SERVICE_ACCOUNT_PREFIX "%s:%s", who->namespace, who->account),
		.uid = arena_strdup(a, who->account_uid),
		.groups = groups,
		.group_count = 3,
		.extra = extra,
	};
}

static struct known *place_of(struct tokens *t, const char *token)
{
	return &t->known[table_hash(token, strlen(token)) % KNOWN_MAX];
}

/* In the place of whatever was there. */
static void remember(
	struct tokens *t, const char *token, const struct identity *who, uint64_t secret_revision)
{
	struct known *k = place_of(t, token);
	size_t size = strlen(token) + 1;
	const char *const *from = (const char *const *)who;
	for (size_t i = 0; i < IDENTITY_TEXTS; i++)
		size += from[i] ? strlen(from[i]) + 1 : 0;
	free(k->token);
	*k = (struct known){xmalloc(size), *who, secret_revision};
	char *p = stpcpy(k->token, token) + 1;
	const char **to = (const char **)&k->who;
	for (size_t i = 0; i < IDENTITY_TEXTS; i++) {
		if (!from[i])
			continue;
		to[i] = p;
		p = stpcpy(p, from[i]) + 1;
	}
}

int tokens_authenticate(struct tokens *t, struct arena *a, const char *token,
	const struct json *audiences, struct api_user *ret, struct json **ret_audiences,
	struct err *err)
{
	struct known *k = place_of(t, token);
	struct identity who;
	uint64_t secret_revision = 0;
	struct json *common = NULL;
	int r;
	if (!audiences && k->token && streq(k->token, token)) {
		r = check_living(t, &k->who, token, &k->secret_revision, err);
		if (r < 0)
			return r;
		*ret = user_of(a, &k->who);
		if (ret_audiences)
			*ret_audiences = own_audience(a, t);
		return 0;
	}
	r = examine(t, a, token, audiences ? audiences : own_audience(a, t), &who, &common, err);
	if (r == 0)
		r = check_living(t, &who, token, &secret_revision, err);
	if (r < 0)
		return r;
	if (!audiences)
		remember(t, token, &who, secret_revision);
	*ret = user_of(a, &who);
	if (ret_audiences)
		*ret_audiences = common;
	return 0;
}

struct json *tokens_key_set(struct arena *a, const struct tokens *t)
{
	struct json *set = json_new_object(a), *keys = json_array_at(a, set, "keys");
	for (size_t i = 0; i < t->keys.count; i++)
		json_push(a, keys, jwt_key_public(a, t->keys.items[i]));
	return set;
}

struct json *tokens_algorithms(struct arena *a, const struct tokens *t)
{
	struct json *list = json_new_array(a);
	for (size_t i = 0; i < t->keys.count; i++) {
		const char *name = jwt_key_algorithm(t->keys.items[i]);
		bool had = false;
		JSON_FOR_EACH_ITEM(s, list)
			had |= streq(json_str(s), name);
		if (!had)
			json_push(a, list, json_new_string(a, name));
	}
	return list;
}
