#include "node/vm/control/control.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/vm/image/image_files.h"
#include "node/net/policy/policies.h"
#include "node/vm/snapshot/snapshots.h"
#include "node/pod/ref_watch.h"

/* Openable is not enough: where the CPU does not show virtualization (a VM without nesting), the
 * device may be there and guests still not run. */
static bool kvm_works(void)
{
	char line[8192];
	bool flag = false;
	FILE *f = fopen("/proc/cpuinfo", "re");
	int fd;

	while (f && !flag && fgets(line, sizeof(line), f))
		flag = str_has_prefix(line, "flags") &&
		       (strstr(line, " vmx") || strstr(line, " svm"));
	if (f)
		fclose(f);
	fd = flag ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static const char *find_emulator(void)
{
	static const char *const paths[] = {"/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-kvm",
		"/usr/libexec/qemu-kvm", "/usr/local/bin/qemu-system-x86_64"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return paths[0]; /* libvirt's message names it */
}

static struct vm_worker *worker_of_domain(struct vm_manager *m, const struct libvirt_domain *d)
{
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		struct vm_worker *w = i.value;

		if (!memcmp(w->uuid, d->uuid, sizeof(d->uuid)) && streq(w->domain.name, d->name))
			return w;
	}
	return NULL;
}

/* Steps may remove workers from the table, so a list is made first. */
static void tell_all(struct vm_manager *m, bool up)
{
	VEC(char *) uids = {0};

	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);)
		VEC_PUSH(&uids, xstrdup(i.key));
	for (size_t i = 0; i < uids.count; i++) {
		struct vm_worker *w = table_get(&m->workers, uids.items[i]);

		if (w)
			vm_worker_libvirt(w, up);
		free(uids.items[i]);
	}
	VEC_FINISH(&uids);
}

static void host_known(struct vm_manager *m)
{
	if (libvirt_is_up(m->libvirt))
		tell_all(m, true);
}

static void libvirt_up(void *user)
{
	struct vm_manager *m = user;
	char version[24];

	log_info("libvirt is there", "version",
		log_i64(version, (int64_t)libvirt_version(m->libvirt)), "accelerator",
		m->host.kvm ? "kvm" : "tcg", NULL);
	node_report(m->node, "libvirt", true, "LibvirtReady",
		m->host.kvm ? "libvirt answers; guests run on KVM"
			    : "libvirt answers; guests are emulated (no usable KVM)");
	/* Nothing is prepared before it is known what the host can give. */
	vm_host_learn(m->hardware, host_known);
}

static void libvirt_down(void *user, const struct err *err)
{
	struct vm_manager *m = user;
	char text[1200];

	snprintf(text, sizeof(text), "libvirt can't be reached at %s: %s", m->node->libvirt_address,
		err->msg);
	log_warn("virtual machines", "problem", text, NULL);
	node_report(m->node, "libvirt", false, "LibvirtUnreachable", text);
	tell_all(m, false);
}

static void on_event(void *user, const struct libvirt_event *e)
{
	struct vm_worker *w = worker_of_domain(user, &e->domain);

	if (w)
		vm_watch_event(w, e);
}

static void agents_up(void *user)
{
	struct vm_manager *m = user;

	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);)
		vm_agent_look(i.value);
}

static void secret_changed(void *user, const char *uid)
{
	struct vm_manager *m = user;
	struct vm_worker *w = table_get(&m->workers, uid);

	if (w)
		vm_agent_secrets(w);
}

static void tell_host_ends(const struct vm_manager *m, struct vm_worker *w)
{
	w->core.host_ends = m->host_ends;
	w->core.host_grace_ns = m->host_grace_ns;
}

static struct vm_worker *add_worker(struct vm_manager *m, const char *uid, struct object *o)
{
	uint8_t bytes[LIBVIRT_UUID_BYTES];
	struct vm_worker *w;

	/* The uid names files: it must be one. */
	if (libvirt_uuid_parse(uid, bytes) < 0)
		return NULL;
	w = vm_worker_create(m, uid, o);
	tell_host_ends(m, w);
	table_set(&m->workers, uid, w);
	return w;
}

static void instance_changed(void *user, const struct object *old, const struct object *new)
{
	struct vm_manager *m = user;
	struct vm_worker *w;

	policies_changed(m->node->policies, old, new);
	if (old && (!new || !streq(old->uid, new->uid))) {
		w = table_get(&m->workers, old->uid);
		if (w)
			vm_worker_object(w, NULL);
	}
	if (!new)
		return;
	w = table_get(&m->workers, new->uid);
	if (w) {
		vm_worker_object(w, (struct object *)new);
	} else {
		w = add_worker(m, new->uid, (struct object *)new);
		if (w)
			vm_worker_step(w);
	}
}

/* Files of VMIs that went while no agent was here. */
static void instances_listed(void *user)
{
	struct vm_manager *m = user;
	DIR *dir = opendir(m->directory);

	policies_listed(m->node->policies, true);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct vm_worker *w;

		if (e->d_name[0] == '.' || table_get(&m->workers, e->d_name))
			continue;
		w = add_worker(m, e->d_name, NULL);
		if (w)
			vm_worker_step(w);
	}
	if (dir)
		closedir(dir);
	net_attachments_complete(m->node->net);
}

void vm_manager_forget(struct vm_manager *m, struct vm_worker *w)
{
	policies_ended(m->node->policies, w->uid);
	table_remove(&m->workers, w->uid);
	vm_worker_destroy(w);
}

int vm_manager_create(struct node *n, struct vm_manager **ret, struct err *err)
{
	static const struct libvirt_handler on_libvirt = {
		.up = libvirt_up, .down = libvirt_down, .event = on_event};
	static const struct informer_handler on_instance = {
		.changed = instance_changed, .synced = instances_listed};
	struct vm_manager *m = xcalloc(1, sizeof(*m));
	_cleanup_(free_p) char *images = xasprintf("%s/container-disks", n->data_dir);
	char selector[320];
	int r = 0;

	m->node = n;
	list_init(&m->growths);
	m->kind = kind_by_name(n->kinds, "kubevirt.io", "v1", "VirtualMachineInstance");
	m->directory = xasprintf("%s/vms", n->data_dir);
	m->host = (struct domain_host){.kvm = kvm_works(),
		.emulator = find_emulator(),
		.bridge = NET_BRIDGE,
		.node = n->name};
	/* QEMU runs as a user of its own, which must get through to its disks, and see nothing
	 * else. */
	if (chmod(n->data_dir, 0711) < 0 || (mkdir(m->directory, 0711) < 0 && errno != EEXIST))
		r = err_errno(err, -errno, "make %s", m->directory);
	if (r == 0)
		r = container_disks_create(n->loop, images, &m->images, err);
	if (r < 0) {
		free(m->directory);
		free(m);
		return r;
	}
	m->hardware = vm_host_create(m);
	m->libvirt = libvirt_create(n->loop, n->clock, n->libvirt_address, &on_libvirt, m);
	m->agents = agent_link_create(n->loop, n->clock, n->libvirt_address, agents_up, m);
	m->secrets = ref_watches_create(n, secret_changed, m);
	m->addresses = vm_addresses_create(m);
	snprintf(selector, sizeof(selector), "status.nodeName=%s", n->name);
	m->instances = informer_create(n->client, m->kind, NULL, NULL, selector);
	informer_add_handler(m->instances, &on_instance, m);
	informer_start(m->instances);
	n->machines = m->instances;
	*ret = m;
	return 0;
}

struct container_disks *vm_manager_images(struct vm_manager *m)
{
	return m->images;
}

void vm_manager_start_snapshots(struct vm_manager *m)
{
	m->snapshots = vm_snapshots_create(m);
	vm_grow_start(m);
	m->nfs_watch = vm_nfs_watch_create(m);
}

void vm_manager_destroy(struct vm_manager *m)
{
	if (!m)
		return;
	vm_snapshots_destroy(TAKE_PTR(m->snapshots));
	vm_grow_end(m);
	vm_nfs_watch_destroy(TAKE_PTR(m->nfs_watch));
	m->node->machines = NULL;
	informer_destroy(m->instances);
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);)
		vm_worker_destroy(i.value);
	table_finish(&m->workers);
	agent_link_destroy(m->agents);
	vm_host_destroy(m->hardware);
	ref_watches_destroy(m->secrets);
	vm_addresses_destroy(m->addresses);
	libvirt_destroy(m->libvirt);
	container_disks_destroy(m->images);
	free(m->directory);
	free(m);
}

void vm_manager_host_ends(struct vm_manager *m, bool ends, int64_t grace_s)
{
	VEC(char *) uids = {0};

	m->host_ends = ends;
	m->host_grace_ns = grace_s * NS_PER_S;
	/* Steps may remove workers from the table. */
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);)
		VEC_PUSH(&uids, xstrdup(i.key));
	for (size_t i = 0; i < uids.count; i++) {
		struct vm_worker *w = table_get(&m->workers, uids.items[i]);
		if (w) {
			tell_host_ends(m, w);
			vm_worker_step(w);
		}
		free(uids.items[i]);
	}
	VEC_FINISH(&uids);
}

bool vm_manager_any_runs(const struct vm_manager *m)
{
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		if (vm_core_alive(&((struct vm_worker *)i.value)->core))
			return true;
	}
	return false;
}

size_t vm_manager_requests(
	const struct vm_manager *m, struct arena *a, struct machine_request **ret)
{
	struct machine_request *all = arena_alloc(a, (m->workers.count + 1) * sizeof(*all));
	size_t n = 0;

	*ret = all;
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		const struct vm_worker *w = i.value;
		_cleanup_(arena_finish) struct arena b = ARENA_INIT;

		if (!w->object)
			continue;
		const struct json *doc = object_doc(w->object, &b), *spec = json_get(doc, "spec");
		const char *phase = json_path_str(doc, "status.phase");
		if (streq(phase, "Succeeded") || streq(phase, "Failed"))
			continue;
		all[n++] = (struct machine_request){w->uid, machine_request_cpu_milli(spec),
			machine_request_memory_bytes(spec)};
	}
	return n;
}

void vm_manager_free_disks(struct vm_manager *m)
{
	container_disks_free_unused(m->images);
}
