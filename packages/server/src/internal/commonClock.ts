import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * Set where tenants have clocks of their own: the one that none of these is behind. What belongs to no tenant, and what
 * is thrown away for all, goes by it.
 */
export const CommonClock: Context.Reference<Clock.Clock | undefined> = Context.Reference<Clock.Clock | undefined>(
  "@effect-tenovos/server/internal/commonClock/CommonClock",
  { defaultValue: () => undefined }
)

// Whole milliseconds, as the database keeps them. A test clock may stand between two.

export const currentMillis: Effect.Effect<number> = Effect.map(Clock.currentTimeMillis, Math.floor)

/** By the common clock, or by the current one where there are no others. */
export const commonMillis: Effect.Effect<number> = Effect.flatMap(
  CommonClock,
  (common) => common === undefined ? currentMillis : Effect.map(common.currentTimeMillis, Math.floor)
)
