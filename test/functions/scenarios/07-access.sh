# shellcheck shell=bash
#@@ control | Ways in

door() { RUN=$(ssh_server) machine door; }

#@ K15 | the serial console: log in, run a command, leave |
K15() {
	door
	in_guest door 'uname -s | grep -q Linux'
}

#@ K16 | the screen is a VNC stream: QEMU's protocol answers through the API |
K16() {
	door
	virt vnc door --proxy-only >"$TEST_DIR/vnc.port" &
	eventually 20 grep -q port "$TEST_DIR/vnc.port"
	python3 - "$(tr -dc 0-9 <"$TEST_DIR/vnc.port")" <<-'END'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
		hello = s.recv(12)
		print(hello)
		assert hello.startswith(b"RFB 003."), hello
		s.sendall(b"RFB 003.008\n")
		assert s.recv(1)[0] >= 1
	END
	wait
}

#@ K17 | a screenshot is a PNG image of the screen's size |
K17() {
	door
	virt screenshot door "$TEST_DIR/screen.png"
	python3 - "$TEST_DIR/screen.png" <<-'END'
		import struct, sys, zlib
		data = open(sys.argv[1], "rb").read()
		assert data[:8] == b"\x89PNG\r\n\x1a\n"
		width, height = struct.unpack(">II", data[16:24])
		print(width, height)
		assert 320 <= width <= 4096 and 200 <= height <= 4096
		assert data[-8:-4] == b"IEND"
	END
}

#@ K18 | port-forward: the guest's web server on a local port, many times |
K18() {
	local port pid n
	door
	port=$(free_port)
	virt port-forward vm/door "$port:80" >"$TEST_DIR/forward" &
	pid=$!
	eventually 20 grep -q Forwarding "$TEST_DIR/forward"
	for n in 1 2 3 4 5 6 7 8; do
		curl -sf --max-time 20 "http://127.0.0.1:$port/" | grep -q '^virtual machine door$' || { echo "request $n"; kill $pid; return 1; }
	done
	kill $pid
	printf 'GET / HTTP/1.0\r\n\r\n' | virt port-forward --stdio vm/door 80 | grep -q 'virtual machine door'
}

#@ K19 | ssh by key: a command's output and its exit code | ssh
K19() {
	door
	eventually 120 door_ssh true
	[ "$(door_ssh 'echo inside')" = inside ]
	exits 3 door_ssh 'exit 3'
}
door_ssh() { virt ssh root@vm/door -i "$SSH_KEY_FILE" --known-hosts "$TEST_DIR/known" --command "$1"; }

#@ K20 | scp: a file there and back is the same | ssh
K20() {
	door
	eventually 120 door_ssh true
	head -c 300000 /dev/urandom >"$TEST_DIR/there"
	virt scp "$TEST_DIR/there" root@vm/door:/tmp/there -i "$SSH_KEY_FILE" --known-hosts "$TEST_DIR/known"
	virt scp root@vm/door:/tmp/there "$TEST_DIR/back" -i "$SSH_KEY_FILE" --known-hosts "$TEST_DIR/known"
	cmp "$TEST_DIR/there" "$TEST_DIR/back"
}

#@ K21 | what a host can't do is refused in words: USB redirection, migration |
K21() {
	door
	not virt usbredir 1234:5678 door 2>"$TEST_DIR/said"
	grep -q 'not available' "$TEST_DIR/said"
	not virt migrate door 2>"$TEST_DIR/said"
	grep -q 'not available' "$TEST_DIR/said"
	[ "$(k_field vm/door .status.printableStatus)" = Running ]
}
