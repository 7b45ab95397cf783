/**
 * What a program and its authority may go through: calls, time, outages, revocations. For programs under random test,
 * from `Arbitraries.history`, and for those that a test tells step by step.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { noted } from "./internal/standstill.ts"
import type { Failure } from "./TestTenovos.ts"
import { TestTenovos } from "./TestTenovos.ts"

/**
 * One thing that happens.
 *
 * - `Call`: the program makes its request, and whatever comes next does not wait for its end.
 * - `Wait`: time passes.
 * - `SetClock`: the program's clock is set forward, or back when it is negative, and the authority's goes on.
 * - `Fail`: requests to the authority fail: the `next`, or all until it heals.
 * - `Delay`: answers of the authority take time until it heals.
 * - `Heal`, `Revoke`, `Lock`, `Unlock`, `RotateKeys`: as `TestTenovos` does it.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = Data.TaggedEnum<{
  Call: {}
  Wait: { readonly duration: Duration.Duration }
  SetClock: { readonly by: Duration.Duration }
  Fail: { readonly failure: Failure; readonly next?: number | undefined }
  Delay: { readonly duration: Duration.Duration }
  Heal: {}
  Revoke: {}
  Lock: {}
  Unlock: {}
  RotateKeys: {}
}>

/**
 * @category constructors
 * @since 0.1.0
 */
export const Step: Data.TaggedEnum.Constructor<Step> = Data.taggedEnum<Step>()

/**
 * Prints as one line: `authority 1h ahead: call, wait 30m, call`.
 *
 * @category models
 * @since 0.1.0
 */
export class LifeHistory extends Data.Class<{
  /** What the authority's clock is ahead of the program's. */
  readonly clockOffset: Duration.Duration
  readonly steps: ReadonlyArray<Step>
}> {
  override toString(): string {
    const offset = Duration.toMillis(this.clockOffset)
    const clock = offset === 0 ? "" : `authority ${format(this.clockOffset)} ${offset > 0 ? "ahead" : "behind"}: `
    return clock + (this.steps.length === 0 ? "nothing" : this.steps.map(show).join(", "))
  }
}

const format = (duration: Duration.Duration): string => Duration.format(Duration.abs(duration))

const show: (step: Step) => string = Step.$match({
  Call: () => "call",
  Wait: ({ duration }) => `wait ${format(duration)}`,
  SetClock: ({ by }) => `clock ${Duration.isNegative(by) ? "back" : "on"} by ${format(by)}`,
  Fail: ({ failure, next }) =>
    `fail ${next === undefined ? "all" : `next ${next}`} with ${
      typeof failure === "object" ? JSON.stringify(failure) : failure
    }`,
  Delay: ({ duration }) => `delay by ${format(duration)}`,
  Heal: () => "heal",
  Revoke: () => "revoke",
  Lock: () => "lock",
  Unlock: () => "unlock",
  RotateKeys: () => "rotate keys"
})

/**
 * A program that lives through it: how it is made, on the `HttpClient` that it gets, and its one request to the API.
 *
 * @category models
 * @since 0.1.0
 */
export interface Program<R> {
  readonly layer: Layer.Layer<R, never, HttpClient.HttpClient>
  readonly request: Effect.Effect<unknown, unknown, R>
}

/**
 * Lets it all happen to a program, which is made anew. Whether its requests fail is not looked at. In the end the
 * authority heals, two minutes pass, and what is still under way is interrupted.
 *
 * **Gotchas**
 *
 * The authority's clock is set as the history has it: the test's clock must be on far enough, as `TestTenovos` says. When
 * the program's clock is set back it comes to no second again in which there was a call: no program that looks at that
 * clock alone can tell it from before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const play = <R>(
  history: LifeHistory,
  { layer, request }: Program<R>
): Effect.Effect<void, never, HttpClient.HttpClient | TestTenovos> =>
  Effect.scoped(Effect.gen(function*() {
    const tenovos = yield* TestTenovos
    const scope = yield* Effect.scope
    yield* tenovos.setClockOffset(history.clockOffset)

    let ahead = 0
    const calls: Array<number> = []
    const clock = noted(yield* Clock.Clock, () => ahead)
    // Also where the same layer is built around it, with another authority.
    const context = yield* Effect.provideService(Layer.build(Layer.fresh(layer)), Clock.Clock, clock)
    const call = request.pipe(
      Effect.ignore,
      Effect.provide(context),
      Effect.provideService(Clock.Clock, clock),
      Effect.ensuring(Effect.sync(() => calls.push(clock.currentTimeMillisUnsafe())))
    )
    const setClock = (by: number) => {
      ahead += by
      while (calls.some((at) => Math.abs(at - clock.currentTimeMillisUnsafe()) <= 2000)) ahead += 2001
    }

    const act = Step.$match({
      // The millisecond is what an answer may take, so that it has come before the next step.
      Call: () =>
        Effect.sync(() => calls.push(clock.currentTimeMillisUnsafe())).pipe(
          Effect.andThen(Effect.forkIn(call, scope, { startImmediately: true })),
          Effect.andThen(TestClock.adjust("1 millis"))
        ),
      Wait: ({ duration }) => TestClock.adjust(duration),
      SetClock: ({ by }) => Effect.sync(() => setClock(Math.round(Duration.toMillis(by)))),
      Fail: ({ failure, next }) => tenovos.fail(failure, { next }),
      Delay: ({ duration }) => tenovos.delay(duration, { operations: ["authorize", "refresh"] }),
      Heal: () => tenovos.heal,
      Revoke: () => tenovos.revoke,
      Lock: () => tenovos.lock(),
      Unlock: () => tenovos.unlock,
      RotateKeys: () => tenovos.rotateKeys
    })
    for (const step of history.steps) yield* act(step)
    yield* tenovos.heal
    yield* TestClock.adjust("2 minutes")
  }))
