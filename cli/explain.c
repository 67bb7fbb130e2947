/* explain.c - prints the decision that the server has recorded in an Application's status, or the
 * one that it would make for a manifest. */
#include "cli/explain.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/api_session.h"
#include "lib/object/object.h"
#include "lib/placement/placement.h"

#define FILE_MAX_BYTES (3u << 20)

struct options {
	struct api_session_where where;
	const char *file, *name;
	bool json;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: hanok explain placement APP [OPTIONS]\n"
		"       hanok explain placement -f FILE [OPTIONS]\n\n"
		"Prints the rules and scores by which an Application is placed, and the "
		"reasons.\n\n"
		"  -f, --filename FILE    a manifest (YAML, JSON; - is standard input) instead of\n"
		"                         what is on the server, by the weights of the manual\n"
		"  -o, --output json      the decision as it is in "
		"status.decision\n" API_SESSION_USAGE);
}

/* 0 go on, 1 done, -1 wrong. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		API_SESSION_OPTIONS, {"filename", required_argument, NULL, 'f'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "n:o:f:h", known, NULL)) != -1;) {
		if (api_session_option(&o->where, c, optarg))
			continue;
		switch (c) {
		case 'f':
			o->file = optarg;
			break;
		case 'o':
			if (!streq(optarg, "json")) {
				fprintf(stderr, "hanok explain: --output '%s': there is json\n",
					optarg);
				return -1;
			}
			o->json = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return -1;
		}
	}
	int rest = argc - optind;
	if (rest < 1 || !streq(argv[optind], "placement")) {
		fprintf(stderr, "hanok explain: what can be explained is 'placement'; see "
				"hanok explain --help\n");
		return -1;
	}
	if (rest != (o->file ? 1 : 2)) {
		fprintf(stderr, "hanok explain placement: %s; see hanok explain --help\n",
			rest > 2 || o->file ? "too many arguments"
					    : "the name of an application is needed, or -f FILE");
		return -1;
	}
	if (!o->file) {
		const char *slash = strchr(argv[optind + 1], '/');
		o->name = slash ? slash + 1 : argv[optind + 1]; /* app/NAME, as kubectl has it */
	}
	return 0;
}

static void print(const struct options *o, const char *title, const struct json *decision)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	if (o->json) {
		json_write_pretty(&out, decision);
		buf_add_char(&out, '\n');
	} else {
		buf_printf(&out, "Application: %s\n", title);
		placement_print(&out, decision);
	}
	fwrite(out.data, 1, out.size, stdout);
}

static int read_file(struct arena *a, const char *path, struct str *ret, struct err *err)
{
	_cleanup_(close_p) int fd =
		streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", path);
	for (ssize_t n; b.size <= FILE_MAX_BYTES;) {
		buf_reserve(&b, 4096);
		n = read(fd, b.data + b.size, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, -errno, "read '%s'", path);
		if (n == 0) {
			*ret = (struct str){arena_memdup(a, b.data ? b.data : "", b.size), b.size};
			return 0;
		}
		b.size += (size_t)n;
	}
	return err_set(err, -EFBIG, "'%s' is larger than 3 MiB", path);
}

static void end_registry(struct kind_registry **r)
{
	kind_registry_destroy(*r);
}

/* In the server's words: it would refuse these fields too. */
static int check_manifest(struct arena *a, struct json *doc, struct err *err)
{
	_cleanup_(end_registry) struct kind_registry *kinds = kind_registry_create();
	int r = kind_registry_load_builtin(kinds, err);
	if (r < 0)
		return r;
	const struct kind *k = kind_by_name(kinds, "hanok.io", "v1", "Application");
	struct decode_options options = {
		.field_validation = FIELD_VALIDATION_STRICT, .skip_defaults = true};
	struct field_errors errors = {.arena = a};
	struct status st = {0};
	r = object_check(k, a, doc, &options, &errors, &st);
	if (r == 0 && field_error_count(&errors) > 0)
		r = status_invalid(a, &st, k,
			json_str_or(json_path(doc, "metadata.name"), "(no name)"), &errors);
	return r < 0 ? err_set(err, r, "%s", json_str_or(json_get(st.doc, "message"), "invalid"))
		     : 0;
}

static int explain_file(const struct options *o, struct arena *a, struct err *err)
{
	struct str text = {NULL, 0};
	struct json *all;
	size_t found = 0;
	int r = read_file(a, o->file, &text, err);
	if (r == 0)
		r = yaml_parse_all(a, text.p, text.size, NULL, &all, err);
	if (r < 0)
		return err_context(err, r, "manifest '%s'", o->file);
	JSON_FOR_EACH_ITEM(doc, all) {
		if (!streq(json_str(json_get(doc, "kind")), "Application"))
			continue;
		r = check_manifest(a, doc, err);
		if (r < 0)
			return err_context(err, r, "manifest '%s'", o->file);
		struct placement_facts facts =
			placement_facts_of_application(a, json_get(doc, "spec"));
		struct placement_weights weights = placement_default_weights();
		struct placement_decision d = placement_decide(a, &facts, &weights);
		if (found++ && !o->json)
			printf("\n");
		print(o, json_str_or(json_path(doc, "metadata.name"), "(no name)"),
			placement_decision_doc(a, &d));
	}
	return found ? 0 : err_set(err, -ENOENT, "manifest '%s' has no Application in it", o->file);
}

static int explain_object(struct options *o, struct arena *a, struct err *err)
{
	struct api_session *s;
	struct json *doc;
	int r = api_session_open(o->where.kubeconfig, o->where.context, &s, err);
	if (r < 0)
		return r;
	const char *ns =
		arena_strdup(a, o->where.namespace ? o->where.namespace : api_session_namespace(s));
	r = api_session_get(s, a,
		arena_printf(a, "/apis/hanok.io/v1/namespaces/%s/applications/%s",
			percent_encode(a, str_from(ns)), percent_encode(a, str_from(o->name))),
		&doc, err);
	api_session_close(s);
	if (r < 0)
		return err_context(err, r, "application '%s/%s'", ns, o->name);
	const struct json *decision = json_path(doc, "status.decision");
	if (!json_count(decision))
		return err_set(err, -EAGAIN,
			"application '%s/%s' has no decision yet: does the controller "
			"'application' run?",
			ns, o->name);
	print(o, arena_printf(a, "%s/%s", ns, o->name), decision);
	if (o->json)
		return 0;
	const char *is = json_str_or(json_path(doc, "status.isolation"), "");
	printf("\nRuns as: %s (policy %s)\n", is[0] ? is : "nothing yet",
		json_str_or(json_path(doc, "spec.placement.policy"), "Auto"));
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (!streq(json_str(json_get(c, "type")), "Ready"))
			printf("  %s=%s %s: %s\n", json_str_or(json_get(c, "type"), ""),
				json_str_or(json_get(c, "status"), ""),
				json_str_or(json_get(c, "reason"), ""),
				json_str_or(json_get(c, "message"), ""));
	return 0;
}

int explain_main(int argc, char **argv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct options o = {0};
	struct err err = ERR_INIT;
	int r = parse_options(&o, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	r = o.file ? explain_file(&o, &a, &err) : explain_object(&o, &a, &err);
	if (r < 0)
		fprintf(stderr, "hanok explain placement: %s\n", err.msg);
	return r < 0 ? 1 : 0;
}
