/**
 * Answers how fast, how big and how steady, with the targets of the project: each question in a process of its own.
 *
 * A name as argument answers that question alone, `node packages/bench/src/main.ts herd`, or all whose names begin with
 * it: `authority`. Without one all are answered, and written to RESULTS.md.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { fileURLToPath } from "node:url"
import * as authority from "./authority.ts"
import * as cliStart from "./cliStart.ts"
import * as expiry from "./expiry.ts"
import { Figure } from "./figure.ts"
import * as giveUp from "./giveUp.ts"
import * as herd from "./herd.ts"
import * as memory from "./memory.ts"
import * as reads from "./reads.ts"
import * as request from "./request.ts"
import * as scale from "./scale.ts"
import * as size from "./size.ts"
import * as writes from "./writes.ts"

const questions = {
  reads: { title: "Reading a valid session, in CPU time", run: reads.run },
  herd: { title: "Ten thousand callers at once, the endpoint answering after 100 ms", run: herd.run },
  expiry: { title: "200 calls a second for 20 s, tokens of 2 s, the endpoint answering after 233 ms", run: expiry.run },
  giveUp: { title: "A caller who gives up, and one-time refresh tokens", run: giveUp.run },
  request: { title: "CPU added to a request", run: request.run },
  size: { title: "Bundle and start", run: size.run },
  "cli-start": { title: "The start of a command", run: cliStart.run },
  memory: { title: "Memory", run: memory.run },
  writes: { title: "Writes that wait for the disk", run: writes.run },
  "authority-cost": { title: "What the authority costs above a bare server", run: authority.cost },
  "authority-latency": { title: "A refresh while others sign in", run: authority.latency },
  "authority-start": { title: "The authority's start", run: authority.start },
  "authority-memory": { title: "The authority's memory", run: authority.memory },
  "authority-stored": { title: "The authority with many sessions", run: authority.stored },
  "authority-peers": { title: "The authority beside others", run: authority.peers },
  "authority-scale": { title: "Two authorities on one database", run: scale.run },
  endurance: { title: "The authority's memory in the long run", run: authority.endurance }
}

const Answer = Schema.fromJsonString(Schema.Array(Figure))
const encode = Schema.encodeEffect(Answer)
const decode = Schema.decodeEffect(Answer)

const line = ({ holds, target, value, what }: Figure): string =>
  `${holds === undefined ? "      " : holds ? "holds " : "MISSED"} ${what}: ${value}${
    target === undefined ? "" : ` (${target})`
  }`

const print = (title: string, figures: ReadonlyArray<Figure>) =>
  Console.log([`\n${title}`, ...figures.map(line)].join("\n"))

const row = ({ holds, target, value, what }: Figure): string =>
  `| ${what} | ${value} | ${target ?? ""} | ${holds === undefined ? "" : holds ? "yes" : "**no**"} |`

/** Another process's answer. */
const ask = Effect.fnUntraced(function*(name: string) {
  const { stderr, stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name, "--json"], {
    encoding: "utf8",
    maxBuffer: 2 ** 24
  })
  if (stdout === "") return yield* Effect.die(new Error(stderr))
  return yield* decode(stdout)
})

const all = Effect.gen(function*() {
  const sections: Array<string> = []
  for (const [name, { title }] of Object.entries(questions)) {
    const figures = yield* ask(name)
    yield* print(title, figures)
    sections.push(
      `## ${title}\n\n| figure | value | target | holds |\n| --- | --- | --- | --- |\n${figures.map(row).join("\n")}\n`
    )
  }
  const machine = `Node ${process.versions.node} on ${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), ` +
    `${Math.round(totalmem() / 2 ** 30)} GB of memory, shared with other work.`
  const text =
    `# Results\n\nWritten by \`node packages/bench/src/main.ts\`. ${machine} Compare ratios of one run, not ` +
    `times of two; figures without a target are there to compare with.\n\n${sections.join("\n")}`
  writeFileSync(new URL("../RESULTS.md", import.meta.url), text)
})

const [name, format] = process.argv.slice(2)
const asked = Object.entries(questions).filter(([key]) => key === name || key.startsWith(`${name}-`))
const [first] = asked

const program = name === undefined
  ? all
  : first === undefined
  ? Console.error(`There is no ${name}: ${Object.keys(questions).join(", ")}`)
  : format === "--json"
  ? Effect.flatMap(first[1].run, (figures) => Effect.flatMap(encode(figures), Console.log))
  : Effect.forEach(asked, ([key, { title }]) => Effect.flatMap(ask(key), (figures) => print(title, figures)))

await Effect.runPromise(program)
