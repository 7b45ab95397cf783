/** Two hundred calls a second while tokens of two seconds come and go; and the same with an outage in the middle. */
import * as Effect from "effect/Effect"
import * as endpoint from "./endpoint.ts"
import { atMost, type Figure, plain, round } from "./figure.ts"
import * as peers from "./peers.ts"

export const options = { life: 2000, delay: 233 }
const length = 20_000
const pace = 5
/** How long a caller waits before it gives up. */
const deadline = 2000
const outage = { from: 8500, until: 11_500 }

export interface Tally {
  readonly name: string
  readonly requests: number
  readonly calls: number
  readonly delayed: number
  readonly longest: number
  readonly expired: number
  readonly failed: number
  /** Token requests that the outage met. */
  readonly attempts: number
  /** Milliseconds from the first token request after the outage to the first call that was served. */
  readonly recovery: number
  /** Of each call, in milliseconds: when it came, and how long it waited. */
  readonly waits: ReadonlyArray<readonly [at: number, waited: number]>
  /** When the endpoint was asked for a token, in milliseconds. */
  readonly asked: ReadonlyArray<number>
}

const load = async (
  peer: peers.Peer,
  point: endpoint.Endpoint,
  { length, withOutage }: { readonly length: number; readonly withOutage: boolean }
): Promise<Tally> => {
  await peer.token()
  const start = Date.now()
  const calls: Array<Promise<void>> = []
  const served: Array<number> = []
  const waits: Array<readonly [number, number]> = []
  const tally = { delayed: 0, longest: 0, expired: 0, failed: 0 }

  const call = async () => {
    const at = Date.now() - start
    const from = performance.now()
    const signal = AbortSignal.timeout(deadline)
    try {
      const late = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
      const token = await Promise.race([peer.token(), late])
      if (endpoint.remaining(token) <= 0) tally.expired++
      served.push(Date.now())
    } catch {
      tally.failed++
    }
    const waited = performance.now() - from
    if (waited > 50) tally.delayed++
    tally.longest = Math.max(tally.longest, waited)
    waits.push([at, waited])
  }

  for (let elapsed = 0; elapsed < length; elapsed = Date.now() - start) {
    point.down = withOutage && elapsed >= outage.from && elapsed < outage.until
    while (calls.length * pace <= elapsed) calls.push(call())
    await new Promise((resolve) => setTimeout(resolve, pace))
  }
  await Promise.all(calls)

  // The endpoint says whether it is down when it answers.
  const answered = point.asked.map((instant) => instant - start + options.delay)
  const back = answered.find((instant) => instant >= outage.until) ?? Infinity
  const first = served.find((instant) => instant - start >= back - options.delay) ?? Infinity
  return {
    name: peer.name,
    requests: point.asked.length,
    calls: calls.length,
    ...tally,
    attempts: answered.filter((instant) => instant >= outage.from && instant < outage.until).length,
    recovery: first - start - (back - options.delay),
    waits,
    asked: point.asked.map((instant) => instant - start)
  }
}

const all = (withOutage: boolean) =>
  Effect.gen(function*() {
    const runs = [peers.byHand, peers.byHandProactive, peers.smithy, peers.google, peers.azure, peers.amplify].map(
      (make) => {
        const point = endpoint.make(options)
        return load(make(point), point, { length, withOutage })
      }
    )
    const point = endpoint.make(options)
    const ours = load(yield* peers.tenovos(point), point, { length, withOutage })
    return yield* Effect.promise(() => Promise.all([ours, ...runs]))
  }).pipe(Effect.scoped)

/** The life of some tokens under this load, with this library and with a cache that renews when a token has ended. */
export const timeline = (length: number): Effect.Effect<{ readonly ours: Tally; readonly lazy: Tally }> =>
  Effect.gen(function*() {
    const points = { ours: endpoint.make(options), lazy: endpoint.make(options) }
    const peer = yield* peers.tenovos(points.ours)
    const [ours, lazy] = yield* Effect.promise(() =>
      Promise.all([
        load(peer, points.ours, { length, withOutage: false }),
        load(peers.byHand(points.lazy), points.lazy, { length, withOutage: false })
      ])
    )
    return { ours, lazy }
  }).pipe(Effect.scoped)

const line = (tally: Tally) =>
  plain(
    `${tally.name}, of ${tally.calls} calls`,
    `delayed ${tally.delayed}, longest wait ${round(tally.longest)} ms, token requests ${tally.requests}, ` +
      `expired tokens ${tally.expired}, failed ${tally.failed}`
  )

const outageLine = (tally: Tally) =>
  plain(
    `outage: ${tally.name}, of ${tally.calls} calls`,
    `delayed ${tally.delayed}, longest wait ${round(tally.longest)} ms, token requests ${tally.requests}, ` +
      `expired tokens ${tally.expired}, failed ${tally.failed}, attempts ${tally.attempts}, ` +
      `recovery ${round(tally.recovery)} ms`
  )

export const run: Effect.Effect<ReadonlyArray<Figure>> = Effect.gen(function*() {
  const [ours, ...others] = yield* all(false)
  const [ourOutage, ...otherOutages] = yield* all(true)
  return [
    atMost("delayed calls", ours.delayed, 0, "calls"),
    atMost("token requests, the sign-in included", ours.requests, 11, "requests"),
    atMost("expired tokens used", ours.expired, 0, "tokens"),
    atMost("failures", ours.failed, 0, "calls"),
    atMost("outage of 3 s: attempts", ourOutage.attempts, 5, "attempts"),
    atMost("outage of 3 s: recovery after the next allowed attempt", ourOutage.recovery, 250, "ms"),
    atMost("outage of 3 s: longest wait, by callers who give up after 2 s", ourOutage.longest, deadline + 50, "ms"),
    ...[ours, ...others].map(line),
    ...[ourOutage, ...otherOutages].map(outageLine)
  ]
})
