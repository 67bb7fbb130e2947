/* Answers as a guest could give them: the first byte says to which question. */
#include <stdint.h>

#include "node/vm/guest_agent/agent_exec.h"
#include "node/vm/guest_agent/agent_facts.h"
#include "node/vm/guest_agent/agent_link.h"
#include "node/vm/guest_agent/agent_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *value;
	struct json *fact, *again;
	struct agent_exec_result ended;
	struct err err = ERR_INIT;
	const char *text;

	if (!size)
		return 0;
	if (agent_answer_read(&a, (const char *)data + 1, size - 1, &value, &err) < 0) {
		if (!utf8_valid(err.msg, strlen(err.msg)))
			abort();
		return 0;
	}
	if (agent_exec_status_read(&a, value, &ended, NULL) > 0 &&
		(ended.out[ended.out_size] || ended.err[ended.err_size]))
		abort();
	fact = agent_fact_read(&a, (enum agent_fact)(data[0] % AGENT_FACT_COUNT), value);
	if (!fact)
		return 0;
	/* It is kept as text, and must come back as it was. */
	text = json_text(&a, fact);
	if (json_parse(&a, text, strlen(text), NULL, &again, NULL) < 0)
		abort();
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			abort();
	if (data[0] % AGENT_FACT_COUNT == AGENT_FACT_INTERFACES)
		agent_status_interfaces(&a, json_new_array(&a), fact);
	if (data[0] % AGENT_FACT_COUNT == AGENT_FACT_INFO)
		agent_unsupported(fact, json_new_object(&a));
	return 0;
}
