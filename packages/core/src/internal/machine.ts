import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Headers from "effect/http/Headers"
import type { AuthError } from "../AuthError.ts"
import type { RefreshPolicy } from "../RefreshPolicy.ts"
import type { Session } from "../Session.ts"

// The life of a session as pure functions. `now` and all instants are steady milliseconds, which never run backwards and
// never slower than time. Nothing here waits, sends or fails: the keeper does what is decided here.

/** A session in hand, and until when it may be used. */
export interface Held {
  readonly session: Session
  /** The headers that authenticate a request, built once. */
  readonly headers: Headers.Headers
  readonly acquiredAt: number
  /** From here on a renewal may begin in the background. */
  readonly advisoryAt: number
  /** From here on callers wait for the renewal. */
  readonly mandatoryAt: number
  /** From here on the authority refuses the access token. */
  readonly expiresAt: number
}

export type Phase =
  | { readonly _tag: "Idle" }
  /** An exchange is under way; `troubled` once an attempt has failed. */
  | { readonly _tag: "Renewing"; readonly troubled: boolean }
  /** An exchange has failed, and the next one may not begin before `until`. */
  | { readonly _tag: "Resting"; readonly until: number; readonly error: AuthError }
  /** The session is being ended. */
  | { readonly _tag: "SigningOut" }

export interface State {
  readonly held: Held | undefined
  readonly phase: Phase
  /** The credentials were refused, for good. */
  readonly rejected: AuthError | undefined
}

const idle: Phase = { _tag: "Idle" }

export const initial = (rejected: AuthError | undefined): State => ({ held: undefined, phase: idle, rejected })

// -----------------------------------------------------------------------------
// Decisions
// -----------------------------------------------------------------------------

/** What a caller asks for. */
export interface Demand {
  /** Milliseconds that the access token must at least live on. */
  readonly minimumLife?: number | undefined
  /** Whether only the session of a renewal that has yet to end will do. */
  readonly force?: boolean | undefined
}

export type Decision =
  | {
    readonly _tag: "Serve"
    readonly held: Held
    readonly reason: "Cached" | "Renewing" | "Stale"
    /** Whether it falls to this caller to start a renewal in the background. */
    readonly start: boolean
  }
  | {
    readonly _tag: "Wait"
    /** Whether it falls to this caller to start the exchange. */
    readonly start: boolean
    /** Whether the wait also ends when an attempt fails. */
    readonly orTrouble: boolean
  }
  | { readonly _tag: "WaitForSignOut" }
  | { readonly _tag: "Fail"; readonly error: AuthError }

/** What to do for a caller who asks now. */
export const decide = ({ held, phase, rejected }: State, now: number, demand: Demand): Decision => {
  if (phase._tag === "SigningOut") return { _tag: "WaitForSignOut" }
  const asked = demand.force === true ? undefined : held
  if (asked !== undefined && suffices(asked, now, demand)) {
    const resting = rejected !== undefined || phase._tag === "Resting" && now < phase.until
    const renewing = phase._tag === "Renewing"
    return {
      _tag: "Serve",
      held: asked,
      reason: resting || renewing && phase.troubled ? "Stale" : renewing ? "Renewing" : "Cached",
      start: !resting && !renewing && now >= asked.advisoryAt
    }
  }
  // While the access token lives, a renewal that fails troubles nobody who did not ask for more.
  const alive = asked !== undefined && demand.minimumLife === undefined && now < asked.expiresAt ? asked : undefined
  const stale = alive && { _tag: "Serve", held: alive, reason: "Stale", start: false } as const
  if (rejected !== undefined) return stale ?? { _tag: "Fail", error: rejected }
  if (phase._tag === "Resting" && now < phase.until) return stale ?? { _tag: "Fail", error: phase.error }
  if (phase._tag === "Renewing") {
    return phase.troubled && stale ? stale : { _tag: "Wait", start: false, orTrouble: alive !== undefined }
  }
  return { _tag: "Wait", start: true, orTrouble: alive !== undefined }
}

/**
 * Whether a session meets a demand. One for more than three quarters of a token's life counts as three quarters, or it
 * would be renewed without end.
 */
export const suffices = (held: Held, now: number, { minimumLife }: Demand): boolean =>
  minimumLife === undefined
    ? now < held.mandatoryAt
    : now <= held.expiresAt - Math.min(minimumLife, (held.expiresAt - held.acquiredAt) * 0.75)

/** When the next renewal may begin without anybody asking, if there is one to wait for. */
export const dueAt = ({ held, phase, rejected }: State): number | undefined =>
  held === undefined || rejected !== undefined || phase._tag === "Renewing" || phase._tag === "SigningOut"
    ? undefined
    : phase._tag === "Resting"
    ? Math.max(phase.until, held.advisoryAt)
    : held.advisoryAt

// -----------------------------------------------------------------------------
// Transitions
// -----------------------------------------------------------------------------

/** A session comes into hand, by whatever way, with this many milliseconds to live. */
export const hold = (
  { headers, session }: Pick<Held, "headers" | "session">,
  options: {
    readonly now: number
    readonly life: number
    readonly policy: RefreshPolicy
    /** From 0 to 1. */
    readonly random: number
  }
): Held => {
  const { life, now, policy, random } = options
  const advisoryWindow = Duration.toMillis(policy.advisoryWindow)
  const stated = DateTime.toEpochMillis(session.expiresAt) - DateTime.toEpochMillis(session.issuedAt)
  // The issue may be stamped with a second that had nearly passed. What is left says more, unless it is left of a session
  // that others have used for long.
  const longest = (life > stated / 2 ? Math.min(life, stated) : stated) / 5
  const scale = Math.min(1, longest / Math.max(1, advisoryWindow))
  const expiresAt = now + life
  const mandatoryAt = expiresAt - Math.min(longest, Duration.toMillis(policy.mandatoryWindow) * scale)
  const advisoryAt = expiresAt - advisoryWindow * scale * (1 - policy.jitter * random)
  return { session, headers, acquiredAt: now, expiresAt, mandatoryAt, advisoryAt: Math.min(advisoryAt, mandatoryAt) }
}

export const started = (state: State): State => ({ ...state, phase: { _tag: "Renewing", troubled: false } })

export const troubled = (state: State): State =>
  state.phase._tag === "Renewing" ? { ...state, phase: { _tag: "Renewing", troubled: true } } : state

/** A sign-out that began meanwhile wins: the session of the exchange does not come into hand. */
export const renewed = (state: State, held: Held): State =>
  state.phase._tag === "Renewing" ? { ...state, held, phase: idle } : state

export const failed = (state: State, until: number, error: AuthError): State =>
  state.phase._tag === "Renewing" ? { ...state, phase: { _tag: "Resting", until, error } } : state

/** Somebody who shares the store has signed out. */
export const signedOutElsewhere = (state: State): State =>
  state.phase._tag === "Renewing" ? { ...state, held: undefined, phase: idle } : state

/** A session that could not be stored gives way to what others have stored since. A sign-out that began is past that. */
export const replaced = (state: State, session: Session, held: Held | undefined): State =>
  state.held?.session === session ? { ...state, held } : state

export const rejected = (state: State, error: AuthError): State => ({
  ...state,
  phase: state.phase._tag === "SigningOut" ? state.phase : idle,
  rejected: error
})

/** The API refused this session's access token. Its refresh token may still be good. */
export const invalidated = (state: State, session: Session, now: number): State => {
  const { held } = state
  return held === undefined || held.session.generation !== session.generation || now >= held.expiresAt
    ? state
    : { ...state, held: { ...held, advisoryAt: now, mandatoryAt: now, expiresAt: now } }
}

export const signingOut = (state: State): State => ({ ...state, held: undefined, phase: { _tag: "SigningOut" } })

export const signedOut = (state: State): State => ({ ...state, held: undefined, phase: idle })
