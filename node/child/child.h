/* child.h - runs a program on the event loop and collects what it says: qemu-img, skopeo, CNI
 * plugins, nft. Output, time and (if asked) written file size are bounded, because most of these
 * programs read data that somebody else made. Never a shell: arguments go to the program as they
 * are. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"

#define CHILD_OUTPUT_MAX_BYTES (1u << 20) /* default for standard output */
#define CHILD_ERRORS_MAX_BYTES 4096	  /* the end of standard error that is kept */

/* A user that nobody else on the host is, for one piece of work without rights: programs of two
 * pieces can neither send each other signals, nor trace each other, nor read each other's files.
 * Some number of a range that no distribution and no container uses: nothing remembers them, and
 * nobody can make one come again. */
#define CHILD_USERS_FIRST 0x7a000000u
#define CHILD_USERS 0x1000000u
uid_t child_user_new(void);

struct child_result {
	int exit_code; /* -1 when killed or never started */
	int signal;    /* 0 = none */
	bool timed_out;
	const char *out; /* standard output, NUL-terminated; valid during the callback */
	size_t out_size;
	const char *errors; /* end of standard error, NUL-terminated, final newline removed */
};

/* A network of its own (confine.h), and who is asked for names there. */
struct child_network {
	const char *namespace;	 /* file of the network namespace */
	const char *name_switch; /* a file in the place of /etc/nsswitch.conf */
	const char *resolv_conf; /* and one in that of /etc/resolv.conf */
};

struct child_options {
	uv_loop_t *loop;
	const char *const *argv; /* argv[0] is looked up in the system's directories */
	const char *const *env;	 /* "NAME=value", added to PATH, HOME, LANG=C.UTF-8; may be NULL */
	const void *input;	 /* standard input (copied); NULL = empty */
	size_t input_size;
	const char *out_path;  /* standard output goes to this new file (0600) instead */
	const char *directory; /* to start in; NULL = / */
	unsigned timeout_ms;   /* 0 = 30 s; then SIGKILL */
	size_t output_max;     /* 0 = CHILD_OUTPUT_MAX_BYTES; more kills it */
	/* Limits by prlimit(1); 0 = none. */
	uint64_t file_bytes_max, memory_bytes_max;
	unsigned cpu_s_max;
	/* By setpriv(1): as another user, without any capability and unable to gain one; and it
	 * ends when this process does. */
	bool unprivileged;
	uid_t run_as; /* whose the files are that it writes; 0 = a user for this program alone */
	/* ... but for one capability: it may read everybody's files (and write nobody's). */
	bool reads_all;
	/* Of a program with rights: it, too, ends when this process does, for what it makes is
	 * nobody's then. */
	bool mortal;
	const struct child_network *network; /* NULL = the host's */
	/* Standard output as it comes, in place of r->out; may be NULL. */
	void (*output)(void *user, const char *p, size_t size);
	/* Called once, later, also when the program could not be started (err set, r->exit_code
	 * -1). err NULL = it ran and exited with 0. */
	void (*done)(void *user, const struct child_result *r, const struct err *err);
	void *user;
};

struct child;
struct child *child_run(const struct child_options *o);
/* Of one with `output`: reads on, or lets it wait. NULL allowed. */
void child_pause(struct child *c, bool paused);
void child_cancel(struct child *c); /* kills it; done is not called; NULL allowed */
