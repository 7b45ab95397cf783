// Does the documentation hold: does every TypeScript fence compile, and does every example run and exit with 0?
// A fence whose info string is exactly "ts ignore" is left out. One that names a file, as "ts docs/examples/call.ts",
// must say the same as the file. Examples find an authority in the environment; those that need more than that are run by
// their tests.
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { createInterface } from "node:readline"

const fences = "docs/examples/.fences"
// A fence ends with as many backticks as it began with, or with the page.
const fence = /^[ \t]*(`{3,})([^\n`]*)\n(.*?)(?:^[ \t]*\1`*[ \t]*$|(?![^]))/gms
const pages = globSync(["README.md", "packages/*/README.md", "docs/**/*.md"], { exclude: ["**/node_modules/**"] })

let failures = 0
const fail = (message: string) => {
  failures++
  console.error(message)
}

// Each fence becomes a module that begins on the line where it stands in its page, so an error names the right line.
rmSync(fences, { recursive: true, force: true })
mkdirSync(fences)
let compiled = 0
for (const page of pages) {
  const text = readFileSync(page, "utf8").replaceAll("\r\n", "\n")
  for (const { 2: info = "", 3: code = "", index } of text.matchAll(fence)) {
    if (!/^(ts|mts|tsx|typescript)\b/.test(info.trim()) || info.trim() === "ts ignore") continue
    const line = text.slice(0, index).split("\n").length
    const named = info.trim().split(" ")[1]
    if (named !== undefined && readFileSync(named, "utf8").trim() !== code.trim()) {
      fail(`${page}:${line}: says something else than ${named}`)
    }
    const file = `${fences}/${page}.${line}.ts`
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, "\n".repeat(line) + code)
    compiled++
  }
}
if (compiled === 0) fail("no fence was found")

writeFileSync(
  `${fences}/tsconfig.json`,
  JSON.stringify({
    extends: "../tsconfig.json",
    compilerOptions: { noUnusedLocals: false, tsBuildInfoFile: ".tsbuildinfo" },
    include: ["**/*.ts"],
    references: ["core", "server", "testing", "cli"].map((name) => ({ path: `../../../packages/${name}` }))
  })
)
const tsc = spawnSync("tsc", ["-b", "--pretty", "false", fences], { encoding: "utf8" })
if (tsc.status !== 0) {
  const located = /docs\/examples\/\.fences\/(.+)\.\d+\.ts\((\d+),(\d+)\)/g
  fail(tsc.error?.message ?? tsc.stdout.replaceAll(located, "$1:$2:$3"))
}

const authority = spawn(
  process.execPath,
  ["packages/cli/src/bin.ts", "serve", "--port", "0", "--database", ":memory:", "--json"],
  { stdio: ["ignore", "pipe", "inherit"] }
)
const [ready] = await once(createInterface({ input: authority.stdout }), "line")
const env = { ...process.env, ...JSON.parse(ready).credentials }

const examples = ["call", "demo", "headers"].map((name) => `docs/examples/${name}.ts`)
for (const example of examples) {
  const run = spawnSync(process.execPath, [example], { encoding: "utf8", env, timeout: 60_000, killSignal: "SIGKILL" })
  if (run.status !== 0) {
    fail(`${example}: ${run.error?.message ?? `exit code ${run.status}`}\n${run.stdout}${run.stderr}`)
  }
}
authority.kill()

console.log(`docs: ${compiled} fences, ${examples.length} examples, ${failures} failures`)
process.exitCode = failures === 0 ? 0 : 1
