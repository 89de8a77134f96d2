// What runs inside the sandbox where the code is JavaScript. guest.py confined this process, and then became it.
// It speaks the same frames, on the two files that its last arguments name: 4 bytes length, JSON.
"use strict";
{ // a block: the names in it are not the code's
  const assert = require("node:assert");
  const fs = require("node:fs");
  const util = require("node:util");
  const vm = require("node:vm");

  const PRINTED_AT_MOST = 4096; // characters of a rollout's printed output
  const [source, sink] = process.argv.slice(-2).map(Number);
  const written = fs.writeSync;

  function read(size) {
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; ) {
      const got = fs.readSync(source, bytes, at, size - at);
      if (got === 0) process.exit(0);
      at += got;
    }
    return bytes;
  }

  function receive() {
    return JSON.parse(read(read(4).readUInt32BE()).toString("utf8"));
  }

  function send(value) {
    const body = Buffer.from(JSON.stringify(value), "utf8");
    const frame = Buffer.concat([Buffer.alloc(4), body]);
    frame.writeUInt32BE(body.length);
    for (let at = 0; at < frame.length; ) at += written(sink, frame, at);
  }

  const printed = { text: "", dropped: 0 };

  function print(text) {
    const kept = text.slice(0, PRINTED_AT_MOST - printed.text.length);
    printed.text += kept;
    printed.dropped += text.length - kept.length;
  }

  function taken() {
    const text = printed.text + (printed.dropped ? `… (${printed.dropped} more characters)` : "");
    printed.text = "";
    printed.dropped = 0;
    return text;
  }

  // The trace without our own lines
  function framesOf(error) {
    if (!(error instanceof Error)) return `${util.inspect(error)}`.slice(0, 4000);
    const lines = String(error.stack).split("\n");
    const own = (line) => !/^ {4}at /.test(line) || line.includes("<grader>") || line.includes("<completion>");
    return lines.filter(own).join("\n").slice(-4000);
  }

  function plain(value) {
    if (typeof value === "boolean") return Number(value);
    if (typeof value !== "number") return { type: value === null ? "null" : typeof value };
    return Number.isFinite(value) ? value : { not_finite: String(value) };
  }

  async function attempt(work) {
    try {
      return { value: await work(), printed: taken() };
    } catch (error) {
      return { error: framesOf(error), printed: taken() };
    }
  }

  // A `const` of a script is no property of the global object
  const defined = (name) => vm.runInThisContext(`typeof ${name} === "function" ? ${name} : undefined`);

  // The first of the named functions that the source defines
  function load(text, names) {
    vm.runInThisContext(text, { filename: "<grader>" });
    const name = names.find((each) => defined(each) !== undefined);
    if (name === undefined) throw new ReferenceError(`the source defines none of: ${names.join(", ")}`);
    return name;
  }

  async function serve() {
    let name;
    for (;;) {
      const message = receive();
      if (message.type === "load") {
        send(await attempt(() => (name = load(message.source, message.names))));
      } else if (message.type === "grade") {
        for (const given of message.samples) {
          send(await attempt(async () => plain(await defined(name)(...given))));
        }
      }
    }
  }

  // V8's flags bring WebAssembly and code generation back. Where V8 does not freeze them they are out of reach at least,
  // and the system call filter refuses memory for machine code.
  const frozen = () => {
    throw new Error("V8's flags cannot be changed here");
  };
  require("node:v8").setFlagsFromString = frozen;
  process.binding = process._linkedBinding = process.dlopen = frozen;

  for (const level of ["log", "info", "debug", "warn", "error"]) {
    console[level] = (...values) => print(`${util.format(...values)}\n`);
  }
  process.stdout.write = process.stderr.write = (text) => (print(String(text)), true);
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error) => print(`${framesOf(error)}\n`));
  }
  Object.assign(globalThis, { assert, require, module: { exports: {} }, vm });
  globalThis.exports = globalThis.module.exports;
  send({ ready: process.getuid() });
  serve();
}
