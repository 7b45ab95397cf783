import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomUUID } from "node:crypto"
import type { Authority } from "../Authority.ts"
import type { Limits } from "../Limits.ts"
import type { Passwords } from "../Passwords.ts"
import { currentMillis } from "./commonClock.ts"
import type * as decisions from "./decisions.ts"
import type * as rows from "./rows.ts"
import { sha256 } from "./sha256.ts"
import { defaultTenant } from "./tenant.ts"

type Accounts = Pick<
  Authority["Service"],
  "tenantOf" | "addApiKey" | "addUser" | "setDisabled" | "lock" | "unlock" | "count" | "addFirst"
>

/** Who there is: API keys and users, and what is done with them from outside of the contract. */
export const make = ({ accept, db, limits, passwords }: {
  readonly accept: ReturnType<typeof decisions.make>["accept"]
  readonly db: rows.Rows
  readonly limits: Limits["Service"]
  readonly passwords: Passwords["Service"]
}): Accounts => {
  const tenantOf: Accounts["tenantOf"] = (apiKey) => Effect.suspend(() => db.tenantOf(sha256(Redacted.value(apiKey))))

  const addApiKey: Accounts["addApiKey"] = Effect.fn("Authority.addApiKey")(
    function*(apiKey, options) {
      const hash = sha256(Redacted.value(apiKey))
      const tenant = options?.tenant ?? defaultTenant
      const created_at = yield* currentMillis
      yield* accept(
        Effect.zipWith(
          db.tenantOf(hash),
          db.upsertApiKey({ hash, tenant, created_at }),
          (before, isChanged) => isChanged ? Option.some(Option.isSome(before) ? "moved" : "added") : Option.none()
        ),
        Option.map((reason) => ({ event: "api-key", reason, tenant }))
      )
    }
  )

  const addUser: Accounts["addUser"] = Effect.fn("Authority.addUser")(
    function*({ email, password, tenant = defaultTenant, username }) {
      const existing = yield* db.userByName({ tenant, username })
      // A new hash of the same password would be another row: a seed that is applied twice changes nothing.
      const kept = Option.isSome(existing) && !passwords.needsRehash(existing.value.passwordHash) &&
          (yield* passwords.verify(Option.some(existing.value.passwordHash), password))
        ? existing.value.passwordHash
        : yield* passwords.hash(password)
      const sub = randomUUID()
      const row = { sub, tenant, username, email: email ?? null, password_hash: kept, created_at: yield* currentMillis }
      yield* accept(
        db.upsertUser(row),
        Option.map((subject) => ({
          event: "user",
          reason: subject === sub ? "added" : "changed",
          tenant,
          username,
          subject
        }))
      )
    }
  )

  const setDisabled: Accounts["setDisabled"] = Effect.fn("Authority.setDisabled")(
    (user, isDisabled) =>
      accept(
        db.setDisabled({ ...user, disabled: isDisabled ? 1 : 0 }),
        (isKnown) => isKnown ? Option.some(lockOf(user, isDisabled ? "disabled" : "enabled")) : Option.none()
      )
  )

  const ifUser = (
    user: { readonly tenant: string; readonly username: string },
    reason: "locked" | "unlocked",
    act: (sub: string) => Effect.Effect<void>
  ) =>
    accept(
      Effect.flatMap(
        db.userByName(user),
        (found) => Effect.transposeOption(Option.map(found, ({ sub }) => Effect.as(act(sub), sub)))
      ),
      Option.map((subject) => ({ ...lockOf(user, reason), subject }))
    ).pipe(Effect.map(Option.isSome))

  const lock: Accounts["lock"] = Effect.fn("Authority.lock")(
    (user, duration) => ifUser(user, "locked", (sub) => limits.lock(sub, duration))
  )

  const unlock: Accounts["unlock"] = Effect.fn("Authority.unlock")(
    (user) => ifUser(user, "unlocked", limits.unlock)
  )

  const count = Effect.withSpan(db.count, "Authority.count")

  const addFirst: Accounts["addFirst"] = Effect.fn("Authority.addFirst")(
    function*({ apiKey, email, password, username }) {
      // Before the transaction, which keeps all others from the database.
      const password_hash = yield* passwords.hash(password)
      const created_at = yield* currentMillis
      const tenant = defaultTenant
      const subject = randomUUID()
      const insertion = db.insertFirst(
        { hash: sha256(Redacted.value(apiKey)), tenant, created_at },
        { sub: subject, tenant, username, email: email ?? null, password_hash, created_at }
      )
      const withKey = accept(insertion, Option.map(() => ({ event: "api-key", reason: "added", tenant })))
      return yield* accept(
        withKey,
        Option.map((username) => ({ event: "user", reason: "added", tenant, username, subject }))
      )
    }
  )

  return { tenantOf, addApiKey, addUser, setDisabled, lock, unlock, count, addFirst }
}

const lockOf = (
  user: { readonly tenant: string; readonly username: string },
  reason: string
) => ({ ...user, event: "lock", reason } as const)
