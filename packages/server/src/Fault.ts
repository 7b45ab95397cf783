/**
 * Faults that a test orders: what shall go wrong, with which requests, and how often.
 *
 * Nothing here knows of HTTP. An {@link Injector} is asked about each request and says what shall happen to it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"

/**
 * What a request asks for: a new session, new tokens, the end of a session, or any other operation under `/v1`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Operation = Schema.Literals(["authorize", "refresh", "expire", "call"])
/**
 * @category models
 * @since 0.1.0
 */
export type Operation = typeof Operation.Type

const Milliseconds = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 3_600_000 }))

/**
 * What can go wrong.
 *
 * **Details**
 *
 * Before the operation, which isn't carried out:
 *
 * - `status`: this status, 400 to 599, with the body that the gateway has for it, or the given one.
 * - `rateLimit`: 429 with `Retry-After` in seconds. Defaults to 1.
 * - `html`: a page of HTML, as a proxy makes it. The status defaults to 502.
 * - `drop`: the connection ends without an answer.
 *
 * After it, so that it took effect:
 *
 * - `lostAnswer`: the connection ends without an answer.
 * - `truncate`: the answer is the first half of itself, and says so in its length: its JSON ends early.
 *
 * And `latency`, which goes with any of them: the operation begins later, by `milliseconds`, or by a log-normal time with
 * this `mean`, or, as `preset: "real"`, with the mean that the API's page tells: 3671 ms for a new session, 233 for a
 * refresh and 288 for an expiry, and none for others. An hour at most.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Fault = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("status"),
    status: Schema.Int.check(Schema.isBetween({ minimum: 400, maximum: 599 })),
    body: Schema.optionalKey(Schema.Json)
  }),
  Schema.Struct({
    kind: Schema.Literal("rateLimit"),
    retryAfter: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 86_400 })))
  }),
  Schema.Struct({
    kind: Schema.Literal("html"),
    status: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })))
  }),
  Schema.Struct({ kind: Schema.Literal("drop") }),
  Schema.Struct({ kind: Schema.Literal("lostAnswer") }),
  Schema.Struct({ kind: Schema.Literal("truncate") }),
  Schema.Struct({ kind: Schema.Literal("latency"), milliseconds: Milliseconds }),
  Schema.Struct({ kind: Schema.Literal("latency"), mean: Milliseconds }),
  Schema.Struct({ kind: Schema.Literal("latency"), preset: Schema.Literal("real") })
]).annotate({ identifier: "Fault" })
/**
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

/**
 * Which requests a fault is for. Of several rules that fit, each latency counts, and the first of the others.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Rule = Schema.Struct({
  fault: Fault,
  /** Defaults to all. */
  operations: Schema.optionalKey(Schema.NonEmptyArray(Operation)),
  /** How many requests it is for; then the rule is gone. Without it the rule stays until it is cleared. */
  times: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  /** Which share of the requests it is for, above 0 and up to 1. Defaults to all. */
  share: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true }))),
  /** What the share and a latency are drawn with: the same seed, the same requests. Defaults to 1. */
  seed: Schema.optionalKey(Schema.Int)
}).annotate({ identifier: "FaultRule" })
/**
 * @category models
 * @since 0.1.0
 */
export type Rule = typeof Rule.Type

/**
 * A rule that is in force, and how many requests it has met.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActiveRule = Schema.Struct({ id: Schema.String, rule: Rule, injected: Schema.Int }).annotate({
  identifier: "ActiveFaultRule"
})
/**
 * @category models
 * @since 0.1.0
 */
export type ActiveRule = typeof ActiveRule.Type

/**
 * What shall happen to one request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  /** In milliseconds. */
  readonly delay: number
  readonly fault: Option.Option<Exclude<Fault, { readonly kind: "latency" }>>
}

/**
 * The rules in force, and what they do to each request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injector {
  readonly add: (rule: Rule) => Effect.Effect<ActiveRule>
  readonly active: Effect.Effect<ReadonlyArray<ActiveRule>>
  /** Takes one rule back, or all of them. Gives how many. */
  readonly clear: (id?: string) => Effect.Effect<number>
  /** Decides about one request, and counts it. */
  readonly take: (operation: Operation) => Effect.Effect<Verdict>
}

/**
 * Lets everything through until it has rules.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Injector> = Effect.sync(() => {
  let rules: ReadonlyArray<{ readonly active: ActiveRule; readonly random: Random.Random }> = []

  const take = (operation: Operation): Verdict => {
    let verdict = nothing
    rules = rules.flatMap((entry) => {
      const { active, random } = entry
      const { fault, operations, share, times } = active.rule
      const isFit = operations === undefined || operations.includes(operation)
      if (!isFit || (fault.kind !== "latency" && Option.isSome(verdict.fault))) return [entry]
      if (share !== undefined && random.nextDoubleUnsafe() >= share) return [entry]
      verdict = fault.kind === "latency"
        ? { ...verdict, delay: verdict.delay + delayOf(fault, operation, random) }
        : { ...verdict, fault: Option.some(fault) }
      const injected = active.injected + 1
      return injected === times ? [] : [{ random, active: { ...active, injected } }]
    })
    return verdict
  }

  return {
    add: Effect.fnUntraced(function*(rule) {
      const random = yield* Random.withSeed(Random.Random, rule.seed ?? 1)
      const active = { id: randomUUID(), rule, injected: 0 }
      rules = [...rules, { active, random }]
      return active
    }),
    active: Effect.sync(() => rules.map(({ active }) => active)),
    clear: (id) =>
      Effect.sync(() => {
        const before = rules.length
        rules = id === undefined ? [] : rules.filter(({ active }) => active.id !== id)
        return before - rules.length
      }),
    take: (operation) => Effect.sync(() => take(operation))
  }
})

const nothing: Verdict = { delay: 0, fault: Option.none() }

/** The averages that the API's page tells, in milliseconds. */
const realMeans = { authorize: 3671, refresh: 233, expire: 288, call: 0 }

const delayOf = (
  fault: Extract<Fault, { readonly kind: "latency" }>,
  operation: Operation,
  random: Random.Random
): number => {
  if ("milliseconds" in fault) return fault.milliseconds
  return logNormal("mean" in fault ? fault.mean : realMeans[operation], random)
}

/** Most answers a little faster than the mean, and some much slower: half of them between 0.7 and 1.2 times the mean. */
const logNormal = (mean: number, random: Random.Random): number => {
  const radius = Math.sqrt(-2 * Math.log(1 - random.nextDoubleUnsafe()))
  const normal = radius * Math.cos(2 * Math.PI * random.nextDoubleUnsafe())
  return mean * Math.exp(deviation * normal - deviation ** 2 / 2)
}

const deviation = 0.4
