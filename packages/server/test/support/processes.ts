import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

export interface ServerProcess {
  readonly url: string
  /** `kill -9`. */
  readonly kill: Effect.Effect<void>
}

const serve = fileURLToPath(new URL("./serve.ts", import.meta.url))

const kill = (child: ChildProcess) =>
  Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
  })

/** A server in a process of its own that knows the user `ada`, from when it listens to the end of the scope. */
export const start = Effect.fnUntraced(
  function*(database: string): Effect.fn.Return<ServerProcess, never, Scope.Scope> {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [serve, database], { stdio: ["ignore", "pipe", "inherit"] })),
      kill
    )
    const url = yield* Effect.promise(async () => {
      const [line] = await once(child.stdout.setEncoding("utf8"), "data")
      return String(line).trim()
    })
    return { url, kill: kill(child) }
  }
)

/** An answer, or nothing when the process ended before it came. */
export interface Answer {
  readonly status: number
  readonly body: Body
}

export interface Body {
  readonly session: { readonly refreshToken: string; readonly accessToken: string; readonly authorization: string }
}

const call = (method: string, url: string, path: string, headers: Record<string, string>, body?: unknown) =>
  Effect.promise(async (): Promise<Answer | undefined> => {
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { "x-api-key": "key", "content-type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      })
      return { status: response.status, body: await response.json() }
    } catch {
      return undefined
    }
  })

export const signIn = (url: string) => call("POST", url, "/auth/token", {}, { username: "ada", password: "secret" })

export const refresh = (url: string, body: Body) => call("POST", url, "/auth/token", {}, body)

export const expire = (url: string, body: Body) =>
  call("DELETE", url, "/auth/token", { accesstoken: body.session.accessToken }, body)

export const use = (url: string, { session }: Body) =>
  call("GET", url, "/security/template", { accesstoken: session.accessToken, authorization: session.authorization })
