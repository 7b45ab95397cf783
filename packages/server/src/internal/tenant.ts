import * as Context from "effect/Context"

/** The tenant of the request's API key. Outside of a request it is nobody's, since no tenant has an empty name. */
export const CurrentTenant: Context.Reference<string> = Context.Reference<string>(
  "@effect-tenovos/server/internal/tenant/CurrentTenant",
  { defaultValue: () => "" }
)

/** Of API keys and users that name none. */
export const defaultTenant = "default"
