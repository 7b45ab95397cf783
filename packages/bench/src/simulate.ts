/**
 * Thirty days of a busy service in virtual time, against the real authority, with outages.
 *
 * Of its two hundred calls a second those are made that can tell something: many where a session ends or is renewed and
 * where an outage begins or ends, fewer in between. A call that does not wait takes no virtual time at all.
 *
 * Outside outages that are longer than what the token had left to live, nobody may wait and nothing may fail.
 */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as TestTenovos from "@effect-tenovos/testing/TestTenovos"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"

const start = Date.UTC(2026, 0, 1)
const end = start + Duration.toMillis("30 days")
const latency = 233
/** How long a caller waits before it gives up. */
const deadline = "10 seconds"
/** The longest pause of the policy with its jitter, and an attempt before it that nothing answers. */
const slowestRecovery = 36_000 + 10_000 + latency
const minute = 60_000

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

interface Outage {
  readonly from: number
  readonly until: number
  /** Connections are refused, the gateway answers 503, or nothing answers at all. */
  readonly kind: "refused" | "status" | "silent"
}

/** A dozen hours apart; two of three last for minutes, the others for up to three hours. */
const plan: Effect.Effect<ReadonlyArray<Outage>> = Effect.gen(function*() {
  const outages: Array<Outage> = []
  let from = start
  while (true) {
    from += yield* Random.nextIntBetween(20 * minute, 24 * 60 * minute)
    if (from >= end) return outages
    const long = (yield* Random.next) < 1 / 3
    const until = from + (yield* Random.nextIntBetween(1000, (long ? 180 : 10) * minute))
    const kinds = ["refused", "status", "silent"] as const
    outages.push({ from, until, kind: kinds[yield* Random.nextIntBetween(0, 3)] ?? "status" })
    from = until
  }
})

// -----------------------------------------------------------------------------
// Network
// -----------------------------------------------------------------------------

/** What lies between the service and the authority. */
class Network extends Context.Service<Network, {
  /** Token requests, and those of them that the authority answered. */
  sent: number
  answered: number
  /** The instant of the last answer. */
  lastAnswer: number
  /** Requests that the authority is busy with, in real time. */
  busy: number
}>()("@effect-tenovos/bench/simulate/Network") {}

const network = (outages: ReadonlyArray<Outage>) =>
  Layer.effectContext(Effect.gen(function*() {
    const authority = yield* HttpClient.HttpClient
    const state = Network.of({ sent: 0, answered: 0, lastAnswer: 0, busy: 0 })
    const client = HttpClient.make(Effect.fnUntraced(function*(request) {
      state.sent++
      const now = yield* Clock.currentTimeMillis
      const outage = outages.find(({ from, until }) => now + latency >= from && now < until)
      if (outage?.kind === "silent") return yield* Effect.never
      yield* Effect.sleep(latency)
      if (outage?.kind === "status") {
        return HttpClientResponse.fromWeb(request, new Response("Service Unavailable", { status: 503 }))
      }
      if (outage?.kind === "refused") {
        return yield* new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, cause: new Error("connect ECONNREFUSED") })
        })
      }
      state.busy++
      const response = yield* Effect.ensuring(authority.execute(request), Effect.sync(() => state.busy--))
      state.answered++
      state.lastAnswer = yield* Clock.currentTimeMillis
      return response
    }))
    return Context.make(Network, state).pipe(Context.add(HttpClient.HttpClient, client))
  }))

/** Lets real time pass until nothing can happen any more before virtual time does. */
const settle = (state: Network["Service"]): Effect.Effect<void> =>
  Effect.suspend(() =>
    state.busy === 0 ? Effect.void : Effect.andThen(Effect.promise(() => new Promise(setImmediate)), settle(state))
  )

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

interface Mishap {
  readonly at: number
  readonly waited: number
  readonly failure: string | undefined
}

const live = (outages: ReadonlyArray<Outage>) =>
  Effect.gen(function*() {
    const auth = yield* TenovosAuth.TenovosAuth
    const state = yield* Network
    const mishaps: Array<Mishap> = []
    /** Outages that outlast the token, and until when they are felt. */
    const excused: Array<Outage & { felt: number }> = []
    let calls = 0
    let expiresAt = 0

    const call = Effect.gen(function*() {
      calls++
      const at = yield* Clock.currentTimeMillis
      const exit = yield* Effect.exit(Effect.timeout(auth.session, deadline))
      const now = yield* Clock.currentTimeMillis
      if (exit._tag === "Success") expiresAt = DateTime.toEpochMillis(exit.value.expiresAt)
      const failure = exit._tag === "Failure" ? "failed" : now >= expiresAt ? "got an expired token" : undefined
      if (failure !== undefined || now > at) mishaps.push({ at, waited: now - at, failure })
    })

    // The service signs in before it takes calls.
    yield* Effect.forkChild(auth.session, { startImmediately: true })
    for (let i = 0; i < 4 || state.lastAnswer === 0; i++) {
      yield* settle(state)
      yield* TestClock.adjust(latency)
    }

    let next = 0
    for (let now = yield* Clock.currentTimeMillis; now < end; now = yield* Clock.currentTimeMillis) {
      const outage = outages[next]
      if (outage !== undefined && now >= outage.from) {
        if (outage.until - outage.from >= expiresAt - outage.from) {
          excused.push({ ...outage, felt: outage.until + slowestRecovery })
        }
        next++
      }
      for (const outage of excused) {
        if (now < outage.felt && state.lastAnswer >= outage.until) {
          outage.felt = now
        }
      }
      yield* Effect.forkChild(call, { startImmediately: true })
      yield* settle(state)
      yield* TestClock.adjust(pause(now, expiresAt, outages[next - 1], outages[next]))
      yield* settle(state)
    }
    return { answered: state.answered, calls, excused, mishaps, sent: state.sent }
  })

/** Until the next call that can tell something. */
const pause = (now: number, expiresAt: number, last: Outage | undefined, next: Outage | undefined): number => {
  // A renewal begins between five and four minutes before the end; callers may wait in the last half minute.
  const instants = [last?.until, next?.from, expiresAt - 5 * minute, expiresAt - minute / 2, expiresAt]
    .filter((instant) => instant !== undefined)
  if (instants.some((instant) => Math.abs(instant - now) <= 1000)) return 100
  const usual = last !== undefined && now < last.until + 5 * minute || expiresAt - now < 5 * minute ? 5000 : minute
  return Math.min(usual, ...instants.map((instant) => instant - 1000 - now).filter((left) => left > 0))
}

// -----------------------------------------------------------------------------
// Report
// -----------------------------------------------------------------------------

const seed = Number(process.argv[2] ?? 1)

const program = Effect.gen(function*() {
  yield* TestClock.setTime(start)
  const outages = yield* plan
  const began = performance.now()
  const { answered, calls, excused, mishaps, sent } = yield* live(outages).pipe(
    Effect.provide(
      TenovosAuth.layer(TestTenovos.credentials).pipe(
        Layer.provideMerge(network(outages)),
        Layer.provide(TestTenovos.layer())
      )
    )
  )
  const [inside, outside] = [true, false].map((wanted) =>
    mishaps.filter(({ at }) => excused.some(({ felt, from }) => at >= from && at < felt) === wanted)
  )
  const told = (mishaps: ReadonlyArray<Mishap> = []) =>
    `${mishaps.filter(({ failure }) => failure === undefined).length} waits, ` +
    `${mishaps.filter(({ failure }) => failure !== undefined).length} failures, ` +
    `longest ${mishaps.reduce((longest, { waited }) => Math.max(longest, waited), 0) / 1000} s`
  const slowest = Math.max(0, ...excused.map(({ felt, until }) => felt - until))

  yield* Console.log(`seed ${seed}: 30 days, ${calls} calls, ${sent} token requests, ${answered} of them answered`)
  yield* Console.log(
    `${outages.length} outages, ${excused.length} of them longer than the token's remaining life; ` +
      `recovered at most ${slowest / 1000} s after the end`
  )
  yield* Console.log(`inside those: ${told(inside)}`)
  yield* Console.log(`outside: ${told(outside)}`)
  for (const { at, failure, waited } of (outside ?? []).slice(0, 10)) {
    yield* Console.log(`  ${new Date(at).toISOString()} waited ${waited} ms ${failure ?? ""}`)
  }
  yield* Console.log(`${((performance.now() - began) / 1000).toFixed(1)} s of real time`)
  if (outside === undefined || outside.length > 0) process.exitCode = 1
}).pipe(Random.withSeed(seed), Effect.provide(TestClock.layer()))

await Effect.runPromise(program)
