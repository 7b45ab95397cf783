/** The first of a hundred callers gives up; and refresh tokens that can be used once. */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as endpoint from "./endpoint.ts"
import { atMost, exactly, type Figure, plain, round } from "./figure.ts"
import * as peers from "./peers.ts"

const callers = 100
const patience = 50
const others = [peers.byHand, peers.smithy, peers.google, peers.azure, peers.amplify]

/** Ours, in fibers: the first is interrupted. */
const abandoned = Effect.gen(function*() {
  const point = endpoint.make({ life: 60_000, delay: 233 })
  return yield* Effect.gen(function*() {
    const { session } = yield* TenovosAuth.TenovosAuth
    const first = yield* Effect.forkChild(session)
    const rest = yield* Effect.forkChild(
      Effect.forEach(Array.from({ length: callers - 1 }), () => Effect.exit(session), { concurrency: "unbounded" })
    )
    yield* Effect.sleep(patience)
    const start = performance.now()
    yield* Fiber.interrupt(first)
    const released = performance.now() - start
    const served = (yield* Fiber.join(rest)).filter(({ _tag }) => _tag === "Success").length
    return { released, served, requests: point.asked.length }
  }).pipe(Effect.provide(peers.layer(point)))
})

/** The same for a peer: the first has a signal that is aborted. */
const abandonedBy = async (make: (point: endpoint.Endpoint) => peers.Peer): Promise<Figure> => {
  const point = endpoint.make({ life: 60_000, delay: 233 })
  const { name, token } = make(point)
  const controller = new AbortController()
  const first = token(controller.signal).then(() => performance.now(), () => performance.now())
  const rest = Promise.allSettled(Array.from({ length: callers - 1 }, () => token()))
  await new Promise((resolve) => setTimeout(resolve, patience))
  const start = performance.now()
  controller.abort()
  const served = (await rest).filter(({ status }) => status === "fulfilled").length
  return plain(
    `${name}: first of ${callers} gives up`,
    `released after ${round(await first - start)} ms, others served ${served}, token requests ${point.asked.length}`
  )
}

/** Callers who are served, in each of three rounds; a round begins when the token of the last has ended. */
const rotation = async ({ token }: peers.Peer, point: endpoint.Endpoint) => {
  const served: Array<number> = []
  for (let round = 0; round < 3; round++) {
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => token()))
    served.push(results.filter(({ status }) => status === "fulfilled").length)
    await new Promise((resolve) => setTimeout(resolve, rotating.life + 50))
  }
  return { served: served.join("/"), reused: point.reused, requests: point.asked.length }
}

const rotating = { life: 300, delay: 50, oneTime: true }

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const { released, requests, served } = yield* abandoned
  const gaveUp = yield* Effect.forEach(others, (make) => Effect.promise(() => abandonedBy(make)))

  const point = endpoint.make(rotating)
  const ours = yield* peers.tenovos(point).pipe(
    Effect.flatMap((peer) => Effect.promise(() => rotation(peer, point))),
    Effect.scoped
  )
  const rotations = yield* Effect.forEach(others, (make) =>
    Effect.promise(async () => {
      const point = endpoint.make(rotating)
      const peer = make(point)
      const { reused, served } = await rotation(peer, point)
      return plain(`${peer.name}: one-time refresh tokens`, `served ${served}, used twice ${reused}`)
    }))

  return [
    atMost(`first of ${callers} gives up: released after`, released, 5, "ms"),
    exactly("others served", `${served}`, `${callers - 1}`),
    exactly("token requests", `${requests}`, "1"),
    exactly("one-time refresh tokens, three rounds of 20: served", ours.served, "20/20/20"),
    exactly("one-time refresh tokens: used twice", `${ours.reused}`, "0"),
    plain("one-time refresh tokens: token requests", `${ours.requests}`),
    ...gaveUp,
    ...rotations
  ]
})
