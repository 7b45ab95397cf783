import { Authority } from "@effect-tenovos/server"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { password } from "../fixtures/authority.ts"

/** A reason to refuse a sign-in: what is sent, and what makes it refused for that reason each time it is sent. */
export interface RefusedSignIn {
  readonly name: string
  readonly body: { readonly username: string; readonly password: string }
  readonly prepare: Effect.Effect<unknown>
}

/** Adds a user for each reason. Names and passwords are of one length. */
export const RefusedSignIns: Effect.Effect<ReadonlyArray<RefusedSignIn>, never, Authority.Authority> = Effect.gen(
  function*() {
    const authority = yield* Authority.Authority
    const tenant = Authority.defaultTenant
    for (const username of ["wrong1", "empty1", "locked", "disabl", "other1"]) {
      yield* authority.addUser({ username, password: Redacted.make(password) })
    }
    yield* authority.setDisabled({ tenant, username: "disabl" }, true)
    const wrong = "x".repeat(password.length)
    // Failures are forgotten by then, so each one is the first. Somebody is locked each time, since what was just written
    // is read faster or slower than what was written long ago.
    const lock = (username: string) =>
      Effect.andThen(TestClock.adjust("1 hour"), authority.lock({ tenant, username }, "1 minute"))
    const other = lock("other1")
    return [
      { name: "wrong", body: { username: "wrong1", password: wrong }, prepare: other },
      { name: "unknown", body: { username: "nobody", password: wrong }, prepare: other },
      { name: "empty", body: { username: "empty1", password: "" }, prepare: other },
      { name: "locked", body: { username: "locked", password }, prepare: lock("locked") },
      { name: "disabled", body: { username: "disabl", password }, prepare: other }
    ]
  }
)
