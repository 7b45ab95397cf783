import * as Flag from "effect/cli/Flag"

/** One that need not be given. */
export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.optional, Flag.withMetavar(metavar), Flag.withDescription(description))

export const onOff = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

/** Whose session. */
export const profile = text(
  "profile",
  "NAME",
  "Name of the account, of those that logged in. Defaults to TENOVOS_PROFILE, or to default."
)

export const json = (what: string) => onOff("json", `Say ${what} as one line of JSON.`)
