import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Why a place failed, in words that repeat nothing of what was sent to it or is kept there. */
export class PlaceFailure extends Data.TaggedError("PlaceFailure")<{
  readonly message: string
  readonly cause?: unknown
}> {}

/** Clients give a number of 64 bits as a number, a bigint or a text. */
export const toInteger = (value: unknown): Effect.Effect<number, PlaceFailure> => {
  const number = Number(value)
  return Number.isSafeInteger(number)
    ? Effect.succeed(number)
    : Effect.fail(new PlaceFailure({ message: "Where a number should be kept there is something else" }))
}
