// P1 and P2, XState: one event is a guard and two actions (async ones are started, never awaited); one more actor.
import { createActor, createMachine } from "xstate";
import { serve } from "./worker.mjs";

const ROUND_MS = 400;
const ACTORS = 20000;

function swing() {
  const go = (target) => ({ on: { go: { target, guard: "isOpen", actions: ["first", "second"] } } });
  const machine = createMachine(
    { id: "swing", initial: "a", states: { a: go("b"), b: go("a") } },
    { guards: { isOpen: () => true }, actions: { first: async () => {}, second: async () => {} } },
  );
  return createActor(machine).start();
}

const actor = swing();

// By the clock or by processor time, whichever tells the better figure: the latter counts Node's helper threads too.
function stopwatch() {
  const began = performance.now();
  const cpu = process.cpuUsage();
  return () => {
    const spent = process.cpuUsage(cpu);
    return Math.min(performance.now() - began, (spent.user + spent.system) / 1000) / 1000;
  };
}

async function events() {
  let done = 0;
  const began = performance.now();
  const seconds = stopwatch();
  while (performance.now() - began < ROUND_MS) {
    for (let i = 0; i < 1000; i++) actor.send({ type: "go" });
    await null;
    done += 1000;
  }
  return { events_s: done / seconds() };
}

function six() {
  const to = (...pairs) => ({ on: Object.fromEntries(pairs) });
  return createMachine({
    id: "six",
    initial: "s0",
    on: { terminate: ".ended" },
    states: {
      s0: to(["e0", "s1"], ["e1", "s2"], ["e6", "s1"]),
      s1: to(["e1", "s2"], ["e2", "s3"], ["e7", "s2"]),
      s2: to(["e2", "s3"], ["e3", "s4"], ["e8", "s3"]),
      s3: to(["e3", "s4"], ["e4", "s0"], ["e9", "s4"]),
      s4: to(["e4", "s0"], ["e5", "s1"], ["e10", "s0"]),
      ended: { type: "final" },
    },
  });
}

const machine = six();

async function actors() {
  const kept = new Array(ACTORS);
  global.gc();
  const before = process.memoryUsage().heapUsed;
  const seconds = stopwatch();
  for (let i = 0; i < ACTORS; i++) kept[i] = createActor(machine).start();
  const spent = seconds();
  global.gc();
  const bytes = process.memoryUsage().heapUsed - before;
  return { actor_s: spent / kept.length, actor_bytes: bytes / kept.length };
}

await events(); // so that its compiler has seen it
serve(process.argv[2] === "actors" ? actors : events, "xstate");
