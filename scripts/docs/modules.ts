// Do the examples run, and the fences that say so? An example, and a `ts run` fence, ends with 0; what a fence prints is that
// of the `txt` fence behind it, if there is one. A `ts test` fence passes.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { globSync } from "node:fs"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { folderOf, moduleOf, root } from "./compile.ts"
import { isShown, mask } from "./masks.ts"
import { fail, type Fence, pageOf, pages } from "./pages.ts"

const execute = async (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv) => {
  const child = spawn(command, args, { env: { ...env, NO_COLOR: "1" }, timeout: 60_000, killSignal: "SIGKILL" })
  const [printed, complained, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit")
  ])
  return { printed, output: printed + complained, exitCode: Number(exitCode) }
}

const runFence = async (fence: Fence, env: NodeJS.ProcessEnv) => {
  const where = `${fence.page}:${fence.line}`
  const { exitCode, output, printed } = await execute(process.execPath, [moduleOf(fence) ?? ""], env)
  if (exitCode !== 0) return fail(`${where}: ends with ${exitCode}\n${output}`)
  const { fences } = pageOf(fence.page)
  const next = fences[fences.indexOf(fence) + 1]
  if (next?.words[0] === "txt" && !isShown(next.code, printed)) {
    fail(`${where}: prints\n${mask(printed)}\nand not\n${mask(next.code)}`)
  }
}

/** Starts an authority, for programs that find it in the environment. */
const authority = async () => {
  const server = spawn(
    process.execPath,
    ["packages/cli/bundle/bin.js", "serve", "--port", "0", "--database", ":memory:", "--json"],
    { stdio: ["ignore", "pipe", "inherit"] }
  )
  const [ready] = await once(createInterface({ input: server.stdout }), "line")
  return { server, env: { ...process.env, ...JSON.parse(ready).credentials } }
}

export const run = async (): Promise<string> => {
  const { env, server } = await authority()
  const fences = pages.flatMap(({ fences }) => fences)
  const runs = fences.filter((fence) => moduleOf(fence) !== undefined && fence.words[1] === "run")
  const tests = fences.filter((fence) => moduleOf(fence) !== undefined && fence.words[1] === "test")
  const examples = globSync("docs/examples/*.ts").sort()
  try {
    for (const example of examples) {
      const { exitCode, output } = await execute(process.execPath, [example], env)
      if (exitCode !== 0) fail(`${example}: ends with ${exitCode}\n${output}`)
    }
    for (const fence of runs) await runFence(fence, env)
    if (tests.length > 0) {
      const folders = [...new Set(tests.map(({ page }) => folderOf(page).slice(root.length + 1)))]
      const { exitCode, output } = await execute("vitest", ["run", "--root", root, ...folders], env)
      if (exitCode !== 0) fail(output)
    }
  } finally {
    server.kill()
  }
  if (examples.length === 0) fail("no example was found")
  return `${examples.length} examples, ${runs.length} fences that run, ${tests.length} tests`
}
