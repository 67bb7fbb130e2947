# shellcheck shell=bash
#@@ control | The guest agent

with_agent() {
	exists secret/agent-passwords || k create secret generic agent-passwords --from-literal=root=hanok
	exists secret/agent-ssh-keys || k create secret generic agent-ssh-keys
	KERNEL_ARGS=guest-agent RUN=$(ssh_server) machine agent "$(inner '{"accessCredentials":[
		{"userPassword":{"source":{"secret":{"secretName":"agent-passwords"}},"propagationMethod":{"qemuGuestAgent":{}}}},
		{"sshPublicKey":{"source":{"secret":{"secretName":"agent-ssh-keys"}},"propagationMethod":{"qemuGuestAgent":{"users":["root"]}}}}]}')"
	condition_is vmi/agent AgentConnected
}

#@ K36 | AgentConnected, and the system's name and version |
K36() {
	with_agent
	virt guestosinfo agent | grep -q guestAgentVersion
	eventually 60 matches . k_field vmi/agent .status.guestOSInfo.name
}

#@ K37 | users that are logged in |
K37() {
	with_agent
	on_console agent "${LOG_IN[@]}" 'send:\x1d'
	eventually 60 matches '"userName": *"root"' virt userlist agent
	on_console agent 'expect:# ' 'send:exit\n' 'expect:login: ' 'send:\x1d'
}

#@ K38 | file systems, with what is used |
K38() {
	with_agent
	virt fslist agent >"$TEST_DIR/filesystems"
	cat "$TEST_DIR/filesystems"
	grep -q '"mountPoint": *"/"' "$TEST_DIR/filesystems"
	grep -q '"usedBytes": *[1-9]' "$TEST_DIR/filesystems"
}

#@ K39 | freeze and thaw; a forgotten freeze thaws by itself |
K39() {
	with_agent
	virt freeze agent --unfreeze-timeout 5
	eventually 60 matches '^frozen$' k_field vmi/agent .status.fsFreezeStatus
	eventually 60 matches '^$' k_field vmi/agent .status.fsFreezeStatus
	in_guest agent 'touch /after && sync'
	virt freeze agent
	eventually 60 matches '^frozen$' k_field vmi/agent .status.fsFreezeStatus
	virt unfreeze agent
	eventually 60 matches '^$' k_field vmi/agent .status.fsFreezeStatus
	in_guest agent 'touch /again && sync'
}

#@ K40 | exec: output and exit code of a command |
K40() {
	with_agent
	[ "$(virt_with exec agent -- /bin/echo inside)" = inside ]
	exits 1 virt_with exec agent -- /bin/false
}

#@ K41 | a password is set while it runs |
K41() {
	with_agent
	virt set-password agent --user root --password changed
	eventually 90 log_in changed
	virt set-password agent --user root --password hanok
	eventually 90 log_in hanok
}
log_in() {
	on_console agent 'expect:login: ' 'send:root\n' 'expect:assword:' "send:$1\\n" 'never:incorrect' 'expect:# ' 'send:exit\n' 'expect:login: ' 'send:\x1d'
}

#@ K42 | an ssh key is let in and taken out again | ssh
K42() {
	with_agent
	ssh-keygen -q -t ed25519 -N '' -C late -f "$TEST_DIR/late"
	virt add-ssh-key agent --user root --file "$TEST_DIR/late.pub"
	eventually 90 late_ssh
	virt remove-ssh-key agent --file "$TEST_DIR/late.pub"
	eventually 90 kept_out
}
late_ssh() { virt ssh root@vm/agent -i "$TEST_DIR/late" --known-hosts "$TEST_DIR/known" -t -oBatchMode=yes --command true; }
kept_out() { not late_ssh && matches 'Permission denied' denied_ssh; }
denied_ssh() { late_ssh 2>&1 || true; }
