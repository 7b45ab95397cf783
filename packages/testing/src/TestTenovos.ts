/**
 * The real authority without a socket, with one user, by the clock of the test; and the controls of a test over it.
 *
 * While the authority works on a request the test's clock waits, so that `TestClock.adjust("30 days")` lets every renewal
 * on the way succeed. An answer takes no time, or, when it was asked for before the clock is adjusted, a millisecond.
 *
 * @since 0.1.0
 */
import type { Credentials } from "@effect-tenovos/core"
import * as Authority from "@effect-tenovos/server/Authority"
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Control from "@effect-tenovos/server/Control"
import * as Fault from "@effect-tenovos/server/Fault"
import type * as Journal from "@effect-tenovos/server/Journal"
import * as Keys from "@effect-tenovos/server/Keys"
import * as Passwords from "@effect-tenovos/server/Passwords"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { createHash } from "node:crypto"
import * as canaries from "./internal/canaries.ts"
import { noted, standstill } from "./internal/standstill.ts"
import * as ScriptedAuthority from "./ScriptedAuthority.ts"

/**
 * The one user of {@link layer}, and its API key. Nothing else looks like the two secrets, wherever they show up.
 *
 * @category constants
 * @since 0.1.0
 */
export const credentials: Credentials.Credentials = {
  endpointUrl: "https://tenovos.test/v1",
  apiKey: Redacted.make("canary-api-key-9f2c41d7"),
  username: "ada",
  password: Redacted.make("canary password \"5b1e\" & \\100%")
}

/**
 * What the authority is like: all that a server can be, and what is only for tests.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends AuthorityServer.Options {
  /**
   * What the authority's clock is ahead of the test's; behind it when negative. Defaults to zero. It is a defect where
   * the authority's clock would stand before 1970, where a `TestClock` begins.
   */
  readonly clockOffset?: Duration.Input | undefined
  /** How passwords are hashed. Defaults to what costs nothing, and is good for nothing but tests. */
  readonly passwords?: Passwords.Passwords["Service"] | undefined
  /** The authority's first keys. Defaults to some that are made once in a process, since that takes longest. */
  readonly keys?: Keys.Generation | undefined
}

/**
 * What goes wrong: a status with the body that belongs to it, another kind of fault with its defaults, or a whole one.
 *
 * `drop` ends the connection before the operation is carried out, and `lostAnswer` after it. `truncate` is a complete
 * answer after it, but its JSON ends early. `html` is a page of a proxy, and `rateLimit` a 429 with `Retry-After: 1`.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure = number | "rateLimit" | "html" | "drop" | "lostAnswer" | "truncate" | Fault.Fault

/**
 * Which requests go wrong. By default all, until {@link TestTenovos} is told to heal.
 *
 * @category options
 * @since 0.1.0
 */
export interface Which {
  /** Only so many, the next. */
  readonly next?: number | undefined
  /** Only this share of them: above 0, and up to 1. */
  readonly share?: number | undefined
  /** Only these: `authorize` is a sign-in, and `call` any request but those to `/auth/token`. */
  readonly operations?: readonly [Fault.Operation, ...Array<Fault.Operation>] | undefined
  /** What the share, and a delay of `"real"`, is drawn with. Defaults to 1. */
  readonly seed?: number | undefined
}

/**
 * How many requests of each kind the authority has received.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly signIns: number
  readonly refreshes: number
  readonly expiries: number
  /** Requests of the program, with the headers. */
  readonly calls: number
}

/**
 * The controls of a test.
 *
 * @category services
 * @since 0.1.0
 */
export class TestTenovos extends Context.Service<TestTenovos, {
  /** Lets requests fail. Of several failures that fit the first counts. What can't be, as a status of 200, is a defect. */
  readonly fail: (failure: Failure, which?: Which) => Effect.Effect<void>
  /** Lets answers take time: so long, an hour at most, or, when `"real"`, as long as those of the real service on average. */
  readonly delay: (latency: Duration.Input | "real", which?: Which) => Effect.Effect<void>
  /** Takes all failures and delays back. */
  readonly heal: Effect.Effect<void>
  /** Ends every session. Gives how many there were. */
  readonly revoke: Effect.Effect<number>
  /** Locks the user out of signing in, for 15 minutes unless it is said. Sessions go on. */
  readonly lock: (duration?: Duration.Input) => Effect.Effect<void>
  readonly unlock: Effect.Effect<void>
  /** Makes the user, with all sessions, good for nothing. */
  readonly disable: Effect.Effect<void>
  readonly enable: Effect.Effect<void>
  /** Signs with new keys from now on. Tokens stay good until they end. */
  readonly rotateKeys: Effect.Effect<void>
  /** Sets what the authority's clock is ahead of the test's; behind it when negative, but not before 1970. */
  readonly setClockOffset: (offset: Duration.Input) => Effect.Effect<void>
  /** What was received, in the order of the answers, with secrets masked: 100 requests unless the filter says otherwise. */
  readonly journal: (filter?: Journal.Filter) => Effect.Effect<ReadonlyArray<Journal.Entry>>
  readonly counts: Effect.Effect<Counts>
  /** Empties the journal, and counts anew. */
  readonly forget: Effect.Effect<void>
  /** Every secret so far, that of the credentials and all tokens that were answered, and what it is. */
  readonly secrets: Effect.Effect<ReadonlyMap<string, string>>
  /** All that the server's own control plane can do: snapshots, sessions, other users. */
  readonly controls: Control.Controls
}>()("@effect-tenovos/testing/TestTenovos") {}

/**
 * An `HttpClient` whose every request, whatever its host, the authority answers; and the controls.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<HttpClient.HttpClient | TestTenovos | Authority.Authority> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const local = yield* Clock.Clock
      let offset = 0
      const setClockOffset = (to: Duration.Input) =>
        Effect.suspend(() => {
          const next = toMillis(to)
          if (local.currentTimeMillisUnsafe() + next < 0) return Effect.die(new Error(beforeTime))
          offset = next
          return Effect.void
        })
      yield* setClockOffset(options?.clockOffset ?? 0)

      const server = AuthorityServer.layerHttpClientControlled({
        ...options,
        endpointUrl: options?.endpointUrl ?? credentials.endpointUrl,
        passwords: options?.passwords ?? passwords,
        keys: options?.keys ?? (yield* sharedKeys)
      })
      const clock = noted(local, () => offset)
      const context = yield* Effect.provideService(Layer.build(server), Clock.Clock, clock)
      const authority = Context.get(context, Authority.Authority)
      yield* authority.addApiKey(credentials.apiKey)
      yield* authority.addUser({ username: credentials.username, password: credentials.password })

      const secrets: canaries.Canaries = new Map()
      const planted = yield* canaries.Planted
      for (const all of [secrets, planted]) {
        all?.set(Redacted.value(credentials.apiKey), "API key")
        all?.set(Redacted.value(credentials.password), "password")
      }
      const client = HttpClient.transformResponse(Context.get(context, HttpClient.HttpClient), standstill)
      const controls = makeControls(Context.get(context, Control.Control), secrets, setClockOffset)
      return Context.make(TestTenovos, controls).pipe(
        Context.add(HttpClient.HttpClient, canaries.watch(client, secrets, planted)),
        Context.add(Authority.Authority, authority)
      )
    }).pipe(
      // A database in memory that was just made can't be of another version, or out of reach.
      Effect.orDie
    )
  )

const beforeTime =
  "The authority's clock would stand before 1970, where a TestClock begins: first move that one on, as by " +
  "TestClock.setTime(Date.UTC(2026, 0, 1))"

const toMillis = (input: Duration.Input): number => Math.round(Duration.toMillis(input))

const SharedKeys = Context.Reference("@effect-tenovos/testing/TestTenovos/SharedKeys", {
  defaultValue: () => SynchronizedRef.makeUnsafe<Keys.Generation | undefined>(undefined)
})

/** The same for all authorities of a process: no test can tell. */
const sharedKeys: Effect.Effect<Keys.Generation> = Effect.flatMap(
  SharedKeys,
  SynchronizedRef.modifyEffect((keys) =>
    Effect.map(keys === undefined ? Keys.generate : Effect.succeed(keys), (keys) => [keys, keys] as const)
  )
)

const digest = (password: Redacted.Redacted): string =>
  createHash("sha256").update(Redacted.value(password)).digest("base64")

const verify = (hash: Option.Option<string>, password: Redacted.Redacted): Effect.Effect<boolean> =>
  Effect.sync(() => Option.contains(hash, digest(password)))

const passwords = Passwords.Passwords.of({
  hash: (password) => Effect.sync(() => digest(password)),
  tryHash: (password) => Effect.sync(() => Option.some(digest(password))),
  verify,
  tryVerify: (hash, password) => Effect.asSome(verify(hash, password)),
  needsRehash: () => false
})

const decodeRule = Schema.decodeUnknownEffect(Fault.Rule)

const makeControls = (
  { all, rotateKeys }: Control.Control["Service"],
  secrets: canaries.Canaries,
  setClockOffset: TestTenovos["Service"]["setClockOffset"]
): TestTenovos["Service"] => {
  const inject = (fault: unknown, { next, operations, seed, share }: Which = {}) =>
    decodeRule({
      fault,
      ...(next === undefined ? {} : { times: next }),
      ...(operations === undefined ? {} : { operations }),
      ...(seed === undefined ? {} : { seed }),
      ...(share === undefined ? {} : { share })
    }).pipe(Effect.flatMap(all.faults.add), Effect.asVoid, Effect.orDie)
  const change = (action: "unlock" | "disable" | "enable") =>
    all.changeUser({ username: credentials.username, action }).pipe(Effect.asVoid, Effect.orDie)

  return TestTenovos.of({
    fail: (failure, which) => inject(toFault(failure), which),
    delay: (latency, which) =>
      inject(
        latency === "real"
          ? { kind: "latency", preset: "real" }
          : { kind: "latency", milliseconds: Duration.toMillis(latency) },
        which
      ),
    heal: Effect.asVoid(all.faults.clear()),
    revoke: all.revoke({ all: true }),
    lock: (duration = "15 minutes") =>
      all.changeUser({ username: credentials.username, action: "lock", milliseconds: toMillis(duration) }).pipe(
        Effect.asVoid,
        Effect.orDie
      ),
    unlock: change("unlock"),
    disable: change("disable"),
    enable: change("enable"),
    rotateKeys: Effect.asVoid(rotateKeys({ immediately: true })),
    setClockOffset,
    journal: all.journal.find,
    counts: Effect.map(all.journal.counts, ({ authorize, call, expire, refresh }) => ({
      signIns: authorize.requests,
      refreshes: refresh.requests,
      expiries: expire.requests,
      calls: call.requests
    })),
    forget: all.journal.clear,
    secrets: Effect.sync(() => new Map(secrets)),
    controls: all
  })
}

const toFault = (failure: Failure): unknown =>
  typeof failure === "number"
    ? { kind: "status", status: failure }
    : typeof failure === "string"
    ? { kind: failure }
    : failure

/**
 * An authority that answers by script, for what no healthy one gives: each request the next answer, and when there are no
 * more, those of {@link ScriptedAuthority.healthy}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerScripted = (
  script: ScriptedAuthority.Steps = []
): Layer.Layer<HttpClient.HttpClient | ScriptedAuthority.ScriptedAuthority> => ScriptedAuthority.layer(script)
