/* advise.c - asks the server what runs and what it uses, and prints what is to be advised. */
#include "cli/advise.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/advise_gather.h"
#include "cli/api_session.h"
#include "lib/placement/advise.h"

#define METRICS "/apis/metrics.k8s.io/v1beta1"
#define INTERVAL_S 15 /* as often as the nodes measure */

struct options {
	struct api_session_where where;
	bool all_namespaces, json, moves_only;
	int64_t samples, interval_s;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: hanok advise [-n NS|-A] [OPTIONS]\n\n"
		"Looks at what runs and says which workloads would be better off in virtual\n"
		"machines or in containers, why, and what that would save.\n\n"
		"  -A, --all-namespaces   not only the context's namespace\n"
		"      --samples N        measure N times (metrics.k8s.io); default 1. How a load\n"
		"                         swings shows from %d measurements on, of all replicas\n"
		"      --interval S       seconds between two; default %d\n"
		"      --moves            only what should move\n"
		"  -o, --output json      all that is known, as a document\n" API_SESSION_USAGE,
		ADVISE_SAMPLES_MIN, INTERVAL_S);
}

static bool number(const char *option, int64_t least, int64_t most, int64_t *ret)
{
	if (parse_i64(str_from(optarg), ret) == 0 && *ret >= least && *ret <= most)
		return true;
	fprintf(stderr, "hanok advise: %s '%s': a number from %" PRId64 " to %" PRId64 "\n", option,
		optarg, least, most);
	return false;
}

/* 0 go on, 1 done, -1 wrong. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {API_SESSION_OPTIONS,
		{"all-namespaces", no_argument, NULL, 'A'},
		{"samples", required_argument, NULL, 's'},
		{"interval", required_argument, NULL, 'i'}, {"moves", no_argument, NULL, 'm'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "n:o:Ah", known, NULL)) != -1;) {
		if (api_session_option(&o->where, c, optarg))
			continue;
		switch (c) {
		case 'A':
			o->all_namespaces = true;
			break;
		case 'm':
			o->moves_only = true;
			break;
		case 's':
			if (!number("--samples", 1, 1000, &o->samples))
				return -1;
			break;
		case 'i':
			if (!number("--interval", 0, 3600, &o->interval_s))
				return -1;
			break;
		case 'o':
			if (!streq(optarg, "json")) {
				fprintf(stderr, "hanok advise: --output '%s': there is json\n",
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
	if (optind < argc) {
		fprintf(stderr, "hanok advise: '%s' is no option\n", argv[optind]);
		usage(stderr);
		return -1;
	}
	return 0;
}

struct advising {
	const struct options *options;
	struct arena *a;
	struct api_session *session;
	const char *ns; /* NULL = all */
	bool has_metrics;
	struct placement_weights weights;
	struct json *weight_problems; /* NULL = none */
};

static int get_list(struct advising *x, const char *group, const char *resource,
	const struct json **ret, struct err *err)
{
	struct json *doc = NULL;
	char *where =
		x->ns ? arena_printf(x->a, "namespaces/%s/", percent_encode(x->a, str_from(x->ns)))
		      : "";
	int r = api_session_get(
		x->session, x->a, arena_printf(x->a, "%s/%s%s", group, where, resource), &doc, err);
	if (r == 0)
		*ret = doc;
	return r;
}

static int get_lists(struct advising *x, struct advise_lists *ret, struct err *err)
{
	const struct {
		const char *group, *resource;
		const struct json **list;
	} wanted[] = {
		{"/apis/apps/v1", "deployments", &ret->deployments},
		{"/apis/apps/v1", "statefulsets", &ret->stateful_sets},
		{"/apis/apps/v1", "daemonsets", &ret->daemon_sets},
		{"/apis/apps/v1", "replicasets", &ret->replica_sets},
		{"/api/v1", "pods", &ret->pods},
		{"/apis/autoscaling/v2", "horizontalpodautoscalers", &ret->autoscalers},
		{"/apis/kubevirt.io/v1", "virtualmachines", &ret->machines},
		{"/apis/kubevirt.io/v1", "virtualmachineinstances", &ret->instances},
	};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		struct err failed = ERR_INIT;
		int r = get_list(x, wanted[i].group, wanted[i].resource, wanted[i].list, &failed);
		/* A cluster without virtual machines, or without the autoscaler's new version. */
		if (r < 0 && r != -ENOENT)
			return err_set(err, r, "list %s: %s", wanted[i].resource, failed.msg);
	}
	return 0;
}

static int measure(struct advising *x, struct advise_samples *samples, struct err *err)
{
	const struct options *o = x->options;
	for (int64_t n = 0; n < o->samples; n++) {
		const struct json *metrics;
		struct err failed = ERR_INIT;
		if (n && o->interval_s)
			nanosleep(&(struct timespec){.tv_sec = o->interval_s}, NULL);
		int r = get_list(x, METRICS, "pods", &metrics, &failed);
		if (r == -ENOENT || (r < 0 && n == 0)) {
			x->has_metrics = false;
			return 0;
		}
		if (r < 0)
			return err_set(err, r, "measure: %s", failed.msg);
		x->has_metrics = true;
		advise_samples_add(samples, metrics);
		/* hanok's own; another server's metrics may not know virtual machines. */
		if (get_list(x, METRICS, "virtualmachineinstances", &metrics, NULL) == 0)
			advise_samples_add(samples, metrics);
	}
	return 0;
}

static void get_weights(struct advising *x)
{
	struct json *doc = NULL;
	/* Who may not read it, or has none, has the defaults. */
	if (api_session_get(x->session, x->a,
		    "/api/v1/namespaces/kube-system/configmaps/hanok-placement", &doc, NULL) < 0)
		doc = NULL;
	x->weights = placement_weights_of_config(x->a, json_get(doc, "data"), &x->weight_problems);
}

/* Printing. */

static const char *amount(struct arena *a, const struct json *saving)
{
	int64_t bytes = json_path_int(saving, "memoryBytes", 0),
		milli = json_path_int(saving, "cpuMilli", 0);
	const char *cpu = milli > 0 ? arena_printf(a, ", %" PRId64 "m", milli) : "";
	return arena_printf(a, "%s%" PRId64 "Mi%s", bytes < 0 ? "-" : "",
		(bytes < 0 ? -bytes : bytes) >> 20, cpu);
}

static void print_table(struct advising *x, const struct json *items)
{
	printf("%-16s %-28s %-15s %-15s %-9s %-9s %s\n", "NAMESPACE", "NAME", "RUNS AS", "ADVICE",
		"POINTS", "SAVES", "REASON");
	JSON_FOR_EACH_ITEM(i, items) {
		const char *name = arena_printf(x->a, "%s/%s", json_str(json_get(i, "kind")),
			json_str(json_get(i, "name")));
		const char *points = arena_printf(x->a, "%" PRId64 ":%" PRId64,
			json_path_int(i, "scores.virtualMachine", 0),
			json_path_int(i, "scores.container", 0));
		bool move = json_path_bool(i, "move", false),
		     moving = json_path_bool(i, "moving", false);
		const char *current = json_str_or(json_get(i, "current"), "");
		printf("%-16s %-28s %-15s %-15s %-9s %-9s %s\n", json_str(json_get(i, "namespace")),
			name, *current ? current : "-",
			move	   ? json_str(json_get(i, "recommended"))
			: moving   ? "moving"
			: *current ? "stay"
				   : "-",
			points, json_get(i, "saving") ? amount(x->a, json_get(i, "saving")) : "",
			json_str_or(json_at(json_get(i, "reasons"), 0), ""));
		JSON_FOR_EACH_ITEM(note, json_get(i, "notes"))
			printf("%-16s   note: %s\n", "", json_str(note));
	}
	if (!json_count(items))
		printf("(nothing %s)\n", x->options->moves_only ? "should move" : "runs here");
	printf("\nPoints are virtual machine : container. What a move saves is an estimate; a "
	       "minus "
	       "is what it costs.\n");
	if (!x->has_metrics)
		printf("Nothing was measured: the server has no metrics.k8s.io. Loads are judged "
		       "by "
		       "what is said about them.\n");
	else if (x->options->samples < ADVISE_SAMPLES_MIN)
		printf("Measured %" PRId64 " time(s): --samples %d or more show how loads swing.\n",
			x->options->samples, ADVISE_SAMPLES_MIN);
	JSON_FOR_EACH_ITEM(p, x->weight_problems)
		printf("ConfigMap kube-system/hanok-placement: %s\n", json_str(p));
}

static void print(struct advising *x, struct json *items)
{
	if (!x->options->json) {
		print_table(x, items);
		return;
	}
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	struct json *doc = json_new_object(x->a);
	json_set_bool(x->a, doc, "measured", x->has_metrics);
	json_set(x->a, doc, "items", items);
	if (x->weight_problems)
		json_set(x->a, doc, "weightProblems", x->weight_problems);
	json_write_pretty(&out, doc);
	printf("%s\n", out.data);
}

static struct json *judge(struct advising *x, const struct json *workloads)
{
	static const char *const told[] = {"namespace", "kind", "name", "replicas", "usage"};
	struct json *items = json_new_array(x->a);
	JSON_FOR_EACH_ITEM(w, workloads) {
		struct placement_advice advice = placement_advise(x->a, w, &x->weights);
		if (x->options->moves_only && !advice.move)
			continue;
		struct json *doc = placement_advice_doc(x->a, &advice),
			    *item = json_new_object(x->a);
		for (size_t i = 0; i < ARRAY_LEN(told); i++)
			if (json_get(w, told[i]))
				json_set(x->a, item, told[i], json_get(w, told[i]));
		JSON_FOR_EACH_MEMBER(m, doc)
			json_set(x->a, item, m->name, m->value);
		json_push(x->a, items, item);
	}
	return items;
}

/* Applications are judged by their own loop, which says what came of it. */
static void add_applications(struct advising *x, const struct json *list, struct json *items)
{
	struct arena *a = x->a;
	JSON_FOR_EACH_ITEM(app, json_get(list, "items")) {
		const struct json *status = json_get(app, "status"),
				  *decision = json_get(status, "decision");
		const char *current = json_str_or(json_get(status, "isolation"), ""),
			   *wanted = json_str_or(json_get(decision, "isolation"), "");
		bool move = *current && *wanted && !streq(current, wanted);
		/* What is under way needs no advice. */
		bool moving = move && streq(json_path_str(status, "move.to"), wanted);
		struct json *item = json_new_object(a), *reasons = json_get(decision, "reasons");
		if (!*wanted) {
			reasons = json_new_array(a);
			json_push(a, reasons,
				json_new_printf(a, "neither fits: %s",
					json_str_or(
						json_at(json_get(decision, "contradictions"), 0),
						"")));
		}
		if (!decision || (x->options->moves_only && (!move || moving)))
			continue;
		json_set(a, item, "namespace", json_path(app, "metadata.namespace"));
		json_set_str(a, item, "kind", "Application");
		json_set(a, item, "name", json_path(app, "metadata.name"));
		json_set_str(a, item, "current", current);
		json_set_str(a, item, "recommended", move ? wanted : current);
		json_set_bool(a, item, "move", move && !moving);
		if (moving)
			json_set_bool(a, item, "moving", true);
		json_set(a, item, "scores", json_get(decision, "scores"));
		json_set(a, item, "criteria", json_get(decision, "criteria"));
		json_set(a, item, "reasons", reasons);
		json_push(a, items, item);
	}
}

static int run(struct options *o, struct arena *a, struct err *err)
{
	const struct json *applications = NULL;
	struct advising x = {.options = o, .a = a};
	struct advise_lists lists = {0};
	struct advise_samples *samples = advise_samples_create(a);
	int r = api_session_open(o->where.kubeconfig, o->where.context, &x.session, err);
	if (r < 0)
		return r;
	if (!o->all_namespaces)
		x.ns = arena_strdup(a,
			o->where.namespace ? o->where.namespace : api_session_namespace(x.session));
	get_weights(&x);
	r = measure(&x, samples, err);
	if (r == 0)
		r = get_lists(&x, &lists, err);
	/* Another system's server has none. */
	if (r == 0 && get_list(&x, "/apis/hanok.io/v1", "applications", &applications, NULL) < 0)
		applications = NULL;
	api_session_close(x.session);
	if (r < 0)
		return r;
	struct json *items = judge(&x, advise_gather(a, &lists, samples));
	add_applications(&x, applications, items);
	print(&x, items);
	return 0;
}

int advise_main(int argc, char **argv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct options o = {.samples = 1, .interval_s = INTERVAL_S};
	struct err err = ERR_INIT;
	int r = parse_options(&o, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	r = run(&o, &a, &err);
	if (r < 0)
		fprintf(stderr, "hanok advise: %s\n", err.msg);
	return r < 0 ? 1 : 0;
}
