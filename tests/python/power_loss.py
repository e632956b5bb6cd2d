#!/usr/bin/env python3
"""Cuts the power at many moments of a run, by its recorded system calls, and lets the run go on.

    cargo build -p xtask
    python3 tests/python/power_loss.py target/debug/xtask [--points 100]

`strace` records what a run asks of the file system. A crash keeps of that what had been synced: a file's bytes up to its last
`fsync`, a folder's names up to the folder's own. Two machines are tried at each point: one that loses everything else, and one
that keeps all names and loses the bytes of files that were not synced, as a journal of metadata does. From either state the same
command must end in the bits of a run that nobody stopped, and a stage that was reported done must be there, whole. Prints a
table, and exits with 1 if anything else happened.
"""

import argparse
import hashlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

CONFIG = pathlib.Path(__file__).parent.parent / "tiny.toml"
CALLS = (
    "open,openat,creat,close,read,write,pwrite64,writev,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,"
    "unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile,link,linkat,symlink,symlinkat,fcntl,dup,dup2,dup3,splice,"
    "pwritev,truncate,fallocate"
)
# Files that decide nothing: caches, clocks, and what was last asked for.
LOOSE = {"hashes.json", "log.jsonl", "lock", "config.toml", "tensorboard"}
STAGES = ["ingest", "tokenize", "train", "evaluate", "generate", "report"]


class File:
    def __init__(self):
        self.data, self.synced = bytearray(), b""


class Folder:
    def __init__(self):
        self.names, self.synced = {}, {}


class Disk:
    """A tree with what is on the platter beside what programs see."""

    def __init__(self, root):
        self.root, self.tree, self.fds = root, Folder(), {}

    def parts(self, path, at=None):
        """The folder that holds a path and the path's last name; nothing outside the root."""
        if not os.path.isabs(path) and at is not None:
            return self.walk(at, path.split("/"))
        path = os.path.normpath(os.path.join(os.getcwd(), path))
        if path == self.root:
            return None, ""
        if not path.startswith(self.root + "/"):
            return None
        return self.walk(self.tree, path[len(self.root) + 1 :].split("/"))

    def walk(self, folder, parts):
        for part in parts[:-1]:
            folder = folder.names.get(part) if isinstance(folder, Folder) else None
        return (folder, parts[-1]) if isinstance(folder, Folder) else None

    def find(self, path, at=None):
        place = self.parts(path, at)
        if place is None:
            return None
        folder, name = place
        return self.tree if folder is None else folder.names.get(name)

    def files(self):
        """What programs see, by path."""
        found = {}

        def visit(folder, above):
            for name, node in folder.names.items():
                if isinstance(node, Folder):
                    visit(node, f"{above}{name}/")
                else:
                    found[f"{above}{name}"] = bytes(node.data)

        visit(self.tree, "")
        return found

    def state(self, lose_names):
        """What a crash leaves: by path, bytes of files and None of folders."""
        found = {}

        def visit(folder, above):
            for name, node in (folder.synced if lose_names else folder.names).items():
                path = f"{above}{name}"
                if isinstance(node, Folder):
                    found[path] = None
                    visit(node, path + "/")
                else:
                    found[path] = bytes(node.synced)

        visit(self.tree, "")
        return found


STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def strings(text):
    found = []
    for match in STRING.finditer(text):
        assert not match.group(2), "strace cut a string"
        found.append(bytes.fromhex(match.group(1).replace("\\x", "")))
    return found


def calls(path):
    """The system calls in their order, each as (name, arguments, result)."""
    waiting = {}
    for line in open(path, errors="replace"):
        pid, rest = line.split(None, 1)
        rest = rest.rstrip("\n")
        if rest.endswith("<unfinished ...>"):
            waiting[pid] = rest[: -len("<unfinished ...>")].rstrip()
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        if resumed:
            rest = waiting.pop(pid, "") + resumed.group(1)
        call = re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", rest)
        if call:
            yield call.group(1), call.group(2), int(call.group(3))


def apply(disk, name, arguments, result):
    """What a call does to the disk. True where it changed something; text that went to stderr otherwise."""
    if result < 0:
        return False
    given = arguments.split(", ")
    number = lambda text: int(re.match(r"-?\d+", text).group()) if re.match(r"-?\d+", text) else None
    fd = number(given[0])
    opened = disk.fds.get(fd)
    at = lambda text: disk.fds[number(text)][0] if number(text) in disk.fds else None
    if name in ("open", "openat", "creat"):
        path = strings(arguments)[0].decode()
        base = at(given[0]) if name == "openat" else None
        flags = arguments
        node = disk.find(path, base)
        changed = False
        if node is None and ("O_CREAT" in flags or name == "creat"):
            place = disk.parts(path, base)
            if place is not None and place[0] is not None:
                node = place[0].names[place[1]] = File()
                changed = True
        if isinstance(node, File) and ("O_TRUNC" in flags or name == "creat"):
            node.data, changed = bytearray(), True
        if node is not None:
            disk.fds[result] = [node, 0, "O_APPEND" in flags]
        else:
            disk.fds.pop(result, None)
        return changed
    if name == "close":
        disk.fds.pop(fd, None)
        return False
    if name == "fcntl":
        if "F_DUPFD" in arguments and opened:
            disk.fds[result] = opened
        return False
    if name in ("dup", "dup2", "dup3"):
        if opened:
            disk.fds[result] = opened
        return False
    if name in ("write", "writev", "pwrite64"):
        data = b"".join(strings(arguments))[:result]
        if fd == 2:
            return data.decode(errors="replace")
        if opened is None or not isinstance(opened[0], File):
            return False
        node, offset, append = opened
        if name == "pwrite64":
            place = int(given[-1])
        else:
            place = len(node.data) if append else offset
            opened[1] = place + result
        node.data[len(node.data) : place] = b"\0" * max(0, place - len(node.data))
        node.data[place : place + result] = data
        return True
    if name == "read":
        if opened:
            opened[1] += result
        return False
    if name == "lseek":
        if opened:
            opened[1] = result
        return False
    if name in ("copy_file_range", "sendfile"):
        source, target = (0, 2) if name == "copy_file_range" else (1, 0)
        source, target = disk.fds.get(number(given[source])), disk.fds.get(number(given[target]))
        if target is None or result == 0:
            return False
        assert source is not None, f"a copy from outside the run: {arguments}"
        data = bytes(source[0].data[source[1] : source[1] + result])
        source[1] += result
        target[0].data[target[1] : target[1] + result] = data
        target[1] += result
        return True
    if name == "ftruncate":
        if opened is None:
            return False
        size = int(given[1])
        del opened[0].data[size:]
        opened[0].data.extend(b"\0" * (size - len(opened[0].data)))
        return True
    if name in ("fsync", "fdatasync"):
        if opened is None:
            return False
        node = opened[0]
        if isinstance(node, File):
            node.synced = bytes(node.data)
        else:
            node.synced = dict(node.names)
        return True
    if name in ("rename", "renameat", "renameat2"):
        old, new = (text.decode() for text in strings(arguments))
        bases = (None, None) if name == "rename" else (at(given[0]), at(given[2]))
        source, target = disk.parts(old, bases[0]), disk.parts(new, bases[1])
        if source is None or target is None or source[0] is None or target[0] is None:
            return False
        node = source[0].names[source[1]]
        if "RENAME_EXCHANGE" in arguments:
            source[0].names[source[1]] = target[0].names[target[1]]
        else:
            del source[0].names[source[1]]
        target[0].names[target[1]] = node
        return True
    if name in ("unlink", "unlinkat", "rmdir"):
        path = strings(arguments)[0].decode()
        place = disk.parts(path, at(given[0]) if name == "unlinkat" else None)
        if place is None or place[0] is None:
            return False
        place[0].names.pop(place[1], None)
        return True
    if name in ("mkdir", "mkdirat"):
        path = strings(arguments)[0].decode()
        place = disk.parts(path, at(given[0]) if name == "mkdirat" else None)
        if place is None or place[0] is None:
            return False
        place[0].names[place[1]] = Folder()
        return True
    if name in ("link", "linkat"):
        old, new = (text.decode() for text in strings(arguments))
        source, target = disk.find(old), disk.parts(new)
        if source is not None and target is not None:
            target[0].names[target[1]] = source
            return True
    return False


def hashes(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        skipped = name.split("/")[0] in LOOSE or ".partial" in name or name.startswith("aside")
        if path.is_file() and not skipped and "timing" not in name and not name.startswith("report/"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program = options.program.resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="power-loss-"))
    run = folder / "run"
    command = [str(program), "--threads", "1", "--quiet", "pipeline", "--config", str(CONFIG.resolve()), "--run", str(run)]
    os.chdir(folder)
    (folder / "run").mkdir()
    trace = folder / "trace"
    strace = ["strace", "-f", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    subprocess.run(strace + command, check=True, capture_output=True)
    expected = hashes(run)
    recorded = list(calls(trace))

    disk = Disk(str(run))
    changes = sum(1 for call in recorded if apply(disk, *call) is True)
    # The recording is right if it ends in what is there.
    seen, synced = disk.files(), {path: data for path, data in disk.state(False).items() if data is not None}
    there = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert seen == there, f"the recording lacks something: {[p for p in seen.keys() | there.keys() if seen.get(p) != there.get(p)]}"
    lost = [path for path, data in synced.items() if data != there[path]]
    print(f"{len(recorded)} calls, {changes} of them change the run; {len(there)} files, never flushed: {', '.join(lost) or 'none'}")

    stream = random.Random(options.seed)
    points = set(stream.sample(range(1, changes + 1), min(options.points, changes)))
    disk, seen, done, failures, tried = Disk(str(run)), 0, set(), [], 0
    for call in recorded:
        found = apply(disk, *call)
        if isinstance(found, str):
            done |= {stage for stage in STAGES if f"{stage}: done" in found}
        if found is not True:
            continue
        seen += 1
        if seen not in points:
            continue
        for lose_names in (True, False):
            tried += 1
            shutil.rmtree(run)
            run.mkdir()
            state = disk.state(lose_names)
            for path, data in state.items():
                place = run / path
                if data is None:
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
            what = f"point {seen} of {changes}, {'names lost too' if lose_names else 'names kept'}"
            for stage in done:
                if f"{stage}/manifest.json" not in state or not state[f"{stage}/manifest.json"]:
                    failures.append(f"{what}: {stage} was done and is lost")
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                failures.append(f"{what}: exit {result.returncode}: {result.stderr.strip().splitlines()[-1:]}")
            elif hashes(run) != expected:
                other = hashes(run)
                names = [name for name in expected.keys() | other.keys() if expected.get(name) != other.get(name)]
                failures.append(f"{what}: other bits: {sorted(names)[:5]}")
    shutil.rmtree(folder)
    print(f"{tried} crashes at {len(points)} points: {tried - len(failures)} went on to the same bits with nothing lost")
    print("\n".join(failures))
    return 1 if failures or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
