/* vm_actions.h - what clients ask of a VMI on its node: streams, the guest agent's data, pause,
 * reset and the like. The API server checks that the VMI runs and who may ask, and passes the
 * request on as it came: METHOD /virtualmachineinstances/NAMESPACE/NAME/WHAT[/MORE][?QUERY].
 *
 * To add an action: a row in the table of vm_actions.c and its handler, in a file of its own. */
#pragma once

#include "lib/http/http.h"

struct vm_manager;
struct vm_worker;

/* Answers now or later, with what control/control.h has for that or with a stream. `more` is what
 * follows the action's name, or the name itself where nothing may follow. */
typedef void vm_action_handler(struct vm_worker *w, struct http_request *req, const char *more);

/* parts: WHAT and what follows it, as `count` segments of the path, one at least. */
void vm_actions_serve(struct vm_manager *m, struct http_request *req, const char *ns,
	const char *vmi, const char *const *parts, size_t count);
