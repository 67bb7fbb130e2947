/* pod_dns.c - see pod_dns.h. */
#include "node/pod/pod_dns.h"

/* Somebody wrote these files and specs; a list of more than this is of no use to any resolver. */
enum { LIST_MAX = 256 };

struct list_of {
	const char **items;
	size_t count;
};

static void add(struct arena *a, struct list_of *l, const char *text)
{
	if (l->count >= LIST_MAX)
		return;
	if (!l->items)
		l->items = arena_zalloc(a, (LIST_MAX + 1) * sizeof(*l->items));
	l->items[l->count++] = text;
}

static void add_once(struct arena *a, struct list_of *l, const char *text)
{
	for (size_t i = 0; i < l->count; i++) {
		if (streq(l->items[i], text))
			return;
	}
	add(a, l, text);
}

static const char *const *ended(struct arena *a, struct list_of *l)
{
	static const char *const none[] = {NULL};

	return l->items ? l->items : none;
}

/* ---- the host's file ---- */

static bool next_word(struct str *rest, struct str *ret)
{
	while (rest->size > 0 && strchr(" \t\r\v\f", *rest->p)) {
		rest->p++;
		rest->size--;
	}
	ret->p = rest->p;
	ret->size = 0;
	while (ret->size < rest->size && !strchr(" \t\r\v\f", rest->p[ret->size]))
		ret->size++;
	rest->p += ret->size;
	rest->size -= ret->size;
	return ret->size > 0;
}

void resolv_conf_parse(struct arena *a, struct str text, struct resolv_conf *ret)
{
	struct list_of servers = {0}, searches = {0}, options = {0};
	struct str line, word;

	while (str_split(&text, '\n', &line)) {
		if (!next_word(&line, &word) || *word.p == '#' || *word.p == ';')
			continue;
		if (str_eq(word, "nameserver") && next_word(&line, &word)) {
			add(a, &servers, arena_memdup(a, word.p, word.size));
		} else if (str_eq(word, "search")) {
			/* Of several lines the last counts. */
			searches.count = 0;
			while (next_word(&line, &word)) {
				/* "a." and "a" are one. */
				if (word.size > 1 && word.p[word.size - 1] == '.')
					word.size--;
				add(a, &searches, arena_memdup(a, word.p, word.size));
			}
		} else if (str_eq(word, "options")) {
			options.count = 0;
			while (next_word(&line, &word))
				add(a, &options, arena_memdup(a, word.p, word.size));
		}
	}
	if (searches.items)
		searches.items[searches.count] = NULL;
	if (options.items)
		options.items[options.count] = NULL;
	ret->servers = ended(a, &servers);
	ret->searches = ended(a, &searches);
	ret->options = ended(a, &options);
}

/* ---- the pod's ---- */

struct dns {
	struct arena *a;
	struct list_of servers, searches, options;
	struct pod_dns_note *notes;
	size_t note_count;
};

static void add_all(struct dns *d, struct list_of *l, const char *const *from)
{
	for (; *from; from++)
		add_once(d->a, l, *from);
}

static void note(struct dns *d, const char *reason, const char *message)
{
	if (d->note_count < POD_DNS_NOTES_MAX)
		d->notes[d->note_count++] = (struct pod_dns_note){reason, message};
}

static const char *joined(struct arena *a, const struct list_of *l)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	buf_add_str(&b, "");
	for (size_t i = 0; i < l->count; i++)
		buf_printf(&b, "%s%s", i ? " " : "", l->items[i]);
	return arena_strdup(a, b.data);
}

static void from_cluster(struct dns *d, const struct pod_dns_input *in)
{
	const char *ns = json_str_or(json_path(in->pod, "metadata.namespace"), "");
	const char *domain = in->cluster_domain;

	add_all(d, &d->servers, in->cluster_dns);
	if (*domain) {
		add_once(d->a, &d->searches, arena_printf(d->a, "%s.svc.%s", ns, domain));
		add_once(d->a, &d->searches, arena_printf(d->a, "svc.%s", domain));
		add_once(d->a, &d->searches, domain);
	}
	add_all(d, &d->searches, in->host->searches);
	add_once(d->a, &d->options, "ndots:5");
}

static void from_host(struct dns *d, const struct pod_dns_input *in)
{
	if (!in->host_file) {
		/* No resolver at all: not the runtime's own idea of one. */
		add_once(d->a, &d->servers, "127.0.0.1");
		add_once(d->a, &d->searches, ".");
		return;
	}
	add_all(d, &d->servers, in->host->servers);
	add_all(d, &d->searches, in->host->searches);
	add_all(d, &d->options, in->host->options);
}

static void set_option(struct dns *d, const struct json *o)
{
	const char *name = json_str_or(json_get(o, "name"), "");
	const char *value = json_str_or(json_get(o, "value"), "");
	const char *text = *value ? arena_printf(d->a, "%s:%s", name, value) : name;
	size_t size = strlen(name);

	for (size_t i = 0; i < d->options.count; i++) {
		const char *old = d->options.items[i];
		if (strncmp(old, name, size) == 0 && (old[size] == ':' || !old[size])) {
			d->options.items[i] = text;
			return;
		}
	}
	add(d->a, &d->options, text);
}

static void from_config(struct dns *d, const struct json *config)
{
	JSON_FOR_EACH_ITEM(s, json_get(config, "nameservers"))
		add_once(d->a, &d->servers, json_str_or(s, ""));
	JSON_FOR_EACH_ITEM(s, json_get(config, "searches"))
		add_once(d->a, &d->searches, json_str_or(s, ""));
	JSON_FOR_EACH_ITEM(o, json_get(config, "options"))
		set_option(d, o);
}

static void cut(struct dns *d)
{
	struct list_of *s = &d->searches;
	bool too_much = s->count > DNS_SEARCHES_MAX;
	size_t kept = 0, size = 0;

	if (d->servers.count > DNS_SERVERS_MAX) {
		d->servers.count = DNS_SERVERS_MAX;
		note(d, "DNSConfigForming",
			arena_printf(d->a,
				"Nameserver limits were exceeded, some nameservers have been "
				"omitted, the applied nameserver line is: %s",
				joined(d->a, &d->servers)));
	}
	s->count = MIN(s->count, (size_t)DNS_SEARCHES_MAX);
	for (size_t i = 0; i < s->count; i++) {
		if (strlen(s->items[i]) <= DNS_SEARCH_PATH_MAX)
			s->items[kept++] = s->items[i];
		else
			too_much = true;
	}
	s->count = kept;
	for (size_t i = 0; i < s->count; i++) {
		size += strlen(s->items[i]) + (i > 0);
		if (size > DNS_SEARCH_MAX_BYTES) {
			s->count = i;
			too_much = true;
		}
	}
	if (too_much)
		note(d, "DNSConfigForming",
			arena_printf(d->a,
				"Search Line limits were exceeded, some search paths have been "
				"omitted, the applied search line is: %s",
				joined(d->a, s)));
}

static bool wants_cluster(const struct json *pod, const char *policy)
{
	if (streq(policy, "ClusterFirstWithHostNet"))
		return true;
	return streq(policy, "ClusterFirst") && !json_path_bool(pod, "spec.hostNetwork", false);
}

static char **texts(const struct list_of *l)
{
	return (char **)(uintptr_t)l->items;
}

Cri__DNSConfig *pod_dns_config(struct arena *a, const struct pod_dns_input *in,
	struct pod_dns_note notes[POD_DNS_NOTES_MAX], size_t *ret_note_count)
{
	const char *policy = json_str_or(json_path(in->pod, "spec.dnsPolicy"), "ClusterFirst");
	struct dns d = {.a = a, .notes = notes};

	if (wants_cluster(in->pod, policy) && in->cluster_dns && in->cluster_dns[0]) {
		from_cluster(&d, in);
	} else if (!streq(policy, "None")) {
		if (wants_cluster(in->pod, policy))
			note(&d, "MissingClusterDNS",
				arena_printf(a,
					"pod: \"%s_%s(%s)\". kubelet does not have ClusterDNS IP "
					"configured and cannot create Pod using \"ClusterFirst\" "
					"policy. Falling back to \"Default\" policy.",
					json_str_or(json_path(in->pod, "metadata.name"), ""),
					json_str_or(json_path(in->pod, "metadata.namespace"), ""),
					json_str_or(json_path(in->pod, "metadata.uid"), "")));
		from_host(&d, in);
	}
	from_config(&d, json_path(in->pod, "spec.dnsConfig"));
	cut(&d);
	*ret_note_count = d.note_count;
	Cri__DNSConfig *c = ARENA_NEW(a, Cri__DNSConfig);
	cri__dnsconfig__init(c);
	c->servers = texts(&d.servers);
	c->n_servers = d.servers.count;
	c->searches = texts(&d.searches);
	c->n_searches = d.searches.count;
	c->options = texts(&d.options);
	c->n_options = d.options.count;
	return c;
}
