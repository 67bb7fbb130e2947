# shellcheck shell=bash
#@@ control | The guest agent

with_agent() {
	RUN='sh -c "command -v start-guest-agent && start-guest-agent || true"' machine agent
	condition_is vmi/agent AgentConnected
}

#@ K36 | AgentConnected, and the system's name and version | agent
K36() {
	with_agent
	virt guestosinfo agent | grep -q guestAgentVersion
	eventually 60 matches . k_field vmi/agent .status.guestOSInfo.name
}

#@ K37 | users that are logged in | agent
K37() {
	with_agent
	virt userlist agent | grep -q items
}

#@ K38 | file systems, with what is used | agent
K38() {
	with_agent
	virt fslist agent | grep -q mountPoint
}

#@ K39 | freeze and thaw; a forgotten freeze thaws by itself | agent
K39() {
	with_agent
	virt freeze agent --unfreeze-timeout 5
	eventually 60 in_guest agent 'touch /after && sync'
	virt freeze agent
	virt unfreeze agent
	in_guest agent 'touch /again && sync'
}

#@ K40 | exec: output and exit code of a command | agent
K40() {
	with_agent
	[ "$(virt_with exec agent -- /bin/echo inside)" = inside ]
	not virt_with exec agent -- /bin/false
}

#@ K41 | a password is set while it runs | agent
K41() {
	with_agent
	virt set-password agent --user root --password changed
	eventually 90 log_in changed
	virt set-password agent --user root --password hanok
	eventually 90 log_in hanok
}
log_in() {
	python3 "$TEST_ROOT/test/terminal.py" 60 'send:\n' 'expect:login: ' 'send:root\n' 'expect:assword:' "send:$1\\n" 'expect:# ' 'send:exit\n' 'expect:login: ' 'send:\x1d' end:0 -- \
		"$LAB/bin/hanok" virt console agent --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}"
}

#@ K42 | an ssh key is let in and taken out again | agent ssh
K42() {
	with_agent
	ssh-keygen -q -t ed25519 -N '' -f "$TEST_DIR/late"
	virt add-ssh-key agent --user root --file "$TEST_DIR/late.pub"
	eventually 90 virt ssh root@vm/agent -i "$TEST_DIR/late" --known-hosts "$TEST_DIR/known" --command true
	virt remove-ssh-key agent --file "$TEST_DIR/late.pub"
	eventually 90 refused_ssh
}
refused_ssh() { ! virt ssh root@vm/agent -i "$TEST_DIR/late" --known-hosts "$TEST_DIR/known" -t -oBatchMode=yes --command true; }
