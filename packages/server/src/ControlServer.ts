/**
 * The HTTP side of the control plane: `ControlApi` with its page at `/__control/docs`, and the inspector.
 *
 * Whoever asks must be on this machine, by the socket's other end and by the `Host` header, and if it is a browser, on a
 * page of this server: a page of another origin can neither read nor change anything.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Control } from "./Control.ts"
import * as ControlApi from "./ControlApi.ts"
import type { ControlledClock } from "./ControlClock.ts"
import * as ControlMessages from "./ControlMessages.ts"
import { Rule } from "./Fault.ts"
import * as Inspector from "./Inspector.ts"
import { readJson } from "./internal/body.ts"
import * as docsPage from "./internal/docsPage.ts"
import { isLoopback } from "./internal/loopback.ts"

/** The JSON of a body as this schema has it, and nothing more in it. */
const read = <S extends Schema.Constraint>(schema: S, misunderstood?: string) => {
  const decode = Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })
  return (request: HttpServerRequest.HttpServerRequest) =>
    readJson(request, misunderstood ?? "Expected JSON, and a Content-Type that says so").pipe(
      Effect.flatMap(decode),
      Effect.mapError(({ message }) => new ControlMessages.BadRequest({ message: misunderstood ?? message }))
    )
}

const readAdvance = read(
  ControlMessages.Advance,
  "Expected { \"advance\": milliseconds }, in JSON, with a finite number from 0 on"
)
const readRule = read(Rule)
const readWhich = read(ControlMessages.Which)
const readUserChange = read(ControlMessages.UserChange)
const readRotation = read(ControlMessages.Rotation)
const readSnapshot = read(ControlMessages.Snapshot)
const readTenant = read(ControlMessages.NewTenant)

const state = (clock: ControlledClock) =>
  Effect.map(
    Effect.all([clock.currentTimeMillis, clock.advanced]),
    ([now, advanced]) => ({ now: new Date(now).toISOString(), advanced })
  )

const layerClock = HttpApiBuilder.group(ControlApi.ControlApi, "clock", (handlers) =>
  handlers
    .handle("read", () => ControlApi.CurrentControls.use(({ clock }) => state(clock)))
    .handleRaw(
      "advance",
      Effect.fnUntraced(function*({ request }) {
        const { clock } = yield* ControlApi.CurrentControls
        const { advance } = yield* readAdvance(request)
        if (yield* clock.advance(advance)) return yield* state(clock)
        return yield* new ControlMessages.BadRequest({ message: "The clock can't go past the year 9999" })
      })
    ))

const layerFaults = HttpApiBuilder.group(ControlApi.ControlApi, "faults", (handlers) =>
  handlers
    .handle("active", () => ControlApi.CurrentControls.use(({ faults }) => faults.active))
    .handleRaw(
      "inject",
      Effect.fnUntraced(function*({ request }) {
        const { faults } = yield* ControlApi.CurrentControls
        return yield* faults.add(yield* readRule(request))
      })
    )
    .handle("clear", () => ControlApi.CurrentControls.use(({ faults }) => cleared(faults.clear())))
    .handle(
      "remove",
      ({ params }) => ControlApi.CurrentControls.use(({ faults }) => cleared(faults.clear(params.id)))
    ))

const cleared = Effect.map((cleared: number) => ({ cleared }))

const layerJournal = HttpApiBuilder.group(ControlApi.ControlApi, "journal", (handlers) =>
  handlers
    .handle("find", ({ query: { wait = 0, ...filter } }) =>
      ControlApi.CurrentControls.use(({ journal }) =>
        wait === 0 ? journal.find(filter) : journal.poll(filter, wait)
      ))
    .handle("counts", () => ControlApi.CurrentControls.use(({ journal }) => journal.counts))
    .handle("clear", () => ControlApi.CurrentControls.use(({ journal }) => Effect.as(journal.clear, {}))))

const layerAccounts = HttpApiBuilder.group(ControlApi.ControlApi, "accounts", (handlers) =>
  handlers
    .handle("sessions", () => ControlApi.CurrentControls.use(({ sessions }) => sessions))
    .handle("users", () => ControlApi.CurrentControls.use(({ users }) => users))
    .handleRaw(
      "changeUser",
      Effect.fnUntraced(function*({ request }) {
        const { changeUser } = yield* ControlApi.CurrentControls
        return yield* changeUser(yield* readUserChange(request))
      })
    )
    .handleRaw(
      "revoke",
      Effect.fnUntraced(function*({ request }) {
        const { revoke } = yield* ControlApi.CurrentControls
        return { revoked: yield* revoke(yield* readWhich(request)) }
      })
    ))

const layerState = HttpApiBuilder.group(ControlApi.ControlApi, "state", (handlers) =>
  handlers
    .handle("snapshot", () =>
      ControlApi.CurrentControls.use((controls) => Effect.map(controls.snapshot, (snapshot) => ({ snapshot }))))
    .handleRaw(
      "restore",
      Effect.fnUntraced(function*({ request }) {
        const { restore } = yield* ControlApi.CurrentControls
        const body = yield* readSnapshot(request)
        yield* restore(body.snapshot)
        return body
      })
    )
    .handle("reset", () =>
      ControlApi.CurrentControls.use(({ reset }) => Effect.as(reset, {}))))

const layerTenants = HttpApiBuilder.group(
  ControlApi.ControlApi,
  "tenants",
  Effect.fnUntraced(function*(handlers) {
    const control = yield* Control
    return handlers
      .handle("list", () => control.tenants)
      .handleRaw("add", ({ request }) => Effect.flatMap(readTenant(request), control.addTenant))
      .handle("remove", ({ params }) => Effect.as(control.removeTenant(params.tenant), {}))
  })
)

const layerKeys = HttpApiBuilder.group(
  ControlApi.ControlApi,
  "keys",
  Effect.fnUntraced(function*(handlers) {
    const control = yield* Control
    return handlers.handleRaw(
      "rotate",
      Effect.fnUntraced(function*({ request }) {
        const { immediately = false } = yield* readRotation(request)
        return { usedFrom: new Date(yield* control.rotateKeys({ immediately })).toISOString() }
      })
    )
  })
)

const layerOfTenant = Layer.effect(
  ControlApi.OfTenant,
  Effect.map(Control, (control) =>
    ControlApi.OfTenant.of((httpEffect) =>
      Effect.gen(function*() {
        const { tenant } = yield* HttpServerRequest.ParsedSearchParams
        const controls = tenant === undefined ? control.all : yield* control.tenant(String(tenant))
        return yield* Effect.provideService(httpEffect, ControlApi.CurrentControls, controls)
      })
    ))
)

/** A page whose name was rebound to 127.0.0.1 reaches the socket from loopback, but sends its own name as `Host`. */
const isFromLoopback = (request: HttpServerRequest.HttpServerRequest): boolean =>
  Option.exists(request.peerAddress, isLoopback) && isLoopback(nameOf(request.headers["host"] ?? ""))

/** A browser says with every request that may change something which page it is for, and newer ones with all. */
const isFromOwnPage = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  (headers["origin"] === undefined || headers["origin"] === `http://${headers["host"]}`) &&
  (headers["sec-fetch-site"] === undefined || /^(?:same-origin|none)$/.test(headers["sec-fetch-site"]))

const forbidden = (message: string) => Effect.succeed(HttpServerResponse.jsonUnsafe({ message }, { status: 403 }))

const guard = HttpRouter.middleware((httpEffect) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!isFromLoopback(request)) {
      return yield* forbidden("The control plane is only for this machine, by a name of loopback")
    }
    if (!isFromOwnPage(request)) return yield* forbidden("The control plane is not for pages of other origins")
    return HttpServerResponse.setHeaders(yield* httpEffect, {
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin"
    })
  })
)

/**
 * All that stands under `/__control` and `/__inspector`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRoutes: Layer.Layer<never, never, HttpRouter.HttpRouter | Control> = Layer.mergeAll(
  HttpApiBuilder.layer(ControlApi.ControlApi, { openapiPath: "/__control/openapi.json" }).pipe(
    Layer.provide([layerClock, layerFaults, layerJournal, layerAccounts, layerState, layerTenants, layerKeys]),
    Layer.provide(layerOfTenant)
  ),
  docsPage.layer(ControlApi.ControlApi, "/__control/docs"),
  Inspector.layerRoutes
).pipe(Layer.provide(guard.layer), Layer.provide(HttpServer.layerServices))

/** `localhost:4010` and `[::1]:4010` without the port. */
const nameOf = (host: string): string => {
  const [, inBrackets, name = ""] = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::\d*)?$/.exec(host) ?? []
  return inBrackets ?? name
}

export { isLoopback, NotLoopback } from "./internal/loopback.ts"
