#include "lib/object/protobuf.h"

#include "lib/base/clock.h"
#include "lib/object/protobuf_table.h"

#define DEPTH_MAX 64

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* The rest of a message. */
struct reader {
	const uint8_t *at, *end;
};

/* One field as it came. */
struct wire_field {
	uint64_t number;
	enum wire wire;
	uint64_t varint; /* also of fixed32 and fixed64 */
	struct str bytes;
};

struct decoder {
	struct arena *arena;
	unsigned depth;
	struct err *err;
};

static int bad(struct decoder *d, const char *what)
{
	return err_set(d->err, -EINVAL, "proto: %s", what);
}

/* ---- wire ---- */

static bool read_varint(struct reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (r->at == r->end)
			return false;
		byte = *r->at++;
		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << (shift & 63);
		if (byte < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool read_fixed(struct reader *r, size_t size, uint64_t *ret)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < size)
		return false;
	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)r->at[i] << (8 * i);
	r->at += size;
	*ret = v;
	return true;
}

static bool read_bytes(struct reader *r, struct str *ret)
{
	uint64_t size;

	if (!read_varint(r, &size) || size > (uint64_t)(r->end - r->at))
		return false;
	*ret = (struct str){(const char *)r->at, (size_t)size};
	r->at += size;
	return true;
}

static bool read_field(struct reader *r, struct wire_field *ret)
{
	uint64_t tag;

	*ret = (struct wire_field){.bytes = STR("")};
	if (!read_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
		return false;
	ret->number = tag >> 3;
	ret->wire = (enum wire)(tag & 7);
	switch (ret->wire) {
	case WIRE_VARINT:
		return read_varint(r, &ret->varint);
	case WIRE_FIXED64:
		return read_fixed(r, 8, &ret->varint);
	case WIRE_FIXED32:
		return read_fixed(r, 4, &ret->varint);
	case WIRE_BYTES:
		return read_bytes(r, &ret->bytes);
	}
	return false; /* groups and what is not defined */
}

static struct reader reader_of(struct str s)
{
	return (struct reader){(const uint8_t *)s.p, (const uint8_t *)s.p + s.size};
}

/* ---- special messages ---- */

struct small {
	uint64_t varints[4]; /* by field number */
	struct str bytes[4];
};

/* The messages with a form of their own have fields 1 to 3 only. */
static int read_small(struct decoder *d, struct str body, struct small *ret)
{
	struct reader r = reader_of(body);
	struct wire_field f;

	*ret = (struct small){0};
	for (size_t i = 0; i < ARRAY_LEN(ret->bytes); i++)
		ret->bytes[i] = STR("");
	while (r.at < r.end) {
		if (!read_field(&r, &f))
			return bad(d, "unexpected end or wire type");
		if (f.number >= ARRAY_LEN(ret->varints))
			continue;
		if (f.wire == WIRE_BYTES)
			ret->bytes[f.number] = f.bytes;
		else
			ret->varints[f.number] = f.varint;
	}
	return 0;
}

static bool is_text(struct str s)
{
	return utf8_valid(s.p, s.size);
}

static int text_value(struct decoder *d, struct str s, struct json **ret)
{
	if (!is_text(s))
		return bad(d, "text is not UTF-8");
	*ret = json_new_string_n(d->arena, s.p, s.size);
	return 0;
}

/* Seconds of the years 1 to 9999 fit neither all int64 nor our clock in nanoseconds. */
static int time_value(struct decoder *d, const struct small *m, bool micro, struct json **ret)
{
	int64_t seconds = (int64_t)m->varints[1], nanos = (int64_t)m->varints[2];
	char text[TIME_RFC3339_MICRO_ROOM];

	if (seconds < -INT64_C(9000000000) || seconds > INT64_C(9000000000) || nanos < 0 ||
		nanos >= NS_PER_S)
		return bad(d, "time is out of range");
	if (micro)
		time_format_rfc3339_micro(seconds * NS_PER_S + nanos, text);
	else
		time_format_rfc3339(seconds * NS_PER_S, text);
	*ret = json_new_string(d->arena, text);
	return 0;
}

/* As Go's Duration writes itself, in a form its parser reads again. */
static struct json *duration_value(struct decoder *d, int64_t ns)
{
	if (ns % NS_PER_S == 0)
		return json_new_printf(d->arena, "%llds", (long long)(ns / NS_PER_S));
	if (ns % NS_PER_MS == 0)
		return json_new_printf(d->arena, "%lldms", (long long)(ns / NS_PER_MS));
	return json_new_printf(d->arena, "%lldns", (long long)ns);
}

static int raw_value(struct decoder *d, struct str raw, struct json **ret)
{
	int r;

	if (raw.size == 0)
		return 0;
	r = json_parse(d->arena, raw.p, raw.size, NULL, ret, d->err);
	return r < 0 ? err_context(d->err, r, "proto: embedded JSON") : 0;
}

/* Leaves *ret NULL when the message stands for nothing. */
static int special_value(
	struct decoder *d, enum proto_form form, struct str body, struct json **ret)
{
	struct small m;
	int r = read_small(d, body, &m);

	if (r < 0)
		return r;
	switch (form) {
	case PROTO_TIME:
	case PROTO_MICRO_TIME:
		/* The zero time is an empty message. */
		return body.size == 0 ? 0 : time_value(d, &m, form == PROTO_MICRO_TIME, ret);
	case PROTO_DURATION:
		*ret = duration_value(d, (int64_t)m.varints[1]);
		return 0;
	case PROTO_QUANTITY:
		return text_value(d, m.bytes[1].size ? m.bytes[1] : STR("0"), ret);
	case PROTO_INT_OR_STRING:
		if (m.varints[1] == 1)
			return text_value(d, m.bytes[3], ret);
		*ret = json_new_int(d->arena, (int32_t)m.varints[2]);
		return 0;
	case PROTO_RAW:
		return raw_value(d, m.bytes[1], ret);
	case PROTO_PLAIN:
	case PROTO_LIST:
		break;
	}
	return bad(d, "unknown form");
}

/* ---- messages ---- */

static int message_into(
	struct decoder *d, const struct proto_message *m, struct str body, struct json *out);

static const struct proto_field *find_field(const struct proto_message *m, uint64_t number)
{
	size_t low = m->first, high = (size_t)m->first + m->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (proto_fields[mid].number == number)
			return &proto_fields[mid];
		if (proto_fields[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* `present` is what an earlier part of the same message gave: parts of one message add up. */
static int message_value(struct decoder *d, const struct proto_message *m, struct str body,
	struct json *present, struct json **ret)
{
	struct json *out;
	int r;

	if (m->form != PROTO_PLAIN && m->form != PROTO_LIST)
		return special_value(d, m->form, body, ret);
	out = json_is(present, JSON_OBJECT) ? present : json_new_object(d->arena);
	r = message_into(d, m, body, out);
	if (r < 0)
		return r;
	*ret = out;
	if (m->form == PROTO_LIST) {
		*ret = json_count(out) ? json_members(out)[0].value : json_new_array(d->arena);
		if ((*ret)->type != JSON_ARRAY)
			return bad(d, "list expected");
	}
	return 0;
}

/* Leaves *ret NULL where the value is to be left out. */
static int field_value(struct decoder *d, const struct proto_field *p, const struct wire_field *f,
	struct json *present, struct json **ret)
{
	bool keep = p->flags & (PROTO_KEEP | PROTO_REPEATED | PROTO_MAP);
	bool is_bytes =
		p->type == PROTO_STRING || p->type == PROTO_BYTES || p->type == PROTO_MESSAGE;
	double number;

	if (is_bytes != (f->wire == WIRE_BYTES))
		return bad(d, "wrong wire type");
	switch ((enum proto_type)p->type) {
	case PROTO_STRING:
		return f->bytes.size || keep ? text_value(d, f->bytes, ret) : 0;
	case PROTO_BYTES:
		if (f->bytes.size || keep)
			*ret = json_new_string(
				d->arena, base64_encode(d->arena, f->bytes.p, f->bytes.size));
		return 0;
	case PROTO_INT:
		if (f->varint || keep)
			*ret = json_new_int(d->arena, (int64_t)f->varint);
		return 0;
	case PROTO_BOOL:
		if (f->varint || keep)
			*ret = json_new_bool(d->arena, f->varint != 0);
		return 0;
	case PROTO_DOUBLE:
		memcpy(&number, &f->varint, sizeof(number));
		/* JSON has no infinity and no NaN. */
		if (number - number != 0)
			return bad(d, "number is not finite");
		if (number != 0 || keep)
			*ret = json_new_double(d->arena, number);
		return 0;
	case PROTO_MESSAGE:
		return message_value(d, &proto_messages[p->message], f->bytes, present, ret);
	}
	return bad(d, "unknown type");
}

/* An entry of a map: {1 key, 2 value}. Either may be left out when it is zero. */
static int map_entry(struct decoder *d, const struct proto_field *p, const struct wire_field *f,
	struct json *map)
{
	struct reader r = reader_of(f->bytes);
	struct str key = STR("");
	struct wire_field part, value = {0};
	struct json *v = NULL;
	int n;

	if (f->wire != WIRE_BYTES)
		return bad(d, "wrong wire type");
	value.wire = p->type == PROTO_STRING || p->type == PROTO_BYTES || p->type == PROTO_MESSAGE
			     ? WIRE_BYTES
			     : WIRE_VARINT;
	value.bytes = STR("");
	while (r.at < r.end) {
		if (!read_field(&r, &part))
			return bad(d, "unexpected end or wire type");
		if (part.number == 1 && part.wire == WIRE_BYTES)
			key = part.bytes;
		else if (part.number == 2)
			value = part;
	}
	if (!is_text(key))
		return bad(d, "text is not UTF-8");
	n = field_value(d, p, &value, NULL, &v);
	if (n < 0)
		return n;
	if (v)
		json_set_n(d->arena, map, key.p, key.size, v);
	return 0;
}

static int one_field(struct decoder *d, const struct proto_field *p, const struct wire_field *f,
	struct json *out)
{
	const char *name = proto_names + p->name;
	struct json *v = NULL;
	int r;

	if (p->flags & PROTO_INLINE) {
		if (f->wire != WIRE_BYTES || p->type != PROTO_MESSAGE)
			return bad(d, "wrong wire type");
		return message_into(d, &proto_messages[p->message], f->bytes, out);
	}
	if (p->flags & PROTO_MAP)
		return map_entry(d, p, f, json_object_at(d->arena, out, name));
	if (p->flags & PROTO_REPEATED) {
		r = field_value(d, p, f, NULL, &v);
		if (r >= 0 && v)
			json_push(d->arena, json_array_at(d->arena, out, name), v);
		return r;
	}
	r = field_value(d, p, f, p->type == PROTO_MESSAGE ? json_get(out, name) : NULL, &v);
	if (r >= 0 && v)
		json_set(d->arena, out, name, v);
	return r;
}

static int message_into(
	struct decoder *d, const struct proto_message *m, struct str body, struct json *out)
{
	struct reader r = reader_of(body);
	struct wire_field f;
	int n = 0;

	if (++d->depth > DEPTH_MAX)
		return bad(d, "message nests too deeply");
	while (r.at < r.end && n >= 0) {
		const struct proto_field *p;

		if (!read_field(&r, &f))
			return bad(d, "unexpected end or wire type");
		p = find_field(m, f.number);
		if (p)
			n = one_field(d, p, &f, out);
	}
	d->depth--;
	return n;
}

/* ---- envelope ---- */

struct envelope {
	char *api_version, *kind;
	struct str raw;
};

static int read_envelope(struct decoder *d, struct str body, struct envelope *ret)
{
	struct small unknown, type;
	int r;

	if (body.size < 4 || memcmp(body.p, "k8s\0", 4) != 0)
		return bad(d, "the body does not begin with the bytes of a Kubernetes message");
	r = read_small(d, (struct str){body.p + 4, body.size - 4}, &unknown);
	if (r >= 0)
		r = read_small(d, unknown.bytes[1], &type);
	if (r < 0)
		return r;
	if (unknown.bytes[3].size > 0)
		return bad(d, "unknown content encoding");
	if (!is_text(type.bytes[1]) || !is_text(type.bytes[2]) || type.bytes[1].size > 256 ||
		type.bytes[2].size > 256)
		return bad(d, "bad apiVersion or kind");
	ret->api_version = arena_memdup(d->arena, type.bytes[1].p, type.bytes[1].size);
	ret->kind = arena_memdup(d->arena, type.bytes[2].p, type.bytes[2].size);
	ret->raw = unknown.bytes[2];
	return 0;
}

static const struct proto_root *find_root(const struct envelope *e)
{
	for (size_t i = 0; i < proto_root_count; i++) {
		const struct proto_root *r = &proto_roots[i];
		const char *gv = proto_names + r->api_version;

		if (streq(proto_names + r->kind, e->kind) &&
			(streq(gv, "*") || streq(gv, e->api_version)))
			return r;
	}
	return NULL;
}

int protobuf_decode(
	struct arena *a, const char *body, size_t size, struct json **ret, struct err *err)
{
	struct decoder d = {.arena = a, .err = err};
	const struct proto_root *root;
	struct envelope e = {0};
	struct json *doc;
	int r;

	r = read_envelope(&d, (struct str){body, size}, &e);
	if (r < 0)
		return r;
	root = find_root(&e);
	if (!root)
		return err_set(err, -ENOTSUP,
			"proto: no message is known for kind \"%s\" in \"%s\"", e.kind,
			e.api_version);
	doc = json_new_object(a);
	json_set_str(a, doc, "kind", e.kind);
	json_set_str(a, doc, "apiVersion", e.api_version);
	r = message_into(&d, &proto_messages[root->message], e.raw, doc);
	if (r < 0)
		return r;
	*ret = doc;
	return 0;
}
