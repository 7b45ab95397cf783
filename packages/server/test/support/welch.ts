import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import type { RefusedSignIn } from "./refused.ts"

/**
 * How far apart the mean times of each two kinds are, in Welch's t: over all times, and over all but each kind's slowest
 * twentieth, in which the machine's doing hides the code's. The kinds take turns in an order that the seed makes, and a
 * tenth more before the first that counts, in which the code is compiled.
 */
export const welch = Effect.fnUntraced(function*<E, R>(
  kinds: ReadonlyArray<RefusedSignIn>,
  send: (body: RefusedSignIn["body"]) => Effect.Effect<unknown, E, R>,
  options: { readonly samples: number; readonly seed: number }
) {
  const times = kinds.map(({ name }) => ({ name, values: Array<number>() }))
  const random = shuffler(options.seed)
  for (let round = -options.samples / 10; round < options.samples; round++) {
    for (const index of random(kinds.length)) {
      const kind = kinds[index]
      if (kind === undefined) continue
      yield* kind.prepare
      const start = performance.now()
      yield* send(kind.body)
      if (round >= 0) times[index]?.values.push(performance.now() - start)
    }
  }
  return Object.fromEntries(
    times.flatMap((a, i) =>
      times.slice(i + 1).map((b) => [
        `${a.name}/${b.name}`,
        [1, 0.95].map((share) => Number(t(momentsOf(a.values, share), momentsOf(b.values, share)).toFixed(2)))
      ])
    )
  )
})

const t = (a: Moments, b: Moments): number => (a.mean - b.mean) / Math.sqrt(a.variance / a.size + b.variance / b.size)

type Moments = ReturnType<typeof momentsOf>

const momentsOf = (values: ReadonlyArray<number>, share: number) => {
  const kept = values.toSorted((a, b) => a - b).slice(0, Math.floor(values.length * share))
  const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length
  const variance = kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (kept.length - 1)
  return { mean, variance, size: kept.length }
}

const shuffler = (seed: number) => {
  let round = seed * 1_000_003
  return (length: number): ReadonlyArray<number> =>
    fc.sample(fc.shuffledSubarray(Array.from({ length }, (_, i) => i), { minLength: length }), {
      seed: round++,
      numRuns: 1
    })[0] ?? []
}
