import { Audit, Authority, AuthorityServer, ControlMessages } from "@effect-tenovos/server"
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
import { cheap } from "./fixtures/hashes.ts"
import { exchange } from "./fixtures/rawHttp.ts"
import { type Answer, controlled, program, type Step, toBytes, type World } from "./support/fuzz.ts"

// For thirty seconds, or for an hour with `TENOVOS_LONG_RUN=1`, in all: what may come is sent to a real socket, and nothing
// of it may crash the server, be answered with a 5xx, leave something behind, or be logged with a secret; and what is in
// order is answered. A failure prints its seed; `TENOVOS_REPLAY=seed:path` with `-t` and the name of the test runs it
// again.

const long = process.env["TENOVOS_LONG_RUN"] === "1"
const [replaySeed, replayPath] = (process.env["TENOVOS_REPLAY"] ?? "").split(/:(.*)/)
const seed = replaySeed === "" ? long ? Date.now() % 2 ** 31 : 20261124 : Number(replaySeed)

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const decode = Schema.decodeOption(Schema.fromJsonString(fixtures.Issued))
const decodeSnapshot = Schema.decodeOption(Schema.fromJsonString(ControlMessages.Snapshot))

/** Whoever is not answered for so long gives up: most of what comes is not meant to be answered. */
const ask = (origin: string, request: Buffer, patience: number) =>
  Effect.runPromise(exchange(origin, request, patience))

/** Among what comes are wrong passwords. */
const unlock = (authority: Authority.Authority["Service"]) => Effect.runPromise(authority.unlock(fixtures))

/** What the database says, where it must not: the same sentence for each broken promise. */
const promises = {
  "each row refers to rows that are there": "SELECT * FROM pragma_foreign_key_check",
  "each session is of its user's tenant":
    "SELECT s.id FROM sessions s JOIN users u ON u.sub = s.user_sub WHERE s.tenant <> u.tenant",
  "sessions begin before they end": "SELECT id FROM sessions WHERE expires_at <= auth_time * 1000",
  "secrets are hashed": `SELECT hash FROM (
      SELECT hash FROM api_keys UNION ALL SELECT hash FROM retired_tokens
      UNION ALL SELECT refresh_token_hash FROM sessions
      UNION ALL SELECT parent_token_hash FROM sessions WHERE parent_token_hash IS NOT NULL
    ) WHERE length(hash) <> 64 OR hash GLOB '*[^0-9a-f]*'`,
  "a refresh token that was replaced is retired": `SELECT id FROM sessions
    WHERE parent_token_hash IS NOT NULL
      AND parent_token_hash NOT IN (SELECT hash FROM retired_tokens WHERE session_id = sessions.id)`,
  "no refresh token that is good is retired":
    "SELECT id FROM sessions WHERE refresh_token_hash IN (SELECT hash FROM retired_tokens)",
  "keys are of whole generations": "SELECT generation FROM keys GROUP BY generation HAVING count(*) <> 3"
}

/** And what it says where nobody but programs changes it. */
const promisesToPrograms = {
  ...promises,
  "no session is refreshed after its end": "SELECT id FROM sessions WHERE refreshed_at > revoked_at",
  "users are those of the seed": "SELECT username FROM users WHERE username NOT IN ('ada', 'bob')"
}

interface Variant extends AuthorityServer.NodeOptions {
  /** Of all the time. */
  readonly share: number
  readonly basic: World["basic"]
  /** Of what is sent in order, so many are to be accepted, so that the rest is about more than refusals. */
  readonly accepted: Readonly<Record<string, number>>
}

/** A program's own requests may end its session, and then the rest of them is refused. */
const accepted = { "sign in": 0.9, refresh: 0.1, expire: 0.1, sample: 0.1, search: 0.1, page: 1, health: 1 }

const variants: Readonly<Record<string, Variant>> = {
  "a safe authority that replaces refresh tokens": {
    share: 0.4,
    basic: "none",
    refreshAnswer: "replaces",
    rotationGrace: 0,
    accepted
  },
  "a strict authority that accepts Basic authentication": {
    share: 0.2,
    basic: "some",
    profile: "strict",
    basicAuthentication: "accepted",
    accepted
  },
  "a safe authority that requires Basic authentication": {
    share: 0.2,
    basic: "all",
    basicAuthentication: "required",
    accepted
  },
  "an authority under control": {
    share: 0.2,
    basic: "none",
    dev: true,
    // Faults wait for whoever comes, sessions are revoked, and what is restored or removed may be gone already.
    accepted: { control: 0.5, page: 1, health: 1 }
  }
}

describe("whatever comes", () => {
  for (const [name, { accepted, basic, share, ...options }] of Object.entries(variants)) {
    const patience = share * (long ? 3_600_000 : 30_000)
    it.live(`${name} answers without a 5xx, and keeps its promises`, () =>
      Effect.gen(function*() {
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "authority-"))),
          (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
        )
        const database = join(folder, "authority.sqlite")
        const log: Array<string> = []
        const logger = Logger.make((entry) => {
          log.push(inspect([entry.message, entry.cause], { depth: 8 }), Logger.formatJson.log(entry))
        })

        yield* Effect.gen(function*() {
          const { origin } = yield* AuthorityServer.AuthorityServer
          const authority = yield* Authority.Authority
          const statuses: Record<number, number> = {}
          const inOrder: Record<string, { sent: number; accepted: number }> = {}
          // The newest of them: an hour's would be too many to look for.
          const secrets = [fixtures.apiKey, fixtures.password]
          const given = (tokens: ReadonlyArray<string>) => secrets.splice(2, secrets.length > 500 ? 100 : 0, ...tokens)
          const withoutSecrets = (text: string) => {
            for (const secret of secrets) assert.notInclude(text, secret)
          }

          const query = (statement: string) => {
            const connection = new DatabaseSync(database, { readOnly: true })
            try {
              return connection.prepare(statement).all()
            } finally {
              connection.close()
            }
          }

          const run = async (steps: ReadonlyArray<Step>) => {
            const answers: Array<Answer> = []
            let snapshot = ""
            for (const step of steps) {
              const isInOrder = step.damages.length === 0 && step.kind !== "noise"
              if (isInOrder && step.kind === "sign in") await unlock(authority)
              const request = toBytes(step, { ...fixtures, basic, answers, snapshot })
              const answer = await ask(origin, request, isInOrder ? 5000 : 50)
              statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
              if (isInOrder) {
                const count = inOrder[step.kind.replace(/:.*/, "")] ??= { sent: 0, accepted: 0 }
                count.sent++
                if (answer.status === 200) count.accepted++
                assert.notStrictEqual(answer.status, 0, `${step.kind} was not answered`)
              }
              // As the real service does, to an expiry that lacks what it needs.
              const isOddity = options.profile === "strict" && step.kind === "expire" && answer.status === 502
              if (!isOddity) assert.isBelow(answer.status, 500, answer.body)
              // Two requests in one get two answers, which are no JSON.
              const issued = Option.filter(decode(answer.body), () => answer.status === 200)
              if (Option.isSome(issued)) {
                answers.push(issued.value)
                const { accessToken, authorization, refreshToken } = issued.value.session
                given([accessToken, authorization, refreshToken].filter((token) => token !== ""))
              }
              if (step.kind.startsWith("control")) {
                snapshot = Option.match(decodeSnapshot(answer.body), {
                  onNone: () => snapshot,
                  onSome: (made) => made.snapshot
                })
              }
            }
            for (const [promise, broken] of Object.entries(options.dev === true ? promises : promisesToPrograms)) {
              assert.deepStrictEqual(query(broken), [], promise)
            }
            withoutSecrets(log.splice(0).join("\n"))
          }

          const runAll = (time: number, first: number) =>
            Effect.forEach(
              Array.from({ length: replayPath === undefined ? 8 : 1 }, (_, client) => first + client),
              (seed) =>
                Effect.promise(() =>
                  fc.assert(fc.asyncProperty(options.dev === true ? controlled : program, run), {
                    seed,
                    numRuns: Number.MAX_SAFE_INTEGER,
                    interruptAfterTimeLimit: time,
                    ...(replayPath === undefined ? {} : { path: replayPath })
                  })
                ),
              { concurrency: "unbounded", discard: true }
            )

          yield* runAll(patience / 3, seed)
          const before = kept()
          yield* runAll(patience * 2 / 3, replayPath === undefined ? seed + 8 : seed)
          const after = kept()
          console.log(name, statuses, inOrder)
          // Snapshots and the journal are kept on purpose.
          if (options.dev !== true) assert.isBelow(after.heap - before.heap, 16 * 2 ** 20)
          assert.isBelow(after.external - before.external, 64 * 2 ** 20)
          assert.isBelow(after.sockets - before.sockets, 16)
          if (replayPath === undefined) {
            for (const [kind, least] of Object.entries(accepted)) {
              const { accepted = 0, sent = 0 } = inOrder[kind] ?? {}
              // Of fewer a share says little.
              if (sent >= 10 || kind === "sign in") assert.isAtLeast(accepted, Math.max(1, sent * least), kind)
            }
          }

          yield* authority.unlock(fixtures)
          const last = yield* exchange(
            origin,
            toBytes({ kind: "sign in", of: 0, damages: [] }, { ...fixtures, basic, answers: [], snapshot: "" })
          )
          if (options.dev === true) assert.isBelow(last.status, 500)
          else assert.strictEqual(last.status, 200)
          // Writes what still waits to be written.
          yield* Audit.Audit.use((audit) => audit.recent({ limit: 1 }))
          const audit = JSON.stringify(query("SELECT * FROM audit"))
          withoutSecrets(audit)
          // Nor one of those that are no longer looked for, nor a part of one. A fingerprint has eleven of these letters.
          assert.notMatch(audit, /eyJ[\w-]{10}/)
          withoutSecrets(log.join("\n"))
        }).pipe(
          Effect.provide(
            fixtures.layerNode({ database, passwords: cheap, ...options }).pipe(
              Layer.provideMerge(Logger.layer([logger])),
              Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Trace"))
            )
          )
        )
      }).pipe(Effect.scoped), patience + 120_000)
  }
})

/** What is held: bytes on the heap and off it, and sockets. */
const kept = () => {
  collect()
  const { external, heapUsed } = process.memoryUsage()
  const sockets = process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length
  return { heap: heapUsed, external, sockets }
}
