#!/usr/bin/env python3
"""Sends the requests of a table (data/status.tsv) to a server and prints "ok LABEL" or "bad LABEL: why".

usage: status_replay.py TABLE ADDR:PORT CA CERT KEY
"""
import http.client
import json
import re
import ssl
import sys


def matches(pattern, text):
    parts = [re.escape(p) for p in pattern.split("*")]
    return re.fullmatch(".*".join(parts), text, re.S) is not None


# Messages may name fields like containers[*].image: a "*" that is meant as such matches itself anyway.
def details_match(wanted, got):
    if wanted == "*":
        return True
    wanted = json.loads(wanted) if wanted != "-" else {}
    if isinstance(wanted, dict) and wanted.get("uid") == "*":
        got = dict(got, uid="*")
    return wanted == got


def differs(row, code, body):
    label, _, _, _, _, want_code, reason, message, details = row
    if str(code) != want_code:
        return f"code {code}, want {want_code}: {body[:300]}"
    if reason == "-" and message == "-" and details == "*":
        return None
    doc = json.loads(body)
    if reason != "-" and doc.get("reason") != reason:
        return f"reason {doc.get('reason')!r}, want {reason!r}"
    if message != "-" and not matches(message, doc.get("message", "")):
        return f"message {doc.get('message')!r}, want {message!r}"
    if not details_match(details, doc.get("details", {})):
        return f"details {json.dumps(doc.get('details'))}, want {details}"
    return None


def main():
    table, address, ca, cert, key = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    connection = http.client.HTTPSConnection(address, context=context, timeout=30)
    for line in open(table, encoding="utf-8"):
        if line.startswith("#"):
            continue
        row = line.rstrip("\n").split("\t")
        _, method, path, content_type, body = row[:5]
        headers = {} if content_type == "-" else {"Content-Type": content_type}
        data = None if body == "-" else body.replace("\\n", "\n").encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        why = differs(row, response.status, response.read().decode())
        print(f"bad {row[0]}: {why}" if why else f"ok {row[0]}")


main()
