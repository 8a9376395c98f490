// The process of simplegrad: reads a formula, then answers each line with what it computes.
import { createInterface } from "node:readline";
import { ValueStorage, Variable } from "simplegrad";

const storage = new ValueStorage();
let work, output;

function prepare() {
  const slots = work.leaves.map(() => new Variable(storage));
  for (const [name, first, second, number] of work.operations) {
    slots.push(slots[first][name](second === null ? number : slots[second]));
  }
  output = slots[work.output];
  output.compile();
  storage.v.set(work.leaves);
}

function run() {
  for (let time = 0; time < work.times; time++) {
    storage.gv.fill(0);
    output.forward();
    output.gradient = 1;
    output.backward();
    for (let i = 0; i < work.updated; i++) storage.v[i] -= work.rate * storage.gv[i];
  }
  return output.value;
}

for await (const line of createInterface({ input: process.stdin })) {
  if (work === undefined) {
    work = JSON.parse(line);
    prepare();
    console.log("null");
  } else {
    console.log(JSON.stringify(run()));
  }
}
