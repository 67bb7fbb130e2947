/* guest_actions.h - what clients ask of the agent in a guest: rows of vm_actions.c's table. */
#pragma once

#include "node/vm/vm_actions.h"

/* GET: KubeVirt's VirtualMachineInstanceGuestAgentInfo, -GuestOSUserList, -FileSystemList, asked
 * anew each time. */
vm_action_handler guest_action_osinfo, guest_action_userlist, guest_action_filesystemlist;
/* PUT {"unfreezeTimeout": "5m0s"}: thawed by itself after that, "0s" = never, absent = 5 minutes.
 */
vm_action_handler guest_action_freeze, guest_action_unfreeze;
/* PUT {"command": ["ls", "-l"], "stdinBase64": "...", "environment": ["A=b"], "timeoutSeconds":
 * 30}:
 * {"exitCode": 0, "stdout": "...", "stderr": "..."}, with "signal" in place of exitCode when one
 * ended it, stdoutTruncated, and stdoutBase64 when it is no text. No subresource of KubeVirt's. */
vm_action_handler guest_action_exec;
