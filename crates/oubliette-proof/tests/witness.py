#!/usr/bin/env python3
"""A witness: signs checkpoints of logs, each only if it continues all that was signed of that log before.

    witness.py --name NAME --state FOLDER --logs KEYS [--listen HOST:PORT]

Written from the C2SP texts tlog-witness, tlog-checkpoint, tlog-cosignature and signed-note, and from RFC 9162 (section
2.1.4.2); it shares nothing with the vault that asks it. KEYS has one public key a line in signed-note form, more than one of a
name when a log has changed its key; it is read anew for every request. FOLDER keeps its own key and what it signed last. On
its first line it prints its address and its public key, as the setting `transparency.witnesses` wants them.

Meant for tests and for readers: arithmetic in Python gives signing times away. Needs nothing but the standard library.
"""

import argparse
import base64
import fcntl
import hashlib
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.dont_write_bytecode = True
from verify import BASE, L, Refused, decimal, ed25519, encode_point, multiply, need, read_keys, sha256, unbase64, unhash

MAX_PROOF = 63
MAX_BODY = 1_000_000


class Answer(Exception):
    """What a request is answered with, when it is not a signature."""

    def __init__(self, status, body="", kind="text/plain; charset=utf-8"):
        self.status, self.body, self.kind = status, body, kind


class Key:
    """An Ed25519 key that makes timestamped cosignatures."""

    def __init__(self, name, seed):
        digest = hashlib.sha512(seed).digest()
        scalar = int.from_bytes(digest[:32], "little")
        # RFC 8032, section 5.1.5: the lowest three bits and the highest one cleared, the second highest set.
        self.scalar = scalar & ((1 << 254) - 8) | 1 << 254
        self.prefix, self.name = digest[32:], name
        self.public = encode_point(multiply(self.scalar, BASE))
        self.id = sha256(name.encode(), b"\n\x04", self.public)[:4]

    def __str__(self):
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([4]) + self.public).decode()}"

    def sign(self, message):
        def number(*parts):
            return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L

        r = number(self.prefix, message)
        point = encode_point(multiply(r, BASE))
        s = (r + number(point, self.public, message) * self.scalar) % L
        return point + s.to_bytes(32, "little")

    def cosign(self, text, seconds):
        """The line under a checkpoint."""
        signature = self.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        line = base64.b64encode(self.id + seconds.to_bytes(8, "big") + signature).decode()
        return f"— {self.name} {line}\n"


def write(path, data):
    """Replaces a file, and returns when that will outlive a power cut."""
    new = path.with_name(path.name + ".new")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class State:
    """What was signed last of each log. One process, one request at a time."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.mutex = folder, threading.Lock()
        self.lock = open(folder / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def seed(self):
        path = self.folder / "seed"
        if not path.exists():
            os.umask(0o077)
            write(path, os.urandom(32))
        return path.read_bytes()

    def path(self, origin):
        return self.folder / hashlib.sha256(origin.encode()).hexdigest()

    def last(self, origin):
        """Size and root; nothing yet is the empty tree."""
        try:
            _, size, root = self.path(origin).read_text(encoding="utf-8").splitlines()[:3]
        except FileNotFoundError:
            return 0, sha256()
        return decimal(size), unhash(root)


def consistent(old, old_root, new, new_root, path):
    """Whether the tree of `new` entries begins with the one of `old`, which is not empty and smaller: RFC 9162, 2.1.4.2."""
    if old & (old - 1) == 0:
        path = [old_root, *path]
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            older, newer = sha256(b"\x01", sibling, older), sha256(b"\x01", sibling, newer)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            newer = sha256(b"\x01", newer, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root


def read_request(body):
    """Old size, proof, and the signed checkpoint."""
    head, found, note = body.decode().partition("\n\n")
    first, *proof = head.split("\n")
    need(found and first.startswith("old ") and len(proof) <= MAX_PROOF, "request")
    return decimal(first[4:]), [unhash(line) for line in proof], note


def read_note(note):
    """The text and its lines: who is said to have signed, and what."""
    need(not any(ord(c) < 32 and c != "\n" for c in note), "control character")
    text, found, rest = note.rpartition("\n\n")
    need(found and rest.endswith("\n"), "note")
    lines = []
    for line in rest[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        signature = unbase64(signature)
        need(dash == "—" and name and "+" not in name and len(signature) > 4, "signature line")
        lines.append(((name, signature[:4]), signature[4:]))
    return text + "\n", lines


def read_text(text):
    """Origin, size and root."""
    lines = text[:-1].split("\n")
    need(len(lines) >= 3 and all(lines), "checkpoint")
    return lines[0], decimal(lines[1]), unhash(lines[2])


class Witness:
    def __init__(self, name, folder, logs):
        self.state = State(folder)
        self.key, self.logs = Key(name, self.state.seed()), logs

    def add_checkpoint(self, body):
        """The line that is the answer; raises every other one."""
        try:
            old, proof, note = read_request(body)
            text, lines = read_note(note)
            origin, size, root = read_text(text)
        except (Refused, ValueError) as error:
            raise Answer(400, "this is no request\n") from error
        keys = read_keys(self.logs.read_text(encoding="utf-8"))
        # Only keys of kind 1 sign for a log, and only those with its name for this one.
        known = {who: public for who, (kind, public) in keys.items() if kind == 1 and who[0] == origin}
        if not known:
            raise Answer(404, "no log of this name is known here\n")
        signed = [ed25519(known[who], text.encode(), signature) for who, signature in lines if who in known]
        if not signed or not all(signed):
            raise Answer(403, "not signed by a key of this log that is known here\n")
        if old > size:
            raise Answer(400, "the old size is larger than the new one\n")
        with self.state.mutex:
            last, last_root = self.state.last(origin)
            if old != last or (old == size and root != last_root):
                raise Answer(409, f"{last}\n", "text/x.tlog.size")
            if old in (0, size):
                good = not proof and (size > 0 or root == sha256())
            else:
                good = consistent(old, last_root, size, root, proof)
            if not good:
                raise Answer(422, "the proof does not hold\n")
            # It remembers before it signs.
            write(self.state.path(origin), text.encode())
        return self.key.cosign(text, int(time.time()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    witness = None

    def do_POST(self):
        try:
            self.answer(200, self.witness.add_checkpoint(self.body()), "text/plain; charset=utf-8")
        except Answer as answer:
            self.answer(answer.status, answer.body, answer.kind)

    def body(self):
        length = self.headers.get("Content-Length", "")
        # What is not read to its end must not be taken for the next request.
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Answer(413 if length.isdecimal() else 411)
        body = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            raise Answer(404)
        return body

    def answer(self, status, body, kind):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *values):
        print(form % values, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    given = parser.parse_args()
    host, port = given.listen.rsplit(":", 1)
    Handler.witness = Witness(given.name, given.state, given.logs)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"http://{host}:{server.server_address[1]}/ {Handler.witness.key}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
