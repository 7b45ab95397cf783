/**
 * What a program and its authority may go through: calls, time, outages, revocations. For programs under random test,
 * from `Arbitraries.history`, and for those that a test tells step by step.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Failure } from "./TestTenovos.ts"
import { TestTenovos } from "./TestTenovos.ts"

/**
 * One thing that happens.
 *
 * - `Call`: the program makes its request, and whatever comes next does not wait for its end.
 * - `Wait`: time passes.
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
    const clock = offset === 0
      ? ""
      : `authority ${format(Duration.abs(this.clockOffset))} ${offset > 0 ? "ahead" : "behind"}: `
    return clock + (this.steps.length === 0 ? "nothing" : this.steps.map(show).join(", "))
  }
}

const format = (duration: Duration.Duration): string => Duration.format(duration)

const show: (step: Step) => string = Step.$match({
  Call: () => "call",
  Wait: ({ duration }) => `wait ${format(duration)}`,
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
 * Lets it all happen, with this request for a call. Whether the request fails is not looked at. In the end the authority
 * heals, two minutes pass, and what is still under way is interrupted.
 *
 * The authority's clock is set as the history has it: the test's clock must be on far enough, as its `setClockOffset` says.
 *
 * @category combinators
 * @since 0.1.0
 */
export const play = <R>(
  history: LifeHistory,
  request: Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, never, R | TestTenovos> =>
  Effect.scoped(Effect.gen(function*() {
    const tenovos = yield* TestTenovos
    const scope = yield* Effect.scope
    const act = Step.$match({
      // The millisecond is what an answer may take, so that it has come before the next step.
      Call: () =>
        Effect.andThen(
          Effect.forkIn(Effect.ignore(request), scope, { startImmediately: true }),
          TestClock.adjust("1 millis")
        ),
      Wait: ({ duration }) => TestClock.adjust(duration),
      Fail: ({ failure, next }) => tenovos.fail(failure, { next }),
      Delay: ({ duration }) => tenovos.delay(duration, { operations: ["authorize", "refresh"] }),
      Heal: () => tenovos.heal,
      Revoke: () => tenovos.revoke,
      Lock: () => tenovos.lock(),
      Unlock: () => tenovos.unlock,
      RotateKeys: () => tenovos.rotateKeys
    })

    yield* tenovos.setClockOffset(history.clockOffset)
    for (const step of history.steps) yield* act(step)
    yield* tenovos.heal
    yield* TestClock.adjust("2 minutes")
  }))
