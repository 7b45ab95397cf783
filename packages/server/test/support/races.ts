import { Audit, Authority, Database, Keys, Limits, Migrations, Passwords } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import * as Statement from "effect/sql/Statement"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { fresh, kind as databaseKind } from "./databases.ts"
import { type Call, isExplained, type Rules } from "./serialOrder.ts"
import { makeTurns, outOfTurn } from "./turns.ts"

/** What one caller does next, with the tokens that it was answered last or, for `stale`, with those of the sign-in. */
type Step =
  | { readonly kind: "refresh" | "expire" | "verify"; readonly isStale: boolean }
  /** The clock goes on, for all. */
  | { readonly kind: "pass"; readonly by: Duration.Input }
  /** A server process ends in the midst of whatever it does, and another begins. */
  | { readonly kind: "restart"; readonly process: number }
  /** New keys are published, to be used in ten minutes. */
  | { readonly kind: "rotate"; readonly process: number }

interface Program {
  readonly refreshAnswer: Rules["refreshAnswer"]
  readonly profile: Authority.Profile
  readonly grace: number
  /** Each caller talks to one of two processes. */
  readonly callers: ReadonlyArray<{ readonly process: number; readonly steps: ReadonlyArray<Step> }>
  readonly order: number
}

const call = (kind: "refresh" | "expire" | "verify") => fc.record({ kind: fc.constant(kind), isStale: fc.boolean() })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 100, arbitrary: call("refresh") },
  { weight: 20, arbitrary: call("expire") },
  { weight: 10, arbitrary: call("verify") },
  // Making keys takes longer than all the rest.
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("rotate" as const), process: fc.nat(1) }) },
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      by: fc.constantFrom<Duration.Input>("6 seconds", "10 seconds", "61 minutes", "15 days")
    })
  },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("restart" as const), process: fc.nat(1) }) }
)

const program: fc.Arbitrary<Program> = fc.record({
  refreshAnswer: fc.constantFrom<Rules["refreshAnswer"]>("replaces", "replaces", "replaces", "repeats", "omits"),
  profile: fc.constantFrom<Authority.Profile>("safe", "safe", "strict"),
  grace: fc.constantFrom(10_000, 10_000, 0),
  callers: fc.array(
    fc.record({ process: fc.nat(1), steps: fc.array(step, { minLength: 1, maxLength: 3 }) }),
    { minLength: 2, maxLength: 4 }
  ),
  order: fc.integer()
})

const day = 24 * 60 * 60 * 1000

const tenant = Authority.defaultTenant
const credentials = { tenant, username: "ada", password: Redacted.make("not looked at") }

const anyPassword = Layer.succeed(
  Passwords.Passwords,
  Passwords.Passwords.of({
    hash: () => Effect.succeed("none"),
    tryHash: () => Effect.succeedSome("none"),
    verify: () => Effect.succeed(true),
    tryVerify: () => Effect.succeedSome(true),
    needsRehash: () => false
  })
)

/** Small, since nobody attacks them, and quick. */
const smallPair = () => ({
  ...generateKeyPairSync("rsa", { modulusLength: 640 }),
  kid: randomBytes(32).toString("base64")
})
const smallKeys = { id: smallPair(), access: smallPair(), refresh: smallPair() }

type Tokens = Pick<Parameters<Authority.Authority["Service"]["refresh"]>[0], "refreshToken" | "accessToken"> & {
  readonly idToken: Redacted.Redacted
  readonly expiresAt: number
}

type Answer = Effect.Success<ReturnType<Authority.Authority["Service"]["authorize"]>>

const missing = Redacted.make("")

const tokensOf = ({ session }: Answer, before?: Tokens): Tokens => ({
  accessToken: session.accessToken,
  idToken: session.authorization ?? missing,
  refreshToken: session.refreshToken ?? before?.refreshToken ?? missing,
  expiresAt: session.expireEpoch ?? 0
})

/** The event loop turns a few times before each statement, so that others find a transaction half done. */
const slowly = (random: () => number) =>
  Effect.provideService(
    Statement.CurrentTransformer,
    (statement) => Effect.as(Effect.replicateEffect(turn, random() % 4, { discard: true }), statement)
  )

const turn = Effect.callback<void>((resume) => void setImmediate(resume, Effect.void))

/** What a server process has of its own. */
type Process = Context.Context<SqlClient | Audit.Audit | Limits.Limits | Passwords.Passwords>

/** Runs the program on one new session, and gives what every caller saw. */
const perform = Effect.fnUntraced(
  function*(
    { callers, grace, order, profile, refreshAnswer }: Program,
    inTurns: boolean,
    both: readonly [Process, Process]
  ) {
    const sql = Context.get(both[0], SqlClient)
    let seed = order >>> 0
    const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) >>> 8
    const turns = makeTurns(callers.length, random, both.map(Context.get(SqlClient)))
    const start = (own: Process) =>
      Effect.gen(function*() {
        const keys = yield* Keys.make({ keys: smallKeys })
        const authority = yield* Authority.make({ profile, refreshAnswer, rotationGrace: grace }).pipe(
          Effect.provideService(Keys.Keys, keys)
        )
        return { authority, keys, death: yield* Deferred.make<void>() }
      }).pipe(
        Effect.provideContext(Context.add(own, SqlClient, turns.on(Context.get(own, SqlClient)))),
        outOfTurn
      )
    const processes = [yield* start(both[0]), yield* start(both[1])]
    const processOf = (index: number) => processes[index] ?? assert.fail("There are two processes")
    const first = tokensOf(yield* processOf(0).authority.authorize(credentials))

    const row = sql`SELECT refresh_token_hash, refreshed_at, rotated_at FROM sessions`.pipe(
      Effect.orDie,
      outOfTurn
    )
    /** What is stored of the session when its end is acknowledged. From then on nothing changes it. */
    let atTheEnd: Effect.Success<typeof row> | undefined

    const calls: Array<Call> = []
    let events = 0

    /** What came of it, or nothing when its process ended first. A defect is a failure of the test. */
    const attempt = <A, E>(index: number, run: (authority: Authority.Authority["Service"]) => Effect.Effect<A, E>) => {
      const { authority, death } = processOf(index)
      return Effect.raceFirst(Effect.option(run(authority)), Effect.as(Deferred.await(death), undefined))
    }

    const make = Effect.fnUntraced(
      function*(
        index: number,
        kind: "refresh" | "expire" | "verify",
        shown: Tokens
      ): Effect.fn.Return<Tokens | undefined> {
        const when = { now: yield* Clock.currentTimeMillis, start: events++ }
        const access = { value: Redacted.value(shown.accessToken), expiresAt: shown.expiresAt }
        switch (kind) {
          case "refresh": {
            const answer = yield* attempt(index, (authority) => authority.refresh({ ...shown, tenant }))
            const renewed = answer === undefined ? undefined : Option.getOrUndefined(answer)
            calls.push({
              ...when,
              kind,
              shown: Redacted.value(shown.refreshToken),
              end: events++,
              until: yield* Clock.currentTimeMillis,
              outcome: answer === undefined
                ? "lost"
                : renewed === undefined
                ? "refused"
                : { refreshToken: renewed.session.refreshToken && Redacted.value(renewed.session.refreshToken) }
            })
            return renewed && tokensOf(renewed, shown)
          }
          case "expire": {
            const answer = yield* attempt(index, (authority) => authority.expire({ ...shown, tenant }))
            const outcome = answer === undefined ? "lost" : Option.isSome(answer) ? "ended" : "refused"
            calls.push({ ...when, kind, shown: access, end: events++, until: yield* Clock.currentTimeMillis, outcome })
            if (outcome === "ended" && profile === "safe") atTheEnd = yield* row
            return undefined
          }
          case "verify": {
            const answer = yield* attempt(index, (authority) => authority.verify({ ...shown, tenant }))
            const user = answer && Option.flatten(answer)
            const outcome = user === undefined ? "lost" : Option.isSome(user) ? "good" : "refused"
            calls.push({ ...when, kind, shown: access, end: events++, until: yield* Clock.currentTimeMillis, outcome })
            return undefined
          }
        }
      }
    )

    const known = new Map([[Redacted.value(first.accessToken), first]])

    const callerOf = Effect.fnUntraced(function*(index: number, steps: ReadonlyArray<Step>) {
      let held = first
      for (const step of steps) {
        yield* turns.wait
        switch (step.kind) {
          case "pass":
            yield* TestClock.adjust(step.by)
            break
          case "restart": {
            const { death } = processOf(step.process)
            processes[step.process] = yield* start(both[step.process === 0 ? 0 : 1])
            yield* Deferred.succeed(death, undefined)
            break
          }
          case "rotate":
            yield* processOf(step.process).keys.rotate()
            break
          default: {
            const answered = yield* make(index, step.kind, step.isStale ? first : held)
            if (answered === undefined) break
            held = answered
            known.set(Redacted.value(held.accessToken), held)
          }
        }
      }
    })

    yield* Effect.forEach(
      callers,
      ({ process, steps }, caller) =>
        inTurns ? turns.run(caller)(callerOf(process, steps)) : slowly(random)(callerOf(process, steps)),
      { concurrency: "unbounded", discard: true }
    )

    // What is left of each token, one after the other.
    for (const tokens of known.values()) yield* make(0, "verify", tokens)
    for (const tokens of known.values()) yield* make(0, "refresh", tokens)
    for (const tokens of known.values()) yield* make(1, "verify", tokens)
    if (atTheEnd !== undefined) assert.deepStrictEqual(yield* row, atTheEnd)
    return { calls, signedIn: Redacted.value(first.refreshToken) }
  }
)

const long = process.env["TENOVOS_LONG_RUN"] !== undefined

const parameters = (runs: number) => ({
  numRuns: runs,
  seed: long ? Math.trunc(Math.random() * 2 ** 31) : 20_261_124,
  // A program that hangs is one that fails.
  timeout: 20_000
})

/** An own connection to the database, and what is on it. */
const serverOn = (database: string) =>
  Layer.build(
    Layer.fresh(Layer.provideMerge(
      Layer.mergeAll(anyPassword, Limits.layer(), Audit.layer()),
      Layer.provideMerge(Migrations.layer, Database.layer(database))
    ))
  )

const explained = (
  runs: number,
  inTurns: boolean,
  programs: fc.Arbitrary<Program>,
  examples: ReadonlyArray<Program> = []
) =>
  Effect.gen(function*() {
    const database = yield* fresh
    const first = yield* serverOn(database)
    // Nobody else can open one in memory.
    const both = [first, databaseKind === "memory" ? first : yield* serverOn(database)] as const
    const sql = Context.get(first, SqlClient)
    yield* Effect.flatMap(Authority.make(), (authority) => authority.addUser(credentials)).pipe(
      Effect.provide(Keys.layer({ keys: smallKeys })),
      Effect.provideContext(first)
    )
    const chosen = parameters(runs)
    if (long) console.log(`${runs} races on ${databaseKind} with the seed ${chosen.seed}`)

    let begun = 0
    const property = fc.asyncProperty(programs, async (program) => {
      if (long && begun++ % 1_000 === 0) console.log(`${new Date().toISOString()}: ${begun - 1} on ${databaseKind}`)
      const { calls, signedIn } = await Effect.runPromiseWith(first)(
        perform(program, inTurns, both).pipe(
          Effect.scoped,
          Effect.tap(() => sql`DELETE FROM sessions`),
          Effect.tap(() => sql`DELETE FROM keys`),
          Effect.provide(TestClock.layer())
        )
      )
      const rules = {
        refreshAnswer: program.refreshAnswer,
        isStrict: program.profile === "strict",
        grace: program.grace,
        refreshTokenLife: 30 * day
      }
      assert.isTrue(isExplained(calls, signedIn, rules), `No order explains ${JSON.stringify(calls, shorten, 2)}`)
    })
    yield* Effect.promise(() => fc.assert(property, { ...chosen, examples: examples.map((program) => [program]) }))
  })

/** How many take some seconds. On a file whoever finds it locked waits for real. */
const count = databaseKind === "file" ? { inTurns: 50, atOnce: 150 } : { inTurns: 2_000, atOnce: 100 }

/**
 * Callers refresh, expire and verify one session at once, on two server processes that end and begin as they please: what
 * they see must be explained by some order of their calls.
 */
export const races = (): void => {
  // A hundred thousand take over an hour on PostgreSQL where a machine has other work.
  describe(`races on ${databaseKind}`, { timeout: long ? 14_400_000 : 3_600_000 }, () => {
    it.effect("are decided as if one call came after the other, statement by statement", () =>
      explained(long ? 50 * count.inTurns : count.inTurns, true, program, [keysLongOnTheirWay]))

    it.effect("are decided as if one call came after the other, all at once", () =>
      explained(long ? 20 * count.atOnce : count.atOnce, false, program.map(allAtOnce)))
  })
}

/** Fifteen days pass between the making of new keys and their insertion, and a token is signed with the old ones meanwhile. */
const keysLongOnTheirWay: Program = {
  refreshAnswer: "omits",
  profile: "safe",
  grace: 10_000,
  callers: [
    { process: 0, steps: [{ kind: "pass", by: "15 days" }] },
    { process: 0, steps: [{ kind: "refresh", isStale: false }, { kind: "refresh", isStale: false }] },
    { process: 0, steps: [{ kind: "verify", isStale: false }] },
    { process: 0, steps: [{ kind: "rotate", process: 0 }, { kind: "expire", isStale: false }] }
  ],
  order: -482_268_857
}

/** Nobody says when a process ends or time passes, so neither does. */
const allAtOnce = (program: Program): Program => ({
  ...program,
  callers: program.callers.map(({ process, steps }) => ({
    process,
    steps: steps.filter(({ kind }) => kind !== "pass" && kind !== "restart" && kind !== "rotate")
  }))
})

const shorten = (_: string, value: unknown) => typeof value === "string" ? value.slice(-8) : value
