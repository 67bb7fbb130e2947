/* virt.c - the verbs of `hanok virt`. start, stop and restart are single requests; console has a
 * file of its own. */
#include "cli/virt.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/api_session.h"
#include "cli/virt_console.h"
#include "lib/client/endpoint.h"
#include "lib/json/json.h"

struct options {
	struct api_session_where where;
	const char *verb, *name;
	int64_t grace_s; /* -1 = the machine's own */
	bool force;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: hanok virt console|start|stop|restart NAME [OPTIONS]\n\n"
		    "  console   the serial console on this terminal; leave it by Ctrl-]\n"
		    "  start     start a stopped virtual machine\n"
		    "  stop      shut it down (ACPI), or at once with --force\n"
		    "  restart   stop it and start it again\n\n"
		    "  -n, --namespace NS     default: the context's\n"
		    "      --kubeconfig FILE  default: $KUBECONFIG, then ~/.kube/config\n"
		    "      --context NAME     default: the current one\n"
		    "      --grace-period S   stop, restart: seconds until it is switched off\n"
		    "      --force            stop, restart: without waiting for the guest\n");
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{"namespace", required_argument, NULL, 'n'},
		{"kubeconfig", required_argument, NULL, 'k'},
		{"context", required_argument, NULL, 'c'},
		{"grace-period", required_argument, NULL, 'g'},
		{"force", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	o->grace_s = -1;
	for (int c; (c = getopt_long(argc, argv, "n:h", known, NULL)) != -1;) {
		if (api_session_option(&o->where, c, optarg))
			continue;
		switch (c) {
		case 'g':
			if (parse_i64(str_from(optarg), &o->grace_s) < 0 || o->grace_s < 0) {
				fprintf(stderr,
					"hanok virt: --grace-period '%s': a number of seconds, 0 "
					"or more\n",
					optarg);
				return -1;
			}
			break;
		case 'f':
			o->force = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return -1;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "hanok virt: %s\n",
			argc - optind < 2 ? "a verb and the name of a virtual machine are needed"
					  : "too many arguments");
		usage(stderr);
		return -1;
	}
	o->verb = argv[optind];
	o->name = argv[optind + 1];
	if (o->force)
		o->grace_s = 0;
	return 0;
}

struct answer {
	int code;
	char text[1024]; /* the Status' message, or the failure */
};

static void on_answer(void *user, const struct http_response *r, const struct err *err)
{
	struct answer *answer = user;
	if (!r) {
		snprintf(answer->text, sizeof(answer->text), "%s", err->msg);
		return;
	}
	answer->code = r->status;
	struct arena a = ARENA_INIT;
	struct json *status = NULL;
	if (json_parse(&a, r->body, r->body_size, NULL, &status, NULL) == 0)
		snprintf(answer->text, sizeof(answer->text), "%s",
			json_path_str(status, "message") ?: "");
	arena_finish(&a);
}

/* PUT .../virtualmachines/NAME/VERB, as KubeVirt's clients do. */
static int put_verb(const struct kubeconfig *k, const struct options *o, struct err *err)
{
	uv_loop_t loop;
	struct http_endpoint *endpoint = NULL;
	struct arena a = ARENA_INIT;
	uv_loop_init(&loop);
	int r = client_endpoint_create(&loop, k, &endpoint, err);
	if (r < 0) {
		uv_loop_close(&loop);
		return r;
	}
	_cleanup_(free_p) char *auth = client_auth_headers(k);
	const char *field = streq(o->verb, "restart") ? "gracePeriodSeconds" : "gracePeriod";
	const char *body = o->grace_s >= 0 && !streq(o->verb, "start")
				   ? arena_printf(&a, "{\"%s\":%lld}", field, (long long)o->grace_s)
				   : "{}";
	struct answer answer = {0};
	struct http_call_options call = {
		.method = "PUT",
		.target = arena_printf(&a,
			"%s/apis/subresources.kubevirt.io/v1/namespaces/%s/virtualmachines/%s/%s",
			k->path, percent_encode(&a, str_from(o->where.namespace)),
			percent_encode(&a, str_from(o->name)), o->verb),
		.headers = arena_printf(&a, "%sContent-Type: application/json\r\n", auth),
		.body = body,
		.body_size = strlen(body),
		.done = on_answer,
		.user = &answer,
	};
	http_call(endpoint, &call);
	while (answer.code == 0 && answer.text[0] == '\0' && uv_run(&loop, UV_RUN_ONCE))
		;
	http_endpoint_destroy(endpoint);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	arena_finish(&a);
	if (answer.code >= 200 && answer.code < 300)
		return 0;
	return err_set(err, -EREMOTEIO, "%s", answer.text[0] ? answer.text : "the server refused");
}

static int run(struct options *o, struct err *err)
{
	struct kubeconfig k;
	int r = kubeconfig_load(o->where.kubeconfig, o->where.context, &k, err);
	if (r < 0)
		return r;
	if (!o->where.namespace)
		o->where.namespace = k.namespace;
	if (streq(o->verb, "console"))
		r = virt_console(&k, o->where.namespace, o->name, err);
	else
		r = put_verb(&k, o, err);
	if (r < 0)
		err_context(
			err, r, "%s virtual machine '%s/%s'", o->verb, o->where.namespace, o->name);
	else if (!streq(o->verb, "console"))
		printf("virtual machine %s/%s: %s requested\n", o->where.namespace, o->name,
			o->verb);
	kubeconfig_finish(&k);
	return r;
}

int virt_main(int argc, char **argv)
{
	static const char *const verbs[] = {"console", "start", "stop", "restart"};
	struct options o = {0};
	int r = parse_options(&o, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		known = known || streq(o.verb, verbs[i]);
	if (!known) {
		fprintf(stderr, "hanok virt: unknown verb '%s'\n", o.verb);
		usage(stderr);
		return 2;
	}
	struct err err = ERR_INIT;
	if (run(&o, &err) < 0) {
		fprintf(stderr, "hanok virt: %s\n", err.msg);
		return 1;
	}
	return 0;
}
