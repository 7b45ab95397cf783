import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { isIP } from "node:net"

/**
 * Where a request comes from. Each proxy in front adds to `X-Forwarded-For` whom it heard, so of the header just as many
 * entries can be believed.
 */
export const sourceOf = (request: HttpServerRequest, proxies: number): string | undefined => {
  const forwarded = (request.headers["x-forwarded-for"] ?? "").split(",").map((entry) => entry.trim())
  const heard = proxies > 0 ? forwarded.at(-proxies) : undefined
  return heard !== undefined && isIP(heard) !== 0 ? heard : Option.getOrUndefined(request.remoteAddress)
}

/**
 * The same as far as limits go: an IPv4 address, or the first half of an IPv6 one, since whoever has one such address has
 * all that share it. Loopback, and what has no address, is "": this machine, whoever uses it.
 */
export const addressOf = (request: HttpServerRequest, proxies: number): string =>
  simplify(sourceOf(request, proxies) ?? "")

const simplify = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  const host = mapped ?? address
  if (host === "::1" || host.startsWith("127.")) return ""
  return isIP(host) === 6 ? prefix(host) : host
}

/** The first four groups, written out. */
const prefix = (address: string): string => {
  const [head = "", tail] = address.split("::")
  const before = head.split(":").filter((group) => group !== "")
  const after = tail?.split(":") ?? []
  const zeros = tail === undefined
    ? []
    : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0")
  return [...before, ...zeros, ...after].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":")
}
