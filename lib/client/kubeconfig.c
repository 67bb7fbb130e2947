#include "lib/client/kubeconfig.h"

#include "lib/base/file.h"
#include "lib/json/json.h"

#define FILE_MAX_BYTES (1u << 20)

static const char *default_path(struct arena *a)
{
	const char *env = getenv("KUBECONFIG");
	if (env && env[0]) {
		/* Several files separated by ':' are merged by kubectl; the first is the one that
		 * counts most. */
		struct str rest = str_from(env), first = {0};
		while (str_split(&rest, ':', &first))
			if (first.size)
				return arena_memdup(a, first.p, first.size);
	}
	const char *home = getenv("HOME");
	return arena_printf(a, "%s/.kube/config", home ? home : "");
}

static const char *beside(struct arena *a, const char *config_path, const char *file)
{
	const char *slash = strrchr(config_path, '/');
	if (file[0] == '/' || !slash)
		return file;
	return arena_printf(a, "%.*s/%s", (int)(slash - config_path), config_path, file);
}

/* `list` is [{name, FIELD: {...}}]. */
static struct json *named(
	const struct json *config, const char *list, const char *field, const char *name)
{
	JSON_FOR_EACH_ITEM(it, json_get(config, list))
		if (streq(json_str(json_get(it, "name")), name))
			return json_get(it, field);
	return NULL;
}

/* A piece of PEM from NAME-data (base64) or the file NAME. */
static int material(struct arena *a, const char *config_path, const struct json *from,
	const char *name, struct str *ret, struct err *err)
{
	const char *data = json_str(json_get(from, arena_printf(a, "%s-data", name)));
	if (data && data[0]) {
		char *pem;
		size_t size;
		if (base64_decode(a, str_from(data), &pem, &size) < 0)
			return err_set(err, -EINVAL, "%s-data is not base64", name);
		*ret = (struct str){pem, size};
		return 0;
	}
	const char *file = json_str(json_get(from, name));
	if (!file || !file[0])
		return 0;
	return file_load(a, beside(a, config_path, file), FILE_MAX_BYTES, ret, err);
}

static int set_server(struct kubeconfig *k, const char *server, struct err *err)
{
	struct arena *a = &k->arena;
	const char *rest;
	if (str_has_prefix(server, "https://")) {
		k->tls = true;
		rest = server + 8;
	} else if (str_has_prefix(server, "http://")) {
		rest = server + 7;
	} else {
		return err_set(err, -EINVAL, "server '%s' is neither http:// nor https://", server);
	}
	size_t size = strcspn(rest, "/");
	char *host = arena_memdup(a, rest, size);
	char *path = arena_strdup(a, rest + size);
	while (path[0] && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	const char *bracket = strchr(host, ']');
	const char *colon = strrchr(bracket ? bracket : host, ':');
	size_t name_size = colon ? (size_t)(colon - host) : strlen(host);
	if (!name_size)
		return err_set(err, -EINVAL, "server '%s' names no host", server);
	k->server = arena_strdup(a, server);
	k->path = path;
	k->host = host;
	k->address = colon ? arena_printf(a, "tcp://%s", host)
			   : arena_printf(a, "tcp://%s:%d", host, k->tls ? 443 : 80);
	k->tls_name = bracket ? arena_memdup(a, host + 1, (size_t)(bracket - host - 1))
			      : arena_memdup(a, host, name_size);
	return 0;
}

static int load_cluster(
	struct kubeconfig *k, const char *path, const struct json *cluster, struct err *err)
{
	const char *server = json_str(json_get(cluster, "server"));
	if (!server)
		return err_set(err, -EINVAL, "the cluster names no server");
	int r = set_server(k, server, err);
	if (r < 0)
		return r;
	const char *tls_name = json_str(json_get(cluster, "tls-server-name"));
	if (tls_name && tls_name[0])
		k->tls_name = arena_strdup(&k->arena, tls_name);
	k->insecure = json_bool_or(json_get(cluster, "insecure-skip-tls-verify"), false);
	return material(&k->arena, path, cluster, "certificate-authority", &k->ca, err);
}

static int load_user(
	struct kubeconfig *k, const char *path, const struct json *user, struct err *err)
{
	struct arena *a = &k->arena;
	if (json_get(user, "exec") || json_get(user, "auth-provider"))
		return err_set(err, -EOPNOTSUPP,
			"the user needs a credential plugin, which is not supported");
	int r = material(a, path, user, "client-certificate", &k->cert, err);
	if (r >= 0)
		r = material(a, path, user, "client-key", &k->key, err);
	if (r < 0)
		return r;
	const char *token = json_str(json_get(user, "token"));
	const char *file = json_str(json_get(user, "tokenFile"));
	if (!token && file && file[0]) {
		struct str text = {0};
		r = file_load(a, beside(a, path, file), FILE_MAX_BYTES, &text, err);
		if (r < 0)
			return r;
		while (text.size && (text.p[text.size - 1] == '\n' || text.p[text.size - 1] == ' '))
			text.size--;
		token = arena_memdup(a, text.p, text.size);
	}
	if (token && token[strcspn(token, "\r\n")])
		return err_set(err, -EINVAL, "the user's token has a line break");
	if (token && token[0])
		k->token = arena_strdup(a, token);
	return 0;
}

static int load(struct kubeconfig *k, const char *path, const char *context, struct err *err)
{
	struct arena *a = &k->arena;
	struct str text = {0};
	int r = file_load(a, path, FILE_MAX_BYTES, &text, err);
	if (r < 0)
		return r;
	struct json *config;
	r = yaml_parse(a, text.p, text.size, NULL, &config, err);
	if (r < 0)
		return r;
	if (!context)
		context = json_str(json_get(config, "current-context"));
	if (!context || !context[0])
		return err_set(err, -EINVAL, "no current-context is set");
	struct json *ctx = named(config, "contexts", "context", context);
	if (!ctx)
		return err_set(err, -ENOENT, "there is no context '%s'", context);
	k->namespace = arena_strdup(a, json_str_or(json_get(ctx, "namespace"), "default"));
	const char *cluster_name = json_str_or(json_get(ctx, "cluster"), "");
	struct json *cluster = named(config, "clusters", "cluster", cluster_name);
	if (!cluster)
		return err_set(err, -ENOENT, "there is no cluster '%s'", cluster_name);
	r = load_cluster(k, path, cluster, err);
	if (r < 0)
		return r;
	return load_user(k, path,
		named(config, "users", "user", json_str_or(json_get(ctx, "user"), "")), err);
}

int kubeconfig_load(const char *path, const char *context, struct kubeconfig *ret, struct err *err)
{
	struct kubeconfig k = {.path = ""};
	if (!path)
		path = default_path(&k.arena);
	int r = load(&k, path, context, err);
	if (r < 0) {
		r = err_context(err, r, "kubeconfig '%s'", path);
		arena_finish(&k.arena);
		return r;
	}
	*ret = k;
	return 0;
}

void kubeconfig_finish(struct kubeconfig *k)
{
	if (k->key.p)
		explicit_bzero((char *)k->key.p, k->key.size);
	arena_finish(&k->arena);
}
