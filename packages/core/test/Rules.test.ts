import { describe, it } from "@effect/vitest"
import { holds, interleavingsHold, interruptionChangesNothing } from "./support/programs.ts"

// What must always hold, by the numbers of the design. The programs are random, the authority judges what it receives,
// and all happens in virtual time. `TENOVOS_LONG_RUN=1` makes the programs longer, and twenty times as many; a failure
// prints seed and path, and `TENOVOS_REPLAY=seed:path` with the title of the test runs it again.

const patience = 1_800_000

describe("in random programs", () => {
  it("rule 1: no request leaves with an access token that has ended, whatever the clocks", () =>
    holds({
      rules: [1],
      runs: 60,
      weights: { time: 12, jump: 8, request: 4, delay: 3, outage: 3, forbid: 0, password: 0, month: 0 }
    }), patience)

  it(
    "rule 2: at most one exchange is under way",
    () => holds({ rules: [2], runs: 30, weights: { burst: 8, delay: 4, signOut: 3, interrupt: 4, revokeAccess: 3 } }),
    patience
  )

  it("rule 3: a new refresh token is stored before anybody sees the session, and used from then on", () =>
    holds({
      rules: [3],
      runs: 40,
      weights: { rotation: 4, answers: 4, storeFails: 3, storeSlow: 3, reopen: 4, lost: 2, delay: 2 }
    }), patience)

  it(
    "rule 4: while the access token is good nobody fails or waits because its renewal fails",
    () =>
      holds({
        rules: [4],
        runs: 50,
        weights: { outage: 8, time: 12, sessionCall: 8, heal: 2, revokeRefresh: 3, password: 3 }
      }),
    patience
  )

  it(
    "rule 5: the attempts in an outage depend on the policy and the time, not on who asks",
    () => holds({ rules: [5], runs: 40, weights: { outage: 8, time: 12, burst: 8, heal: 1, lost: 2 } }),
    patience
  )

  it(
    "rule 6: an exchange is neither given up nor lost because callers are, and nothing is left at the end",
    () => holds({ rules: [6], runs: 30, weights: { interrupt: 10, delay: 4, signOut: 3, reopen: 3 } }),
    patience
  )

  it(
    "rule 6: to the authority it makes no difference whether callers give up",
    () => interruptionChangesNothing(20),
    patience
  )

  it("rule 8: a request is sent again at most once, after a 401, and renewals have a reason", () =>
    holds({
      rules: [8],
      runs: 40,
      weights: { request: 10, burst: 4, revokeAccess: 6, slowResources: 3, forbid: 3, delay: 3 }
    }), patience)

  it("rule 9: after a sign-out its session is neither used nor renewed", () =>
    holds({
      rules: [9],
      runs: 40,
      weights: { signOut: 8, request: 6, delay: 3, storeFails: 2, storeSlow: 2, slowResources: 2 }
    }), patience)

  it(
    "rule 10: credentials are not given without need, and not again once refused",
    () =>
      holds({ rules: [10], runs: 40, weights: { password: 6, revokeRefresh: 4, signOut: 2, month: 2, rotation: 2 } }),
    patience
  )

  it(
    "rule 11: the headers go to no other origin",
    () => holds({ rules: [11], runs: 10, weights: { request: 12 } }),
    patience
  )

  it("all rules hold together", () => holds({ rules: [], runs: 60 }), patience)

  it(
    "all rules hold for every interleaving of callers, sign-outs, closings and the exchange",
    () => interleavingsHold(40),
    patience
  )
})
