/**
 * What holds for a program that handles a session well, as checks to run on your own code.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Arbitraries from "./Arbitraries.ts"
import * as canaries from "./internal/canaries.ts"
import { observed } from "./internal/observed.ts"
import * as LifeHistory from "./LifeHistory.ts"
import * as TestTenovos from "./TestTenovos.ts"

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

/**
 * A secret that shows: which, where, and the text around it with every secret masked.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Leak = Schema.Struct({ secret: Schema.String, where: Schema.String, text: Schema.String }).annotate({
  identifier: "Leak"
})
/**
 * @category models
 * @since 0.1.0
 */
export type Leak = typeof Leak.Type

/**
 * Says which secrets showed, and where, without showing them.
 *
 * @category errors
 * @since 0.1.0
 */
export class SecretLeaked extends Schema.TaggedError<SecretLeaked>("@effect-tenovos/testing/Laws/SecretLeaked")(
  "SecretLeaked",
  { leaks: Schema.NonEmptyArray(Leak) }
) {
  override get message(): string {
    return this.leaks.map(({ secret, text, where }) => `The ${secret} is in ${where}: ${text}`).join("\n")
  }
}

/**
 * Runs the effect, and looks for secrets in what can be seen of it: its logs at every level and in every format, its
 * spans, its metrics, its error, and what it prints, by Effect's `Console`, by `console` or to the process's output.
 *
 * **Details**
 *
 * The secrets are the credentials that are sent to a `TestTenovos`, by script or not, in the effect or around it, all
 * tokens that it answers, and those that are given. They are found in plain text, and as JSON, URLs, base64 and hex have
 * them; of a token the signature is enough.
 *
 * **Gotchas**
 *
 * What the effect prints meanwhile is not shown, and no two effects are looked at together, but for one in another. A secret of fewer than eight
 * characters can't be told from other text, and is not looked for. An effect that has met no other proves nothing, and is
 * a defect.
 *
 * @category laws
 * @since 0.1.0
 */
export const noSecretLeak = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options?: {
    /** Others that must not show, by name. */
    readonly secrets?: Readonly<Record<string, Redacted.Redacted>> | undefined
  }
): Effect.Effect<A, E | SecretLeaked, R> =>
  Effect.gen(function*() {
    const planted = (yield* canaries.Planted) ?? new Map<string, string>()
    const { exit, texts } = yield* observed(Effect.provideService(effect, canaries.Planted, planted))

    const around = yield* Effect.serviceOption(TestTenovos.TestTenovos)
    const given = Object.entries(options?.secrets ?? {}).map(([name, secret]) =>
      [Redacted.value(secret), name] as const
    )
    const met = new Map(
      [...planted, ...(Option.isNone(around) ? [] : yield* around.value.secrets), ...given]
        .filter(([secret]) => secret.length >= 8)
    )
    if (met.size === 0) {
      return yield* Effect.die(new Error("noSecretLeak: the effect has met no secret, so nothing could show"))
    }
    const [first, ...others] = canaries.find(texts, met)
    if (first !== undefined) return yield* new SecretLeaked({ leaks: [first, ...others] })
    return yield* exit
  })

// -----------------------------------------------------------------------------
// Fresh tokens
// -----------------------------------------------------------------------------

/**
 * How many histories {@link neverStale} looks at, and which.
 *
 * @category options
 * @since 0.1.0
 */
export interface FreshOptions {
  /** How many histories, each of which takes some tens of milliseconds. Defaults to 100. */
  readonly runs?: number | undefined
  /** What they are drawn with. Defaults to 1, so that a test always says the same. */
  readonly seed?: number | undefined
  /** No wait in a history is longer. Defaults to 30 days. */
  readonly longestWait?: Duration.Input | undefined
  /** Of the authority, as the life of its access tokens. */
  readonly authority?: TestTenovos.Options | undefined
}

/**
 * A request left with an access token that had ended so long before. `history` is the smallest in which that happens.
 *
 * @category errors
 * @since 0.1.0
 */
export class StaleRequest extends Schema.TaggedError<StaleRequest>("@effect-tenovos/testing/Laws/StaleRequest")(
  "StaleRequest",
  { history: Schema.String, late: Schema.DurationFromMillis, seed: Schema.Int }
) {
  override get message(): string {
    return `A request left with an access token that had ended ${Duration.format(this.late)} before: ` +
      `${this.history} (seed ${this.seed})`
  }
}

/**
 * Never sends a request with an access token that the authority calls expired when it leaves: through random
 * {@link LifeHistory.LifeHistory | histories} of calls, time, outages, revocations, and clocks that differ and are set.
 *
 * **Gotchas**
 *
 * A client that sends no access token in any history proves nothing, and is a defect. So is one that can't be made.
 *
 * @category laws
 * @since 0.1.0
 */
export const neverStale = Effect.fnUntraced(function*<R>(
  program: LifeHistory.Program<R>,
  options?: FreshOptions
): Effect.fn.Return<void, StaleRequest> {
  const seed = options?.seed ?? 1
  const run = Effect.runPromiseExitWith(yield* Effect.context<never>())
  let sent = 0
  // While the counterexample shrinks the last to fail is the smallest.
  let failed: Exit.Exit<Judgement> | undefined
  const { counterexample } = yield* Effect.promise((signal) =>
    fc.check(
      fc.asyncProperty(Arbitraries.historyUpTo(options?.longestWait ?? "30 days"), (history) =>
        run(judge(program, history, options?.authority), { signal }).then((exit) => {
          if (Exit.isSuccess(exit)) {
            sent += exit.value.sent
          }
          const holds = Exit.isSuccess(exit) && exit.value.late === undefined
          if (!holds) {
            failed = exit
          }
          return holds
        })),
      { numRuns: options?.runs ?? 100, seed }
    )
  )
  if (failed !== undefined) {
    const { late = 0 } = yield* failed
    return yield* new StaleRequest({ history: String(counterexample?.[0]), late: Duration.millis(late), seed })
  }
  if (sent === 0) return yield* Effect.die(new Error("neverStale: the client has sent no access token"))
})

interface Judgement {
  /** How many requests were sent with an access token. */
  readonly sent: number
  /** How long the token of the first had ended that was sent too late, in milliseconds. */
  readonly late: number | undefined
}

const judge = <R>(
  program: LifeHistory.Program<R>,
  history: LifeHistory.LifeHistory,
  authority: TestTenovos.Options | undefined
) =>
  Effect.gen(function*() {
    const { controls } = yield* TestTenovos.TestTenovos
    let judgement: Judgement = { sent: 0, late: undefined }
    // Around what is sent in the end: a client may add its headers below what others map.
    const transport = HttpClient.transform(yield* HttpClient.HttpClient, (response, request) =>
      Effect.suspend(() => {
        const end = endOf(request.headers["accesstoken"])
        if (end !== undefined && !request.url.endsWith("/auth/token")) {
          const past = controls.clock.currentTimeMillisUnsafe() - end
          judgement = { sent: judgement.sent + 1, late: judgement.late ?? (past < 0 ? undefined : past) }
        }
        return response
      }))
    yield* Effect.provideService(LifeHistory.play(history, program), HttpClient.HttpClient, transport)
    return judgement
  }).pipe(
    Effect.provide(TestTenovos.layer(authority)),
    (self) => Effect.andThen(TestClock.setTime(Date.UTC(2026, 0, 1)), self),
    Effect.provide(TestClock.layer())
  )

const decodeEnd = Schema.decodeOption(Schema.fromJsonString(Schema.Struct({ exp: Schema.Finite })))

/** When an access token of the authority ends, in milliseconds. */
const endOf = (token: string | undefined): number | undefined =>
  Option.getOrUndefined(
    decodeEnd(Buffer.from(token?.split(".")[1] ?? "", "base64url").toString("utf8")).pipe(
      Option.map(({ exp }) => exp * 1000)
    )
  )
