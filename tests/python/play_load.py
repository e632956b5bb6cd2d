#!/usr/bin/env python3
"""Puts a load on the playground's server, and asks it what it must refuse.

    cargo xtask play --run runs/NAME --port 8090
    python3 tests/python/play_load.py http://127.0.0.1:8090/ [--pid PID]

(a) requests one after the other, each a greedy text of other noise, as a drag over the pad makes them; (b) many clients
at once; (c) what is malformed, too large, too slow or asked of nowhere; (d) with the server's process id, its memory
before and after ten thousand requests, where as many went before. Needs nothing but Python, on the server's own
machine. Prints a table, and exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import json
import pathlib
import random
import socket
import sys
import threading
import time
import urllib.parse

DRAGS, CLIENTS, REQUESTS, MANY = 500, 200, 5, 10_000
BARS = {"drag p95": 0.050, "clients p99": 1.0, "slow": 30.0, "megabytes": 20.0}
LARGE = 10_000_000


class Server:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.token = urllib.parse.parse_qs(parts.query).get("token", [None])[0]

    def head(self, method, path, headers=()):
        given = {"Host": f"{self.host}:{self.port}", **dict(headers)}
        if self.token:
            given.setdefault("X-Token", self.token)
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()

    def request(self, path, body=None, method=None, headers=()):
        """The bytes of a request that is well formed as far as HTTP goes."""
        if body is None:
            return self.head(method or "GET", path, headers)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json", "Content-Length": len(body), **dict(headers)}
        return self.head(method or "POST", path, given) + body


# ---- Good requests, over connections that stay open ------------------------------------------------------------------
class Client:
    """One connection."""

    def __init__(self, server):
        self.server = server

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def ask(self, path, body=None):
        """Status and answer."""
        self.writer.write(self.server.request(path, body))
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        length = next(int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:"))
        return int(head[0].split()[1]), await self.reader.readexactly(length)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def noise(about, stream):
    return [[stream.gauss(0, 1) for _ in range(about["noise"])]]


def bounded(about, stream):
    """Something that a visitor could ask."""
    # As many as the server keeps: the first ones.
    model = stream.choice(about["models"][:4])["id"]
    common = {"model": model, "temperature": 0.8, "top_p": 0.9, "top_k": None, "min_p": None, "label": None}
    seed = stream.randrange(2**32)
    given = noise(about, stream)
    asked = [
        ("/api/generate", {**common, "texts": 1, "seed": seed}),
        ("/api/generate", {**common, "texts": 4, "seed": seed, "noise": given * 4, "greedy": True}),
        ("/api/next", {**common, "noise": given[0], "ids": []}),
    ]
    if about["detector"]:
        asked.append(("/api/realness", {"model": model, "text": "a text of some visitor"}))
    if about["real_texts"]:
        asked.append(("/api/duel", {"model": model, "seed": seed}))
    return stream.choice(asked)


async def drag(server, about, count):
    """Seconds of each of some requests, one after the other."""
    stream, times = random.Random(1), []
    model = about["models"][0]["id"]
    async with Client(server) as client:
        for _ in range(count):
            body = {"model": model, "texts": 1, "seed": 1, "noise": noise(about, stream), "greedy": True}
            start = time.perf_counter()
            status, answer = await client.ask("/api/generate", body)
            times.append(time.perf_counter() - start)
            if status != 200:
                sys.exit(f"a greedy text was refused: {status} {answer[:200]}")
    return times


async def crowd(server, about, clients, requests, seed):
    """Seconds of each request that was answered, how many failed, and how."""
    times, failures = [], []

    async def visitor(number):
        stream = random.Random(seed + number)
        async with Client(server) as client:
            for _ in range(requests):
                path, body = bounded(about, stream)
                start = time.perf_counter()
                status, answer = await asyncio.wait_for(client.ask(path, body), 60)
                if status == 200 and json.loads(answer):
                    times.append(time.perf_counter() - start)
                else:
                    failures.append(f"{path}: {status} {answer[:100]}")

    ends = await asyncio.gather(*map(visitor, range(clients)), return_exceptions=True)
    failures += [repr(end) for end in ends if isinstance(end, BaseException)]
    # Whoever lost a connection did not come to ask the rest.
    return times, clients * requests - len(times), failures


# ---- Bad requests ----------------------------------------------------------------------------------------------------
def bad(server, about):
    """What must be refused: names and bytes."""
    model = about["models"][0]["id"]
    row = [0.0] * about["noise"]
    good = {"model": model, "texts": 1, "seed": 1}
    path = "/api/generate"

    def generate(name, **changes):
        return f"generate, {name}", server.request(path, {**good, **changes})

    for name, body in {
        "no JSON": b"texts=1",
        "nothing": b"",
        "half of it": b'{"model": "mod',
        "no object": b"[1, 2]",
        "null": b"null",
        "no UTF-8": b'{"model": "\xff\xfe", "texts": 1}',
        "a lone surrogate": b'{"model": "\\ud800", "texts": 1}',
        "NaN": b'{"model": "model", "texts": 1, "temperature": NaN}',
        "deep": b"[" * 30_000,
        "deep where something is ignored": b'{"model": "model", "texts": 1, "x": ' + b"[" * 30_000,
        "zeros": bytes(1000),
        "a key twice": b'{"model": "model", "texts": 1, "texts": 2}',
        "a thousand digits": b'{"model": "model", "texts": ' + b"9" * 1000 + b"}",
        "compressed": b"\x1f\x8b\x08\x00" + bytes(40),
    }.items():
        yield f"generate, {name}", server.request(path, body)
    yield from [
        generate("no model", model=None),
        generate("another model", model="../../etc/passwd"),
        generate("a number as model", model=7),
        generate("texts in words", texts="many"),
        generate("no texts", texts=0),
        generate("texts below 0", texts=-1),
        generate("half a text", texts=1.5),
        generate("17 texts", texts=17),
        generate("10^18 texts", texts=10**18),
        generate("a seed below 0", seed=-1),
        generate("a seed past 64 bits", seed=2**64),
        generate("a seed in words", seed="one"),
        generate("flat noise", noise=row or [1.0]),
        generate("noise in words", noise="random"),
        generate("words in noise", noise=[["a"] * len(row)]),
        generate("null in noise", noise=[[None, *row[1:]]]),
        generate("noise too long", noise=[[*row, 0.0]]),
        generate("two rows for one text", noise=[row, row]),
        generate("no row", noise=[]),
        generate("noise past float32", noise=[[1e39, *row[1:]]]),
        generate("a temperature below 0", temperature=-1),
        generate("a temperature past float32", temperature=1e39),
        generate("a hot temperature", temperature="hot"),
        generate("top_k 0", top_k=0),
        generate("top_k below 0", top_k=-5),
        generate("top_p above 1", top_p=1.5),
        generate("min_p below 0", min_p=-0.5),
        generate("greedy in words", greedy="yes"),
        generate("another label", label="no such label"),
        generate("a label with a number", label=3),
        generate("a prompt of 2,001", prompt="a" * 2001),
        generate("more prompt than a text has room for", prompt="the " * 450),
        generate("a prompt with a number", prompt=3),
    ]
    if len(row) > 1:
        # As many numbers as two rows have, but not two rows.
        yield generate("ragged noise", texts=2, noise=[[*row, 0.0], row[1:]])
    follow = {"model": model, "noise": row, "ids": []}
    for name, changes in {
        "ids past the vocabulary": {"ids": [about["vocabulary"]]},
        "ids below 0": {"ids": [-1]},
        "ids past 32 bits": {"ids": [2**32]},
        "padding among the ids": {"ids": [0]},
        "more ids than a text has": {"ids": [4] * (about["max_length"] + 2)},
        "ids in words": {"ids": "4"},
        "no noise": {"noise": [*row, 1.0]},
        "noise past float32": {"noise": [1e39, *row[1:]]},
        "another model": {"model": "x"},
    }.items():
        yield f"next, {name}", server.request("/api/next", {**follow, **changes})
    for name, body in {
        "nothing": {"text": ""},
        "blanks": {"text": " \n\t "},
        "a number": {"text": 5},
        "2,001 characters": {"text": "a" * 2001},
        "another label": {"text": "a", "label": "no such label"},
        "another model": {"text": "a", "model": "x"},
        "no text": {},
    }.items():
        yield f"realness, {name}", server.request("/api/realness", body)
    for name, body in {
        "a choice of 7": {"model": model, "seed": 1, "choice": 7},
        "a choice below 0": {"model": model, "seed": 1, "choice": -1},
        "no choice": {"model": model, "seed": 1},
        "no seed": {"model": model, "choice": 1},
        "a seed below 0": {"model": model, "seed": -1, "choice": 1},
    }.items():
        yield f"duel/answer, {name}", server.request("/api/duel/answer", body)

    large = json.dumps({**good, "prompt": "a" * LARGE}).encode()
    yield "10 MB", server.request(path, large)
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    kind = {"Content-Type": "application/json"}
    yield "10 MB, chunked", server.head("POST", path, {**kind, "Transfer-Encoding": "chunked"}) + chunked + b"0\r\n\r\n"
    yield "10 MB of blanks", server.request(path, b" " * LARGE)
    yield "10 MB to nowhere", server.request("/api/nothing", large)
    yield "10 MB as GET", server.request("/api/model?", large, "PUT")
    yield "10 MB of head", server.head("GET", "/", {"X-Long": "a" * LARGE})
    yield "10 MB of address", server.head("GET", "/" + "a" * LARGE)
    yield "ten thousand headers", server.head("GET", "/", {f"X-{i}": "a" for i in range(10_000)})

    for address in (
        "/nothing", "/api", "/api/", "/api/generate/", "/api/Generate", "//", "/../Cargo.toml", "/%2e%2e/Cargo.toml",
        "/assets/page.html", "/index.html", "/.git/config", "/api/model/..", "/api/duel/answer/x", "/%00", "/%ff",
        "/favicon.ico.",
    ):
        yield f"GET {address}", server.request(address)
    for method, address in (
        ("GET", "/api/generate"), ("PUT", "/api/generate"), ("DELETE", "/api/generate"), ("OPTIONS", "/api/generate"),
        ("GET", "/api/next"), ("GET", "/api/realness"), ("GET", "/api/duel"), ("POST", "/api/model"), ("POST", "/"),
        ("PATCH", "/style.css"), ("TRACE", "/"), ("BREW", "/"), ("get", "/api/model"),
    ):
        yield f"{method} {address}", server.request(address, good if method != "GET" else None, method)

    body = json.dumps(good).encode()
    yield "no Content-Type", server.head("POST", path, {"Content-Length": len(body)}) + body
    yield "a form", server.request(path, b"model=model", headers={"Content-Type": "application/x-www-form-urlencoded"})
    yield "another host", server.request("/api/model", headers={"Host": "example.org"})
    yield "no host", b"GET /api/model HTTP/1.1\r\n\r\n"
    yield "no HTTP", b"hello\r\n\r\n"
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n"
    yield "HTTP/9.9", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n"
    yield "a length in words", server.head("POST", path, {**kind, "Content-Length": "some"}) + body
    yield "a length below 0", server.head("POST", path, {**kind, "Content-Length": "-5"}) + body
    yield "a length past 64 bits", server.head("POST", path, {**kind, "Content-Length": "9" * 30}) + body
    yield "a chunk of no number", server.head("POST", path, {**kind, "Transfer-Encoding": "chunked"}) + b"zz\r\nab\r\n"
    yield "an address in the wrong letters", b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n"


def raw(server, data, patience=40):
    """The status that these bytes are answered with, and the end of the connection: 0 where there is no answer."""
    with socket.create_connection((server.host, server.port), timeout=patience) as connection:

        def send():
            try:
                connection.sendall(data)
            except OSError:
                pass  # The server need not read what it refuses.

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        answer = b""
        try:
            while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
                answer += piece
        except OSError as error:
            if not answer:
                return 0, type(error).__name__
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sender.join(patience)
    words = answer.split(b" ", 2)
    if len(words) < 2 or not words[1][:3].isdigit():
        return 0, "closed without an answer"
    return int(words[1][:3]), ""


def refusals(server, about):
    """How many there were, and those that were answered with another status than 4xx."""
    results = {name: raw(server, data) for name, data in bad(server, about)}
    wrong = [f"{name}: {status or why}" for name, (status, why) in results.items() if not 400 <= status < 500]
    return len(results), wrong


def slow(server, about):
    """Clients that send a byte a second, or nothing, or do not read: for how long, and how others fare meanwhile."""
    request = server.request("/api/generate", {"model": about["models"][0]["id"], "texts": 1})
    body_at = request.index(b"\r\n\r\n") + 4
    patience = BARS["slow"] + 5
    starts = {
        "in the head": 0,
        "in the body": body_at,
        "silent": None,
        "silent after an answer": server.request("/api/model"),
    }
    borne = {}

    def client(name, start):
        with socket.create_connection((server.host, server.port), timeout=1) as connection:
            begun = time.perf_counter()
            drips = b""
            if isinstance(start, bytes):
                connection.sendall(start)
            elif start is not None:
                connection.sendall(request[:start])
                drips = request[start:-1]
            status = None
            for at in range(int(patience)):
                try:
                    if at < len(drips):
                        connection.sendall(drips[at : at + 1])
                    answer = connection.recv(65536)
                    if not answer:
                        break
                    status = answer.split(b" ")[1].decode() if status is None else status
                except TimeoutError:
                    continue
                except OSError:
                    break
            borne[name] = time.perf_counter() - begun, status

    def deaf():
        with socket.create_connection((server.host, server.port), timeout=0.5) as connection:
            begun = time.perf_counter()
            try:
                # More than fits between it and the server, whose answers stay where they are.
                connection.sendall(server.request("/api/model") * 4000)
            except OSError:
                pass
            established = 1
            while time.perf_counter() - begun < patience:
                if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established:
                    break
                time.sleep(0.5)
            borne["does not read"] = time.perf_counter() - begun, None

    threads = [threading.Thread(target=client, args=start, daemon=True) for start in starts.items()]
    threads.append(threading.Thread(target=deaf, daemon=True))
    for thread in threads:
        thread.start()
    others = []
    while any(thread.is_alive() for thread in threads):
        try:
            others += asyncio.run(drag(server, about, 1))
        except (OSError, EOFError):
            others.append(float("inf"))
        time.sleep(0.2)
    return borne, others


# ---- Memory ----------------------------------------------------------------------------------------------------------
def resident(pid):
    """Megabytes that a process has in memory."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="what the server printed, the token included")
    parser.add_argument("--pid", type=int, help="the server's process id, to watch its memory")
    arguments = parser.parse_args()
    server = Server(arguments.url)
    missed = []

    def row(what, found, bar=None, holds=True):
        print(f"{what:44} {found:>24}  {bar or '':24} {'' if holds else 'MISSED'}".rstrip(), flush=True)
        if not holds:
            missed.append(what)

    async def about():
        async with Client(server) as client:
            status, answer = await client.ask("/api/model")
        if status != 200:
            sys.exit(f"{arguments.url}: {status} {answer.decode(errors='replace')}")
        return json.loads(answer)

    try:
        about = asyncio.run(about())
    except OSError as error:
        sys.exit(f"{arguments.url}: {error}")
    fresh = resident(arguments.pid) if arguments.pid else 0
    # Models are read when they are first asked for, which is no part of a drag.
    asyncio.run(crowd(server, about, 4, 20, 0))

    times = asyncio.run(drag(server, about, DRAGS))
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    row(f"(a) {DRAGS} greedy texts in turn, p50", f"{1000 * p50:.1f} ms")
    row("    p95", f"{1000 * p95:.1f} ms", "under 50 ms", p95 < BARS["drag p95"])

    times, failed, failures = asyncio.run(crowd(server, about, CLIENTS, REQUESTS, 1000))
    row(f"(b) {CLIENTS} clients, {REQUESTS} requests each, failed", str(failed), "0", not failed)
    p99 = percentile(times, 0.99) if times else float("inf")
    row("    p99", f"{1000 * p99:.0f} ms", "under 1 s", p99 < BARS["clients p99"])

    count, wrong = refusals(server, about)
    row(f"(c) {count} bad requests, not answered by 4xx", f"{len(wrong)}", "0", not wrong)
    borne, others = slow(server, about)
    for name, (seconds, status) in borne.items():
        found = f"{seconds:.1f} s, {'status ' + status if status else 'no answer'}"
        if name == "does not read":
            # Nobody has promised anything about these.
            row(f"    slow, {name}", f"{seconds:.1f} s" + (", still there" if seconds > BARS["slow"] else ""))
            continue
        row(f"    slow, {name}", found, "cut off within 30 s", seconds < BARS["slow"])
    slowest = max(others)
    row(f"    {len(others)} others meanwhile, the slowest", f"{1000 * slowest:.0f} ms", "under 1 s", slowest < 1)

    if arguments.pid:
        # What an allocator keeps for later it has after as many before.
        asyncio.run(crowd(server, about, 10, MANY // 10, 100_000))
        before = resident(arguments.pid)
        times, failed, more = asyncio.run(crowd(server, about, 10, MANY // 10, 200_000))
        after = resident(arguments.pid)
        failures += more
        row(f"(d) {MANY} requests by 10 clients, failed", str(failed), "0", not failed)
        p50, p99 = (1000 * percentile(times, share) for share in (0.5, 0.99))
        row("    each, p50 and p99", f"{p50:.1f}, {p99:.1f} ms")
        row("    memory at first", f"{fresh:.1f} MB")
        row("    before, and after", f"{before:.1f}, {after:.1f} MB")
        row("    growth", f"{after - before:+.1f} MB", "under 20 MB", after - before < BARS["megabytes"])

    for line in [*wrong, *failures[:20]]:
        print(f"  {line}")
    print(f"missed: {', '.join(map(str.strip, missed))}" if missed else "every bar is held")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
