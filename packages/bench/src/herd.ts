/** Ten thousand callers at once: before there is a session, and just after it has ended. */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Effect from "effect/Effect"
import * as endpoint from "./endpoint.ts"
import { atMost, cpu, exactly, type Figure, median, plain, round, wall } from "./figure.ts"
import * as peers from "./peers.ts"

const callers = 10_000
const rounds = 7
/** Short enough to wait for its end, long enough for ten thousand callers to be served before it. */
const options = { life: 900, delay: 100 }

const inFibers = <E>(read: Effect.Effect<unknown, E>): Effect.Effect<void, E> =>
  Effect.replicateEffect(read, callers, { concurrency: "unbounded", discard: true })

const inPromises = ({ token }: peers.Peer): Effect.Effect<unknown> =>
  Effect.promise(() => Promise.all(Array.from({ length: callers }, () => token())))

interface Storm {
  readonly cold: number
  readonly cpu: number
  readonly expired: number
  readonly requests: string
}

/** Once cold, and once more when what that brought has ended. */
const storm = <E>(crowd: Effect.Effect<unknown, E>, { asked }: endpoint.Endpoint) =>
  Effect.gen(function*() {
    let cold = 0
    const cpuTime = yield* cpu(Effect.map(wall(crowd), (time) => cold = time))
    const first = asked.length
    yield* Effect.sleep(options.life + 50)
    const expired = yield* wall(crowd)
    return { cold, cpu: cpuTime, expired, requests: `${first} and ${asked.length - first}` } satisfies Storm
  })

const others = [peers.smithy, peers.google, peers.azure, peers.amplify]

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const storms = new Map<string, Array<Storm>>()
  const note = (name: string) => (storm: Storm) =>
    Effect.sync(() => storms.set(name, [...storms.get(name) ?? [], storm]))

  // The first round is for the compiler.
  for (let i = 0; i <= rounds; i++) {
    if (i === 1) storms.clear()

    const handPoint = endpoint.make(options)
    const hand = peers.byHand(handPoint)
    yield* Effect.flatMap(storm(inFibers(Effect.promise(() => hand.token())), handPoint), note("hand, in fibers"))

    const ourPoint = endpoint.make(options)
    yield* TenovosAuth.TenovosAuth.use(({ session }) => storm(inFibers(session), ourPoint)).pipe(
      Effect.flatMap(note("ours, in fibers")),
      Effect.provide(peers.layer(ourPoint))
    )

    const promisePoint = endpoint.make(options)
    yield* peers.tenovos(promisePoint).pipe(
      Effect.flatMap((peer) => storm(inPromises(peer), promisePoint)),
      Effect.flatMap(note("ours, from promises")),
      Effect.scoped
    )

    for (const make of [peers.byHand, ...i < 4 ? others : []]) {
      const point = endpoint.make(options)
      const peer = make(point)
      yield* Effect.flatMap(storm(inPromises(peer), point), note(peer.name))
    }
  }

  const of = (name: string, part: "cold" | "expired" | "cpu") =>
    median((storms.get(name) ?? []).map((storm) => storm[part]))
  const requests = (name: string) => [...new Set((storms.get(name) ?? []).map((storm) => storm.requests))].join("; ")
  const line = (name: string) =>
    plain(
      `${callers} callers, ${name}, cold and expired`,
      `${round(of(name, "cold"))} and ${round(of(name, "expired"))} ms, ` +
        `${round(of(name, "cpu") / callers * 1000)} µs of CPU a cold caller, token requests ${requests(name)}`
    )
  const ratio = (a: string, b: string, part: "cold" | "expired") =>
    atMost(`${a}, ${part}, in ${b}`, Number((of(a, part) / of(b, part)).toFixed(2)), 2, "times")
  return [
    exactly("token requests, cold and expired", requests("ours, in fibers"), "1 and 1"),
    exactly("token requests, cold and expired, from promises", requests("ours, from promises"), "1 and 1"),
    ratio("ours, in fibers", "hand, in fibers", "cold"),
    ratio("ours, in fibers", "hand, in fibers", "expired"),
    ratio("ours, from promises", "by hand", "cold"),
    ratio("ours, from promises", "by hand", "expired"),
    ...[...storms.keys()].map(line)
  ]
})
