import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"

/** One line of the results. Those without a target are there to compare with. */
export class Figure extends Schema.Class<Figure>("@effect-tenovos/bench/Figure")({
  what: Schema.String,
  value: Schema.String,
  target: Schema.optionalKey(Schema.String),
  holds: Schema.optionalKey(Schema.Boolean)
}) {}

/** A figure that has nothing to hold. */
export const plain = (what: string, value: string): Figure => new Figure({ what, value })

/** A number that may be at most so much. */
export const atMost = (what: string, value: number, limit: number, unit: string): Figure =>
  new Figure({
    what,
    value: `${round(value)} ${unit}`,
    target: `at most ${limit} ${unit}`,
    holds: value <= limit
  })

/** A number that must be at least so much. */
export const atLeast = (what: string, value: number, limit: number, unit: string): Figure =>
  new Figure({
    what,
    value: `${round(value)} ${unit}`,
    target: `at least ${limit} ${unit}`,
    holds: value >= limit
  })

/** Something that must be so. */
export const exactly = (what: string, value: string, target: string): Figure =>
  new Figure({ what, value, target, holds: value === target })

export const round = (value: number): string =>
  Number.isInteger(value)
    ? String(value)
    : Math.abs(value) >= 100
    ? value.toFixed(0)
    : Math.abs(value) >= 10
    ? value.toFixed(1)
    : value.toFixed(2)

export const median = (numbers: ReadonlyArray<number>): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN

/** Milliseconds that an effect takes. */
export const wall = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeNanos
    yield* effect
    return Number((yield* Clock.currentTimeNanos) - start) / 1e6
  })

/** Milliseconds of CPU that an effect takes, those of the collector and the compiler included. */
export const cpu = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function*() {
    const start = process.cpuUsage()
    yield* effect
    const { system, user } = process.cpuUsage(start)
    return (user + system) / 1000
  })

/** The median of each effect under a measure; the effects take turns, and the first turn does not count. */
export const compare = <E, R>(
  rounds: number,
  measure: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<number, E, R>,
  effects: Readonly<Record<string, Effect.Effect<unknown, E, R>>>
): Effect.Effect<(name: string) => number, E, R> => takeTurns(rounds, Record.map(effects, (effect) => measure(effect)))

/** The same for effects that measure themselves. */
export const takeTurns = Effect.fnUntraced(function*<E, R>(
  rounds: number,
  measures: Readonly<Record<string, Effect.Effect<number, E, R>>>
): Effect.fn.Return<(name: string) => number, E, R> {
  const taken = new Map<string, Array<number>>()
  for (let i = 0; i <= rounds; i++) {
    for (const [name, measure] of Object.entries(measures)) {
      const value = yield* measure
      if (i > 0) taken.set(name, [...taken.get(name) ?? [], value])
    }
  }
  return (name) => median(taken.get(name) ?? [])
})
