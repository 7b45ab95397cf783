/** What it costs to read a session that is valid. */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Ref from "effect/Ref"
import * as endpoint from "./endpoint.ts"
import { atMost, compare, cpu, type Figure, plain, round } from "./figure.ts"
import * as peers from "./peers.ts"

const times = 200_000
const rounds = 11

const inFiber = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    for (let i = 0; i < times; i++) yield* effect
  })

// A program of promises has no services to hand on.
const runPromise = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(effect)

const awaited = (read: () => Promise<unknown>): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (let i = 0; i < times; i++) await read()
  })

const called = (read: () => unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    for (let i = 0; i < times; i++) read()
  })

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const hour = { life: 3_600_000, delay: 0 }
  const { current, headers, session } = yield* TenovosAuth.TenovosAuth
  const ref = yield* Ref.make("token")
  const stamp = Effect.succeed("token")
  const clocked = Effect.withFiber((fiber) => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() > 0 ? stamp : stamp)
  yield* session

  const fiber = yield* compare(rounds, cpu, {
    ref: inFiber(Ref.get(ref)),
    clocked: inFiber(clocked),
    session: inFiber(session),
    headers: inFiber(headers)
  })

  const others = [peers.byHand, peers.byHandProactive, peers.smithy, peers.google, peers.azure, peers.amplify].map((
    make
  ) => make(endpoint.make(hour)))
  yield* Effect.forEach(others, ({ token }) => Effect.promise(() => token()))
  const runtime = ManagedRuntime.make(Layer.empty)
  yield* Effect.promise(() => runtime.context())
  const promise = yield* compare(rounds, cpu, {
    succeed: awaited(() => runPromise(stamp)),
    session: awaited(() => runPromise(session)),
    headers: awaited(() => runPromise(headers)),
    runtime: awaited(() => runtime.runPromise(session)),
    recipe: awaited(async () => current() ?? await runtime.runPromise(session)),
    sync: called(current),
    ...Object.fromEntries(others.map(({ name, token }) => [name, awaited(token)]))
  })

  const nanos = (millis: number) => `${round(millis / times * 1e6)} ns`
  const ratio = (a: number, b: number) => Number((a / b).toFixed(2))
  return [
    plain("Ref.get in a fiber", nanos(fiber("ref"))),
    plain(
      "withFiber that reads the clock",
      `${nanos(fiber("clocked"))}, ${ratio(fiber("clocked"), fiber("ref"))} Refs`
    ),
    plain("session in a fiber", nanos(fiber("session"))),
    atMost("session in a fiber, in Refs", ratio(fiber("session"), fiber("ref")), 2.2, "times"),
    plain("headers in a fiber", nanos(fiber("headers"))),
    atMost("headers in a fiber, in Refs", ratio(fiber("headers"), fiber("ref")), 2.2, "times"),
    plain("runPromise(succeed)", nanos(promise("succeed"))),
    plain("runPromise(session)", nanos(promise("session"))),
    atMost("runPromise(session), in runPromise(succeed)", ratio(promise("session"), promise("succeed")), 1.6, "times"),
    atMost("runPromise(headers), in runPromise(succeed)", ratio(promise("headers"), promise("succeed")), 1.6, "times"),
    plain("ManagedRuntime.runPromise(session)", nanos(promise("runtime"))),
    plain("current, or else ManagedRuntime.runPromise(session)", nanos(promise("recipe"))),
    ...others.map(({ name }) => plain(`${name}, awaited`, nanos(promise(name)))),
    plain("current, called", nanos(promise("sync"))),
    atMost("current, in smithy's memoize", ratio(promise("sync"), promise("smithy")), 1.5, "times")
  ]
}).pipe(Effect.provide(peers.layer(endpoint.make({ life: 3_600_000, delay: 0 }))))
