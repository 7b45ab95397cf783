import { AuthError, RefreshPolicy, Session } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import * as fc from "fast-check"
import * as machine from "../src/internal/machine.ts"

const makeSession = (life: number, generation = 1) =>
  new Session.Session({
    endpointUrl: "https://api.example/v1",
    accessToken: Redacted.make(`access-${generation}`),
    issuedAt: DateTime.makeUnsafe(1_700_000_000_000),
    expiresAt: DateTime.makeUnsafe(1_700_000_000_000 + life),
    authenticatedAt: DateTime.makeUnsafe(1_700_000_000_000),
    clockOffset: Duration.zero,
    generation
  })

const session = makeSession(3_600_000)
const headers = Headers.empty

/** In hand since 0: advisory at 1000, mandatory at 2000, over at 3000. */
const held: machine.Held = { session, headers, acquiredAt: 0, advisoryAt: 1000, mandatoryAt: 2000, expiresAt: 3000 }

const failure = new AuthError.AuthError({ reason: new AuthError.Unavailable({ problem: "Transport" }) })
const refusal = new AuthError.AuthError({ reason: new AuthError.CredentialsRejected({ message: "no" }) })

const phases = {
  idle: { _tag: "Idle" },
  renewing: { _tag: "Renewing", troubled: false },
  troubled: { _tag: "Renewing", troubled: true },
  /** Until after all instants below. */
  resting: { _tag: "Resting", until: 9000, error: failure },
  /** Until before all of them. */
  rested: { _tag: "Resting", until: 100, error: failure },
  "signing out": { _tag: "SigningOut" }
} satisfies Record<string, machine.Phase>

const state = (phase: machine.Phase, of: Partial<machine.State> = {}): machine.State => ({
  held,
  phase,
  rejected: undefined,
  ...of
})

/** A decision in words. */
const words = (decision: machine.Decision): string => {
  switch (decision._tag) {
    case "Serve":
      return `${decision.reason}${decision.start ? ", start" : ""}`
    case "Wait":
      return `wait${decision.orTrouble ? " or trouble" : ""}${decision.start ? ", start" : ""}`
    case "WaitForSignOut":
      return "wait for sign-out"
    case "Fail":
      return decision.error === failure ? "fail" : "rejected"
  }
}

const demands = {
  plain: {},
  "a little life": { minimumLife: 500 },
  "more life": { minimumLife: 2100 },
  force: { force: true }
} satisfies Record<string, machine.Demand>

type Row = readonly [phase: keyof typeof phases, demand: keyof typeof demands, ...decisions: ReadonlyArray<string>]

describe("decide", () => {
  // At 500 all is good, at 1500 a renewal may begin, at 2500 it must, at 3500 the token is over; and with nothing in hand.
  const table: ReadonlyArray<Row> = [
    ["idle", "plain", "Cached", "Cached, start", "wait or trouble, start", "wait, start", "wait, start"],
    ["idle", "a little life", "Cached", "Cached, start", "Cached, start", "wait, start", "wait, start"],
    ["idle", "more life", "Cached", "wait, start", "wait, start", "wait, start", "wait, start"],
    ["idle", "force", "wait, start", "wait, start", "wait, start", "wait, start", "wait, start"],
    ["renewing", "plain", "Renewing", "Renewing", "wait or trouble", "wait", "wait"],
    ["renewing", "a little life", "Renewing", "Renewing", "Renewing", "wait", "wait"],
    ["renewing", "more life", "Renewing", "wait", "wait", "wait", "wait"],
    ["renewing", "force", "wait", "wait", "wait", "wait", "wait"],
    ["troubled", "plain", "Stale", "Stale", "Stale", "wait", "wait"],
    ["troubled", "a little life", "Stale", "Stale", "Stale", "wait", "wait"],
    ["troubled", "more life", "Stale", "wait", "wait", "wait", "wait"],
    ["troubled", "force", "wait", "wait", "wait", "wait", "wait"],
    ["resting", "plain", "Stale", "Stale", "Stale", "fail", "fail"],
    ["resting", "a little life", "Stale", "Stale", "Stale", "fail", "fail"],
    ["resting", "more life", "Stale", "fail", "fail", "fail", "fail"],
    ["resting", "force", "fail", "fail", "fail", "fail", "fail"],
    ["rested", "plain", "Cached", "Cached, start", "wait or trouble, start", "wait, start", "wait, start"],
    ["rested", "a little life", "Cached", "Cached, start", "Cached, start", "wait, start", "wait, start"],
    ["rested", "more life", "Cached", "wait, start", "wait, start", "wait, start", "wait, start"],
    ["rested", "force", "wait, start", "wait, start", "wait, start", "wait, start", "wait, start"],
    ...Struct.keys(demands).map((demand): Row => [
      "signing out",
      demand,
      ...Array.from({ length: 5 }, () => "wait for sign-out")
    ])
  ]

  for (const [phase, demand, ...expected] of table) {
    it(`${phase}, asked for ${demand === "plain" ? "a session" : demand}`, () => {
      const decisions = [500, 1500, 2500, 3500].map((now) =>
        words(machine.decide(state(phases[phase]), now, demands[demand]))
      )
      const withNothing = words(machine.decide(state(phases[phase], { held: undefined }), 500, demands[demand]))

      assert.deepStrictEqual([...decisions, withNothing], expected)
    })
  }

  it("serves what lives when the credentials were refused, and starts nothing", () => {
    const rejected = (now: number, demand: machine.Demand) =>
      words(machine.decide(state(phases.idle, { rejected: refusal }), now, demand))

    assert.deepStrictEqual([500, 1500, 2500, 3500].map((now) => rejected(now, {})), [
      "Stale",
      "Stale",
      "Stale",
      "rejected"
    ])
    assert.strictEqual(rejected(500, { force: true }), "rejected")
    assert.strictEqual(rejected(2500, { minimumLife: 2100 }), "rejected")
  })

  it("ends each span just where the next begins", () => {
    const at = (now: number) => words(machine.decide(state(phases.idle), now, {}))

    assert.deepStrictEqual([999, 1000, 1999, 2000, 2999, 3000].map(at), [
      "Cached",
      "Cached, start",
      "Cached, start",
      "wait or trouble, start",
      "wait or trouble, start",
      "wait, start"
    ])
    assert.strictEqual(words(machine.decide(state({ ...phases.resting, until: 500 }), 499, {})), "Stale")
    assert.strictEqual(words(machine.decide(state({ ...phases.resting, until: 500 }), 500, {})), "Cached")
    const ended = state({ ...phases.resting, until: 9000 })
    assert.strictEqual(words(machine.decide(ended, 8999, {})), "fail")
    assert.strictEqual(words(machine.decide(ended, 9000, {})), "wait, start")
  })

  it("takes a demand for more than three quarters of a life as three quarters", () => {
    const at = (now: number, minimumLife: number) =>
      words(machine.decide(state(phases.idle), now, { minimumLife })).includes("wait")

    assert.isFalse(at(750, 100_000))
    assert.isTrue(at(751, 100_000))
    assert.isFalse(at(2500, 500))
    assert.isTrue(at(2501, 500))
  })
})

// -----------------------------------------------------------------------------
// Properties
// -----------------------------------------------------------------------------

const instant = fc.integer({ min: 0, max: 10_000 })

const anyPhase: fc.Arbitrary<machine.Phase> = fc.oneof(
  fc.constantFrom<machine.Phase>(phases.idle, phases.renewing, phases.troubled, phases["signing out"]),
  instant.map((until): machine.Phase => ({ _tag: "Resting", until, error: failure }))
)

const anyHeld = fc.tuple(instant, instant, instant, instant).map((instants): machine.Held => {
  const [acquiredAt = 0, advisoryAt = 0, mandatoryAt = 0, expiresAt = 0] = instants.sort((a, b) => a - b)
  return { session, headers, acquiredAt, advisoryAt, mandatoryAt, expiresAt }
})

const anyState: fc.Arbitrary<machine.State> = fc.record({
  held: fc.option(anyHeld, { nil: undefined }),
  phase: anyPhase,
  rejected: fc.option(fc.constant(refusal), { nil: undefined, freq: 5 })
}, { noNullPrototype: true })

const anyDemand: fc.Arbitrary<machine.Demand> = fc.record({
  minimumLife: fc.option(instant, { nil: undefined }),
  force: fc.boolean()
}, { noNullPrototype: true })

const forAll = (check: (state: machine.State, now: number, demand: machine.Demand) => void) =>
  fc.assert(fc.property(anyState, instant, anyDemand, check), { numRuns: 1000 })

describe("in every state", () => {
  it("rule 1: no session is served that is over", () =>
    forAll((state, now, demand) => {
      const decision = machine.decide(state, now, demand)
      if (decision._tag === "Serve") assert.isBelow(now, decision.held.expiresAt + (demand.minimumLife === 0 ? 1 : 0))
    }))

  it("rule 2: nothing starts while an exchange is under way, or a sign-out", () =>
    forAll((state, now, demand) => {
      const decision = machine.decide(state, now, demand)
      if (state.phase._tag === "Renewing" || state.phase._tag === "SigningOut") {
        assert.isFalse("start" in decision && decision.start)
      }
    }))

  it("rule 4: who asks for no more than a session does not fail while there is one", () =>
    forAll((state, now) => {
      const { held } = state
      if (held !== undefined && now < held.expiresAt && state.phase._tag !== "SigningOut") {
        const decision = machine.decide(state, now, {})
        assert.notStrictEqual(decision._tag, "Fail")
        if (now < held.mandatoryAt) assert.strictEqual(decision._tag, "Serve")
        if (decision._tag === "Wait") assert.isTrue(decision.orTrouble)
      }
    }))

  it("rule 5: nothing starts before a rest is over", () =>
    forAll((state, now, demand) => {
      if (state.phase._tag !== "Resting" || now >= state.phase.until) return
      const decision = machine.decide(state, now, demand)
      assert.isFalse("start" in decision && decision.start)
      assert.notStrictEqual(decision._tag, "Wait")
    }))

  it("rule 9: nobody is served a session that is being ended", () =>
    forAll((state, now, demand) => {
      const ending = machine.signingOut(state)
      assert.strictEqual(machine.decide(ending, now, demand)._tag, "WaitForSignOut")
      assert.isUndefined(machine.renewed(ending, held).held)
      assert.isUndefined(machine.signedOut(machine.renewed(ending, held)).held)
    }))

  it("rule 10: nothing starts once the credentials were refused", () =>
    forAll((state, now, demand) => {
      const decision = machine.decide(machine.rejected(state, refusal), now, demand)
      assert.isFalse("start" in decision && decision.start)
    }))

  it("who may wait for an exchange that nobody has started, starts it", () =>
    forAll((state, now, demand) => {
      const decision = machine.decide(state, now, demand)
      if (decision._tag === "Wait") assert.strictEqual(decision.start, state.phase._tag !== "Renewing")
    }))

  it("a session that serves a demand has served it before, and every smaller one", () =>
    fc.assert(fc.property(anyHeld, instant, instant, instant, instant, (held, a, b, c, d) => {
      const [earlier, later] = [Math.min(a, b), Math.max(a, b)]
      const [less, more] = [Math.min(c, d), Math.max(c, d)]
      if (machine.suffices(held, later, { minimumLife: more })) {
        assert.isTrue(machine.suffices(held, earlier, { minimumLife: more }))
        assert.isTrue(machine.suffices(held, later, { minimumLife: less }))
      }
      if (machine.suffices(held, later, {})) assert.isTrue(machine.suffices(held, earlier, {}))
    })))

  it("is due when a caller would start a renewal, and not before", () =>
    forAll((state, now) => {
      const due = machine.dueAt(state)
      const decision = machine.decide(state, now, {})
      if (due !== undefined) assert.strictEqual("start" in decision && decision.start, now >= due)
    }))
})

describe("hold", () => {
  const policy = fc.record({
    advisory: fc.integer({ min: 0, max: 600 }),
    mandatory: fc.integer({ min: 0, max: 120 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true })
  }).map(({ advisory, jitter, mandatory }) =>
    RefreshPolicy.standard.pipe(
      RefreshPolicy.withAdvisoryWindow(Duration.seconds(advisory)),
      RefreshPolicy.withMandatoryWindow(Duration.seconds(mandatory)),
      RefreshPolicy.withJitter(jitter)
    )
  )
  const life = fc.integer({ min: 2, max: 7200 }).map((seconds) => seconds * 1000)
  const random = fc.double({ min: 0, max: 1, noNaN: true })

  const hold = (life: number, policy: RefreshPolicy.RefreshPolicy, random: number, left = life) =>
    machine.hold({ session: makeSession(life), headers }, { now: 5000, life: left, policy, random })

  it("puts the standard windows of an hour five minutes and half a minute before the end", () => {
    const { acquiredAt, advisoryAt, expiresAt, mandatoryAt } = hold(3_600_000, RefreshPolicy.standard, 0)

    assert.deepStrictEqual([acquiredAt, advisoryAt, mandatoryAt, expiresAt], [5000, 3_305_000, 3_575_000, 3_605_000])
  })

  it("shortens the advisory window by up to a fifth", () => {
    assert.strictEqual(hold(3_600_000, RefreshPolicy.standard, 1).advisoryAt, 3_365_000)
    assert.strictEqual(hold(3_600_000, RefreshPolicy.standard, 0.5).advisoryAt, 3_335_000)
  })

  it("shrinks both windows alike for a token of two minutes", () => {
    const { advisoryAt, expiresAt, mandatoryAt } = hold(120_000, RefreshPolicy.standard, 0)

    assert.deepStrictEqual([expiresAt - advisoryAt, expiresAt - mandatoryAt], [24_000, 2400])
  })

  it("counts a session's life from when it came, however much is left", () => {
    const { expiresAt, mandatoryAt } = hold(3_600_000, RefreshPolicy.standard, 0, 60_000)

    assert.deepStrictEqual([expiresAt, mandatoryAt], [65_000, 35_000])
  })

  it("goes by what is left of a new session, and by the whole of one that others have used for long", () => {
    const windows = (left: number) => {
      const { advisoryAt, expiresAt, mandatoryAt } = hold(2000, RefreshPolicy.standard, 0, left)
      return [expiresAt - advisoryAt, expiresAt - mandatoryAt]
    }

    assert.deepStrictEqual(windows(1500), [300, 30])
    assert.deepStrictEqual(windows(2500), [400, 40])
    assert.deepStrictEqual(windows(1000), [400, 40])
  })

  it("keeps each window within a fifth of the token's life, and in order", () =>
    fc.assert(fc.property(life, policy, random, (life, policy, random) => {
      const { advisoryAt, expiresAt, mandatoryAt } = hold(life, policy, random)

      assert.strictEqual(expiresAt, 5000 + life)
      assert.isAtMost(advisoryAt, mandatoryAt)
      assert.isAtMost(mandatoryAt, expiresAt)
      // Not exactly: these are divisions.
      assert.isAtLeast(advisoryAt, expiresAt - life / 5 - 0.001)
      assert.isAtLeast(mandatoryAt, expiresAt - Duration.toMillis(policy.mandatoryWindow) - 0.001)
    })))
})

describe("transitions", () => {
  const others: ReadonlyArray<keyof typeof phases> = ["idle", "resting", "rested", "signing out"]

  it("begin, are troubled, and end with a session", () => {
    const begun = machine.started(state(phases.idle))
    const shaken = machine.troubled(begun)
    const next = { ...held, expiresAt: 5000 }

    assert.deepStrictEqual(begun, state(phases.renewing))
    assert.deepStrictEqual(shaken, state(phases.troubled))
    assert.deepStrictEqual(machine.renewed(shaken, next), state(phases.idle, { held: next }))
  })

  it("end with a rest when an exchange fails, and keep the session", () => {
    assert.deepStrictEqual(machine.failed(state(phases.troubled), 9000, failure), state(phases.resting))
  })

  it("forget the session when somebody else has signed out", () => {
    assert.deepStrictEqual(
      machine.signedOutElsewhere(state(phases.renewing)),
      state(phases.idle, { held: undefined })
    )
  })

  it("keep the session when the credentials are refused, and the sign-out when there is one", () => {
    assert.deepStrictEqual(
      machine.rejected(state(phases.renewing), refusal),
      state(phases.idle, { rejected: refusal })
    )
    assert.deepStrictEqual(machine.rejected(state(phases["signing out"]), refusal).phase, phases["signing out"])
  })

  for (const phase of others) {
    it(`of an exchange change nothing in phase ${phase}`, () => {
      const before = state(phases[phase])

      assert.strictEqual(machine.troubled(before), before)
      assert.strictEqual(machine.renewed(before, { ...held, expiresAt: 5000 }), before)
      assert.strictEqual(machine.failed(before, 1, failure), before)
      assert.strictEqual(machine.signedOutElsewhere(before), before)
    })
  }

  it("end a session and keep what is known of the credentials", () => {
    const ending = machine.signingOut(state(phases.troubled, { rejected: refusal }))

    assert.deepStrictEqual(ending, { held: undefined, phase: phases["signing out"], rejected: refusal })
    assert.deepStrictEqual(machine.signedOut(ending), { held: undefined, phase: phases.idle, rejected: refusal })
  })

  it("let a session that the API refused end at once, and keep it for its refresh token", () => {
    const { held: after } = machine.invalidated(state(phases.idle), session, 700)

    assert.deepStrictEqual(after, { ...held, advisoryAt: 700, mandatoryAt: 700, expiresAt: 700 })
  })

  it("do not heed that an older session was refused, or one that is over, or none", () => {
    const now = state(phases.idle)
    const nothing = state(phases.idle, { held: undefined })

    assert.strictEqual(machine.invalidated(now, makeSession(3_600_000, 2), 700), now)
    assert.strictEqual(machine.invalidated(now, session, 3000), now)
    assert.notStrictEqual(machine.invalidated(now, session, 2999), now)
    assert.strictEqual(machine.invalidated(nothing, session, 700), nothing)
  })

  it("begin with nothing in hand", () => {
    assert.deepStrictEqual(machine.initial(undefined), state(phases.idle, { held: undefined }))
    assert.strictEqual(machine.initial(refusal).rejected, refusal)
  })
})

describe("dueAt", () => {
  it("is the advisory window, or the end of a rest if that is later", () => {
    assert.strictEqual(machine.dueAt(state(phases.idle)), 1000)
    assert.strictEqual(machine.dueAt(state(phases.resting)), 9000)
    assert.strictEqual(machine.dueAt(state(phases.rested)), 1000)
  })

  it("is never while there is something under way, or nothing to renew", () => {
    for (const phase of ["renewing", "troubled", "signing out"] as const) {
      assert.isUndefined(machine.dueAt(state(phases[phase])))
    }
    assert.isUndefined(machine.dueAt(state(phases.idle, { held: undefined })))
    assert.isUndefined(machine.dueAt(state(phases.idle, { rejected: refusal })))
  })
})
