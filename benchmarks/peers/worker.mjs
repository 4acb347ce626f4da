// The side's end in Node: says it is ready, then plays a round for each line it reads.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const versionOf = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), "utf8")).version;

export function serve(play, ...packages) {
  const versions = { node: process.versions.node };
  for (const name of packages) versions[name] = versionOf(name);
  const say = (plain) => process.stdout.write(JSON.stringify(plain) + "\n");
  say({ versions });
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async () => say(await play()));
  lines.on("close", () => process.exit(0));
}
