/* yaml_write.c - a document as block-style YAML, through libyaml's emitter. */
#include "lib/json/json_internal.h"
#include "lib/json/yaml_internal.h"

#include <math.h>
#include <stdio.h>
#include <yaml.h>

static int add_output(void *user, unsigned char *p, size_t size)
{
	buf_add(user, p, size);
	return 1;
}

/* The emitter only fails for lack of memory or for events out of order: neither is the caller's. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
	if (!yaml_emitter_emit(emitter, event)) {
		fprintf(stderr, "yaml emitter: %s\n",
			emitter->problem ? emitter->problem : "out of memory");
		abort();
	}
}

static void emit_scalar(
	yaml_emitter_t *emitter, const char *s, size_t size, yaml_scalar_style_t style)
{
	yaml_event_t event;

	if (size > INT_MAX || !yaml_scalar_event_initialize(&event, NULL, NULL,
				      (const unsigned char *)s, (int)size, 1, 1, style))
		abort();
	emit(emitter, &event);
}

static void emit_string(yaml_emitter_t *emitter, const char *s, size_t size)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

	if (memchr(s, '\n', size))
		style = YAML_LITERAL_SCALAR_STYLE;
	else if (yaml_needs_quotes((struct str){s, size}))
		style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	emit_scalar(emitter, s, size, style);
}

static void emit_text(yaml_emitter_t *emitter, const char *s)
{
	emit_scalar(emitter, s, strlen(s), YAML_PLAIN_SCALAR_STYLE);
}

static void emit_double(yaml_emitter_t *emitter, double d)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	if (isnan(d)) {
		emit_text(emitter, ".nan");
	} else if (isinf(d)) {
		emit_text(emitter, d < 0 ? "-.inf" : ".inf");
	} else {
		json_write_double(&text, d);
		emit_text(emitter, text.data);
	}
}

static void emit_value(yaml_emitter_t *emitter, const struct json *v)
{
	yaml_event_t event;
	char room[24];

	switch (v->type) {
	case JSON_NULL:
		emit_text(emitter, "null");
		break;
	case JSON_BOOL:
		emit_text(emitter, v->b ? "true" : "false");
		break;
	case JSON_INT:
		snprintf(room, sizeof(room), "%lld", (long long)v->i);
		emit_text(emitter, room);
		break;
	case JSON_DOUBLE:
		emit_double(emitter, v->d);
		break;
	case JSON_STRING:
		emit_string(emitter, v->s, v->count);
		break;
	case JSON_ARRAY:
		if (!yaml_sequence_start_event_initialize(
			    &event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE))
			abort();
		emit(emitter, &event);
		JSON_FOR_EACH_ITEM(item, v)
			emit_value(emitter, item);
		yaml_sequence_end_event_initialize(&event);
		emit(emitter, &event);
		break;
	case JSON_OBJECT:
		if (!yaml_mapping_start_event_initialize(
			    &event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE))
			abort();
		emit(emitter, &event);
		JSON_FOR_EACH_MEMBER(m, v) {
			emit_string(emitter, m->name, m->name_size);
			emit_value(emitter, m->value);
		}
		yaml_mapping_end_event_initialize(&event);
		emit(emitter, &event);
		break;
	}
}

void yaml_write(struct buf *out, const struct json *v)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter))
		abort();
	yaml_emitter_set_output(&emitter, add_output, out);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	emit(&emitter, &event);
	yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	emit(&emitter, &event);
	emit_value(&emitter, v);
	yaml_document_end_event_initialize(&event, 1);
	emit(&emitter, &event);
	yaml_stream_end_event_initialize(&event);
	emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
}
