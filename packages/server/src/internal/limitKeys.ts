import { sha256 } from "./sha256.ts"

/**
 * What the keys of a tenant's counts begin with, and no other's. The hash of the name, since a name may hold anything: a
 * colon, or what a pattern of SQL takes for a joker.
 */
export const prefixOf = (tenant: string): string => `${sha256(tenant)}:`

/** Of the name that somebody gave, in the table of lockouts. A user who exists has a `sub` there, which is no hash. */
export const nobodyOf = (tenant: string, mark: string): string => `?${prefixOf(tenant)}${mark}`

/** The tenant's, in the table of rate limits. */
export const bucketsOf = (tenant: string): string => `bucket:${prefixOf(tenant)}%`

/** Those of nobody, in the table of lockouts. */
export const nobodiesOf = (tenant: string): string => nobodyOf(tenant, "%")
