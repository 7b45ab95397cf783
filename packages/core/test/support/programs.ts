import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { Outage, Violation } from "./modelAuthority.ts"
import {
  type CallKind,
  policies,
  SessionWorld,
  type Settings,
  settle,
  show,
  type StoreOperation
} from "./sessionWorld.ts"

/** One step of a program. Its name is what a counterexample shows. */
export interface Step {
  readonly name: string
  readonly run: (world: SessionWorld) => Effect.Effect<unknown>
}

const step = (name: string, run: Step["run"]): Step => ({ name, run })

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

const second = 1000
const day = 86_400_000

const sessionKind: fc.Arbitrary<CallKind> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom<CallKind>({ _tag: "session" }, { _tag: "accessToken" }, { _tag: "headers" })
  },
  { weight: 1, arbitrary: fc.constant<CallKind>({ _tag: "force" }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 4000 }).map((life): CallKind => ({ _tag: "minimum", life: life * second }))
  }
)

const requestKind: fc.Arbitrary<CallKind> = fc.constantFrom<CallKind>(
  { _tag: "get" },
  { _tag: "get" },
  { _tag: "post" },
  { _tag: "stream" },
  { _tag: "away" },
  { _tag: "foreign" }
)

const anyKind = fc.oneof(sessionKind, requestKind)

const call = (kind: CallKind) => step(show(kind), (world) => world.call(kind))

const burst = (kind: CallKind, n: number) =>
  step(`${n} x ${show(kind)}`, (world) => Effect.replicateEffect(world.call(kind), n, { concurrency: "unbounded" }))

const yields = (n: number) => Effect.replicateEffect(Effect.yieldNow, n, { discard: true })

const interrupted = (kind: CallKind, n: number) =>
  step(`${show(kind)} interrupted after ${n} yields`, (world) =>
    Effect.gen(function*() {
      const { fiber } = yield* world.call(kind)
      yield* yields(n)
      if (world.heedsInterrupts) yield* Fiber.interrupt(fiber)
    }))

/** A client that keeps itself fresh renews all the time; it is given less of it. */
const within = ({ settings }: SessionWorld, millis: number) =>
  policies[settings.policy].keepFresh ? Math.min(millis, settings.life * 10, 20 * 60 * second) : millis

const advance = (millis: number) =>
  step(`advance ${millis} ms`, (world) => world.testClock.adjust(within(world, millis)))

const pastExpiry = (off: number) =>
  step(`advance to ${off} ms after the end`, (world) =>
    Effect.flatMap(world.held, (held) => {
      const left = held === undefined ? 0 : held.expiresAt + off - world.now()
      return left > 0 ? world.testClock.adjust(left) : Effect.void
    }))

const month = step("advance 30 days", (world) => world.testClock.adjust(within(world, 30 * day + second)))

const jump = (millis: number) => step(`clock jumps ${millis} ms`, (world) => Effect.sync(() => world.jump(millis)))

/** The worst of all jumps: the clock is set back by just the time that has passed. */
const advanceAndJumpBack = (millis: number) =>
  step(`advance ${millis} ms, and the clock is set back as much`, (world) => {
    const time = within(world, millis)
    return Effect.andThen(world.testClock.adjust(time), Effect.sync(() => world.jump(-time)))
  })

/** What a receipt is measured by, and the life of what it brings, must not be the clock as it was set meanwhile. */
const jumpAmid = (millis: number, delay: number, storeDelay: number) =>
  step(
    `clock jumps ${millis} ms amid an exchange of ${delay} ms and a store's write of ${storeDelay} ms`,
    (world) =>
      Effect.gen(function*() {
        world.authority.delay = delay
        world.storeDelay = Math.min(storeDelay, world.settings.life / 8, 9000)
        yield* world.call({ _tag: "force" })
        yield* world.testClock.adjust(2 * world.storeDelay + delay - 1)
        if (storeDelay > 0) yield* world.testClock.adjust(2)
        world.jump(millis)
        yield* world.testClock.adjust(2 * world.storeDelay + 2)
        world.authority.delay = 0
        world.storeDelay = 0
      })
  )

// What random steps come to too seldom: the moments at which rules are easiest to break.

const session: CallKind = { _tag: "session" }

const signOutAmid = (delay: number) =>
  step(`signOut amid an exchange of ${delay} ms`, (world) =>
    Effect.gen(function*() {
      world.authority.delay = delay
      yield* world.call({ _tag: "force" })
      yield* world.testClock.adjust(delay - 1)
      yield* world.signOut
      yield* world.testClock.adjust(delay + 1)
      world.authority.delay = 0
    }))

const closeAmid = step("close amid a store's write, and open anew", (world) =>
  Effect.gen(function*() {
    world.storeDelay = Math.min(900, world.settings.life / 8)
    yield* world.call({ _tag: "force" })
    yield* world.testClock.adjust(2 * world.storeDelay + 1)
    yield* reopen.run(world)
    world.storeDelay = 0
  }))

const staleToTheEnd = (off: number) =>
  step(`outage: drop, session, advance to ${off} ms after the end, session`, (world) =>
    Effect.gen(function*() {
      world.authority.outage = "drop"
      yield* world.call(session)
      yield* pastExpiry(off).run(world)
      yield* world.call(session)
    }))

const lateRefusal = (between: "signOut" | "force", storeFailing: boolean) =>
  step(
    `get, ${between}, session${storeFailing ? ", all without a store" : ""}, and then a 401 to the get`,
    (world) =>
      Effect.gen(function*() {
        if (storeFailing) yield* storeFails(["read", "commit", "clear", "lease"]).run(world)
        yield* world.call(session)
        yield* settle
        world.authority.resourceDelay = 300
        world.authority.revokeAccess()
        yield* world.call({ _tag: "get" })
        yield* settle
        yield* between === "signOut" ? world.signOut : world.call({ _tag: "force" })
        yield* settle
        yield* world.call(session)
        yield* world.testClock.adjust(300)
        yield* settle
        yield* world.call(session)
        world.authority.resourceDelay = 0
      })
  )

const refusedAtTheEnd = (left: number) =>
  step(`all is refused ${left} ms before the end, session`, (world) =>
    Effect.gen(function*() {
      yield* pastExpiry(-left).run(world)
      world.authority.revokeRefresh()
      world.authority.passwordRight = false
      yield* world.call(session)
    }))

const reopenAtTheEnd = (share: number) =>
  step(
    "all is well, session, close and open anew amid the mandatory window, session",
    (world) =>
      Effect.gen(function*() {
        yield* heal.run(world)
        yield* world.call(session)
        yield* settle
        yield* pastExpiry(-Math.ceil(world.mandatoryWindow * share)).run(world)
        yield* reopen.run(world)
        yield* world.call(session)
      })
  )

const outage = (kind: Outage, retryAfter: number) =>
  step(`outage: ${kind}${kind === "429" ? ` for ${retryAfter} s` : ""}`, ({ authority }) =>
    Effect.sync(() => {
      authority.outage = kind
      authority.retryAfter = retryAfter
    }))

const change = (name: string, f: (world: SessionWorld) => void) => step(name, (world) => Effect.sync(() => f(world)))

const heal = change("all is well", (world) => {
  world.authority.outage = "none"
  world.storeFails.clear()
  world.storeDelay = 0
  world.authority.delay = 0
  world.authority.forbids = false
  world.authority.refuses = false
})

const signOut = step("signOut", (world) => world.signOut)

const signOutInterrupted = (n: number) =>
  step(`signOut interrupted after ${n} yields`, (world) =>
    Effect.gen(function*() {
      const fiber = yield* world.signOut
      yield* yields(n)
      if (world.heedsInterrupts) yield* Fiber.interrupt(fiber)
    }))

const signOutAmong = (kind: CallKind, before: number, after: number) =>
  step(`${before} x ${show(kind)}, signOut, ${after} x ${show(kind)}`, (world) =>
    Effect.gen(function*() {
      for (let i = 0; i < before; i++) yield* world.call(kind)
      yield* world.signOut
      for (let i = 0; i < after; i++) yield* world.call(kind)
    }))

const reopen = step("close, and open anew on the same store", (world) => Effect.andThen(world.close, world.open))

const storeFails = (operations: ReadonlyArray<StoreOperation>) =>
  change(`the store fails to ${operations.join()}`, (world) => {
    for (const operation of operations) world.storeFails.add(operation)
  })

/** The kinds of steps, by what they are about. */
const steps = {
  call: anyKind.map(call),
  sessionCall: sessionKind.map(call),
  request: requestKind.map(call),
  burst: fc.tuple(anyKind, fc.integer({ min: 2, max: 8 })).map(([kind, n]) => burst(kind, n)),
  interrupt: fc.tuple(anyKind, fc.nat(6)).map(([kind, n]) => interrupted(kind, n)),
  sessionInterrupt: fc.tuple(sessionKind, fc.nat(6)).map(([kind, n]) => interrupted(kind, n)),
  time: fc.oneof(
    fc.integer({ min: 1, max: 2000 }).map(advance),
    fc.integer({ min: 1, max: 120 }).map((seconds) => advance(seconds * second)),
    fc.integer({ min: 1, max: 300 }).map((minutes) => advance(minutes * 60 * second)),
    fc.integer({ min: -3000, max: 3000 }).map(pastExpiry),
    fc.integer({ min: -20, max: 3 }).map((seconds) => pastExpiry(seconds * second))
  ),
  month: fc.constant(month),
  jump: fc.oneof(
    fc.integer({ min: -day, max: day }).map(jump),
    fc.integer({ min: -5000, max: 5000 }).map(jump),
    fc.integer({ min: 1, max: 4000 }).map((seconds) => advanceAndJumpBack(seconds * second))
  ),
  jumpAmid: fc.tuple(fc.integer({ min: -day, max: -1000 }), fc.constantFrom(80, 700), fc.constantFrom(0, 900)).map((
    all
  ) => jumpAmid(...all)),
  signOutAmid: fc.constantFrom(80, 700).map(signOutAmid),
  closeAmid: fc.constant(closeAmid),
  staleToTheEnd: fc.integer({ min: -300, max: 900 }).map(staleToTheEnd),
  lateRefusal: fc.tuple(fc.constantFrom("signOut" as const, "force" as const), fc.boolean()).map((all) =>
    lateRefusal(...all)
  ),
  refusedAtTheEnd: fc.integer({ min: 1100, max: 20_000 }).map(refusedAtTheEnd),
  reopenAtTheEnd: fc.constantFrom(0.1, 0.2, 0.4).map(reopenAtTheEnd),
  edge: fc.integer({ min: -1200, max: 900 }).map(pastExpiry),
  outage: fc.tuple(
    fc.constantFrom<Outage>("drop", "503", "504", "429", "page", "401 page", "hang"),
    fc.constantFrom(1, 7, 40, 200)
  ).map(([kind, retryAfter]) => outage(kind, retryAfter)),
  heal: fc.constant(heal),
  lost: fc.constant(change("the next answer is lost", ({ authority }) => {
    authority.loseNext = true
  })),
  rotation: fc.boolean().map((on) =>
    change(`rotation ${on ? "on" : "off"}`, ({ authority }) => {
      authority.rotation = on
    })
  ),
  answers: fc.constantFrom("same", "new", "empty", "none").map((kind) =>
    change(`refreshes answer with ${kind} refresh token`, ({ authority }) => {
      authority.refreshAnswers = kind
    })
  ),
  delay: fc.constantFrom(0, 80, 700, 4000, 12_000, 40_000).map((delay) =>
    change(`answers take ${delay} ms`, ({ authority }) => {
      authority.delay = delay
    })
  ),
  slowResources: fc.constantFrom(0, 300).map((delay) =>
    change(`the API takes ${delay} ms`, ({ authority }) => {
      authority.resourceDelay = delay
    })
  ),
  revokeAccess: fc.constant(change("access tokens are revoked", ({ authority }) => authority.revokeAccess())),
  revokeRefresh: fc.constant(change("refresh tokens are revoked", ({ authority }) => authority.revokeRefresh())),
  forbid: fc.boolean().map((forbids) =>
    change(forbids ? "the API forbids all" : "the API forbids nothing", ({ authority }) => {
      authority.forbids = forbids
    })
  ),
  refuse: fc.boolean().map((refuses) =>
    change(refuses ? "the API refuses every token" : "the API refuses good tokens no longer", ({ authority }) => {
      authority.refuses = refuses
    })
  ),
  throttle: fc.constant(outage("429", 200)),
  password: fc.boolean().map((right) =>
    change(`the password is ${right ? "right" : "wrong"}`, ({ authority }) => {
      authority.passwordRight = right
    })
  ),
  signOut: fc.oneof(
    fc.constant(signOut),
    fc.nat(4).map(signOutInterrupted),
    fc.tuple(anyKind, fc.nat(3), fc.nat(3)).map((all) => signOutAmong(...all))
  ),
  reopen: fc.constant(reopen),
  storeSlow: fc.constantFrom(0, 20, 900, 5000).map((delay) =>
    change(`the store takes ${delay} ms`, (world) => {
      // A store that takes longer than a token lives helps nobody.
      world.storeDelay = Math.min(delay, world.settings.life / 8)
    })
  ),
  storeFails: fc.oneof(
    fc.constantFrom<StoreOperation>("read", "commit", "clear", "lease").map((operation) => [operation]),
    fc.subarray<StoreOperation>(["read", "commit", "clear", "lease"], { minLength: 2 })
  ).map(storeFails)
}

type Weights = { readonly [K in keyof typeof steps]?: number }

const usual: Weights = {
  call: 4,
  sessionCall: 4,
  burst: 2,
  interrupt: 2,
  time: 8,
  month: 1,
  jump: 2,
  jumpAmid: 1,
  edge: 1,
  signOutAmid: 1,
  closeAmid: 1,
  staleToTheEnd: 1,
  lateRefusal: 1,
  reopenAtTheEnd: 1,
  outage: 2,
  heal: 3,
  lost: 1,
  rotation: 1,
  answers: 1,
  delay: 1,
  slowResources: 1,
  revokeAccess: 1,
  revokeRefresh: 1,
  forbid: 1,
  refuse: 1,
  password: 1,
  signOut: 1,
  reopen: 1,
  storeSlow: 1,
  storeFails: 1
}

// -----------------------------------------------------------------------------
// Programs
// -----------------------------------------------------------------------------

const settings: fc.Arbitrary<Settings> = fc.record({
  life: fc.oneof(
    fc.integer({ min: 2, max: 60 }),
    fc.integer({ min: 61, max: 3600 }),
    fc.constant(3600)
  ).map((seconds) => seconds * second),
  tokens: fc.constantFrom("jwt", "opaque"),
  dated: fc.boolean(),
  policy: fc.constantFrom(...Struct.keys(policies)),
  skew: fc.oneof(fc.constant(0), fc.integer({ min: -3000, max: 3000 }), fc.integer({ min: -day, max: day })),
  start: fc.nat(999),
  seed: fc.nat(1000)
}, { noNullPrototype: true })

/** Runs an effect in virtual time of its own. */
const runTest = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromiseExit(Effect.scoped(effect).pipe(Effect.provide(TestClock.layer()))).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.squash(exit.cause)
  })

const makeWorld = (settings: Settings): Effect.Effect<SessionWorld, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* TestClock.testClockWith(Effect.succeed)
    return new SessionWorld(settings, clock, yield* Effect.scope)
  })

type Command = fc.AsyncCommand<object, Real, false>

interface Real {
  readonly world: SessionWorld
  readonly run: (effect: Effect.Effect<unknown>) => Promise<unknown>
  readonly rules: ReadonlyArray<number>
}

const broken = ({ rules, world }: Pick<Real, "world" | "rules">): Violation | undefined =>
  world.authority.violations.find(({ rule }) => rules.length === 0 || rules.includes(rule))

const complain = (real: Pick<Real, "world" | "rules">): void => {
  const violation = broken(real)
  if (violation !== undefined) throw new Error(`rule ${violation.rule}: ${violation.message}`)
}

const toCommand = ({ name, run }: Step): Command => ({
  check: () => true,
  run: async (_, real) => {
    await real.run(Effect.andThen(run(real.world), Effect.andThen(settle, real.world.inspect)))
    complain(real)
  },
  toString: () => name
})

/** How many programs of how many steps. */
const long = process.env["TENOVOS_LONG_RUN"] !== undefined
const size = long ? { factor: 20, steps: 100 } : { factor: 1, steps: 30 }

interface Focus {
  /** The rules that are looked at; none means all. */
  readonly rules: ReadonlyArray<number>
  /** In the long run, twenty times as many. */
  readonly runs: number
  readonly weights?: Weights
  readonly settings?: Partial<Settings>
}

/** Runs random programs, and fails with the smallest that breaks a rule. */
export const holds = ({ rules, runs, settings: given = {}, weights }: Focus): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      settings,
      fc.commands<object, Real, false>(weighted({ ...usual, ...weights }).map((step) => step.map(toCommand)), {
        maxCommands: size.steps,
        size: "max"
      }),
      (settings, program) =>
        runTest(Effect.gen(function*() {
          const world = yield* makeWorld({ ...settings, ...given })
          const context = yield* Effect.context<Scope.Scope>()
          const run = (effect: Effect.Effect<unknown>) =>
            Effect.runPromiseExit(Effect.provideContext(effect, context)).then((exit) => {
              if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
            })
          const real: Real = { world, run, rules }
          yield* world.open
          yield* Effect.promise(() => fc.asyncModelRun(() => ({ model: {}, real }), program))
          yield* world.recover
          yield* world.end
          complain(real)
        }))
    ),
    parameters(runs)
  )

const weighted = (weights: Weights): ReadonlyArray<fc.Arbitrary<Step>> =>
  Struct.keys(steps)
    .flatMap((name) => Array.from({ length: weights[name] ?? 0 }, () => steps[name]))

const parameters = <A>(runs: number): fc.Parameters<A> => ({
  numRuns: runs * size.factor,
  // A program that hangs is one that fails.
  timeout: 20_000,
  // The long run looks for what nobody thought of; the short one says whether a change broke what held.
  ...(long ? {} : { seed: 20_261_124 }),
  ...replay
})

/** Runs random programs twice, once with nobody giving up: the authority must see the same. */
export const interruptionChangesNothing = (runs: number): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      settings,
      fc.array(
        fc.oneof(...weighted({
          sessionCall: 2,
          sessionInterrupt: 6,
          time: 4,
          outage: 1,
          heal: 2,
          lost: 1,
          rotation: 1,
          delay: 2,
          revokeRefresh: 1
        })),
        { maxLength: size.steps, size: "max" }
      ),
      async (settings, program) => {
        const seen = (heedsInterrupts: boolean) =>
          runTest(Effect.gen(function*() {
            const world = yield* makeWorld(settings)
            world.heedsInterrupts = heedsInterrupts
            yield* world.open
            for (const { run } of program) yield* Effect.andThen(run(world), settle)
            yield* world.recover
            const held = yield* world.held
            yield* world.end
            return { exchanges: world.authority.exchanges, held: held?.name }
          }))
        assert.deepStrictEqual(await seen(true), await seen(false), "rule 6")
      }
    ),
    parameters(runs)
  )

/** Lets fast-check order every step of the client, its store and its authority that need not be in order. */
export const interleavingsHold = (runs: number): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      settings,
      fc.array(
        fc.constantFrom("session", "get", "force", "interrupted", "sign out", "reopen", "revoke"),
        { minLength: 2, maxLength: 8 }
      ),
      (scheduler, settings, actions) =>
        scheduler.waitFor(runTest(Effect.gen(function*() {
          const world = yield* makeWorld({ ...settings, policy: "standard", skew: 0, life: 3600 * second })
          const turn = (label: string) => Effect.promise(() => scheduler.schedule(Promise.resolve(), label))
          yield* world.open
          world.turn = turn
          const act = Effect.fnUntraced(function*(action: (typeof actions)[number]) {
            yield* turn(action)
            if (!world.isOpen) return
            switch (action) {
              case "session":
              case "get":
              case "force":
                return yield* world.call({ _tag: action })
              case "interrupted": {
                const { fiber } = yield* world.call({ _tag: "session" })
                yield* turn("interrupt")
                return yield* Fiber.interrupt(fiber)
              }
              case "sign out":
                return yield* world.signOut
              case "reopen":
                return yield* reopen.run(world)
              case "revoke":
                return world.authority.revokeAccess()
            }
          })
          yield* Effect.forEach(actions, act, { concurrency: "unbounded" })
          world.turn = undefined
          yield* world.recover
          yield* world.end
          complain({ world, rules: [] })
        })))
    ),
    parameters(runs)
  )

/** `TENOVOS_REPLAY=seed:path`, as a failure prints them. */
const replay = ((text) => {
  const [seed, ...path] = (text ?? "").split(":")
  return seed === undefined || seed === "" ? {} : { seed: Number(seed), path: path.join(":") }
})(process.env["TENOVOS_REPLAY"])
