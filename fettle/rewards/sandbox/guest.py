"""What runs inside the sandbox. It is sent to a bare interpreter as source, so it imports nothing of ours.

It confines itself for good, says what holds, and only then is given a user's code; or it becomes another interpreter,
which is held by the same walls and says so itself. Frames: 4 bytes length, JSON.
"""

import ctypes
import io
import json
import linecache
import os
import stat
import struct
import sys
import traceback

# Read before the door closes: what a grader may import when the interpreter's own folder is out of reach
PRELOADED = [
    "abc",
    "array",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "html",
    "itertools",
    "keyword",
    "locale",
    "math",
    "numbers",
    "operator",
    "pprint",
    "random",
    "re",
    "secrets",
    "statistics",
    "string",
    "textwrap",
    "time",
    "token",
    "tokenize",
    "types",
    "typing",
    "unicodedata",
    "uuid",
    "zlib",
    "zoneinfo",
]

PRINTED_AT_MOST = 4096  # characters of a rollout's printed output
RETURNED_AT_MOST = 16_384  # characters of what a tool returns; the host keeps fewer
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE = 1, 22, 38, 4


def receive(source):
    head = source.read(4)
    if len(head) < 4:
        os._exit(0)
    (size,) = struct.unpack(">I", head)
    return json.loads(source.read(size))


def send(sink, value):
    body = json.dumps(value, default=str).encode()  # ASCII: a lone surrogate is an escape
    sink.write(struct.pack(">I", len(body)) + body)
    sink.flush()


class Libc:
    def __init__(self):
        self.lib = ctypes.CDLL(None, use_errno=True)
        self.lib.syscall.restype = ctypes.c_long

    def call(self, name, *arguments):
        if getattr(self.lib, name)(*arguments) < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"{name}: {os.strerror(error)}")

    def syscall(self, *arguments):
        result = self.lib.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"syscall {arguments[0]}: {os.strerror(error)}")
        return result


def confine(config, needed):
    """Irrevocable, in this order: limits, user, death with the parent, files, system calls. Raises OSError.

    needed: files and folders that it goes on to use. Gives, for each, the path that its new user can reach it by.
    """
    import resource

    libc = Libc()
    ruleset = ruleset_of(libc, config)  # while every file is still within reach: in a private home they soon are not
    descriptors = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in needed}
    for name, limit in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if config["uid"] is not None:
        become_user(config["uid"], config["gid"])
    paths = {path: path_for_us(path, descriptor) for path, descriptor in descriptors.items()}
    libc.call("prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    program = bytes.fromhex(config["seccomp"])
    filters = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(filters))
    libc.call("prctl", PR_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0)
    return paths


def ruleset_of(libc, config):
    attributes = struct.pack("QQQ", config["handled_files"], config["handled_network"], config["handled_scopes"])
    size = config["ruleset_bytes"]
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), size, 0)
    for path in [*config["readable"], *config["runnable"]]:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = READ_FILE | (READ_DIR if os.path.isdir(path) else 0) | (EXECUTE if path in config["runnable"] else 0)
        rule = struct.pack("=Qi", rights, parent)
        libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0)
        os.close(parent)
    return ruleset


def become_user(uid, gid):
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise OSError(
            f"the worker is root, but may not change to user {uid} ({error.strerror}): give it CAP_SETUID and "
            "CAP_SETGID, or run it as an ordinary user"
        ) from error


def path_for_us(path, descriptor):
    """A folder above may be closed to our user, such as a private home: a descriptor opened before leads past it."""
    mode = os.R_OK | os.X_OK if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.R_OK
    if os.access(path, mode):
        os.close(descriptor)
        return path
    past = f"/proc/self/fd/{descriptor}"
    if os.access(past, mode):
        return past
    missing = "" if os.path.exists("/proc/self/fd") else ", or mount /proc"
    raise OSError(f"user {os.getuid()}, which user code runs as, cannot read {path}: chmod -R o+rX {path}{missing}")


def moved(path, paths):
    """The path of a file that lies in one of the folders, by the way that our user can go."""
    for folder, way in paths.items():
        if path == folder or path.startswith(folder + "/"):
            return way + path[len(folder) :]
    return path


def import_from(paths):
    """From now on modules are found by these ways, submodules of packages that are here already as well."""
    sys.path[:] = [moved(folder, paths) for folder in sys.path]
    for module in list(sys.modules.values()):
        if isinstance(getattr(module, "__path__", None), list):
            module.__path__[:] = [moved(folder, paths) for folder in module.__path__]
    for folder, finder in list(sys.path_importer_cache.items()):
        if finder is not None and hasattr(finder, "path"):  # kept: it has listed its folder, which cannot be done again
            finder.path = moved(finder.path, paths)
        sys.path_importer_cache[moved(folder, paths)] = finder


def become(command, config, pipes):
    """Another program in our place. Its loader has to find libraries in a private home as well."""
    folders = list(dict.fromkeys(map(os.path.dirname, config["readable"])))
    folders = [folder for folder in folders if os.path.isdir(folder)]
    paths = confine(config, [command[0], *folders])
    past = [paths[folder] for folder in folders if paths[folder] != folder]
    for descriptor in [*pipes, *(int(os.path.basename(way)) for way in past)]:
        os.set_inheritable(descriptor, True)
    environment = {"LD_LIBRARY_PATH": ":".join(past)} if past else {}
    os.execve(paths[command[0]], [*command, *map(str, pipes)], environment)  # noqa: S606 — no shell is wanted


class Printed(io.TextIOBase):
    """Keeps the first characters of what user code prints."""

    def __init__(self):
        self.parts, self.room, self.dropped = [], PRINTED_AT_MOST, 0

    def writable(self):
        return True

    def write(self, text):
        kept = text[: self.room]
        if kept:
            self.parts.append(kept)
            self.room -= len(kept)
        self.dropped += len(text) - len(kept)
        return len(text)

    def take(self):
        text = "".join(self.parts).replace("\0", "\ufffd")  # PostgreSQL holds no NUL
        if self.dropped:
            text += f"… ({self.dropped} more characters)"
        self.parts, self.room, self.dropped = [], PRINTED_AT_MOST, 0
        return text


def load(source, names):
    """The first of the named functions that the source defines."""
    module = {"__name__": "grader", "__builtins__": __builtins__}
    linecache.cache["<grader>"] = (len(source), None, source.splitlines(True), "<grader>")  # for tracebacks
    exec(compile(source, "<grader>", "exec"), module)
    for name in names:
        if callable(module.get(name)):
            return name, module[name]
    raise NameError(f"the source defines none of: {', '.join(names)}")


def frames_of(error):
    """The traceback without our own lines, nor the place where this machine keeps the standard library."""
    entries = [e for e in traceback.extract_tb(error.__traceback__) if e.filename == "<grader>"]
    lines = traceback.format_list(entries) + traceback.format_exception_only(error)
    return "".join(lines).replace(f" ({getattr(error, 'path', None)})", "")[-4000:]


def attempt(work, printed):
    """What a piece of user code gives, or what is wrong with it."""
    try:
        return {"value": work(), "printed": printed.take()}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the user's as well
        return {"error": frames_of(error), "printed": printed.take()}


def plain(value):
    """A number as the host can read it: NaN has no JSON, and other types are named."""
    if not isinstance(value, (int, float)):
        if type(value).__module__ == "numpy" and hasattr(value, "item"):
            return plain(value.item())
        return {"type": type(value).__name__}
    value = float(value)
    return value if value - value == 0.0 else {"not_finite": repr(value)}


def text(value):
    """What a tool returned, as a message can hold it."""
    return (value if isinstance(value, str) else json.dumps(value, default=str))[:RETURNED_AT_MOST]


def serve(source, sink):
    printed = Printed()
    sys.stdout = sys.stderr = printed
    sys.stdin = None
    function = name = None
    while True:
        message = receive(source)
        if message["type"] == "load":
            function = None

            def define(message=message):
                nonlocal name, function
                name, function = load(message["source"], message["names"])
                return name

            send(sink, attempt(define, printed))
        elif message["type"] == "grade":
            for arguments in message["samples"]:
                send(sink, attempt(lambda call=function, given=arguments: plain(call(*given)), printed))
        elif message["type"] == "call":
            send(sink, attempt(lambda call=function, given=message["arguments"]: text(call(**given)), printed))


def main():
    os.environ.clear()  # what the loader needed to find Python
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    config = receive(source)
    try:
        if config["become"]:
            become(config["become"], config, [source.fileno(), sink.fileno()])
        for name in PRELOADED:
            __import__(name)
        import_from(confine(config, [folder for folder in sys.path if os.path.exists(folder)]))
    except BaseException as error:  # whatever it is, the host is to say why no guest runs
        send(sink, {"refused": f"{type(error).__name__}: {error}"})
        os._exit(1)
    send(sink, {"ready": os.getuid()})
    serve(source, sink)


main()
