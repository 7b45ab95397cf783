import * as Context from "effect/Context"

/** The tenant of the request's API key. Outside of a request it is nobody's, since no tenant has an empty name. */
export const CurrentTenant: Context.Reference<string> = Context.Reference<string>(
  "@effect-tenovos/server/internal/tenant/CurrentTenant",
  { defaultValue: () => "" }
)

/**
 * The tenant of API keys and users that name none.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultTenant = "default"
