"""Code that tries to get out of the sandbox. Each returns 1.0 when it got what it wanted: a result of 1.0 is a hole.

`bench/sandbox.py` prints the same table.
"""

from tests.fettle.rewards.sandbox.attacks_javascript import ATTACKS as JAVASCRIPT

ATTACKS: dict[str, str] = {
    "network, a TCP connection": """
import socket
def grade(sample, item):
    socket.create_connection(("127.0.0.1", item["port"]), timeout=2)
    return 1.0
""",
    "network, a datagram": """
import socket
def grade(sample, item):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", item["port"]))
    return 1.0
""",
    "network, an abstract Unix socket": """
import socket
def grade(sample, item):
    socket.socket(socket.AF_UNIX).connect("\\0fettle")
    return 1.0
""",
    "read /etc/passwd": """
def grade(sample, item):
    return float("root" in open("/etc/passwd").read())
""",
    "read a secret file by its path": """
def grade(sample, item):
    return float("canary" in open(item["secret"]).read())
""",
    "list a folder": """
import os
def grade(sample, item):
    return float(bool(os.listdir("/")))
""",
    "own environment": """
import os
def grade(sample, item):
    return float("FETTLE_CANARY" in os.environ)
""",
    "own environment in /proc": """
def grade(sample, item):
    return float(bool(open("/proc/self/environ", "rb").read()) or 1.0)
""",
    "any environment in /proc": """
import os
def grade(sample, item):
    found = 0
    for pid in [1, os.getppid(), item["parent"]]:
        found += len(open(f"/proc/{pid}/environ", "rb").read())
    return 1.0
""",
    "memory of the parent": """
import os
def grade(sample, item):
    open(f"/proc/{item['parent']}/mem", "rb")
    return 1.0
""",
    "fork": """
import os
def grade(sample, item):
    if os.fork() == 0:
        os._exit(0)
    return 1.0
""",
    "fork bomb": """
import os
def grade(sample, item):
    made = 0
    for _ in range(1000):
        if os.fork() == 0:
            while True: pass
        made += 1
    return 1.0
""",
    "a new program": """
import os
def grade(sample, item):
    os.execv("/bin/true", ["true"])
""",
    "subprocess": """
import subprocess
def grade(sample, item):
    return float(subprocess.run(["/bin/echo", "x"], capture_output=True).returncode == 0)
""",
    "4 GB of memory": """
def grade(sample, item):
    hoard = bytearray(4 << 30)
    return float(len(hoard) > 0)
""",
    "4 GB of memory, bit by bit": """
def grade(sample, item):
    hoard = []
    for _ in range(4096):
        hoard.append(b"x" * (1 << 20))
    return 1.0
""",
    "infinite loop": """
def grade(sample, item):
    while True: pass
""",
    "infinite loop that swallows what interrupts it": """
def grade(sample, item):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "sleep": """
import time
def grade(sample, item):
    time.sleep(3600)
    return 1.0
""",
    "write to the host": """
def grade(sample, item):
    open(item["target"], "w").write("x")
    return 1.0
""",
    "write to /tmp": """
def grade(sample, item):
    open("/tmp/fettle-attack", "w").write("x")
    return 1.0
""",
    "fill the disk": """
import os
def grade(sample, item):
    for number in range(100000):
        with open(os.path.join(item["folder"], str(number)), "wb") as file:
            file.write(b"x" * (1 << 20))
    return 1.0
""",
    "write into a library": """
import json
def grade(sample, item):
    open(json.__file__, "a").write("#")
    return 1.0
""",
    "kill the parent": """
import os, signal
def grade(sample, item):
    os.kill(item["parent"], signal.SIGTERM)
    return 1.0
""",
    "kill everybody": """
import os, signal
def grade(sample, item):
    os.kill(-1, signal.SIGTERM)
    return 1.0
""",
    "flood stdout": """
import os, sys
def grade(sample, item):
    for _ in range(1000):
        os.write(1, b"x" * 100000)
        os.write(2, b"x" * 100000)
        print("x" * 100000)
        sys.__stdout__.write("x" * 100000)
    return 0.5
""",
    "flood the protocol": """
import os
def grade(sample, item):
    for fd in range(3, 64):
        try:
            for _ in range(1000):
                os.write(fd, b"\\x7f" * 100000)
        except OSError: pass
    return 1.0
""",
    "a result of 1 GB": """
import os, struct
def grade(sample, item):
    for fd in range(3, 64):
        try: os.write(fd, struct.pack(">I", 1 << 30) + b"x")
        except OSError: pass
    return 1.0
""",
    "ctypes unshare": """
import ctypes
def grade(sample, item):
    return float(ctypes.CDLL(None).unshare(0x10000000) == 0)
""",
    "ctypes, a raw system call": """
import ctypes
def grade(sample, item):
    return float(ctypes.CDLL(None).syscall(41, 2, 1, 0) >= 0)
""",
    "ptrace the parent": """
import ctypes
def grade(sample, item):
    return float(ctypes.CDLL(None).ptrace(16, item["parent"], 0, 0) == 0)
""",
    "limits of the parent": """
import resource
def grade(sample, item):
    resource.prlimit(item["parent"], resource.RLIMIT_CPU, (1, 1))
    return 1.0
""",
    "become root again": """
import os
def grade(sample, item):
    os.setuid(0)
    return 1.0
""",
    "symbolic link out": """
import os
def grade(sample, item):
    os.symlink("/etc/passwd", item["target"])
    return 1.0
""",
    "hard link to a secret": """
import os
def grade(sample, item):
    os.link(item["secret"], item["target"])
    return 1.0
""",
    "import of our packages": """
def grade(sample, item):
    import fettle
    return 1.0
""",
    "import of our packages by their path": """
import sys
def grade(sample, item):
    sys.path.insert(0, item["ours"])
    import fettle.settings
    return 1.0
""",
    "import of what is installed": """
import sys
def grade(sample, item):
    sys.path.insert(0, item["installed"])
    import orjson
    return 1.0
""",
    "NaN": """
def grade(sample, item):
    return float("nan")
""",
    "infinity": """
def grade(sample, item):
    return float("inf")
""",
    "a string": """
def grade(sample, item):
    return "1.0"
""",
    "None": """
def grade(sample, item):
    return None
""",
    "a huge integer": """
def grade(sample, item):
    return 10 ** 400
""",
    "exit with success": """
import os
def grade(sample, item):
    os._exit(0)
""",
    "SystemExit": """
def grade(sample, item):
    raise SystemExit(0)
""",
    "deep recursion": """
def grade(sample, item):
    def down(n): return down(n + 1)
    import sys
    sys.setrecursionlimit(10**9)
    return down(0)
""",
    "crash": """
import ctypes
def grade(sample, item):
    ctypes.string_at(0)
    return 1.0
""",
}

BY_LANGUAGE = {"python": ATTACKS, "javascript": JAVASCRIPT}
# Put behind an attack's source: a sample without targets is a fair one
FAIR = {
    "python": """
attack = grade
def grade(sample, item): return 0.25 if item is None else attack(sample, item)
""",
    "javascript": """
const tried = grade;
const reward = (sample, item) => (item === null ? 0.25 : tried(sample, item));
""",
}
NAMES = {"python": ("grade",), "javascript": ("reward",)}
HARMLESS = {"flood stdout": 0.5}  # it may come to its end: nobody hears it
