/** What a program waits for that asks the command for a token before each of its calls. */
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { bundle, compile } from "./compile.ts"
import { atMost, type Figure, plain, round, takeTurns } from "./figure.ts"
import * as issuers from "./issuers.ts"

const program = fileURLToPath(new URL("../../cli/bundle/bin.js", import.meta.url))
const rounds = 25

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const home = yield* issuers.folder
  // The meter of the server.
  yield* compile(fileURLToPath(new URL("..", import.meta.url)))
  yield* bundle
  const { origin } = yield* issuers.authority(":memory:", issuers.seeded(home))
  const env = {
    HOME: home,
    TENOVOS_ENDPOINT_URL: `${origin}/v1`,
    TENOVOS_API_KEY: issuers.apiKey,
    TENOVOS_USERNAME: "cheap"
  }

  /** Milliseconds until a process has ended. */
  const ran = (args: ReadonlyArray<string>, variables: Readonly<Record<string, string>> = env) =>
    Effect.sync(() => {
      const start = performance.now()
      const { status, stderr } = spawnSync(process.execPath, args, { env: variables, encoding: "utf8" })
      if (status !== 0) throw new Error(stderr)
      return performance.now() - start
    })

  yield* ran([program, "login"], { ...env, TENOVOS_PASSWORD: issuers.password })
  const time = yield* takeTurns(rounds, {
    node: ran(["-e", "0"]),
    token: ran([program, "token"]),
    full: ran([program, "token", "--log-level", "error"]),
    status: ran([program, "status"])
  })
  const inNode = (name: string) => `${round(time(name) / time("node"))} times, ${round(time(name))} ms`
  return [
    atMost("`tenovos token` with a valid session, in `node -e 0`", time("token") / time("node"), 2.5, "times"),
    plain("`tenovos token`", `${round(time("token"))} ms`),
    plain("`tenovos token` by the full parser", inNode("full")),
    plain("`tenovos status`", inNode("status")),
    plain("`node -e 0`", `${round(time("node"))} ms`)
  ]
}).pipe(Effect.scoped)
