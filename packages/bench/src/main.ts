/**
 * How fast, as ratios against something plain that is measured in the same run: medians of interleaved rounds.
 *
 * The authority answers in memory after 100 ms, as a token endpoint might; a hand-written single flight is what a
 * careful user would write instead of this library.
 */
import { TenovosAuth } from "@effect-tenovos/core"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"

const endpointDelay = 100
const reads = 200_000
const callers = 10_000
const rounds = 9

let exchanges = 0

const answer = () => {
  exchanges++
  return new Promise<object>((resolve) =>
    setTimeout(() => resolve({ session: { accessToken: "access", refreshToken: "refresh" } }), endpointDelay)
  )
}

const Http = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make((request) =>
    Effect.map(Effect.promise(answer), (body) => HttpClientResponse.fromWeb(request, Response.json(body)))
  )
)

const Auth = TenovosAuth.layer({
  apiKey: Redacted.make("key"),
  username: "ada",
  password: Redacted.make("secret")
}).pipe(Layer.provide(Http))

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN

/** The median milliseconds of each effect; the effects take turns. */
const compare = <Name extends string>(effects: Record<Name, Effect.Effect<unknown, unknown>>) =>
  Effect.gen(function*() {
    const times: Record<string, Array<number>> = {}
    for (let round = 0; round < rounds; round++) {
      for (const name in effects) {
        const start = performance.now()
        yield* effects[name]
        ;(times[name] ??= []).push(performance.now() - start)
      }
    }
    return (name: Name) => median(times[name] ?? [])
  })

const many = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    for (let i = 0; i < reads; i++) yield* effect
  })

const reading = Effect.gen(function*() {
  const auth = yield* TenovosAuth.TenovosAuth
  const ref = yield* Ref.make("token")
  yield* auth.session
  const time = yield* compare({
    ref: many(Ref.get(ref)),
    session: many(auth.session),
    headers: many(auth.headers)
  })
  const line = (name: "session" | "headers") =>
    Console.log(
      `reading ${name === "session" ? "a valid session" : "its headers"}: ${
        (time(name) / reads * 1e6).toFixed(0)
      } ns, ` +
        `${(time(name) / time("ref")).toFixed(1)} times a Ref`
    )
  yield* line("session")
  yield* line("headers")
}).pipe(Effect.provide(Auth))

const herd = Effect.gen(function*() {
  const before = exchanges
  const crowd = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.replicateEffect(effect, callers, { concurrency: "unbounded", discard: true })
  const byHand = Effect.suspend(() => {
    let flight: Promise<object> | undefined
    return crowd(Effect.promise(() => flight ??= answer()))
  })
  const ours = TenovosAuth.TenovosAuth.use((auth) => crowd(auth.session)).pipe(Effect.provide(Auth))
  const time = yield* compare({ byHand, ours })
  yield* Console.log(
    `${callers} callers at once, cold: ${time("ours").toFixed(0)} ms, ` +
      `${(time("ours") / time("byHand")).toFixed(1)} times a hand-written single flight, ` +
      `${((exchanges - before) / rounds / 2).toFixed(0)} token request each`
  )
})

await Effect.runPromise(Effect.andThen(reading, herd))
