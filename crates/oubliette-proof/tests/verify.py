#!/usr/bin/env python3
"""Checks certificates and bulk files: an independent verifier, written from docs/proof.md and the C2SP texts alone.

    verify.py --log-key KEYS FILE...

Prints `valid FILE` or `invalid FILE: why` for each and ends with 0 when all are valid, else 1. Needs nothing but Python's
standard library; shares nothing with the Rust verifier, so that one checks the other. Meant for tests and for readers who
want to see every step; for daily use take oubliette-verify.
"""

import base64
import binascii
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta


class Refused(Exception):
    """It does not hold."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unbase64(text):
    """Base64 with its one spelling."""
    need(isinstance(text, str), "base64")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("base64") from error
    need(base64.b64encode(data).decode() == text, "base64")
    return data


def unhash(text):
    data = unbase64(text)
    need(len(data) == 32, "hash")
    return data


def decimal(text):
    need(re.fullmatch(r"0|[1-9][0-9]{0,19}", text) and int(text) < 2**64, "number")
    return int(text)


# Ed25519: RFC 8032, section 5.1, on points in extended coordinates.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decode_point(data):
    number = int.from_bytes(data, "little")
    y = number & (2**255 - 1)
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    one, two = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    three, four = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = two - one, four - three, four + three, two + one
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def encode_point(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)


def ed25519(public, message, signature):
    point = decode_point(public)
    if point is None or len(signature) != 64:
        return False
    number = int.from_bytes(signature[32:], "little")
    if number >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    negated = (P - point[0], point[1], 1, P - point[3])
    return encode_point(add(multiply(number, BASE), multiply(h, negated))) == signature[:32]


# Notes and checkpoints: C2SP signed-note, tlog-checkpoint, tlog-cosignature.


def read_keys(text):
    keys = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, key_id, key = line.split("+", 2)
        key = unbase64(key)
        need(len(key) == 33 and key[0] in (1, 4), "key type")
        need(sha256(name.encode(), b"\n", key)[:4].hex() == key_id, "key id")
        keys[name, bytes.fromhex(key_id)] = (key[0], key[1:])
    return keys


CHECKED = {}


def read_checkpoint(note, keys):
    """Origin, size, root of a checkpoint whose every line holds."""
    if note not in CHECKED:
        CHECKED[note] = check_checkpoint(note, keys)
    return CHECKED[note]


def check_checkpoint(note, keys):
    need(not any(ord(c) < 32 and c != "\n" for c in note), "control character")
    text, found, lines = note.rpartition("\n\n")
    need(found and lines.endswith("\n"), "note")
    text += "\n"
    parts = text[:-1].split("\n")
    need(len(parts) >= 3 and all(parts), "checkpoint")
    origin, size, root = parts[0], decimal(parts[1]), unhash(parts[2])
    need(size > 0 or root == sha256(), "empty tree")
    seen, by_log = set(), False
    for line in lines[:-1].split("\n"):
        fields = line.split(" ")
        need(len(fields) == 3 and fields[0] == "—", "signature line")
        signature = unbase64(fields[2])
        who = (fields[1], signature[:4])
        need(who in keys, "signed by a key that was not given")
        need(who not in seen, "signed twice")
        seen.add(who)
        kind, public = keys[who]
        if kind == 1:
            good = ed25519(public, text.encode(), signature[4:])
            by_log = by_log or fields[1] == origin
        else:
            time = int.from_bytes(signature[4:12], "big")
            message = f"cosignature/v1\ntime {time}\n{text}"
            good = len(signature) == 76 and time < 2**63 and ed25519(public, message.encode(), signature[12:])
        need(good, "signature")
    need(by_log, "not signed by the log")
    return origin, size, root


# Trees: RFC 9162, section 2.1.3.2.


def root_of(leaf, index, size, path):
    need(index < size, "index")
    node, last, result = index, size - 1, leaf
    for sibling in path:
        need(last > 0, "path too long")
        if node & 1 or node == last:
            result = sha256(b"\x01", sibling, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = sha256(b"\x01", result, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0, "path too short")
    return result


def included(data, index, size, path, root):
    need(root_of(sha256(b"\x00", data), index, size, path) == root, "not under the root")


def read_proof(text, entry, keys):
    """Index of the entry, and its checkpoint, of a tlog-proof that holds."""
    head, found, note = text.partition("\n\n")
    lines = head.split("\n")
    need(found and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) > 1, "tlog-proof")
    need(lines[1].startswith("index "), "tlog-proof: index")
    index = decimal(lines[1][6:])
    origin, size, root = read_checkpoint(note, keys)
    included(entry, index, size, [unhash(line) for line in lines[2:]], root)
    return index, note, origin, size


# Entries.


class Bytes:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        need(len(self.data) >= count, "entry too short")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count=8):
        return int.from_bytes(self.take(count), "big")

    def time(self):
        seconds = self.number()
        need(seconds <= 253402300799, "time")
        return seconds

    def token(self):
        token = self.take(self.number(1))
        need(re.fullmatch(rb"[A-Za-z0-9._:/-]{1,64}", token), "token")
        return token.decode()


def utc(seconds):
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


EVENTS = {"vcon_deleted": 1, "vcon_expired": 2}
KINDS = {"interaction": 1, "content": 2, "order": 3}


def read_entry(data, kind):
    entry = Bytes(data)
    need(entry.take(6) == b"OUBL\x01" + bytes([kind]), "entry of another kind")
    result = {"time": entry.time()}
    if kind == 1:
        result["epochs"] = [entry.number(), entry.number()]
        need(result["epochs"][0] < result["epochs"][1], "epochs")
        entry.take(64 + 24)
        events = [(entry.number(1), entry.number()) for _ in range(entry.number(1))]
        codes = [event for event, _ in events]
        need(codes == sorted(set(codes)) and set(codes) <= {1, 2} and all(count for _, count in events), "events")
        result["size"], result["root"] = entry.number(), entry.take(32)
        result["class"] = entry.token()
        result["trusted"] = entry.number(1)
        need(result["trusted"] <= 1, "flag")
        result["findings"] = [entry.token() for _ in range(entry.number(1))]
        need(result["findings"] == sorted(set(result["findings"])), "findings")
        result["mirrors"], result["confirmed"], result["agents"] = (entry.number(1) for _ in range(3))
        need(result["confirmed"] <= result["agents"], "agents")
    else:
        result["from"], result["to"] = entry.time(), entry.time()
        result["size"], result["root"] = entry.number(), entry.take(32)
        need(result["from"] <= result["to"] and result["size"] > 0, "batch")
    need(not entry.data, "entry too long")
    return result


# Certificates.


def canonical(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def no_float(text):
    raise Refused("not a whole number: " + text)


def no_double(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a member stands twice")
    return dict(pairs)


def read_line(line):
    try:
        value = json.loads(line, object_pairs_hook=no_double, parse_float=no_float, parse_constant=no_float)
        need((canonical(value) + "\n").encode() == line, "not canonical JSON")
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error
    return value


def members(value, names):
    need(isinstance(value, dict) and sorted(value) == sorted(names.split()), "members")


def count(value, largest=2**53 - 1):
    need(type(value) is int and 0 <= value <= largest, "count")
    return value


def items(value):
    need(isinstance(value, list), "list")
    return value


def uuid(text):
    need(isinstance(text, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text), "id")
    return bytes.fromhex(text.replace("-", ""))


def token(text):
    need(isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9._:/-]{1,64}", text), "token")
    return text


def instant(text):
    need(isinstance(text, str) and re.fullmatch(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z", text), "time")
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        raise Refused("time") from error
    need(moment.year >= 1970 and int(text[17:19]) < 60, "time")
    return text


def optional(value, read):
    return None if value is None else read(value)


def check_facts(facts):
    members(
        facts,
        "accepted_at actor_role backup_horizon contents event interactions items kept legal_basis order part_of reference",
    )
    instant(facts["accepted_at"])
    token(facts["actor_role"])
    optional(facts["backup_horizon"], instant)
    optional(facts["legal_basis"], token)
    optional(facts["part_of"], uuid)
    optional(facts["reference"], unhash)
    uuid(facts["order"])
    count(facts["interactions"]), count(facts["items"])
    need(facts["event"] in EVENTS, "event")
    for content in items(facts["contents"]):
        members(content, "count kind size_class")
        need(count(content["count"]) > 0, "count")
        token(content["kind"]), count(content["size_class"], 64)
    contents = [(content["kind"], content["size_class"]) for content in facts["contents"]]
    need(contents == sorted(set(contents)), "contents out of order")
    for kept in items(facts["kept"]):
        members(kept, "count reason")
        need(count(kept["count"]) > 0, "count")
        token(kept["reason"])
    reasons = [kept["reason"] for kept in facts["kept"]]
    need(reasons == sorted(set(reasons)), "kept out of order")


def commit_erased(salt, kind, item, event, order, facts):
    return sha256(
        b"oubliette/receipt/erased/v1\0", salt, bytes([KINDS[kind]]), item, bytes([EVENTS[event]]), order, facts
    )


class Receipts:
    """Receipts of one certificate: all under one checkpoint."""

    def __init__(self, keys):
        self.keys, self.note = keys, None

    def entry(self, receipt, kind):
        members(receipt, "entry index path proof salt")
        data = unbase64(receipt["entry"])
        self.index, note, self.origin, self.size = read_proof(receipt["proof"], data, self.keys)
        need(self.note in (None, note), "different checkpoints")
        self.note = note
        return read_entry(data, kind)

    @staticmethod
    def under(entry, receipt, commitment):
        path = [unhash(text) for text in items(receipt["path"])]
        included(commitment, count(receipt["index"]), entry["size"], path, entry["root"])


def check_certificate(line, keys):
    """The certificate, and its seal entry, if it holds."""
    certificate = read_line(line)
    members(certificate, "erased existed format receipt reference removed seal subject")
    need(certificate["format"] == "oubliette/certificate/v1", "format")
    facts, subject, receipt = certificate["erased"], certificate["subject"], certificate["receipt"]
    check_facts(facts)
    members(subject, "id kind")
    item, order = uuid(subject["id"]), uuid(facts["order"])
    need(subject["kind"] in KINDS, "kind")
    contents = sum(content["count"] for content in facts["contents"])
    if subject["kind"] == "interaction":
        need((facts["items"], facts["interactions"], facts["part_of"]) == (1, 1, None), "facts of an interaction")
        interaction = item
    elif subject["kind"] == "content":
        need((facts["items"], facts["interactions"], contents) == (1, 0, 1), "facts of a content")
        need(facts["part_of"] is not None, "facts of a content")
        interaction = uuid(facts["part_of"])
    else:
        need(facts["part_of"] is None and order == item and not certificate["existed"], "facts of an order")

    receipts = Receipts(keys)
    entry = receipts.entry(receipt, 1)
    sealed_at = receipts.index
    seal = {
        "agents": entry["agents"],
        "agents_confirmed": entry["confirmed"],
        "epochs": entry["epochs"],
        "findings": entry["findings"],
        "log_index": receipts.index,
        "log_size": receipts.size,
        "mirrors": entry["mirrors"],
        "origin": receipts.origin,
        "register_class": entry["class"],
        "register_trusted": entry["trusted"] == 1,
        "sealed_at": utc(entry["time"]),
    }
    need(canonical(certificate["seal"]) == canonical(seal), "seal, and its entry")
    salt = unhash(receipt["salt"])
    digest = sha256(canonical(facts).encode())
    receipts.under(entry, receipt, commit_erased(salt, subject["kind"], item, facts["event"], order, digest))

    reference = certificate["reference"]
    if reference is not None:
        need(isinstance(reference, str) and 0 < len(reference.encode()) <= 1024, "reference")
        need(not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in reference), "reference")
        need(unhash(facts["reference"]) == sha256(b"oubliette/reference/v1\0", salt, reference.encode()), "reference")

    last = (-1, -1)
    for proof in items(certificate["existed"]):
        members(proof, "blob content from receipt to")
        batch = receipts.entry(proof["receipt"], 2)
        need(subject["kind"] == "interaction" or proof["content"] == subject["id"], "another content")
        place = (receipts.index, count(proof["receipt"]["index"]))
        need(last < place and receipts.index < sealed_at, "order in the log")
        last = place
        need((proof["from"], proof["to"]) == (utc(batch["from"]), utc(batch["to"])), "interval")
        fields = (unhash(proof["receipt"]["salt"]), interaction, uuid(proof["content"]), unhash(proof["blob"]))
        receipts.under(batch, proof["receipt"], sha256(b"oubliette/receipt/existed/v1\0", *fields))

    removed = certificate["removed"]
    if removed is not None:
        members(removed, "blobs receipt stated_at")
        batch = receipts.entry(removed["receipt"], 3)
        need(receipts.index > sealed_at and removed["stated_at"] == utc(batch["time"]), "order in the log")
        fields = (unhash(removed["receipt"]["salt"]), order, count(removed["blobs"]).to_bytes(8, "big"))
        receipts.under(batch, removed["receipt"], sha256(b"oubliette/receipt/removed/v1\0", *fields))
    return certificate, entry


def check_bulk(lines, keys):
    certificate, entry = check_certificate(next(lines), keys)
    last, found = -1, 0
    for line in lines:
        need(certificate["subject"]["kind"] == "order", "lines under no order")
        item = read_line(line)
        members(item, "facts id index kind path salt")
        need(item["kind"] in ("interaction", "content") and count(item["index"]) > last, "line")
        last, found, facts = item["index"], found + 1, certificate["erased"]
        fields = (item["kind"], uuid(item["id"]), facts["event"], uuid(facts["order"]), unhash(item["facts"]))
        Receipts.under(entry, item, commit_erased(unhash(item["salt"]), *fields))
    # A single line is the certificate alone.
    need(found in (0, certificate["erased"]["items"]), "lines are missing")


def main(arguments):
    if len(arguments) < 3 or arguments[0] != "--log-key":
        sys.exit(__doc__)
    with open(arguments[1], encoding="utf-8") as file:
        keys = read_keys(file.read())
    bad = 0
    for name in arguments[2:]:
        try:
            with open(name, "rb") as file:
                check_bulk(iter(file.readlines() or [b""]), keys)
            print("valid", name)
        except Exception as error:  # Whatever goes wrong on the way: it does not hold.
            bad = 1
            print(f"invalid {name}: {error}")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
