/* Seeds of guests: what is in them, read back from the image that the guest gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vm/seed/seed.h"

static const char vmi_text[] =
	"{\"metadata\":{\"annotations\":{\"kubevirt.io/instancetype-name\":\"small\"}},\"spec\":{"
	"\"accessCredentials\":[{\"sshPublicKey\":{\"source\":{\"secret\":{\"secretName\":\"k\"}},"
	"\"propagationMethod\":{\"noCloud\":{}}}}]}}";

struct fixture {
	struct arena arena;
	struct vm_spec spec;
	struct vm_disk disk;
	struct json *objects; /* {"configmap/NAME": data, "secret/NAME": data} */
	struct buf out;
	struct err err;
};

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &v, NULL), 0);
	return v;
}

static const struct json *lookup(void *user, bool config_map, const char *name)
{
	struct fixture *f = user;

	return json_get(f->objects,
		arena_printf(&f->arena, "%s/%s", config_map ? "configmap" : "secret", name));
}

static int build(struct fixture *f, enum vm_seed seed, const char *source, const char *objects)
{
	f->spec = (struct vm_spec){.object = parse(&f->arena, vmi_text),
		.namespace = "ns",
		.name = "web",
		.hostname = "host",
		.uuid = "5d307ca9-b3ef-428c-8861-06e72d69f223"};
	f->disk = (struct vm_disk){
		.name = "seed", .seed = seed, .cloud_init = parse(&f->arena, source)};
	f->objects = parse(&f->arena, objects);
	f->err = ERR_INIT;
	buf_clear(&f->out);
	return seed_build(&f->out, &f->spec, &f->disk, lookup, f, 0, &f->err);
}

static void finish(struct fixture *f)
{
	buf_finish(&f->out);
	arena_finish(&f->arena);
}

/* The volume's name, and whether a file of these bytes starts a sector. */
static bool labelled(const struct fixture *f, const char *label)
{
	return !memcmp(f->out.data + 16 * 2048 + 40, label, strlen(label));
}

/* Where a file begins with the text, NULL = nowhere. */
static const char *begins(const struct fixture *f, const char *text)
{
	for (size_t at = 0; at + strlen(text) <= f->out.size; at += 2048)
		if (!memcmp(f->out.data + at, text, strlen(text)))
			return f->out.data + at;
	return NULL;
}

/* A file with the text, and no more, is there. */
static bool holds(const struct fixture *f, const char *text)
{
	for (size_t at = 0; at + strlen(text) < f->out.size; at += 2048)
		if (!memcmp(f->out.data + at, text, strlen(text)) &&
			!f->out.data[at + strlen(text)])
			return true;
	return false;
}

static const char keys[] = "{\"secret/k\":{\"a\":\"c3NoLWEgb25l\"}}"; /* ssh-a one */

static void no_cloud(void **state)
{
	struct fixture f = {0};

	assert_int_equal(build(&f, VM_SEED_NO_CLOUD,
				 "{\"userData\":\"#!/bin/"
				 "sh\\n\",\"networkDataBase64\":\"dmVyc2lvbjogMg==\"}",
				 keys),
		0);
	assert_true(labelled(&f, "cidata  "));
	assert_true(holds(&f, "{\n  \"instance-type\": \"small\",\n  \"instance-id\": \"web.ns\",\n"
			      "  \"local-hostname\": \"host\",\n  \"public-keys\": {\n"
			      "    \"0\": \"ssh-a one\"\n  }\n}"));
	assert_true(holds(&f, "#!/bin/sh\n"));
	assert_true(holds(&f, "version: 2"));
	assert_true(begins(&f, "#cloud-boothook\n#!/bin/sh\n")); /* the vendor's part */
	finish(&f);
}

static void config_drive(void **state)
{
	struct fixture f = {0};

	assert_int_equal(build(&f, VM_SEED_CONFIG_DRIVE,
				 "{\"secretRef\":{\"name\":\"s\"},\"networkDataSecretRef\":{"
				 "\"name\":\"n\"}}",
				 "{\"secret/s\":{\"userData\":\"I2E=\"},\"secret/"
				 "n\":{\"networkdata\":\"e30=\"}}"),
		0);
	assert_true(labelled(&f, "config-2  "));
	assert_true(holds(&f, "{\n  \"instance_type\": \"small\",\n  \"instance_id\": \"web.ns\",\n"
			      "  \"hostname\": \"host\",\n"
			      "  \"uuid\": \"5d307ca9-b3ef-428c-8861-06e72d69f223\"\n}"));
	assert_true(holds(&f, "#a"));
	assert_true(holds(&f, "{}"));
	assert_true(begins(&f, "{\"cloud-init\":\"#cloud-boothook\\n#!/bin/sh\\n"));
	finish(&f);
}

static void objects(void **state)
{
	struct fixture f = {0};

	assert_int_equal(build(&f, VM_SEED_SYSPREP, "{\"configMap\":{\"name\":\"w\"}}",
				 "{\"configmap/w\":{\"Autounattend.xml\":\"<unattend/>\"}}"),
		0);
	assert_true(holds(&f, "<unattend/>"));
	assert_int_equal(build(&f, VM_SEED_CONFIG_MAP, "{\"name\":\"c\",\"volumeLabel\":\"mine\"}",
				 "{\"configmap/c\":{\"a\":\"1\"}}"),
		0);
	assert_true(labelled(&f, "mine  "));
	assert_int_equal(
		build(&f, VM_SEED_SECRET, "{\"secretName\":\"s\",\"optional\":true}", "{}"), 0);
	assert_true(labelled(&f, "cfgdata  "));
	f.disk.seed = VM_SEED_DOWNWARD_API;
	f.disk.cloud_init = parse(&f.arena, "{\"volumeLabel\":\"me\"}");
	f.disk.fields = parse(&f.arena, "{\"me/name\":\"told of itself\"}");
	buf_clear(&f.out);
	assert_int_equal(seed_build(&f.out, &f.spec, &f.disk, lookup, &f, 0, &f.err), 0);
	assert_true(labelled(&f, "me  ") && holds(&f, "told of itself"));
	f.disk.seed = VM_SEED_SERVICE_ACCOUNT;
	f.disk.cloud_init = parse(&f.arena, "{\"serviceAccountName\":\"robot\"}");
	f.disk.fields = parse(&f.arena, "{\"namespace\":\"ns\",\"token\":\"a.b.c\"}");
	buf_clear(&f.out);
	assert_int_equal(seed_build(&f.out, &f.spec, &f.disk, lookup, &f, 0, &f.err), 0);
	assert_true(labelled(&f, "cfgdata  ") && holds(&f, "a.b.c"));
	finish(&f);
}

static void problems(void **state)
{
	struct fixture f = {0};

	assert_int_equal(build(&f, VM_SEED_NO_CLOUD, "{\"userDataBase64\":\"*\"}", keys), -EINVAL);
	assert_string_equal(f.err.msg, "userDataBase64 is not base64");
	assert_int_equal(
		build(&f, VM_SEED_NO_CLOUD, "{\"secretRef\":{\"name\":\"s\"}}", keys), -ENOENT);
	assert_string_equal(f.err.msg, "secret 's' has no userdata");
	assert_int_equal(build(&f, VM_SEED_NO_CLOUD, "{\"userData\":\"a\"}", "{}"), -ENOENT);
	assert_string_equal(f.err.msg, "secret 'k' is not there");
	assert_int_equal(build(&f, VM_SEED_CONFIG_MAP, "{\"name\":\"c\"}", "{}"), -ENOENT);
	assert_string_equal(f.err.msg, "configmap 'c' is not there or empty");
	assert_int_equal(build(&f, VM_SEED_SYSPREP, "{\"secret\":{\"name\":\"w\"}}",
				 "{\"secret/w\":{\"a\":\"\"}}"),
		-EINVAL);
	assert_string_equal(f.err.msg,
		"Sysprep drive should contain autounattend.xml or unattend.xml but neither were "
		"found.");
	assert_int_equal(f.out.size, 0);
	finish(&f);
}

static void visit(void *user, bool config_map, const char *name, bool optional)
{
	buf_printf(
		user, "%s%s%s ", config_map ? "configmap/" : "secret/", name, optional ? "?" : "");
}

static void what_is_needed(void **state)
{
	struct fixture f = {0};
	struct buf b = BUF_INIT;

	(void)build(&f, VM_SEED_NO_CLOUD, "{\"secretRef\":{\"name\":\"s\"}}", "{}");
	seed_refs(&f.spec, &f.disk, visit, &b);
	(void)build(&f, VM_SEED_CONFIG_MAP, "{\"name\":\"c\",\"optional\":true}", "{}");
	seed_refs(&f.spec, &f.disk, visit, &b);
	assert_string_equal(b.data, "secret/s secret/k configmap/c? ");
	buf_finish(&b);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_cloud),
		cmocka_unit_test(config_drive),
		cmocka_unit_test(objects),
		cmocka_unit_test(problems),
		cmocka_unit_test(what_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
