import * as Schema from "effect/Schema"
import { BlockList, isIP } from "node:net"

/**
 * Whether it is `localhost`, or an address in 127.0.0.0/8 or `::1`.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isLoopback = (host: string): boolean => {
  const version = isIP(host)
  return version === 0
    ? host.toLowerCase() === "localhost"
    : loopback.check(host, version === 4 ? "ipv4" : "ipv6")
}

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8)
loopback.addAddress("::1", "ipv6")

/**
 * A control plane was asked for on an address that others may reach.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotLoopback extends Schema.TaggedError<NotLoopback>("@effect-tenovos/server/ControlServer/NotLoopback")(
  "NotLoopback",
  { host: Schema.String }
) {
  override get message(): string {
    return `A control plane is only for loopback, and ${this.host || "an empty host"} is not`
  }
}
