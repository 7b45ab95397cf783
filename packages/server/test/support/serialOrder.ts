// Whether what concurrent callers saw could have happened one call at a time, in some order that contradicts no clock:
// a call that ended before another began comes first. The authority that the calls are replayed on is as plain as its rules.

export interface Rules {
  readonly refreshAnswer: "repeats" | "replaces" | "omits"
  readonly isStrict: boolean
  /** In milliseconds. */
  readonly grace: number
  /** In milliseconds after the sign-in. */
  readonly refreshTokenLife: number
}

/** When a call began and ended, counted in events, and by the authority's clock. */
interface When {
  readonly start: number
  readonly end: number
  readonly now: number
  readonly until: number
}

interface AccessToken {
  readonly value: string
  /** In milliseconds. */
  readonly expiresAt: number
}

export type Call =
  & When
  & (
    | {
      readonly kind: "refresh"
      readonly shown: string
      /** The refresh token that is good from now on, as far as the answer tells. */
      readonly outcome: "refused" | "lost" | { readonly refreshToken: string | undefined }
    }
    | { readonly kind: "expire"; readonly shown: AccessToken; readonly outcome: "refused" | "lost" | "ended" }
    | { readonly kind: "verify"; readonly shown: AccessToken; readonly outcome: "refused" | "lost" | "good" }
  )

interface State {
  readonly current: string
  readonly parent: string | undefined
  readonly rotatedAt: number
  /** Each refresh token that was replaced. */
  readonly retired: ReadonlyArray<string>
  readonly isRevoked: boolean
  readonly denied: ReadonlyArray<string>
}

export const isExplained = (calls: ReadonlyArray<Call>, signedIn: string, rules: Rules): boolean => {
  const search = (state: State, left: ReadonlyArray<Call>): boolean => {
    if (left.length === 0) return true
    const firstEnd = Math.min(...left.map(({ end }) => end))
    return left.some((call) =>
      call.start <= firstEnd &&
      after(state, call, rules).some((next) => search(next, left.filter((other) => other !== call)))
    )
  }
  const state = {
    current: signedIn,
    parent: undefined,
    rotatedAt: 0,
    retired: [],
    isRevoked: false,
    denied: []
  }
  return search(state, calls)
}

/** What the state may be after the call: nothing, when the call can't have seen what it saw. */
const after = (state: State, call: Call, rules: Rules): ReadonlyArray<State> => {
  if (call.outcome === "lost") return [state, ...afterLost(state, call, rules)]
  switch (call.kind) {
    case "verify":
      return (call.outcome === "good") === isGood(state, call.shown, call.now) ? [state] : []
    case "expire": {
      const ends = isGood(state, call.shown, call.now)
      const isRight = (call.outcome === "ended") === ends || call.outcome === "ended" && isForgotten(state, call, rules)
      if (!isRight) return []
      return [ends ? expired(state, call.shown, rules) : state]
    }
    case "refresh": {
      const { outcome } = call
      const right = judge(state, call, rules)
      if (outcome === "refused") return right === "refused" ? [refused(state, call, rules)] : []
      if (right === "refused") return []
      if (rules.refreshAnswer === "omits") return outcome.refreshToken === undefined ? [state] : []
      const { refreshToken } = outcome
      if (refreshToken === undefined) return []
      if (right === "replaced") return isKnown(state, refreshToken) ? [] : [replaced(state, call, refreshToken)]
      if (refreshToken === state.current) return [state]
      // The child of a call whose answer was lost is seen here for the first time.
      return isUnseen(state.current) && !isKnown(state, refreshToken) ? [{ ...state, current: refreshToken }] : []
    }
  }
}

/** What a call has done whose answer nobody got. */
const afterLost = (state: State, call: Call, rules: Rules): ReadonlyArray<State> => {
  if (call.kind === "verify") return []
  if (call.kind === "expire") return isGood(state, call.shown, call.now) ? [expired(state, call.shown, rules)] : []
  const right = judge(state, call, rules)
  if (right === "refused") return [refused(state, call, rules)]
  return right === "replaced" ? [replaced(state, call, `${unseen}${call.start}`)] : []
}

const judge = (state: State, { now, shown }: When & { readonly shown: string }, rules: Rules) => {
  if (state.isRevoked || now >= rules.refreshTokenLife) return "refused"
  if (shown === state.current) return rules.refreshAnswer === "replaces" ? "replaced" : "repeated"
  return shown === state.parent && state.rotatedAt > now - rules.grace ? "repeated" : "refused"
}

const isGood = (state: State, token: AccessToken, now: number): boolean =>
  !state.isRevoked && now < token.expiresAt && !state.denied.includes(token.value)

/** That a token was ended is remembered as long as it would live; whoever ends it again meanwhile may be told so once more. */
const isForgotten = (
  state: State,
  { now, shown, until }: When & { readonly shown: AccessToken },
  rules: Rules
): boolean => rules.isStrict && state.denied.includes(shown.value) && now < shown.expiresAt && shown.expiresAt <= until

const expired = (state: State, token: AccessToken, rules: Rules): State =>
  rules.isStrict ? { ...state, denied: [...state.denied, token.value] } : { ...state, isRevoked: true }

const refused = (state: State, { now, shown }: When & { readonly shown: string }, rules: Rules): State => {
  const isReused = state.retired.includes(shown) && !(shown === state.parent && state.rotatedAt > now - rules.grace)
  return isReused ? { ...state, isRevoked: true } : state
}

const replaced = (state: State, { now, shown }: When & { readonly shown: string }, child: string): State => ({
  ...state,
  current: child,
  parent: shown,
  rotatedAt: now,
  retired: [...state.retired, shown]
})

const unseen = "unseen:"
const isUnseen = (token: string): boolean => token.startsWith(unseen)
const isKnown = (state: State, token: string): boolean => state.current === token || state.retired.includes(token)
