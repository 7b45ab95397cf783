import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Audit } from "../Audit.ts"
import type { Profile, User } from "../Authority.ts"
import { type Caller, LimitExceeded, type Limits } from "../Limits.ts"
import type { Passwords } from "../Passwords.ts"
import * as decisions from "./decisions.ts"
import { maxPassword, maxUsername } from "./limits.ts"
import type * as rows from "./rows.ts"

const wrong = "Invalid Authentication Parameters"

/** Cognito's own texts tell who exists. */
const texts = {
  safe: { unknownUser: wrong, wrongPassword: wrong, locked: wrong, disabled: wrong },
  strict: {
    unknownUser: "User does not exist.",
    wrongPassword: "Incorrect username or password.",
    locked: "Password attempts exceeded",
    disabled: "User is disabled."
  }
}

/** Who may sign in, and what everybody else is told. */
export const make = ({ audit, db, limits, passwords, profile, refuse }: {
  readonly audit: Audit["Service"]
  readonly db: rows.Rows
  readonly limits: Limits["Service"]
  readonly passwords: Passwords["Service"]
  readonly profile: Profile
  readonly refuse: ReturnType<typeof decisions.make>["refuse"]
}) => {
  const text = texts[profile]

  /** Refuses a name that nobody has, or has any longer. */
  const refuseUnknown = ({ tenant, username }: Pick<Caller, "tenant" | "username">) =>
    refuse(text.unknownUser, { event: "sign-in", reason: "unknown user", tenant, givenName: username })

  /** The user whose name and password these are. */
  const admit = Effect.fnUntraced(function*(
    { password, ...caller }: Caller & { readonly password: Redacted.Redacted }
  ) {
    const { tenant, username } = caller
    const secret = Redacted.value(password)
    const refused = (reason: string, message: string, user?: User) =>
      refuse(message, {
        event: "sign-in",
        reason,
        tenant,
        givenName: username,
        ...(user === undefined ? {} : decisions.namesOf(user))
      })
    if (secret === "" && profile === "strict") {
      return yield* refused("empty password", "Missing required parameter PASSWORD")
    }
    // Refused without a hash: one of megabytes would be work that anybody can order.
    if (username.length > maxUsername) return yield* refused("too long", text.unknownUser)
    const isTooLong = Buffer.byteLength(secret) > maxPassword
    // What the strict profile says depends on the user, so there it goes on as a wrong one.
    if (isTooLong && profile === "safe") return yield* refused("too long", text.wrongPassword)
    const limited = (reason: string) =>
      audit.note({ event: "limit", outcome: "refused", reason, tenant, givenName: username })
    yield* Effect.tapError(limits.signIn(caller), () => limited("sign-ins"))
    const user = yield* db.candidate(caller)
    const matches = isTooLong
      ? Option.some(false)
      : yield* passwords.tryVerify(Option.map(user, (user) => user.passwordHash), password)
    if (Option.isNone(matches)) {
      yield* limited("passwords at once")
      return yield* new LimitExceeded({ retryAfter: Duration.seconds(1) })
    }
    // Whoever may not sign in goes the same way, so neither the answer nor its time tells why.
    const isDisabled = Option.exists(user, ({ disabled }) => disabled !== 0)
    const verdict = yield* limits.judge(caller, {
      sub: Option.map(user, ({ sub }) => sub),
      isRight: matches.value && !isDisabled && secret !== ""
    }).pipe(Effect.tapError(() => limited("sign-ins")))
    if (verdict === "lockedOut") {
      const whom = Option.match(user, { onNone: () => ({ givenName: username }), onSome: decisions.namesOf })
      yield* audit.note({ event: "lock", outcome: "accepted", reason: "failed sign-ins", tenant, ...whom })
    }
    if (Option.isNone(user)) return yield* refuseUnknown(caller)
    if (verdict === "locked") return yield* refused("locked", text.locked, user.value)
    if (isDisabled) return yield* refused("disabled", text.disabled, user.value)
    if (verdict !== "allowed") return yield* refused("wrong password", text.wrongPassword, user.value)
    if (passwords.needsRehash(user.value.passwordHash)) {
      // Or at the next sign-in.
      const to = yield* passwords.tryHash(password)
      if (Option.isSome(to)) {
        yield* db.replacePassword({ sub: user.value.sub, from: user.value.passwordHash, to: to.value })
      }
    }
    return user.value
  })

  return { admit, refuseUnknown }
}
