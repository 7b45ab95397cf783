import { describe, it } from "@effect/vitest"
import { holds, interleavingsHold, interruptionChangesNothing } from "./support/programs.ts"

// What must always hold, by the numbers of the design. The programs are random, the authority judges what it receives,
// and all happens in virtual time. `TENOVOS_LONG_RUN=1` makes the programs longer, and twenty times as many; a failure
// prints seed and path, and `TENOVOS_REPLAY=seed:path` with the title of the test runs it again.

const patience = 1_800_000

describe("in random programs", { timeout: patience }, () => {
  it("rule 1: no request leaves with an access token that has ended, whatever the clocks", () =>
    holds({
      rules: [1],
      runs: 50,
      weights: {
        time: 8,
        edge: 8,
        jump: 6,
        jumpAmid: 3,
        staleToTheEnd: 4,
        reopenAtTheEnd: 2,
        request: 4,
        outage: 6,
        heal: 2,
        forbid: 0,
        password: 0,
        month: 0
      }
    }))

  it("rule 2: at most one exchange is under way", () =>
    holds({ rules: [2], runs: 30, weights: { burst: 8, delay: 4, signOut: 3, interrupt: 4, revokeAccess: 3 } }))

  it("rule 3: a new refresh token is stored before anybody sees the session, and used from then on", () =>
    holds({
      rules: [3],
      runs: 40,
      weights: { rotation: 4, answers: 4, storeFails: 3, storeSlow: 4, reopen: 6, lost: 2, delay: 2 }
    }))

  it("rule 4: while the access token is good nobody fails or waits because its renewal fails", () =>
    holds({
      rules: [4],
      runs: 50,
      weights: { outage: 8, time: 12, sessionCall: 8, heal: 2, revokeRefresh: 3, password: 3, refusedAtTheEnd: 3 }
    }))

  it("rule 5: the attempts in an outage depend on the policy and the time, not on who asks", () =>
    holds({ rules: [5], runs: 30, weights: { outage: 6, throttle: 4, time: 12, burst: 8, heal: 1, lost: 2 } }))

  it("rule 5: when a schedule has given up nothing is tried for a rest, and each is longer", () =>
    holds({
      rules: [5],
      runs: 20,
      settings: { policy: "no retry, kept fresh" },
      weights: { outage: 6, throttle: 3, time: 16, sessionCall: 10, heal: 1, signOut: 0, reopen: 0 }
    }))

  it("rule 6: an exchange is neither given up nor lost because callers are, and nothing is left at the end", () =>
    holds({ rules: [6], runs: 30, weights: { interrupt: 10, delay: 4, signOut: 3, reopen: 3 } }))

  it("rule 6: to the authority it makes no difference whether callers give up", () => interruptionChangesNothing(20))

  it("rule 8: a request is sent again at most once, after a 401, and renewals have a reason", () =>
    holds({
      rules: [8],
      runs: 40,
      weights: { request: 10, burst: 4, revokeAccess: 4, refuse: 4, slowResources: 3, forbid: 3, delay: 3 }
    }))

  it("rule 9: after a sign-out its session is neither used nor renewed", () =>
    holds({
      rules: [9],
      runs: 40,
      weights: { signOut: 10, request: 6, delay: 3, storeFails: 5, storeSlow: 2, slowResources: 2, reopen: 0 }
    }))

  it("rule 10: credentials are not given without need, and not again once refused", () =>
    holds({
      rules: [10],
      runs: 40,
      weights: { password: 3, revokeRefresh: 2, month: 2, answers: 8, time: 20, storeFails: 0, signOut: 0 }
    }))

  it("rule 11: the headers go to no other origin", () => holds({ rules: [11], runs: 10, weights: { request: 12 } }))

  it("all rules hold together", () => holds({ rules: [], runs: 60 }))

  it("all rules hold for every interleaving of callers, sign-outs, closings and the exchange", () =>
    interleavingsHold(40))
})
