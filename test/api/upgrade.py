#!/usr/bin/env python3
"""Asks for an upgrade, sends a line, prints the answer's first line and what comes back.

usage: upgrade.py ADDR:PORT CA CERT KEY METHOD PATH TEXT
"""
import socket
import ssl
import sys

address, ca, cert, key, method, path, text = sys.argv[1:]
host, port = address.split(":")
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
with context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname=host) as s:
    s.sendall(
        f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        f"X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n".encode()
    )
    data = b""
    while text.upper().encode() not in data:
        piece = s.recv(4096)
        if not piece:
            break
        if b"\r\n\r\n" in data + piece and b"\r\n\r\n" not in data:
            s.sendall(text.encode())
        data += piece
    print(data.decode())
