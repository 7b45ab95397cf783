import { Session, SessionStore, SessionStoreFile } from "@effect-tenovos/core"
import { NodeServices } from "@effect/platform-node"
import { afterAll, assert, beforeAll, onTestFinished } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { bundledBin, emptyFolder } from "./tenovos.ts"

/** What nobody may find in an output or a file that is not meant for it. */
export const secrets = {
  apiKey: "canary-key-5b1d0c7e93a2",
  password: "canary pass\"word & 8f27e4d1c0b6"
}

/** An authority for the tests of a file, which obeys them. */
export const authority = (...args: ReadonlyArray<string>) => {
  let child: ChildProcess | undefined
  let url = ""
  const folder = mkdtempSync(join(tmpdir(), "tenovos-"))
  beforeAll(async () => {
    const users = ["ada", "grace"].map((username) => ({ username, password: secrets.password }))
    writeFileSync(join(folder, "seed.json"), JSON.stringify({ apiKeys: [secrets.apiKey], users }))
    const serve = ["serve", "--port", "0", "--database", ":memory:", "--seed", "seed.json", "--dev", ...args]
    const started = spawn(process.execPath, [bundledBin, ...serve], { cwd: folder, env: { ...clean, HOME: folder } })
    child = started
    let stdout = ""
    url = await new Promise<string>((resolve, reject) => {
      started.once("exit", () => reject(new Error(stdout)))
      started.stdout.on("data", (chunk) => {
        stdout += chunk
        const [, found] = /listening on (\S+)/.exec(stdout) ?? []
        if (found !== undefined) resolve(found)
      })
    })
  })
  afterAll(() => {
    child?.kill("SIGKILL")
    rmSync(folder, { recursive: true, force: true })
  })
  const control = async (path: string, body?: unknown) => {
    const response = await fetch(
      new URL(`/__control/${path}`, url),
      body === undefined ? {} : {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body)
      }
    )
    assert.isTrue(response.ok, `${path}: ${response.status}`)
    return response.json()
  }
  let template: User | undefined
  return {
    url: () => url,
    control,
    endFaults: () => fetch(new URL("/__control/faults", url), { method: "DELETE" }),
    /** Somebody who has logged in. They are many, and share a session of the authority. */
    signedIn: async (): Promise<User> => {
      if (template === undefined) {
        template = user(url, join(folder, "home"))
        await template.login()
      }
      const ada = user(url)
      cpSync(template.home, ada.home, { recursive: true })
      return ada
    }
  }
}

const clean = {
  PATH: process.env["PATH"] ?? "",
  NO_COLOR: "1",
  // What V8 compiles for one test is good for the next.
  XDG_CACHE_HOME: fileURLToPath(new URL("../../node_modules/.cache", import.meta.url))
}

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface How {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly stdin?: string
}

/** Somebody with a home of their own, and the API key in the environment. */
export const user = (endpointUrl: string, home = emptyFolder()) => {
  mkdirSync(home, { recursive: true })
  const variables = {
    ...clean,
    HOME: home,
    TENOVOS_ENDPOINT_URL: endpointUrl,
    TENOVOS_API_KEY: secrets.apiKey
  }

  const start = (args: ReadonlyArray<string>, { env, stdin }: How = {}) => {
    const child = spawn(process.execPath, [bundledBin, ...args], { cwd: home, env: { ...variables, ...env } })
    onTestFinished(() => void child.kill("SIGKILL"))
    child.stdin.on("error", () => {}).end(stdin)
    const exited = once(child, "exit")
    // One that is closed here ends early.
    const outputs = Promise.all([text(child.stdout).catch(() => ""), text(child.stderr)])
    const result = async (): Promise<Result> => {
      const [[code, signal], [stdout, stderr]] = await Promise.all([exited, outputs])
      return { code: code ?? signal, stdout, stderr }
    }
    return { child, result }
  }
  const run = (args: ReadonlyArray<string>, how?: How): Promise<Result> => start(args, how).result()
  const sessions = join(home, ".local/state/tenovos/sessions")

  return {
    home,
    variables,
    start,
    run,
    config: join(home, ".config/tenovos/config.json"),
    sessions,
    login: async (how?: How) => {
      const result = await run(["login", "--username", "ada", "--password-stdin", "--json"], {
        stdin: `${secrets.password}\n`,
        ...how
      })
      assert.strictEqual(result.code, 0, result.stderr)
      return result
    },
    /** Done when something has been written about a session: whoever logs in takes the lease before the password is sent. */
    leased: async (): Promise<void> => {
      mkdirSync(sessions, { recursive: true, mode: 0o700 })
      const written = () => readdirSync(sessions).some((file) => file.includes(".session."))
      const changes = watch(sessions)
      while (!written()) await once(changes, "change")
      changes.close()
    },
    /** The session's access token ends now, by the clock here. */
    endAccessToken: (): Promise<void> => {
      const [name = ""] = readdirSync(sessions)[0]?.split(".session.") ?? []
      return SessionStore.SessionStore.use((store) =>
        Effect.gen(function*() {
          const { generation, session } = yield* store.read
          const ended = { ...(yield* Effect.fromOption(session)), expiresAt: yield* DateTime.now }
          yield* store.commit(new Session.Session({ ...ended, generation: generation + 1 }), generation)
        })
      ).pipe(
        Effect.provide(
          SessionStoreFile.layer({ folder: sessions, name: decodeURIComponent(name) }).pipe(
            Layer.provide(NodeServices.layer)
          )
        ),
        Effect.runPromise
      )
    },
    /** The text of all that was written. */
    written: () =>
      readdirSync(home, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8")).join("\n")
  }
}

export type User = ReturnType<typeof user>

/** Runs commands that each can't be carried out as they are given. */
export const assertUsage = async (
  who: User,
  cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, message: RegExp, env?: How["env"]]>
): Promise<void> => {
  const results = await Promise.all(cases.map(([args, , env]) => who.run(args, { env: env ?? {}, stdin: "" })))
  for (const [index, [, message]] of cases.entries()) {
    const result = results[index]
    assert.isDefined(result)
    if (result === undefined) continue
    assertRefused(result, 2, message)
    assert.strictEqual(result.stdout, "")
    assertNoSecrets(result.stderr)
  }
}

/** A line about an error, and nothing else: what happened, and what to do. */
export const assertRefused = (result: Result, code: number, message: RegExp): void => {
  assert.match(result.stderr, /^tenovos: [^\n]+\n$/)
  assert.match(result.stderr, message)
  assert.strictEqual(result.code, code)
}

export const assertNoSecrets = (text: string): void => {
  for (const secret of [...Object.values(secrets), "8f27e4d1c0b6"]) assert.notInclude(text, secret)
  // Whatever begins a JWT or a JWE, or is a part of one: a JSON object's first name. What is encrypted is of the same letters.
  const objects = Array.from(
    text.matchAll(/eyJ[\w-]{10}/g),
    ([start]) => Buffer.from(start, "base64url").toString("latin1")
  )
  assert.deepStrictEqual(objects.filter((start) => /^\{"(?:[a-z_]{7}|[a-z_]{1,6}":)/.test(start)), [])
}

const python = spawnSync("python3", ["-c", "import pty"], { encoding: "utf8" })
export const noTerminal = python.status === 0 ? undefined : "there is no python3 to make a terminal with"

const inTerminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

/** The command at a terminal. */
export const atTerminal = (
  { home, variables }: User,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string | undefined>> = {}
) => {
  const child = spawn("python3", ["-c", inTerminal, process.execPath, bundledBin, ...args], {
    cwd: home,
    env: { ...variables, TERM: "xterm", ...env }
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  const exited = once(child, "exit")
  let screen = ""
  const waiting = new Set<() => void>()
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    screen += chunk
    for (const look of waiting) look()
  })
  return {
    screen: () => screen,
    type: (keys: string) => void child.stdin.write(keys),
    sees: (what: RegExp) =>
      new Promise<void>((resolve, reject) => {
        const look = () => {
          if (!what.test(screen)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
        void exited.then(() => reject(new Error(`It ended with: ${screen}`)))
      }),
    ended: async (): Promise<number> => (await exited)[0]
  }
}

/** The shape of a JSON value: the type of each leaf, with `null` for one that may be absent. */
const shapeOf = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.slice(0, 1).map(shapeOf)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, value]) => [key, shapeOf(value)]))
    : typeof value

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

/** Checks that an output has the shape that the README documents for this command. */
export const assertDocumented = (command: string, stdout: string): void => {
  const [, documented] =
    new RegExp(`^\`tenovos ${command}[^\n]* --json\`[^\n]*\n\n\`\`\`json\n(.+?)\n\`\`\``, "ms").exec(readme) ?? []
  assert.isDefined(documented, `the README does not show \`tenovos ${command} --json\``)
  assert.match(stdout, /^\{[^\n]*\}\n$/)
  assert.deepStrictEqual(shapeOf(JSON.parse(stdout)), shapeOf(JSON.parse(documented ?? "")))
}
