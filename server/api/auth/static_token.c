/* static_token.c - the token file: CSV, a line a user: token,user,uid[,"group,group"]. */
#include "lib/base/table.h"
#include "server/api/auth/auth_internal.h"

#define FIELDS 4

/* A field up to the next comma, or in quotes with "" for a quote. Moves *p behind it and its comma;
 * NULL when it is malformed. */
static char *next_field(struct arena *a, const char **p, bool *last)
{
	const char *s = *p;
	char *out = arena_alloc(a, strcspn(s, "\n") + 1), *q = out;
	bool quoted = *s == '"';
	for (s += quoted; *s && *s != '\n'; s++) {
		if (quoted && *s == '"') {
			if (s[1] != '"')
				break;
			s++;
		} else if (!quoted && *s == ',') {
			break;
		}
		*q++ = *s;
	}
	*q = '\0';
	if (quoted && *s++ != '"')
		return NULL;
	if (*s == '\r')
		s++;
	else if (!quoted && q > out && q[-1] == '\r')
		q[-1] = '\0';
	*last = *s != ',';
	if (*last && *s && *s != '\n')
		return NULL;
	*p = *s ? s + 1 : s;
	return out;
}

/* In one allocation: the user, its groups, the texts. */
static struct api_user *user_new(char *const fields[FIELDS])
{
	size_t count = 2; /* of groups, with system:authenticated and one more than commas */
	for (const char *p = fields[3]; *p; p++)
		count += *p == ',';
	size_t size = sizeof(struct api_user) + count * sizeof(char *);
	for (int i = 1; i < FIELDS; i++)
		size += strlen(fields[i]) + 1;
	struct api_user *u = xcalloc(1, size);
	u->groups = (const char **)(u + 1);
	char *text = (char *)(u->groups + count);
	u->name = text;
	text = stpcpy(text, fields[1]) + 1;
	u->uid = text;
	text = stpcpy(text, fields[2]) + 1;
	strcpy(text, fields[3]);
	while (*text) {
		char *comma = strchrnul(text, ',');
		bool more = *comma;
		*comma = '\0';
		if (*text)
			u->groups[u->group_count++] = text;
		text = comma + more;
	}
	u->groups[u->group_count++] = GROUP_AUTHENTICATED;
	return u;
}

int static_tokens_parse(const char *text, struct table *ret, struct err *err)
{
	struct table t = TABLE_INIT;
	struct arena a = ARENA_INIT;
	unsigned line = 0;
	int r = 0;
	for (const char *p = text; *p && r == 0;) {
		char *fields[FIELDS] = {"", "", "", ""};
		unsigned n = 0;
		bool last = false;
		line++;
		if (*p == '\n' || *p == '#') {
			p += strcspn(p, "\n");
			p += *p == '\n';
			continue;
		}
		bool good = true;
		while (!last && n < FIELDS && good) {
			char *field = next_field(&a, &p, &last);
			good = field != NULL;
			fields[n++] = good ? field : "";
		}
		if (!good || n < 3 || !last || !*fields[0] || !*fields[1])
			r = err_set(err, -EINVAL,
				"line %u: want token,user,uid or token,user,uid,\"group,group\"",
				line);
		else
			free(table_set(&t, fields[0], user_new(fields)));
	}
	arena_finish(&a);
	if (r < 0)
		static_tokens_finish(&t);
	else
		*ret = t;
	return r;
}

int auth_check_tokens(const char *text, struct err *err)
{
	struct table t = TABLE_INIT;
	int r = static_tokens_parse(text, &t, err);
	if (r == 0)
		static_tokens_finish(&t);
	return r;
}

void static_tokens_finish(struct table *t)
{
	struct table_iter it = table_iterate(t);
	while (table_next(&it))
		free(it.value);
	table_finish(t);
}
