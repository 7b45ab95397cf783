/**
 * The control plane of an authority, for tests: it moves the clock, so that a program in any language sees its tokens
 * expire without waiting. It stands at `/__control` of a server that was started with `dev`, and nowhere else.
 *
 * **Details**
 *
 * - `GET /__control/clock` answers `{ "now": "2026-01-01T00:00:00.000Z", "advanced": 0 }`: the time of the authority, in
 *   ISO 8601, and by how many milliseconds it is ahead of the real one.
 * - `POST /__control/clock` with `{ "advance": 3600000 }` moves it forward by as many milliseconds, and answers the same.
 *   A fraction of a millisecond is dropped.
 * - Refusals are `{ "message": "…" }`: 400 for any other body or `Content-Type`, and for a time after the year 9999; 403
 *   unless both the socket's other end and the `Host` header are loopback; 404 for any other path or method.
 *
 * Everything that the server says and decides follows: tokens, refresh tokens, the `Date` header. What waits doesn't: a
 * timeout lasts as long as before.
 *
 * **Gotchas**
 *
 * The clock never goes back. The shift is forgotten when the server stops, but a database in a file keeps the sessions
 * that were made under it.
 *
 * Only the server's own answers follow: who calls the `Authority` that `layerNode` gives does so under their own clock.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { BlockList, isIP } from "node:net"
import { readJson } from "./internal/body.ts"

/**
 * A clock that can be moved forward.
 *
 * @category models
 * @since 0.1.0
 */
export interface ControlledClock extends Clock.Clock {
  /** By how many whole milliseconds it is ahead of the clock that it wraps. */
  readonly advanced: Effect.Effect<number>
  /** Moves it forward by milliseconds. `false`, and not moved, when it would come after the year 9999. */
  readonly advance: (milliseconds: number) => Effect.Effect<boolean>
}

/**
 * The body of `POST /__control/clock`: milliseconds, from 0 on.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Advance = Schema.Struct({ advance: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)) })

/**
 * Wraps the current clock. Waiting and measuring stay as they are.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeClock: Effect.Effect<ControlledClock> = Effect.gen(function*() {
  const real = yield* Clock.Clock
  const shift = yield* Ref.make(0)

  const millis = () => real.currentTimeMillisUnsafe() + Ref.getUnsafe(shift)
  const nanos = () => real.currentTimeNanosUnsafe() + BigInt(Ref.getUnsafe(shift)) * 1_000_000n

  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: real.monotonicTimeNanos,
    sleep: (duration) => real.sleep(duration),
    advanced: Ref.get(shift),
    advance: Effect.fnUntraced(function*(milliseconds) {
      const now = yield* real.currentTimeMillis
      return yield* Ref.modify(shift, (before) => {
        const after = before + Math.floor(milliseconds)
        return now + after > endOfTime ? [false, before] : [true, after]
      })
    })
  }
})

/** The last moment that the `Date` header can tell, whose years have four digits. */
const endOfTime = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * The paths below `/__control`. They move this clock, which is to be provided to the application and to its server.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRoutes = (clock: ControlledClock): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const read = Effect.map(
      Effect.all([clock.currentTimeMillis, clock.advanced]),
      ([now, advanced]) => HttpServerResponse.jsonUnsafe({ now: new Date(now).toISOString(), advanced })
    )

    const advance = (request: HttpServerRequest) =>
      readJson(request, misunderstood).pipe(
        Effect.flatMap(decodeAdvance),
        Effect.matchEffect({
          onFailure: () => Effect.succeed(refusal(400, misunderstood)),
          onSuccess: (body) =>
            Effect.flatMap(clock.advance(body.advance), (isMoved) =>
              isMoved ? read : Effect.succeed(refusal(400, "The clock can't go past the year 9999")))
        })
      )

    yield* router.add("GET", "/__control/clock", fromLoopback(() => read))
    // A browser lets no page of another origin send JSON without asking first, and nothing here says yes.
    yield* router.add("POST", "/__control/clock", fromLoopback(advance))
  }))

const misunderstood = "Expected { \"advance\": milliseconds }, in JSON, with a finite number from 0 on"

const decodeAdvance = Schema.decodeUnknownEffect(Advance, { onExcessProperty: "error" })

const refusal = (status: number, message: string) => HttpServerResponse.jsonUnsafe({ message }, { status })

/** A page whose name was rebound to 127.0.0.1 reaches the socket from loopback, but sends its own name as `Host`. */
const fromLoopback =
  <E, R>(handle: (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  (request: HttpServerRequest): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> =>
    Option.exists(request.peerAddress, isLoopback) && isLoopback(nameOf(request.headers["host"] ?? ""))
      ? handle(request)
      : Effect.succeed(refusal(403, "The control plane is only for this machine, by a name of loopback"))

/** `localhost:4010` and `[::1]:4010` without the port. */
const nameOf = (host: string): string => {
  const [, inBrackets, name = ""] = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::\d*)?$/.exec(host) ?? []
  return inBrackets ?? name
}

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
export class NotLoopback extends Schema.TaggedError<NotLoopback>("@effect-tenovos/server/Control/NotLoopback")(
  "NotLoopback",
  { host: Schema.String }
) {
  override get message(): string {
    return `A control plane is only for loopback, and ${this.host || "an empty host"} is not`
  }
}
