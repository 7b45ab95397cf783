import { SessionBackend, SessionStore } from "@effect-tenovos/core"
import { SessionStoreLaws } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"

type Place = SessionStoreLaws.LeasedPlace

const elapse = (duration: Duration.Duration) => TestClock.adjust(duration)

describe("memory", () => {
  for (const law of SessionStoreLaws.laws) {
    it.effect(
      law.name,
      () => Effect.flatMap(SessionStore.makeMemory, (store) => law.check({ open: Effect.succeed(store), elapse }))
    )
  }
})

interface Memory {
  row: SessionBackend.Row
  fence: number
  leasedUntil: number
  isGap: boolean
}

/** What the handles of a place share, and the latches of those who listen. */
const makeMemory = () => {
  const memory: Memory = { row: { generation: 0, text: "" }, fence: 0, leasedUntil: 0, isGap: false }
  return { memory, latches: new Set<Latch.Latch>() }
}

/** A right backend over a memory that is shared, unless it is broken somewhere. */
const makeBackend = (
  { latches, memory }: ReturnType<typeof makeMemory>,
  breakIt: (right: SessionBackend.Backend, memory: Memory) => Partial<SessionBackend.Backend> = () => ({})
): SessionBackend.Backend => {
  const wake = () => latches.forEach((latch) => latch.openUnsafe())
  const at = <A>(f: (now: number) => A) => Effect.map(Clock.currentTimeMillis, f)
  const right: SessionBackend.Backend = {
    place: "memory",
    read: Effect.sync(() => ({ ...memory.row, fence: memory.fence })),
    write: (row, { expected, fence }) =>
      Effect.sync(() => {
        if (memory.row.generation !== expected || fence !== undefined && fence < memory.fence) return false
        memory.row = row
        memory.isGap = false
        wake()
        return true
      }),
    setAside: () => Effect.succeed("nowhere"),
    acquire: (life) =>
      at((now) => {
        if (now < memory.leasedUntil) return Option.none()
        const { isGap } = memory
        memory.leasedUntil = now + Duration.toMillis(life)
        memory.isGap = true
        return Option.some({ fence: ++memory.fence, isGap })
      }),
    extend: (fence, life) =>
      at((now) => {
        if (fence !== memory.fence) return false
        memory.leasedUntil = now + Duration.toMillis(life)
        return true
      }),
    release: (fence, leavesGap) =>
      Effect.sync(() => {
        if (fence === memory.fence) {
          memory.leasedUntil = 0
          memory.isGap &&= leavesGap
        }
        wake()
      }),
    // A lease may end by itself.
    listen: Effect.map(hear({ latches }), (changed) => Effect.asVoid(Effect.timeoutOption(changed, "1 second")))
  }
  return { ...right, ...breakIt(right, memory) }
}

const hear = ({ latches }: Pick<ReturnType<typeof makeMemory>, "latches">) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const latch = Latch.makeUnsafe(false)
      latches.add(latch)
      return latch
    }),
    (latch) => Effect.sync(() => latches.delete(latch))
  ).pipe(Effect.map((latch) => Effect.andThen(latch.await, Effect.sync(() => latch.closeUnsafe()))))

/** A place in memory, each of whose handles is made anew. */
const makePlace = (
  breakIt?: (right: SessionBackend.Backend, memory: Memory) => Partial<SessionBackend.Backend>
): Place => {
  const shared = makeMemory()
  return {
    open: Effect.suspend(() => SessionBackend.make(makeBackend(shared, breakIt))),
    leaseLife: "10 seconds",
    elapse
  }
}

const all = [...SessionStoreLaws.laws, ...SessionStoreLaws.leaseLaws]

describe("a right backend", () => {
  for (const law of all) it.effect(law.name, () => Effect.suspend(() => law.check(makePlace())))
})

const lawThat = (start: string) => {
  const found = all.filter((law) => law.name.startsWith(start))
  assert.lengthOf(found, 1, start)
  return found[0]!
}

/** What a store may get wrong, and the start of the law that notices. */
const mistakes: ReadonlyArray<readonly [what: string, law: string, broken: () => Place]> = [
  ["starts with another generation", "holds nothing", () =>
    makePlace((right) => ({
      read: Effect.map(right.read, (row) => row.generation === 0 ? { ...row, generation: 1 } : row)
    }))],
  ["has a memory for each handle", "keeps all", () => ({
    ...makePlace(),
    open: Effect.suspend(() => SessionBackend.make(makeBackend(makeMemory())))
  })],
  ["cuts long texts", "keeps all", () =>
    makePlace((right) => ({
      write: (row, condition) => right.write({ ...row, text: row.text.slice(0, 4000) }, condition)
    }))],
  ["takes any commit", "refuses a commit that was overtaken", () =>
    makePlace((right, memory) => ({
      write: (row, condition) => right.write(row, { ...condition, expected: memory.row.generation })
    }))],
  ["takes a commit that goes back", "refuses a commit that was overtaken", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => ({
        ...store,
        commit: (session, expected, lease) =>
          session.generation < expected
            ? Effect.succeed(true)
            : store.commit(session, expected, lease)
      }))
    }
  }],
  ["clears whatever there is", "forgets the session", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => ({
        ...store,
        clear: () => Effect.flatMap(store.read, ({ generation }) => store.clear(generation))
      }))
    }
  }],
  ["starts anew when it is cleared", "forgets the session", () =>
    makePlace((right, memory) => ({
      write: (row, condition) =>
        Effect.tap(right.write(row, condition), (written) =>
          Effect.sync(() => {
            if (written && row.text.includes("\"session\":null")) memory.row = { generation: 0, text: "" }
          }))
    }))],
  ["does not clear what is empty", "can be cleared when it is empty", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => ({
        ...store,
        clear: (generation: number) => generation === 0 ? Effect.succeed(true) : store.clear(generation)
      }))
    }
  }],
  ["compares first and writes later", "takes one of many", () =>
    makePlace((right, memory) => ({
      write: (row, condition) =>
        memory.row.generation === condition.expected
          ? Effect.andThen(
            Effect.yieldNow,
            Effect.suspend(() => right.write(row, { ...condition, expected: memory.row.generation }))
          )
          : Effect.succeed(false)
    }))],
  [
    "tells every writer that it has won",
    "takes one of many",
    () => makePlace((right) => ({ write: (row, condition) => Effect.as(right.write(row, condition), true) }))
  ],
  [
    "gives its lease to everybody",
    "gives its lease to one",
    () =>
      makePlace((_, memory) => ({
        acquire: () => Effect.sync(() => Option.some({ fence: ++memory.fence, isGap: false }))
      }))
  ],
  ["never has its lease back", "has its lease back", () => makePlace(() => ({ release: () => Effect.void }))],
  [
    "gives the same fence again",
    "gives each lease a higher fence",
    () =>
      makePlace((right) => ({
        acquire: (life) => Effect.map(right.acquire(life), Option.map((acquired) => ({ ...acquired, fence: 1 })))
      }))
  ],
  ["begins to count anew when opened", "gives each lease a higher fence", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => {
        let fence = 0
        return { ...store, lease: Effect.map(store.lease, Option.map((lease) => ({ ...lease, fence: ++fence }))) }
      })
    }
  }],
  ["does not look at the fence", "refuses what comes under a lease", () =>
    makePlace((right) => ({
      write: (row, condition) => right.write(row, { ...condition, fence: undefined })
    }))],
  ["asks for a lease where none is needed", "refuses what comes under a lease", () =>
    makePlace((right) => ({
      write: (row, condition) => right.write(row, { ...condition, fence: condition.fence ?? 0 })
    }))],
  ["says that a lease has not been followed when it has", "refuses what comes under a lease", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => {
        let fence = 0
        const lease = Effect.tap(
          store.lease,
          (lease) => Effect.sync(() => fence = Option.match(lease, { onNone: () => fence, onSome: (own) => own.fence }))
        )
        return { ...store, lease, read: Effect.map(store.read, (stored) => ({ ...stored, fence })) }
      })
    }
  }],
  [
    "closes a gap that was to stay",
    "tells who has the next lease",
    () => makePlace((right) => ({ release: (fence) => right.release(fence, false) }))
  ],
  [
    "leaves a gap after every lease",
    "tells who has the next lease",
    () => makePlace((right) => ({ release: (fence) => right.release(fence, true) }))
  ],
  ["keeps a gap when a session is written", "tells who has the next lease", () =>
    makePlace((right, memory) => ({
      write: (row, condition) =>
        Effect.suspend(() => {
          const { isGap } = memory
          return Effect.tap(right.write(row, condition), () => Effect.sync(() => memory.isGap = isGap))
        })
    }))],
  [
    "knows nothing of a gap that a holder left who is gone",
    "gives the lease of a holder",
    () =>
      makePlace((right) => ({
        acquire: (life) => Effect.map(right.acquire(life), Option.map((acquired) => ({ ...acquired, isGap: false })))
      }))
  ],
  ["wakes nobody", "wakes who listens", () => makePlace(() => ({ listen: Effect.succeed(Effect.never) }))],
  ["wakes only who waits already", "wakes who listens", () => {
    const shared = makeMemory()
    return {
      ...makePlace(),
      open: Effect.suspend(() =>
        SessionBackend.make({
          ...makeBackend(shared),
          listen: Effect.succeed(Effect.scoped(Effect.flatten(hear(shared))))
        })
      )
    }
  }],
  ["keeps refused credentials to itself", "knows for an hour", () => {
    const place = makePlace()
    return {
      ...place,
      open: Effect.map(place.open, (store) => {
        let isOwn = false
        return {
          ...store,
          refuse: (...args) => Effect.tap(store.refuse(...args), () => Effect.sync(() => isOwn = true)),
          refusal: (credentials) => isOwn ? store.refusal(credentials) : Effect.succeedNone
        }
      })
    }
  }],
  ["knows refused credentials for ever", "knows for an hour", () => {
    const place = makePlace()
    const refused: Array<string> = []
    return {
      ...place,
      open: Effect.map(place.open, (store) => ({
        ...store,
        refuse: (credentials, message, lease) =>
          Effect.tap(store.refuse(credentials, message, lease), () => Effect.sync(() => refused.push(message))),
        refusal: (credentials) =>
          Effect.map(store.refusal(credentials), Option.orElse(() => Option.fromUndefinedOr(refused[0])))
      }))
    }
  }],
  ["is empty when it is opened again", "has it all", () => {
    const shared = makeMemory()
    return {
      ...makePlace(),
      open: Effect.acquireRelease(
        SessionBackend.make(makeBackend(shared)),
        () => Effect.sync(() => shared.memory.row = { generation: 0, text: "" })
      )
    }
  }],
  ["ends a lease that is used", "leaves its lease", () => makePlace(() => ({ extend: () => Effect.succeed(true) }))],
  [
    "never ends a lease",
    "gives the lease of a holder",
    () => makePlace((right) => ({ acquire: () => right.acquire(Duration.days(1)) }))
  ],
  [
    "lets anybody give a lease back",
    "gives the lease of a holder",
    () =>
      makePlace((right, memory) => ({
        release: (_, leavesGap) => Effect.suspend(() => right.release(memory.fence, leavesGap))
      }))
  ],
  [
    "does not wake who waits for a lease that ended",
    "gives the lease of a holder",
    () => makePlace(() => ({ listen: Effect.succeed(Effect.never) }))
  ]
]

describe("a store that", () => {
  for (const [what, start, broken] of mistakes) {
    it.effect(`${what} breaks a law`, () =>
      Effect.gen(function*() {
        const law = lawThat(start)
        const broke = yield* Effect.flip(law.check(broken()))

        assert.strictEqual(broke._tag, "LawBroken")
        if (broke._tag === "LawBroken") assert.strictEqual(broke.law, law.name)
      }))
  }
})
