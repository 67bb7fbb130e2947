/* virt.c - `hanok virt`: finds the verb, reads its flags, runs it. */
#include "cli/virt/virt.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/virt/virt_main.h"
#include "lib/object/quantity.h"

struct virt_given {
	const struct virt_flag *flag;
	const char *value;
};

const struct virt_subject virt_subjects[] = {
	{"Switch on and off", virt_power_verbs},
	{"Look", virt_look_verbs},
	{"Reach", virt_access_verbs},
	{"Inside the guest", virt_guest_verbs},
	{"Disks, network, settings", virt_device_verbs},
	{"Snapshots", virt_snapshot_verbs},
	{"Copy, move, delete", virt_copy_verbs},
	{"Images in", virt_upload_verbs},
	{"Disks out", virt_export_verbs},
	{"Write manifests", virt_create_verbs},
	{"Others", virt_other_verbs},
	{0},
};

static const struct virt_flag common_flags[] = {
	{"namespace", 'n', "NS", "default: the context's"},
	{"kubeconfig", 0, "FILE", "default: $KUBECONFIG, then ~/.kube/config"},
	{"context", 0, "NAME", "default: the current one"},
	{"help", 'h', NULL, "this"},
	{0},
};

/* "info|dominfo": either word. */
static bool is_called(const struct virt_verb *verb, const char *name)
{
	struct str rest = str_from(verb->name), word;
	while (str_split(&rest, '|', &word))
		if (str_eq(word, name))
			return true;
	return false;
}

static const struct virt_verb *find_verb(const struct virt_program *p, const char *name)
{
	for (const struct virt_subject *s = p->subjects; s->title; s++)
		for (const struct virt_verb *verb = s->verbs; verb->name; verb++)
			if (is_called(verb, name))
				return verb;
	return NULL;
}

static void usage_of_all(FILE *to, const struct virt_program *p)
{
	fprintf(to, "usage: %s VERB [ARGUMENTS] [OPTIONS]\n", p->words);
	for (const struct virt_subject *s = p->subjects; s->title; s++) {
		fprintf(to, "\n%s\n", s->title);
		for (const struct virt_verb *verb = s->verbs; verb->name; verb++)
			fprintf(to, "  %-18.*s %s\n", (int)strcspn(verb->name, "|"), verb->name,
				verb->summary);
	}
	fprintf(to, "\n`%s VERB --help` tells a verb's arguments and options.\n", p->words);
}

static void usage_of_flags(FILE *to, const struct virt_flag *flags)
{
	for (const struct virt_flag *f = flags; f && f->name; f++) {
		char left[64];
		snprintf(left, sizeof(left), "--%s%s%s", f->name, f->value ? " " : "",
			f->value ? f->value : "");
		if (f->letter)
			fprintf(to, "  -%c, %-26s %s\n", f->letter, left, f->help);
		else
			fprintf(to, "      %-26s %s\n", left, f->help);
	}
}

static void usage_of_verb(FILE *to, const struct virt_program *p, const struct virt_verb *verb)
{
	fprintf(to, "usage: %s %.*s %s%s[OPTIONS]\n\n  %s\n\n", p->words,
		(int)strcspn(verb->name, "|"), verb->name, verb->args, *verb->args ? " " : "",
		verb->summary);
	usage_of_flags(to, verb->flags);
	usage_of_flags(to, common_flags);
}

int virt_misuse(struct virt *v, struct err *err, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->misused = true;
	return err_set(err, -EINVAL, "%s", text);
}

/* The flags as getopt_long wants them; a flag's number is its place, from 256 on. */
#define FLAGS_MAX 48
struct known {
	struct option options[FLAGS_MAX + 1];
	const struct virt_flag *flags[FLAGS_MAX];
	char letters[2 * FLAGS_MAX + 3];
	size_t count;
};

static void know(struct known *k, const struct virt_flag *flags)
{
	size_t at = strlen(k->letters);
	for (const struct virt_flag *f = flags; f && f->name && k->count < FLAGS_MAX; f++) {
		k->options[k->count] = (struct option){f->name,
			f->value ? required_argument : no_argument, NULL, 256 + (int)k->count};
		k->flags[k->count++] = f;
		if (f->letter) {
			k->letters[at++] = f->letter;
			if (f->value)
				k->letters[at++] = ':';
		}
	}
	k->letters[at] = '\0';
}

static const struct virt_flag *known_flag(const struct known *k, int c)
{
	if (c >= 256)
		return k->flags[c - 256];
	for (size_t i = 0; i < k->count; i++)
		if (k->flags[i]->letter == c)
			return k->flags[i];
	return NULL;
}

/* 0 go on, 1 help was wanted, negative misuse (told). */
static int parse(struct virt *v, int argc, char **argv)
{
	struct known known = {.letters = ""};
	know(&known, v->verb->flags);
	know(&known, common_flags);
	v->given = arena_zalloc(&v->arena, (size_t)argc * sizeof(*v->given));
	optind = 0;
	for (int c; (c = getopt_long(argc, argv, known.letters, known.options, NULL)) != -1;) {
		const struct virt_flag *f = c == '?' ? NULL : known_flag(&known, c);
		if (!f) {
			usage_of_verb(stderr, v->program, v->verb);
			return -EINVAL;
		}
		if (streq(f->name, "help")) {
			usage_of_verb(stdout, v->program, v->verb);
			return 1;
		}
		v->given[v->given_count++] = (struct virt_given){f, optarg};
	}
	v->args = argv + optind;
	v->arg_count = (unsigned)(argc - optind);
	v->where = (struct api_session_where){
		virt_value(v, "kubeconfig"), virt_value(v, "context"), virt_value(v, "namespace")};
	if (v->arg_count >= v->verb->min && v->arg_count <= v->verb->max)
		return 0;
	fprintf(stderr, "%s %.*s: %s\n", v->program->words, (int)strcspn(v->verb->name, "|"),
		v->verb->name,
		v->arg_count < v->verb->min ? "arguments are missing" : "too many arguments");
	usage_of_verb(stderr, v->program, v->verb);
	return -EINVAL;
}

bool virt_has(const struct virt *v, const char *flag)
{
	for (size_t i = 0; i < v->given_count; i++)
		if (streq(v->given[i].flag->name, flag))
			return true;
	return false;
}

const char *virt_value(const struct virt *v, const char *flag)
{
	for (size_t i = v->given_count; i-- > 0;)
		if (streq(v->given[i].flag->name, flag))
			return v->given[i].value;
	return NULL;
}

const char *virt_value_or(const struct virt *v, const char *flag, const char *fallback)
{
	const char *value = virt_value(v, flag);
	return value ? value : fallback;
}

size_t virt_values(struct virt *v, const char *flag, const char *const **ret)
{
	const char **values = arena_zalloc(&v->arena, (v->given_count + 1) * sizeof(*values));
	size_t count = 0;
	for (size_t i = 0; i < v->given_count; i++)
		if (streq(v->given[i].flag->name, flag))
			values[count++] = v->given[i].value;
	*ret = values;
	return count;
}

int virt_number(struct virt *v, const char *flag, int64_t least, int64_t most, int64_t *ret,
	struct err *err)
{
	const char *text = virt_value(v, flag);
	int64_t number;
	if (!text)
		return 0;
	if (parse_i64(str_from(text), &number) < 0 || number < least || number > most)
		return virt_misuse(v, err, "--%s '%s': a number from %lld to %lld", flag, text,
			(long long)least, (long long)most);
	*ret = number;
	return 0;
}

int virt_check_amount(struct virt *v, const char *flag, struct err *err)
{
	const char *text = virt_value(v, flag);
	struct quantity q;
	if (text && (quantity_parse(text, &q) < 0 || quantity_value(q) <= 0))
		return virt_misuse(v, err, "--%s '%s': an amount such as 512Mi or 2Gi", flag, text);
	return 0;
}

static int run(struct virt *v, struct err *err)
{
	if (v->verb->local)
		return v->verb->run(v, err);
	int r = api_session_open(v->where.kubeconfig, v->where.context, &v->session, err);
	if (r < 0)
		return r;
	v->namespace = v->where.namespace ? v->where.namespace : api_session_namespace(v->session);
	return v->verb->run(v, err);
}

/* Options that all verbs know may stand before the verb. */
static int verb_at(int argc, char **argv)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (streq(argv[i], "-h") || streq(argv[i], "--help"))
			break;
		if (!strchr(argv[i], '=') &&
			!(argv[i][0] == '-' && argv[i][1] == 'n' && argv[i][2]))
			i++;
	}
	return i;
}

int virt_program_main(const struct virt_program *p, int argc, char **argv)
{
	int at = verb_at(argc, argv);
	if (at < argc &&
		(streq(argv[at], "-h") || streq(argv[at], "--help") || streq(argv[at], "help"))) {
		const struct virt_verb *about = at + 1 < argc ? find_verb(p, argv[at + 1]) : NULL;
		if (about)
			usage_of_verb(stdout, p, about);
		else
			usage_of_all(stdout, p);
		return 0;
	}
	if (at >= argc) {
		fprintf(stderr, "%s: a verb is needed\n", p->words);
		usage_of_all(stderr, p);
		return 2;
	}
	struct virt v = {.verb = find_verb(p, argv[at]), .program = p};
	if (!v.verb) {
		fprintf(stderr, "%s: unknown verb '%s'; `%s --help` lists them\n", p->words,
			argv[at], p->words);
		return 2;
	}
	/* The verb goes to the front, where getopt_long expects the program. */
	char *word = argv[at];
	memmove(argv + 1, argv, (size_t)at * sizeof(*argv));
	argv[0] = word;
	argv[1] = word;
	int r = parse(&v, argc - 1, argv + 1);
	struct err err = ERR_INIT;
	int code = r < 0 ? 2 : 0;
	if (r == 0 && run(&v, &err) < 0) {
		fprintf(stderr, "%s %s: %s\n", p->words, word, err.msg);
		code = v.misused ? 2 : 1;
	}
	api_session_close(v.session);
	arena_finish(&v.arena);
	return code;
}

int virt_main(int argc, char **argv)
{
	static const struct virt_program program = {"hanok virt", virt_subjects};
	return virt_program_main(&program, argc, argv);
}
