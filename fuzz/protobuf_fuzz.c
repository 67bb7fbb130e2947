/* The first byte chooses the kind, the rest is its message; or, for 255, the whole body. What is
 * decoded must be a document that can be written and read. */
#include "lib/object/protobuf.h"
#include "lib/object/protobuf_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_length(struct buf *out, size_t n)
{
	for (; n > 127; n >>= 7)
		buf_add_char(out, (char)(n | 128));
	buf_add_char(out, (char)n);
}

static void add_field(struct buf *out, char tag, const void *p, size_t size)
{
	buf_add_char(out, tag);
	add_length(out, size);
	buf_add(out, p, size);
}

static void wrap(struct buf *out, const struct proto_root *root, const uint8_t *data, size_t size)
{
	struct buf type = BUF_INIT;
	const char *gv = proto_names + root->api_version, *kind = proto_names + root->kind;

	add_field(&type, 0x0a, gv, strlen(gv));
	add_field(&type, 0x12, kind, strlen(kind));
	buf_add(out, "k8s", 4);
	add_field(out, 0x0a, type.data, type.size);
	add_field(out, 0x12, data, size);
	buf_finish(&type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_limits limits = {.depth = 512, .size_bytes = SIZE_MAX};
	struct arena a = ARENA_INIT;
	struct buf body = BUF_INIT;
	struct json *doc, *again;
	struct err err = ERR_INIT;
	const char *text;

	if (size == 0)
		return 0;
	if (data[0] == 255)
		buf_add(&body, data + 1, size - 1);
	else
		wrap(&body, &proto_roots[data[0] % proto_root_count], data + 1, size - 1);
	if (protobuf_decode(&a, body.data ? body.data : "", body.size, &doc, &err) == 0) {
		text = json_text(&a, doc);
		if (json_parse(&a, text, strlen(text), &limits, &again, NULL) < 0)
			abort();
	} else if (!err.msg[0]) {
		abort();
	}
	buf_finish(&body);
	arena_finish(&a);
	return 0;
}
