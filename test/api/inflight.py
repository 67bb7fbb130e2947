#!/usr/bin/env python3
"""Holds requests open by not reading their answers, or while the server works on them.

usage: inflight.py HOST:PORT CA TOKEN COUNT METHOD PATH [BODY]     sends COUNT requests on connections of their own,
prints "open" once all are sent, and cuts them when its input ends
"""
import socket
import ssl
import sys

address, ca, token, count, method, path = sys.argv[1:7]
body = sys.argv[7].encode() if len(sys.argv) > 7 else b""
host, port = address.rsplit(":", 1)
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
connections = []
for number in range(int(count)):
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, int(port)))
    connection = context.wrap_socket(raw)
    text = body.replace(b"NUMBER", b"%d" % number)
    head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    connection.sendall(head.encode() + text)
    connections.append(connection)
print("open", flush=True)
sys.stdin.read()
for connection in connections:
    connection.close()
