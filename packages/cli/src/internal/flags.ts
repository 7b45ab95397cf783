import * as Flag from "effect/cli/Flag"

/** Whose session. */
export const profile = Flag.String("profile").pipe(
  Flag.optional,
  Flag.withMetavar("NAME"),
  Flag.withDescription("Name of the account, of those that logged in. Defaults to TENOVOS_PROFILE, or to default.")
)

export const json = (what: string) =>
  Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription(`Say ${what} as one line of JSON.`))
