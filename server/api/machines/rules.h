/* rules.h - what must fit together in the specification of a virtual machine instance, as
 * KubeVirt's webhooks check it, in their words; and what they put in where it says nothing. */
#pragma once

#include "server/api/hooks/validate.h"

#define RULES_LIST_MAX 256 /* disks, volumes, interfaces, networks */

/* Of an instance, or of a template for one. `at` is the path of `spec`. */
void machine_rules_check(struct hook *h, const struct json *spec, const char *at);
/* Of a VirtualMachine: its disks by templates, its run strategy. */
void machine_rules_check_machine(struct hook *h, const struct json *spec);
/* The annotations of an instance, or of a template for one; `at` is its path, "" of an instance. */
void machine_rules_annotations(struct hook *h, const struct json *template, const char *at);
/* Parts of it. */
void machine_rules_disks(struct hook *h, const struct json *spec, const char *at);
void machine_rules_interfaces(struct hook *h, const struct json *spec, const char *at);
void machine_rules_volumes(struct hook *h, const struct json *spec, const char *at);
/* "/disk/a.img": absolute and without relative parts. */
void machine_rules_path(struct hook *h, const char *field, const struct json *path);
/* Says so, and false, when the list is too long to look at. Names must differ. */
bool machine_rules_list(struct hook *h, const struct json *list, const char *at);

/* defaults.c */
/* The settings of the platform: spec.configuration of the KubeVirt object; NULL = none. */
const struct json *machine_settings(struct hook *h);
void machine_defaults(struct hook *h, struct json *spec);
/* Of a VirtualMachine: the architecture and type of machine of its template, so that it stays what
 * it was when the settings change. `old` is NULL of a new one; one that was made without them stays
 * so: its guest would seem to need a restart. preference may be NULL. */
void machine_template_defaults(
	struct hook *h, struct json *vm, const struct json *old, const struct json *preference);
