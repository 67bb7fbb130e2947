/* recipe.h - what `hanok image build` makes: a YAML file, checked. docs/images.md is its manual. */
#pragma once

#include "lib/base/err.h"
#include "lib/json/json.h"

struct recipe_file {
	const char *path, *mode, *owner;
	struct str content;
};
struct recipe_user {
	const char *name, *password, *shell, *groups; /* password NULL = none; groups "a,b" */
	const char **keys;
	size_t key_count;
};
struct recipe {
	struct arena arena; /* holds everything below */
	struct json *doc;
	const char *suite, *variant, *mirror; /* mirror NULL = the host's own sources */
	const char *packages;		      /* "a,b,c" */
	const char *hostname;		      /* NULL = left */
	const char *kernel_arguments;
	const char *timezone; /* NULL = left */
	const char *kernel;   /* package; NULL = no disk can be made */
	uint64_t size_bytes;  /* of the disk; 0 = what it needs and a half more */
	bool bios, efi;
	struct recipe_file *files;
	size_t file_count;
	struct recipe_user *users; /* root may be among them */
	size_t user_count;
	const char **run, **first_boot; /* commands for sh */
	size_t run_count, first_boot_count;
	struct json *config; /* the OCI image's "config" */
	bool documentation;  /* keep /usr/share/doc and the like */
};

/* Files that it names are relative to the recipe's directory, and read here. */
int recipe_load(const char *path, struct recipe *ret, struct err *err) _must_check_;
int recipe_parse(const char *text, size_t size, const char *directory, struct recipe *ret,
	struct err *err) _must_check_;
void recipe_finish(struct recipe *r);
/* The script that mmdebstrap runs when the packages are in, with the root directory as $1; files
 * lie as `directory`/N. */
char *recipe_script(const struct recipe *r, struct arena *a, const char *directory);
/* What makes one build differ from another: canonical text of it all. */
char *recipe_canonical(const struct recipe *r, struct arena *a);
