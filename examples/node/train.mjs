// Recording from Node.js: `gxt log` as a child process, which reads JSON lines from its standard input.
//
//     node train.mjs 0.3

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";

const lr = Number(process.argv[2] ?? 0.3);

// One long run: gxt records each line when it arrives, and commits the run when its input ends.
const recorder = spawn("gxt", ["log", "-e", "node", "-p", `lr=${lr}`, "-p", "optimizer=sgd", "-"], {
  stdio: ["pipe", "inherit", "inherit"],
});
const ended = once(recorder, "close");

// The minimum of (w - 3)^2, by steps down its slope.
let w = 0;
for (let step = 1; step <= 25; step++) {
  w -= lr * 2 * (w - 3);
  recorder.stdin.write(JSON.stringify({ step, loss: (w - 3) ** 2, w }) + "\n");
}
recorder.stdin.end();
const [code] = await ended;
if (code !== 0) process.exit(code ?? 1);

// One call, for what is known all at once; it prints the id of the run.
const id = execFileSync("gxt", ["log", "-e", "node", "-n", `result-${lr}`, "-p", `lr=${lr}`, "-m", `w=${w}`], {
  encoding: "utf8",
}).trim();
console.log(`w = ${w.toFixed(4)}, recorded as ${id}`);
