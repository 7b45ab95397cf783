// Does the command work as npm installs it? Installs these tarballs, its own and those it depends on, in an empty folder outside
// of the workspace, runs an authority there, and logs in.
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "install-"))
const installed = join(folder, "installed")
const env = { PATH: process.env["PATH"] ?? "", HOME: join(folder, "home") }
mkdirSync(installed)
mkdirSync(env.HOME)

const run = (cwd: string, variables: NodeJS.ProcessEnv, command: string, ...args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd, env: variables, encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stdout + stderr}`)
  return stdout
}

try {
  writeFileSync(join(installed, "package.json"), "{\"private\":true}")
  run(installed, process.env, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline", ...process.argv.slice(2))

  const tenovos = join(installed, "node_modules/.bin/tenovos")
  const server = spawn(tenovos, ["serve", "--port", "0", "--json"], { cwd: installed, env })
  try {
    const [line] = await Promise.race([
      once(server.stdout, "data"),
      once(server, "exit").then(() => Promise.reject(new Error("`tenovos serve` has ended")))
    ])
    const { credentials } = JSON.parse(String(line))
    const { TENOVOS_PASSWORD: _, ...account } = credentials
    run(installed, { ...env, ...credentials }, tenovos, "login")
    const answer = run(installed, { ...env, ...account }, tenovos, "request", "GET", "/security/template")
    console.log(`install: tenovos serves, logs in, and is answered with ${answer.length} characters`)
  } finally {
    server.kill()
  }
} finally {
  rmSync(folder, { recursive: true })
}
