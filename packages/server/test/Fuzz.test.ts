import { Authority, AuthorityServer } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { inspect } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as fixtures from "./fixtures/authority.ts"
import { bytes, exchange } from "./fixtures/rawHttp.ts"
import { type Answer, program, type Step, toBytes } from "./support/fuzz.ts"

// For thirty seconds, or for an hour with `TENOVOS_LONG_RUN=1`: what may come is sent to a real socket, and nothing of it
// may crash the server, be answered with a 5xx, leave something behind, or be logged with a secret. A failure prints its
// seed; `TENOVOS_REPLAY=seed:path` runs it again.

const long = process.env["TENOVOS_LONG_RUN"] === "1"
const patience = long ? 3_600_000 : 30_000
const [replaySeed, replayPath] = (process.env["TENOVOS_REPLAY"] ?? "").split(/:(.*)/)
const seed = replaySeed === "" ? long ? Date.now() % 2 ** 31 : 20261124 : Number(replaySeed)

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const decode = Schema.decodeOption(Schema.fromJsonString(fixtures.Issued))

/** Whoever is not answered for so long gives up: most of what comes is not meant to be answered. */
const ask = (origin: string, request: Buffer) => Effect.runPromise(exchange(origin, request, 250))

/** What the database says, where it must not: the same sentence for each broken promise. */
const promises = {
  "each row refers to rows that are there": "SELECT * FROM pragma_foreign_key_check",
  "each session is of its user's tenant":
    "SELECT s.id FROM sessions s JOIN users u ON u.sub = s.user_sub WHERE s.tenant <> u.tenant",
  "sessions begin before they end": "SELECT id FROM sessions WHERE expires_at <= auth_time * 1000",
  "secrets are hashed": "SELECT hash FROM api_keys WHERE length(hash) <> 64",
  "keys are of whole generations": "SELECT generation FROM keys GROUP BY generation HAVING count(*) <> 3",
  "users are those of the seed": "SELECT username FROM users WHERE username NOT IN ('ada', 'bob')"
}

describe("whatever comes", { timeout: patience + 120_000 }, () => {
  it.live("the server answers without a 5xx, and keeps its promises", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "authority-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      )
      const database = join(folder, "authority.sqlite")
      const log: Array<string> = []
      const logger = Logger.make((entry) => {
        log.push(inspect([entry.message, entry.cause], { depth: 8 }))
      })

      yield* Effect.gen(function*() {
        const { origin } = yield* AuthorityServer.AuthorityServer
        const counts: Record<number, number> = {}
        // The newest of them: an hour's would be too many to look for.
        const secrets = [fixtures.apiKey, fixtures.password]
        const given = (tokens: ReadonlyArray<string>) => secrets.splice(2, secrets.length > 500 ? 100 : 0, ...tokens)

        const run = async (steps: ReadonlyArray<Step>) => {
          const answers: Array<Answer> = []
          for (const step of steps) {
            const answer = await ask(origin, toBytes(step, { ...fixtures, answers }))
            counts[answer.status] = (counts[answer.status] ?? 0) + 1
            assert.isBelow(answer.status, 500, answer.body)
            // Two requests in one get two answers, which are no JSON.
            const issued = Option.filter(decode(answer.body), () => answer.status === 200)
            if (Option.isSome(issued)) {
              answers.push(issued.value)
              const { accessToken, authorization, refreshToken } = issued.value.session
              given([accessToken, authorization, refreshToken].filter((token) => token !== ""))
            }
          }
          const connection = new DatabaseSync(database, { readOnly: true })
          try {
            for (const [promise, broken] of Object.entries(promises)) {
              assert.deepStrictEqual(connection.prepare(broken).all(), [], promise)
            }
          } finally {
            connection.close()
          }
          const written = log.splice(0).join("\n")
          for (const secret of secrets) assert.notInclude(written, secret)
        }

        const runAll = (time: number, first: number) =>
          Effect.forEach(
            Array.from({ length: replayPath === undefined ? 8 : 1 }, (_, client) => first + client),
            (seed) =>
              Effect.promise(() =>
                fc.assert(fc.asyncProperty(program, run), {
                  seed,
                  numRuns: Number.MAX_SAFE_INTEGER,
                  interruptAfterTimeLimit: time,
                  ...(replayPath === undefined ? {} : { path: replayPath })
                })
              ),
            { concurrency: "unbounded", discard: true }
          )

        yield* runAll(patience / 3, seed)
        collect()
        const before = process.memoryUsage().heapUsed
        yield* runAll(patience * 2 / 3, replayPath === undefined ? seed + 8 : seed)
        collect()
        assert.isBelow(process.memoryUsage().heapUsed - before, 16 * 2 ** 20)
        console.log("answers by status", counts)

        // Among what came were wrong passwords.
        yield* Authority.Authority.use(({ unlock }) => unlock(fixtures))
        const after = yield* exchange(
          origin,
          bytes({
            headers: [
              "Host: localhost",
              "Connection: close",
              `X-API-Key: ${fixtures.apiKey}`,
              "Content-Type: application/json"
            ],
            body: JSON.stringify({ username: fixtures.username, password: fixtures.password })
          })
        )
        assert.strictEqual(after.status, 200)
      }).pipe(
        Effect.provide(
          fixtures.layerNode({ database, refreshAnswer: "replaces", rotationGrace: 0 }).pipe(
            Layer.provideMerge(Logger.layer([logger])),
            Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Trace"))
          )
        )
      )
    }).pipe(Effect.scoped))
})
