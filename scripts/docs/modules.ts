// Do the fences run that say so? They end with 0, and what they print is what the `txt` fence behind them shows, if there is one.
// They find an authority in the environment. The examples are run by their tests.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { moduleOf } from "./compile.ts"
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

export const run = async (): Promise<number> => {
  const { env, server } = await authority()
  const fences = pages.flatMap(({ fences }) => fences).filter(({ words }) => words[1] === "run")
  try {
    for (const fence of fences) await runFence(fence, env)
  } finally {
    server.kill()
  }
  if (fences.length === 0) fail("no fence runs")
  return fences.length
}
