import * as SessionStoreFile from "@effect-tenovos/core/SessionStoreFile"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { real } from "./files.ts"
import { session } from "./sessions.ts"

// Commits and clears, half the time under a lease, up to a generation, and prints what the store said it had taken.

const [folder = "", seed = "0", target = "0"] = process.argv.slice(2)

/** Numbers from 0 to 1, the same ones each time (mulberry32). */
let state = Number(seed)
const random = () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

const committed: Array<number> = []
const leased: Array<number> = []

const program = Effect.gen(function*() {
  const store = yield* SessionStoreFile.make({ folder })
  const commit = Effect.fnUntraced(function*(lease: Option.Option<{ readonly fence: number }>) {
    const { generation } = yield* store.read
    const isTaken = random() < 0.2
      ? yield* store.clear(generation)
      : yield* store.commit(
        session(generation + 1, `access-${generation + 1}-${seed}`),
        generation,
        Option.getOrUndefined(lease)
      )
    if (isTaken) committed.push(generation + 1)
  })
  while ((yield* store.read).generation < Number(target)) {
    yield* random() < 0.5
      ? Effect.scoped(Effect.gen(function*() {
        const lease = yield* store.lease
        if (Option.isSome(lease)) leased.push(lease.value.fence)
        yield* commit(lease)
      }))
      : commit(Option.none())
  }
})

await program.pipe(Effect.provide([real, Logger.layer([])]), Effect.runPromise)
console.log(JSON.stringify({ committed, leased }))
