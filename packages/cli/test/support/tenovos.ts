import { onTestFinished } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

/** The script that is published. */
export const bundledBin = fileURLToPath(new URL("../../bundle/bin.js", import.meta.url))
const source = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

export const emptyFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), "tenovos-"))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Runs the command as a process of its own, with these variables too. */
export const tenovosWith = (
  cwd: string,
  variables: Readonly<Record<string, string>>,
  ...args: ReadonlyArray<string>
) => start(bundledBin, cwd, variables, args)

export const tenovos = (cwd: string, ...args: ReadonlyArray<string>) => start(bundledBin, cwd, {}, args)

/** The same, from the sources. */
export const fromSource = (cwd: string, ...args: ReadonlyArray<string>) => start(source, cwd, {}, args)

const start = (
  script: string,
  cwd: string,
  variables: Readonly<Record<string, string>>,
  args: ReadonlyArray<string>
) => {
  const child = spawn(process.execPath, [script, ...args], {
    cwd,
    env: { ...process.env, NO_COLOR: "1", ...variables }
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  const exited = once(child, "exit")
  const stderr = text(child.stderr)
  let stdout = ""
  const listening = new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk
      const url = /listening on (\S+)\n/.exec(stdout)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
  return {
    listening,
    stdout: () => stdout,
    stop: (signal: NodeJS.Signals = "SIGTERM") => child.kill(signal),
    result: async () => ({ code: (await exited)[0], stdout, stderr: await stderr })
  }
}
