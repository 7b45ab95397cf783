// Does all hold that a change must not break, beside the tests? Runs each check, as many at a time as there are cores, and
// shows what it said when it has ended.
import { spawn } from "node:child_process"
import { availableParallelism } from "node:os"

interface Check {
  readonly run: string
  readonly env?: NodeJS.ProcessEnv
  /** What has to have ended well. */
  readonly after?: ReadonlyArray<string>
  /** Whether nothing else may run meanwhile. */
  readonly alone?: boolean
}

// tstyche would fetch one of its own.
const typeScript6 = `file://${process.cwd()}/packages/reference/node_modules/typescript/lib/typescript.js`

// Those that take longest, or that others wait for, come first.
const checks: Record<string, Check> = {
  compile: { run: "tsc -b" },
  model: { run: "node scripts/model.ts" },
  bundle: { run: "node scripts/bundle.ts", after: ["compile"] },
  "test-types": { run: "tstyche", env: { TSTYCHE_TYPESCRIPT_MODULE: typeScript6 } },
  package: { run: "node scripts/package.ts", after: ["bundle"] },
  reference: { run: "node packages/reference/main.ts" },
  diagnostics: { run: "node scripts/diagnostics.ts" },
  unused: { run: "knip" },
  size: { run: "size-limit", after: ["compile"] },
  generated: { run: "node scripts/generated.ts" },
  rules: { run: "node scripts/rules.ts" },
  lint: { run: "oxlint --deny-warnings" },
  format: { run: "dprint check" },
  // It uses all cores itself, makes the bundle anew, and what it runs keeps to real time.
  docs: { run: "node scripts/docs.ts", after: ["bundle"], alone: true }
}

const began = performance.now()
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`
const outcomes = new Map<string, boolean>()
const running = new Map<string, Promise<void>>()

const run = (name: string, { env, run }: Check) =>
  new Promise<void>((resolve) => {
    const started = performance.now()
    const child = spawn(run, { shell: true, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    const output: Array<Buffer> = []
    child.stdout.on("data", (chunk) => output.push(chunk))
    child.stderr.on("data", (chunk) => output.push(chunk))
    child.on("close", (code) => {
      outcomes.set(name, code === 0)
      console.log(`== ${name}: ${code === 0 ? "ok" : "FAILED"}, ${seconds(started)}`)
      process.stdout.write(Buffer.concat(output))
      running.delete(name)
      resolve()
    })
  })

for (;;) {
  for (const [name, check] of Object.entries(checks)) {
    if (running.size === availableParallelism()) break
    if (outcomes.has(name) || running.has(name) || check.alone && running.size > 0) continue
    const after = (check.after ?? []).map((other) => outcomes.get(other))
    if (after.includes(false)) outcomes.set(name, false)
    else if (!after.includes(undefined)) running.set(name, run(name, check))
  }
  if (running.size === 0) break
  await Promise.race(running.values())
}

const failed = Object.keys(checks).filter((name) => !outcomes.get(name))
console.log(
  `checks: ${outcomes.size} in ${seconds(began)}${failed.length === 0 ? "" : `, failed: ${failed.join(", ")}`}`
)
process.exitCode = failed.length === 0 ? 0 : 1
