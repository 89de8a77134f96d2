"""The attacks of `attacks.py` as JavaScript finds them. Each returns 1 when it got what it wanted."""

ATTACKS: dict[str, str] = {
    "network, a TCP connection": """
const grade = (sample, item) => new Promise((resolve, reject) => {
  require("net").connect(item.port, "127.0.0.1", () => resolve(1)).on("error", reject);
});
""",
    "network, a datagram": """
const grade = (sample, item) => new Promise((resolve, reject) => {
  const socket = require("dgram").createSocket("udp4").on("error", reject);
  socket.send("x", item.port, "127.0.0.1", (error) => (error ? reject(error) : resolve(1)));
});
""",
    "network, a server": """
const grade = () => new Promise((resolve, reject) => {
  require("net").createServer().on("error", reject).listen(0, () => resolve(1));
});
""",
    "network, a name": """
const grade = () => require("dns").promises.lookup("localhost").then(() => 1);
""",
    "network, fetch": """
const grade = (sample, item) => fetch(`http://127.0.0.1:${item.port}`).then(() => 1);
""",
    "read /etc/passwd": """
function grade() { return Number(require("fs").readFileSync("/etc/passwd", "utf8").includes("root")); }
""",
    "read /etc/passwd, in the background": """
function grade() { return require("fs").promises.readFile("/etc/passwd").then(() => 1); }
""",
    "read a secret file by its path": """
function grade(sample, item) { return Number(require("fs").readFileSync(item.secret, "utf8").includes("canary")); }
""",
    "read a secret file as a module": """
function grade(sample, item) { require(item.secret); return 1; }
""",
    "list a folder": """
function grade() { return Number(require("fs").readdirSync("/").length > 0); }
""",
    "own environment": """
function grade() { return Number("FETTLE_CANARY" in process.env); }
""",
    "own environment in /proc": """
function grade() { require("fs").readFileSync("/proc/self/environ"); return 1; }
""",
    "any environment in /proc": """
function grade(sample, item) {
  for (const pid of [1, process.ppid, item.parent]) require("fs").readFileSync(`/proc/${pid}/environ`);
  return 1;
}
""",
    "memory of the parent": """
function grade(sample, item) { require("fs").openSync(`/proc/${item.parent}/mem`, "r"); return 1; }
""",
    "a process": """
function grade() { require("child_process").execFileSync("/bin/true"); return 1; }
""",
    "a process of Node itself": """
function grade() {
  const done = require("child_process").spawnSync(process.execPath, ["-e", "0"]);
  if (done.error) throw done.error;
  return 1;
}
""",
    "a new program in place of Node": """
function grade() { process.execve("/bin/true", ["true"]); return 1; }
""",
    "fork": """
const grade = () => new Promise((resolve, reject) => {
  require("child_process").fork("/dev/null").on("error", reject).on("spawn", () => resolve(1));
});
""",
    "fork bomb": """
function grade() {
  let made = 0;
  for (let each = 0; each < 1000; each++) {
    if (require("child_process").spawn("/bin/sleep", ["60"]).on("error", () => {}).pid) made++;
  }
  return Number(made > 0);
}
""",
    "thread bomb": """
const grade = () => new Promise((resolve, reject) => {
  let made = 0;
  for (let each = 0; each < 500; each++) {
    const worker = new (require("worker_threads").Worker)("setInterval(() => {}, 1e9)", { eval: true });
    worker.on("error", reject).on("online", () => ++made === 500 && resolve(1));
  }
});
""",
    "4 GB of memory": """
function grade() {
  const hoard = [];
  for (let each = 0; each < 4; each++) hoard.push(Buffer.alloc(1 << 30, 1));
  return Number(hoard.length === 4);
}
""",
    "4 GB of memory, bit by bit": """
function grade() {
  const hoard = [];
  for (let each = 0; each < 4096; each++) hoard.push(Buffer.alloc(1 << 20, 1));
  return 1;
}
""",
    "4 GB of memory, on the heap": """
function grade() {
  const hoard = [];
  for (let each = 0; each < 1 << 29; each++) hoard.push([each]);
  return 1;
}
""",
    "4 GB of memory, shared": """
function grade() {
  const hoard = [];
  for (let each = 0; each < 4; each++) hoard.push(new Uint8Array(new SharedArrayBuffer(1 << 30)).fill(1));
  return 1;
}
""",
    "machine code": """
function grade() {
  const module = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  return Number(Boolean(module));
}
""",
    "infinite loop": """
function grade() { for (;;); }
""",
    "infinite loop of promises": """
async function grade() { for (;;) await null; }
""",
    "sleep": """
const grade = () => new Promise((resolve) => setTimeout(() => resolve(1), 3600e3));
""",
    "a promise that nobody keeps": """
const grade = () => new Promise(() => {});
""",
    "write to the host": """
function grade(sample, item) { require("fs").writeFileSync(item.target, "x"); return 1; }
""",
    "write to /tmp": """
function grade() { require("fs").writeFileSync("/tmp/fettle-attack", "x"); return 1; }
""",
    "a folder in /tmp": """
function grade() { require("fs").mkdtempSync("/tmp/fettle-"); return 1; }
""",
    "a report of a crash": """
function grade(sample, item) { process.report.writeReport(item.target); return 0; }
""",
    "a snapshot of the heap": """
function grade(sample, item) { require("v8").writeHeapSnapshot(item.target); return 1; }
""",
    "fill the disk": """
function grade(sample, item) {
  for (let each = 0; each < 1e5; each++) require("fs").writeFileSync(`${item.folder}/${each}`, Buffer.alloc(1 << 20));
  return 1;
}
""",
    "kill the parent": """
function grade(sample, item) { process.kill(item.parent, "SIGTERM"); return 1; }
""",
    "kill everybody": """
function grade() { process.kill(-1, "SIGTERM"); return 1; }
""",
    "a debugger": """
function grade() { require("inspector").open(0, "127.0.0.1"); return Number(Boolean(require("inspector").url())); }
""",
    "flood stdout": """
function grade() {
  for (let each = 0; each < 1000; each++) {
    require("fs").writeSync(1, "x".repeat(100000));
    console.log("x".repeat(100000));
    process.stdout.write("x".repeat(100000));
  }
  return 0.5;
}
""",
    "flood the protocol": """
function grade() {
  for (let fd = 3; fd < 64; fd++) {
    try { for (let each = 0; each < 1000; each++) require("fs").writeSync(fd, Buffer.alloc(100000, 0x7f)); } catch {}
  }
  return 1;
}
""",
    "become root": """
function grade() { process.setuid(0); return Number(process.getuid() === 0); }
""",
    "a library of machine code": """
function grade() { process.dlopen({ exports: {} }, "/lib/x86_64-linux-gnu/libutil.so.1"); return 1; }
""",
    "symbolic link out": """
function grade(sample, item) { require("fs").symlinkSync("/etc/passwd", item.target); return 1; }
""",
    "hard link to a secret": """
function grade(sample, item) { require("fs").linkSync(item.secret, item.target); return 1; }
""",
    "import of what is installed": """
function grade() { require("npm"); return 1; }
""",
    "NaN": """
function grade() { return NaN; }
""",
    "infinity": """
function grade() { return -Infinity; }
""",
    "a string": """
function grade() { return "1"; }
""",
    "nothing": """
function grade() {}
""",
    "a huge integer": """
function grade() { return 10n ** 400n; }
""",
    "a number that is none": """
function grade() { return { valueOf: () => 1, toJSON: () => 1 }; }
""",
    "exit with success": """
function grade() { process.exit(0); }
""",
    "abort": """
function grade() { process.abort(); }
""",
    "deep recursion": """
function grade() { const down = (n) => down(n + 1) + 1; return down(0); }
""",
    "other number, other JSON": """
function grade() { Number.isFinite = () => true; return NaN; }
""",
}
