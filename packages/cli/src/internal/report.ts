import * as Session from "@effect-tenovos/core/Session"
import type { Stored } from "@effect-tenovos/core/SessionStore"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Account, Place } from "../Account.ts"

/** How it stands with an account's session, without its secrets: the shape of `--json`. */
export interface Report {
  readonly profile: string
  readonly endpointUrl: string
  readonly username: string | null
  /** `valid`; `renewable`, where only the access token is over; `over`; or `none`. */
  readonly session: "valid" | "renewable" | "over" | "none"
  readonly accessToken: Life | null
  readonly refreshToken: Life | null
  readonly store: { readonly folder: string; readonly encrypted: boolean }
}

interface Life {
  readonly expiresAt: string
  /** Zero when it is over. */
  readonly secondsLeft: number
}

export const make = (account: Account, place: Place, stored: Pick<Stored, "session">, now: DateTime.Utc): Report => {
  const session = Option.getOrUndefined(stored.session)
  const life = (expiresAt: DateTime.Utc, { clockOffset }: Session.Session): Life => ({
    expiresAt: DateTime.formatIso(expiresAt),
    secondsLeft: Math.max(
      0,
      Math.floor((expiresAt.epochMilliseconds - now.epochMilliseconds - Duration.toMillis(clockOffset)) / 1000)
    )
  })
  return {
    profile: account.profile,
    endpointUrl: session?.endpointUrl ?? account.endpointUrl,
    username: session?.username ?? Option.getOrNull(account.username),
    session: session === undefined
      ? "none"
      : !Session.isExpired(session, now)
      ? "valid"
      : Session.isRefreshable(session, now)
      ? "renewable"
      : "over",
    accessToken: session === undefined ? null : life(session.expiresAt, session),
    refreshToken: session === undefined
      ? null
      : Option.getOrNull(Option.map(Session.refreshTokenExpiresAt(session), (end) => life(end, session))),
    store: { folder: place.folder, encrypted: place.encrypted }
  }
}

export const toText = ({ accessToken, endpointUrl, profile, refreshToken, session, store, username }: Report): string =>
  [
    ["profile", profile],
    ["user", username ?? "unknown"],
    ["endpoint", endpointUrl],
    ["session", words[session]],
    ["access token", lifeText(accessToken)],
    ["refresh token", lifeText(refreshToken)],
    ["kept in", `${store.folder}, ${store.encrypted ? "encrypted" : "in plain text"}`]
  ].map(([name = "", value = ""]) => `${`${name}:`.padEnd(16)}${value}`).join("\n")

const words = {
  valid: "valid",
  renewable: "renewed by the next command",
  over: "over: run `tenovos login`",
  none: "none: run `tenovos login`"
}

const lifeText = (life: Life | null): string =>
  life === null
    ? "none"
    : life.secondsLeft === 0
    ? `over since ${life.expiresAt}`
    : `${Duration.format(Duration.seconds(life.secondsLeft))} left, until ${life.expiresAt}`
