/* access.c - ways to reach a machine: console, screen, ports, ssh and scp. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/virt/terminal.h"
#include "cli/virt/tunnel.h"
#include "cli/virt/virt.h"

extern char **environ;

static const struct kubeconfig *config(struct virt *v)
{
	return api_session_config(v->session);
}

static int console(struct virt *v, struct err *err)
{
	struct virt_target t;
	unsigned used;
	int r = virt_target_args(v, &t, &used, err);
	if (r < 0)
		return r;
	t.resource = "virtualmachineinstances";
	r = virt_stdio(config(v), virt_sub_path(v, &t, "console"),
		arena_printf(&v->arena, "the serial console of %s/%s", t.namespace, t.name), err);
	return r < 0 ? err_context(err, r, "console virtual machine '%s/%s'", t.namespace, t.name)
		     : 0;
}

/* The first program of these that the system has, NULL = none. In the arena. */
static const char *find_program(struct virt *v, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct str rest = str_from(getenv("PATH") ?: "/usr/bin:/bin"), part;
		while (str_split(&rest, ':', &part)) {
			char *path =
				arena_printf(&v->arena, STR_FMT "/%s", STR_ARG(part), names[i]);
			if (part.size && access(path, X_OK) == 0)
				return path;
		}
	}
	return NULL;
}

struct screen {
	struct virt *v;
	const char *viewer; /* NULL = the user's own */
};

static int screen_listening(void *user, const unsigned *local, int *ret_pid, struct err *err)
{
	struct screen *s = user;
	struct arena *a = &s->v->arena;
	if (virt_has(s->v, "proxy-only")) {
		/* As virtctl says it, for programs that read it. */
		printf("{\"port\": %u}\n", local[0]);
		return fflush(stdout) == 0 ? 0 : err_errno(err, -errno, "standard output");
	}
	if (!s->viewer) {
		printf("no viewer was found (remote-viewer, vncviewer, gvncviewer): open "
		       "127.0.0.1 port %u with yours; Ctrl-C ends it\n",
			local[0]);
		return fflush(stdout) == 0 ? 0 : err_errno(err, -errno, "standard output");
	}
	const char *base = strrchr(s->viewer, '/') + 1;
	const char *where = streq(base, "remote-viewer")
				    ? arena_printf(a, "vnc://127.0.0.1:%u", local[0])
				    : arena_printf(a, "127.0.0.1::%u", local[0]);
	char *argv[] = {arena_strdup(a, s->viewer), arena_strdup(a, where), NULL};
	pid_t pid;
	int r = posix_spawn(&pid, s->viewer, NULL, NULL, argv, environ);
	if (r != 0)
		return err_errno(err, -r, "start %s", s->viewer);
	*ret_pid = pid;
	return 0;
}

static int screenshot_of(
	struct virt *v, const struct virt_target *t, const char *file, struct err *err)
{
	struct api_session_request request = {
		.path = virt_sub_path(v, t, "vnc/screenshot"), .accept = "image/png"};
	struct api_session_answer answer;
	int r = api_session_call(v->session, &v->arena, &request, &answer, err);
	if (r < 0)
		return err_context(
			err, r, "screenshot of virtual machine '%s/%s'", t->namespace, t->name);
	if (answer.body.size < 8 || memcmp(answer.body.p, "\x89PNG\r\n\x1a\n", 8) != 0)
		return err_set(err, -EPROTO, "the server's answer is no PNG image");
	FILE *to = streq(file, "-") ? stdout : fopen(file, "we");
	if (!to)
		return err_errno(err, -errno, "write '%s'", file);
	bool whole = fwrite(answer.body.p, 1, answer.body.size, to) == answer.body.size;
	whole = (to == stdout ? fflush(to) : fclose(to)) == 0 && whole;
	if (!whole)
		return err_errno(err, -errno, "write '%s'", file);
	if (to != stdout)
		fprintf(stderr, "%s: %zu bytes\n", file, answer.body.size);
	return 0;
}

static int vnc(struct virt *v, struct err *err)
{
	struct virt_target t;
	unsigned used;
	int64_t port = 0;
	/* "vnc screenshot NAME --file F" is virtctl's form of screenshot. */
	if (streq(v->args[0], "screenshot") && v->arg_count == 2) {
		int r = virt_target(v, v->args[1], &t, err);
		t.resource = "virtualmachineinstances";
		return r < 0 ? r : screenshot_of(v, &t, virt_value_or(v, "file", "-"), err);
	}
	int r = virt_target_args(v, &t, &used, err);
	if (r == 0)
		r = virt_number(v, "port", 0, 65535, &port, err);
	if (r < 0)
		return r;
	t.resource = "virtualmachineinstances";
	static const char *const viewers[] = {
		"remote-viewer", "vncviewer", "xtigervncviewer", "gvncviewer"};
	struct screen s = {.v = v};
	if (!virt_has(v, "proxy-only"))
		s.viewer =
			virt_value(v, "vnc-path") ?: find_program(v, viewers, ARRAY_LEN(viewers));
	if (s.viewer && !strchr(s.viewer, '/'))
		s.viewer = find_program(v, &s.viewer, 1) ?: s.viewer;
	if (s.viewer && !strchr(s.viewer, '/'))
		return err_set(err, -ENOENT, "there is no program '%s'", s.viewer);
	struct json *vmi;
	r = virt_get(v, virt_path(v, "kubevirt.io/v1", t.namespace, t.resource, t.name, NULL), &vmi,
		err);
	if (r < 0)
		return err_context(
			err, r, "screen of virtual machine '%s/%s'", t.namespace, t.name);
	struct tunnel_port p = {
		.address = virt_value_or(v, "address", "127.0.0.1"),
		.local = (unsigned)port,
		.path = virt_sub_path(v, &t, "vnc"),
	};
	struct tunnel_options o = {.ports = &p,
		.count = 1,
		.listening = screen_listening,
		.user = &s,
		.once = virt_has(v, "proxy-only")};
	return tunnel_run(config(v), &o, err);
}

static int screenshot(struct virt *v, struct err *err)
{
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	t.resource = "virtualmachineinstances";
	return r < 0 ? r
		     : screenshot_of(v, &t,
			       v->arg_count > 1 ? v->args[1] : virt_value_or(v, "file", "-"), err);
}

static unsigned port_number(struct str text, bool *good)
{
	uint64_t number = 0;
	*good = *good && parse_u64(text, &number) == 0 && number <= 65535;
	return (unsigned)number;
}

/* virtctl's [PROTOCOL/]LOCAL[:REMOTE]; as there, a number that is left out is the other one's.
 * LOCAL 0 is any free port. */
static int parse_port(struct virt *v, const char *text, const struct virt_target *t,
	struct tunnel_port *ret, struct err *err)
{
	const char *slash = strchr(text, '/'), *numbers = slash ? slash + 1 : text;
	struct str protocol = slash ? (struct str){text, (size_t)(slash - text)} : STR("tcp");
	struct str rest = str_from(numbers), part;
	unsigned local = 0, remote;
	bool good = true, udp = str_eq(protocol, "udp"), given = str_split(&rest, ':', &part);
	if (given && part.size > 0)
		local = port_number(part, &good);
	remote = local;
	if (rest.p && rest.size > 0)
		remote = port_number(rest, &good);
	if (given && part.size == 0)
		local = remote;
	if (!good || remote == 0)
		return virt_misuse(v, err,
			"port '%s': must be [PROTOCOL/]LOCAL[:REMOTE], numbers from 1 to 65535",
			text);
	if (!udp && !str_eq(protocol, "tcp"))
		return virt_misuse(v, err, "port '%s': the protocol must be tcp or udp", text);
	*ret = (struct tunnel_port){virt_value_or(v, "address", "127.0.0.1"), local,
		virt_sub_path(v, t,
			arena_printf(&v->arena, "portforward/%u/%s", remote, udp ? "udp" : "tcp")),
		udp};
	return 0;
}

struct forward {
	const struct tunnel_port *ports;
	size_t count;
	char **words;
};

static int forward_listening(void *user, const unsigned *local, int *ret_pid, struct err *err)
{
	const struct forward *f = user;
	for (size_t i = 0; i < f->count; i++)
		printf("Forwarding from %s:%u (%s)\n", f->ports[i].address, local[i], f->words[i]);
	return fflush(stdout) == 0 ? 0 : err_errno(err, -errno, "standard output");
}

static int port_forward(struct virt *v, struct err *err)
{
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	size_t count = v->arg_count - 1;
	struct tunnel_port *ports = arena_zalloc(&v->arena, count * sizeof(*ports));
	for (size_t i = 0; i < count && r == 0; i++)
		r = parse_port(v, v->args[1 + i], &t, &ports[i], err);
	if (r == 0 && virt_has(v, "stdio") && count != 1)
		r = virt_misuse(v, err, "--stdio takes exactly one port");
	if (r < 0)
		return r;
	if (virt_has(v, "stdio")) {
		r = virt_stdio(config(v), ports[0].path, NULL, err);
	} else {
		struct json *found;
		r = virt_get(v,
			virt_path(v, "kubevirt.io/v1", t.namespace, t.resource, t.name, NULL),
			&found, err);
		struct forward f = {ports, count, v->args + 1};
		struct tunnel_options o = {
			.ports = ports, .count = count, .listening = forward_listening, .user = &f};
		if (r == 0)
			r = tunnel_run(config(v), &o, err);
	}
	return r < 0 ? err_context(err, r, "port-forward of '%s/%s'", t.namespace, t.name) : 0;
}

/* ssh and scp. The host name that ssh sees is KubeVirt's: vm.NAME.NAMESPACE; its key is kept under
 * that name in a file of its own, since addresses come and go. */
struct remote {
	struct virt_target target;
	const char *user; /* NULL = ssh's default */
	const char *path; /* of scp; NULL = ssh */
};

static int parse_remote(
	struct virt *v, const char *text, bool with_path, struct remote *ret, struct err *err)
{
	const char *at = strchr(text, '@'), *rest = at ? at + 1 : text;
	const char *colon = with_path ? strchr(rest, ':') : NULL;
	*ret = (struct remote){0};
	if (at)
		ret->user = arena_printf(&v->arena, "%.*s", (int)(at - text), text);
	if (at == text)
		return virt_misuse(v, err, "'%s': the user's name is empty", text);
	/* It would be an option of ssh. */
	if (*text == '-')
		return virt_misuse(v, err, "'%s': a user's name does not begin with '-'", text);
	if (colon) {
		ret->path = colon + 1;
		rest = arena_printf(&v->arena, "%.*s", (int)(colon - rest), rest);
	}
	return virt_target(v, rest, &ret->target, err);
}

static void add_word(struct arena *a, struct buf *line, const char *word)
{
	/* The system's shell reads ProxyCommand. */
	buf_add_char(line, '\'');
	for (; *word; word++)
		if (*word == '\'')
			buf_add_str(line, "'\\''");
		else if (*word == '%') /* ssh's own escapes */
			buf_add_str(line, "%%");
		else
			buf_add_char(line, *word);
	buf_add_str(line, "' ");
}

static const char *proxy_command(struct virt *v, const struct remote *to, const char *port)
{
	struct arena *a = &v->arena;
	struct buf line = BUF_INIT;
	char self[4096];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[MAX(size, 0)] = '\0';
	buf_add_str(&line, "ProxyCommand=");
	add_word(a, &line, size > 0 ? self : "hanok");
	buf_add_str(&line, "virt port-forward --stdio ");
	if (v->where.kubeconfig) {
		buf_add_str(&line, "--kubeconfig ");
		add_word(a, &line, v->where.kubeconfig);
	}
	if (v->where.context) {
		buf_add_str(&line, "--context ");
		add_word(a, &line, v->where.context);
	}
	add_word(a, &line,
		arena_printf(a, "%s/%s/%s",
			streq(to->target.resource, "virtualmachines") ? "vm" : "vmi",
			to->target.name, to->target.namespace));
	add_word(a, &line, port);
	const char *text = arena_strdup(a, line.data);
	buf_finish(&line);
	return text;
}

static const char *known_hosts(struct virt *v)
{
	const char *given = virt_value(v, "known-hosts");
	if (given)
		return given;
	const char *home = getenv("HOME");
	if (!home || !*home)
		return "/dev/null";
	char *directory = arena_printf(&v->arena, "%s/.ssh", home);
	mkdir(directory, 0700);
	return arena_printf(&v->arena, "%s/kubevirt_known_hosts", directory);
}

struct words {
	struct arena *arena;
	char *argv[64];
	size_t count;
};

static void word(struct words *w, const char *text)
{
	if (w->count + 1 < ARRAY_LEN(w->argv))
		w->argv[w->count++] = arena_strdup(w->arena, text);
}

static int remote_words(struct virt *v, struct words *w, struct remote *to, struct err *err)
{
	int64_t port = 22;
	int r = virt_number(v, "port", 1, 65535, &port, err);
	if (r < 0)
		return r;
	if (virt_value(v, "username"))
		to->user = virt_value(v, "username");
	word(w, "-o");
	word(w, proxy_command(v, to, arena_printf(&v->arena, "%lld", (long long)port)));
	word(w, "-o");
	word(w, arena_printf(&v->arena, "UserKnownHostsFile=%s", known_hosts(v)));
	word(w, "-o");
	word(w, arena_printf(&v->arena, "StrictHostKeyChecking=%s",
			virt_value_or(v, "known-hosts-check", "accept-new")));
	if (virt_value(v, "identity-file")) {
		word(w, "-i");
		word(w, virt_value(v, "identity-file"));
		word(w, "-o");
		word(w, "IdentitiesOnly=yes");
	}
	const char *const *more;
	size_t count = virt_values(v, "local-ssh-opts", &more);
	for (size_t i = 0; i < count; i++)
		word(w, more[i]);
	return 0;
}

static const char *remote_name(struct virt *v, const struct remote *to)
{
	return arena_printf(&v->arena, "%s%s%s.%s.%s", to->user ? to->user : "",
		to->user ? "@" : "", streq(to->target.resource, "virtualmachines") ? "vm" : "vmi",
		to->target.name, to->target.namespace);
}

static int become(struct virt *v, struct words *w, struct err *err)
{
	w->argv[w->count] = NULL;
	execvp(w->argv[0], w->argv);
	return errno == ENOENT
		       ? err_set(err, -ENOENT, "this system has no %s (package openssh-client)",
				 w->argv[0])
		       : err_errno(err, -errno, "start %s", w->argv[0]);
}

static int ssh(struct virt *v, struct err *err)
{
	struct words w = {.arena = &v->arena};
	struct remote to;
	int r = parse_remote(v, v->args[0], false, &to, err);
	word(&w, "ssh");
	if (r == 0)
		r = remote_words(v, &w, &to, err);
	if (r < 0)
		return r;
	word(&w, remote_name(v, &to));
	if (virt_value(v, "command"))
		word(&w, virt_value(v, "command"));
	if (v->arg_count > 40)
		return virt_misuse(v, err, "the command has too many words: quote it as one");
	for (unsigned i = 1; i < v->arg_count; i++)
		word(&w, v->args[i]);
	return become(v, &w, err);
}

static int scp(struct virt *v, struct err *err)
{
	struct words w = {.arena = &v->arena};
	bool from_guest = strchr(v->args[0], ':') != NULL,
	     to_guest = strchr(v->args[1], ':') != NULL;
	if (from_guest == to_guest)
		return virt_misuse(v, err,
			"one of the two must be local, the other "
			"[USER@]TYPE/NAME[/NAMESPACE]:PATH");
	struct remote there;
	int r = parse_remote(v, v->args[to_guest], true, &there, err);
	word(&w, "scp");
	if (r == 0)
		r = remote_words(v, &w, &there, err);
	if (r < 0)
		return r;
	if (virt_has(v, "recursive"))
		word(&w, "-r");
	if (virt_has(v, "preserve"))
		word(&w, "-p");
	const char *far = arena_printf(&v->arena, "%s:%s", remote_name(v, &there), there.path);
	word(&w, from_guest ? far : v->args[0]);
	word(&w, from_guest ? v->args[1] : far);
	return become(v, &w, err);
}

static int no_usb(struct virt *v, struct err *err)
{
	return err_set(err, -EOPNOTSUPP,
		"not available: machines here have no USB redirection. Host devices are given by "
		"spec.template.spec.domain.devices.hostDevices");
}

#define SSH_FLAGS                                                                                  \
	{"username", 'l', "USER", "who to log in as"},                                             \
		{"identity-file", 'i', "FILE", "the private key"},                                 \
		{"port", 'p', "PORT", "the guest's; default 22"},                                  \
		{"known-hosts", 0, "FILE", "default: ~/.ssh/kubevirt_known_hosts"},                \
		{"known-hosts-check", 0, "HOW",                                                    \
			"ssh's StrictHostKeyChecking; default accept-new"},                        \
		{"local-ssh-opts", 't', "OPTION", "for the system's ssh; several"},                \
	{                                                                                          \
		"local-ssh", 0, NULL, "the system's ssh is always the one that is used"            \
	}
static const struct virt_flag ssh_flags[] = {
	SSH_FLAGS, {"command", 'c', "COMMAND", "instead of a shell"}, {0}};
static const struct virt_flag scp_flags[] = {SSH_FLAGS,
	{"recursive", 'r', NULL, "whole directories"}, {"preserve", 0, NULL, "times and modes too"},
	{0}};
static const struct virt_flag vnc_flags[] = {
	{"proxy-only", 0, NULL, "no viewer: listen, say the port, serve one connection"},
	{"port", 0, "PORT", "to listen on; default: any that is free"},
	{"address", 0, "ADDRESS", "to listen on; default 127.0.0.1"},
	{"vnc-path", 0, "PROGRAM", "the viewer"},
	{"file", 'f', "FILE", "vnc screenshot: where to"},
	{0},
};
static const struct virt_flag screenshot_flags[] = {
	{"file", 'f', "FILE", "where to; - = standard output"}, {0}};
static const struct virt_flag forward_flags[] = {
	{"address", 0, "ADDRESS", "to listen on; default 127.0.0.1"},
	{"stdio", 0, NULL, "one port, to standard input and output"},
	{0},
};

const struct virt_verb virt_access_verbs[] = {
	{"console", "NAME", 1, 2, "the serial console on this terminal; leave it by Ctrl-]",
		console, NULL, false},
	{"vnc", "NAME", 1, 2, "its screen: starts a viewer, or says where to point one", vnc,
		vnc_flags, false},
	{"screenshot", "NAME [FILE.png]", 1, 2, "what its screen shows, as a PNG image", screenshot,
		screenshot_flags, false},
	{"port-forward", "[TYPE/]NAME[/NAMESPACE] [tcp/|udp/]LOCAL[:REMOTE]...", 2, 33,
		"local ports that lead to the guest's", port_forward, forward_flags, false},
	{"ssh", "[USER@][TYPE/]NAME[/NAMESPACE] [-- COMMAND]", 1, VIRT_ANY,
		"a shell in the guest, by the system's ssh", ssh, ssh_flags, false},
	{"scp", "FROM TO", 2, 2, "copy files; the guest's are [USER@][TYPE/]NAME[/NAMESPACE]:PATH",
		scp, scp_flags, false},
	{"usbredir", "DEVICE NAME", 1, 2, "not available", no_usb, NULL, true},
	{0},
};
