/* virt.h - what the verbs of `hanok virt` share: the table of verbs, an invocation's arguments and
 * flags, and requests about virtual machines.
 *
 * A verb is a row: its words, its flags, its function. Help, completion and the checks of arguments
 * come from the rows. Words are virtctl's where it has the verb, else virsh's. */
#pragma once

#include "cli/api_session.h"

struct virt;

struct virt_flag {
	const char *name;  /* "grace-period"; NULL ends the list */
	char letter;	   /* 0 = none */
	const char *value; /* what stands for the value in the help, "SECONDS"; NULL = a switch */
	const char *help;
};

struct virt_verb {
	const char *name;
	const char *args;    /* "NAME [FILE]", as in the help */
	unsigned min, max;   /* arguments behind the verb; VIRT_ANY = without bound */
	const char *summary; /* a line */
	int (*run)(struct virt *v, struct err *err);
	const struct virt_flag *flags; /* of its own; may be NULL */
	bool local;		       /* asks no server: v->session is NULL */
};
#define VIRT_ANY UINT32_MAX

/* One subject's verbs, in a file of its own. A verb with name NULL ends each. */
struct virt_subject {
	const char *title;
	const struct virt_verb *verbs;
};
extern const struct virt_verb virt_power_verbs[], virt_look_verbs[], virt_access_verbs[],
	virt_guest_verbs[], virt_device_verbs[], virt_snapshot_verbs[], virt_copy_verbs[],
	virt_upload_verbs[], virt_export_verbs[], virt_create_verbs[], virt_other_verbs[];
extern const struct virt_subject virt_subjects[]; /* title NULL ends */
/* What a program of such verbs is called, and what it has: `hanok virt`, `hanok image`. */
struct virt_program {
	const char *words;
	const struct virt_subject *subjects;
};
int virt_program_main(const struct virt_program *p, int argc, char **argv);

struct virt_given; /* a flag as it was given */
struct virt {
	const struct virt_program *program;
	const struct virt_verb *verb;
	char **args;
	unsigned arg_count;
	struct virt_given *given;
	size_t given_count;
	struct api_session_where where;
	struct api_session *session;
	const char *namespace;
	struct arena arena; /* of the invocation */
	unsigned answer_s;  /* how long the next requests' answers may take; 0 = 30 */
	bool misused;	    /* virt_misuse was called: exit code 2 */
};

/* Flags by name. */
bool virt_has(const struct virt *v, const char *flag);
const char *virt_value(const struct virt *v, const char *flag); /* the last one; NULL = not given */
const char *virt_value_or(const struct virt *v, const char *flag, const char *fallback);
/* The values of a flag that may be given several times; the count. In the arena. */
size_t virt_values(struct virt *v, const char *flag, const char *const **ret);
/* A whole number from least to most; -EINVAL as of virt_misuse. Not given: *ret stays. */
int virt_number(struct virt *v, const char *flag, int64_t least, int64_t most, int64_t *ret,
	struct err *err) _must_check_;
/* That a flag, if it is given, is an amount above 0 as Kubernetes writes them ("512Mi"); -EINVAL as
 * of virt_misuse. */
int virt_check_amount(struct virt *v, const char *flag, struct err *err) _must_check_;
/* The invocation makes no sense: -EINVAL. */
int virt_misuse(struct virt *v, struct err *err, const char *fmt, ...) _printf_(3, 4);

/* virtctl's TYPE/NAME[/NAMESPACE], TYPE NAME and NAME: what arguments name. */
struct virt_target {
	const char *resource; /* "virtualmachines" | "virtualmachineinstances" */
	const char *name, *namespace;
	bool typed; /* said, not assumed */
};
int virt_target(
	struct virt *v, const char *text, struct virt_target *ret, struct err *err) _must_check_;
/* The verb's target by its first arguments, one or two words of them: *ret_used. */
int virt_target_args(
	struct virt *v, struct virt_target *ret, unsigned *ret_used, struct err *err) _must_check_;

/* Paths, percent-encoded, in the arena. name and sub may be NULL. */
const char *virt_path(struct virt *v, const char *group_version, const char *namespace,
	const char *resource, const char *name, const char *sub);
/* "/apis/kubevirt.io/v1/namespaces/NS/RESOURCE/NAME" in the invocation's namespace */
const char *virt_vm_path(struct virt *v, const char *resource, const char *name);
const char *virt_sub_path(struct virt *v, const struct virt_target *t, const char *sub);

/* Requests. Documents are in the arena; ret may be NULL. */
int virt_get(struct virt *v, const char *path, struct json **ret, struct err *err) _must_check_;
int virt_send(struct virt *v, const char *method, const char *path, const char *content_type,
	const struct json *body, struct json **ret, struct err *err) _must_check_;
#define VIRT_MERGE_PATCH "application/merge-patch+json"
#define VIRT_JSON_PATCH "application/json-patch+json"
/* Reads, changes, and writes an object, again when somebody else was faster. change: 0, or negative
 * for good. */
int virt_update(struct virt *v, const char *path,
	int (*change)(struct virt *v, struct json *object, void *user, struct err *err), void *user,
	struct err *err) _must_check_;

/* Names the object and says what was done or asked for, on standard output. */
void virt_say(const struct virt_target *t, const char *what);

/* A table whose columns are as wide as they must be. */
struct virt_table {
	struct virt *v;
	unsigned columns;
	const char **cells; /* rows * columns, in the arena */
	size_t count;	    /* of cells */
};
struct virt_table virt_table(struct virt *v, unsigned columns, const char *const *titles);
void virt_table_cell(struct virt_table *t, const char *text); /* copied; NULL or "" = "-" */
void virt_table_print(const struct virt_table *t);
/* "2d", "3h12m": how long ago a timestamp of the API was; "" for none. */
const char *virt_age(struct virt *v, const char *timestamp);
/* "1.5Gi" */
const char *virt_bytes(struct virt *v, int64_t bytes);
