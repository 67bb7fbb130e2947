#!/usr/bin/env python3
"""A node's agent that the API server can talk to, without a node: says what it was asked, and echoes upgraded streams.

usage: fake_node.py CA CERT KEY      prints its port
"""
import base64
import hashlib
import socket
import ssl
import sys
import threading


def read_header(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(4096)
        if not piece:
            return None, b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode(), rest


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def chosen(headers):
    """The first of the protocols that are offered, as headers."""
    if headers["upgrade"].lower() == "websocket":
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        protocol = headers.get("sec-websocket-protocol", "").split(",")[0].strip()
        return f"Sec-WebSocket-Accept: {accepted}\r\nSec-WebSocket-Protocol: {protocol}".encode()
    return b"X-Stream-Protocol-Version: " + headers.get("x-stream-protocol-version", "v4.channel.k8s.io").encode()


def serve(connection):
    subject = dict(x[0] for x in connection.getpeercert()["subject"])
    while True:
        head, rest = read_header(connection)
        if head is None:
            return
        lines = head.split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {}
        for name, _, value in (line.partition(":") for line in lines[1:]):
            headers.setdefault(name.lower(), value.strip())  # the first of several
        asked = f"{subject.get('commonName')} {method} {target}\n".encode()
        if "upgrade" in headers:
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                + headers["upgrade"].encode()
                + b"\r\n" + chosen(headers) + b"\r\n\r\n"
                + asked
                + rest
            )
            while data := connection.recv(4096):
                connection.sendall(data.upper())
            connection.close()
            return
        if "redirect" in target:
            connection.sendall(
                b"HTTP/1.1 302 Found\r\nLocation: "
                + (f"http://{headers['host']}/other?x=1" if "whole" in target else "/other?x=1").encode()
                + b"\r\nConnection: X-Private\r\nX-Private: 1\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n"
            )
            continue
        if "headers" in target:
            size = int(headers.get("content-length", 0))
            while len(rest) < size:
                rest += connection.recv(65536)
            body = (head + "\nbody " + rest.decode() + "\n").encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/x-own\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            continue
        if "broken" in target:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
            connection.close()
            return
        if "refused" in target:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nno log")
            continue
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk(asked) + chunk(b"x" * 100000 + b"\n") + chunk(b"end\n") + b"0\r\n\r\n")


def main():
    ca, cert, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        plain, _ = listener.accept()
        try:
            threading.Thread(target=serve, args=(context.wrap_socket(plain, server_side=True),), daemon=True).start()
        except ssl.SSLError:
            plain.close()


main()
