// Perfetto's own trace processor, as WebAssembly, in node: node perfetto.mjs FOLDER TRACE QUERY prints the rows of each answer as JSON.
// FOLDER holds trace_processor.wasm, engine_bundle.node.js and engine.mjs. They are made for a browser's worker, which node stands in for.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";

const [folder, trace, ...queries] = process.argv.slice(2);
const read = (name) => readFileSync(join(folder, name));
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = class {};
globalThis.location = { href: pathToFileURL(join(folder, "x")).href };
globalThis.XMLHttpRequest = class {
  open(method, url) { this.url = url; }
  send() { this.response = new Uint8Array(read(basename(this.url))).buffer; }
};
console.warn = () => {};

const { EngineBase } = await import(pathToFileURL(join(folder, "engine.mjs")).href);
class Engine extends EngineBase {
  mode = "WASM";
  id = "rankplan";
  constructor(port) { super(); this.port = port; port.onmessage = (message) => this.onRpcResponseBytes(message.data); }
  rpcSendRequestBytes(bytes) { this.port.postMessage(bytes); }
}
runInThisContext(String(read("engine_bundle.node.js")));
const { port1, port2 } = new MessageChannel();
self.onmessage({ data: port1 });
const engine = new Engine(port2);
await engine.parse(new Uint8Array(readFileSync(trace)));
await engine.notifyEof();
for (const query of queries) {
  const answer = await engine.query(query), columns = answer.columns(), rows = [];
  if (answer.error()) throw new Error(answer.error());
  for (const row = answer.iter({}); row.valid(); row.next()) rows.push(columns.map((name) => typeof row.get(name) === "bigint" ? Number(row.get(name)) : row.get(name)));
  console.log(JSON.stringify(rows));
}
process.exit(0);
