import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AuthError } from "../AuthError.ts"
import type { Credentials } from "../Credentials.ts"
import type { Session } from "../Session.ts"
import type { AuthState, Demand, Served } from "../TenovosAuth.ts"
import type * as machine from "./machine.ts"
import { secretHeaders } from "./secrecy.ts"

// What others ask of the keeper, and what they see of a session that is held.

export const toMachine = ({ forceRefresh, minimumLife }: Demand): machine.Demand => ({
  force: forceRefresh,
  minimumLife: minimumLife === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(minimumLife))
})

export const servedFrom = ({ headers, session }: machine.Held, reason: Served["reason"]): Served => ({
  session,
  headers,
  reason
})

/** A span of wall-clock time in which a session may be served without a second look. */
export interface Trusted {
  readonly from: number
  readonly until: number
  readonly value: Session
  readonly session: Effect.Effect<Session>
  readonly headers: Effect.Effect<Headers.Headers>
}

export const trust = ({ advisoryAt, headers, session }: machine.Held, wall: number, now: number): Trusted => ({
  from: wall,
  until: wall + Math.min(1000, advisoryAt - now),
  value: session,
  session: Effect.succeed(session),
  headers: Effect.succeed(headers)
})

export const isWithin = ({ from, until }: Trusted, wall: number): boolean => wall >= from && wall < until

export const headersOf = ({ accessToken, idToken }: Session, { apiKey }: Credentials): Headers.Headers =>
  secretHeaders(
    { "x-api-key": Redacted.value(apiKey), accesstoken: Redacted.value(accessToken) },
    idToken === undefined ? {} : { authorization: Redacted.value(idToken) }
  )

/** Why a session was served, or why none. */
export const outcomeOf = (exit: Exit.Exit<Served, AuthError>): string =>
  Exit.isSuccess(exit)
    ? exit.value.reason
    : Option.match(Exit.findErrorOption(exit), { onNone: () => "Interrupted", onSome: ({ reason }) => reason._tag })

export const view = ({ held, phase, rejected }: machine.State): AuthState =>
  phase._tag === "Renewing"
    ? { _tag: "Renewing", session: held?.session }
    : held !== undefined
    ? { _tag: "Active", session: held.session }
    : rejected !== undefined
    ? { _tag: "Rejected", error: rejected }
    : phase._tag === "Resting" && phase.error.reason._tag === "CredentialsRejected"
    ? { _tag: "Rejected", error: phase.error }
    : { _tag: "SignedOut" }
