/**
 * The HTTP side of the authority: the contract and the sample operations under `/v1`, and what stands beside them.
 *
 * Every answer but the page of `/docs` is JSON, also when the request couldn't be understood.
 *
 * @since 0.1.0
 */
import * as TenovosApi from "@effect-tenovos/core/TenovosApi"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import * as Struct from "effect/Struct"
import { Audit } from "./Audit.ts"
import { Authority } from "./Authority.ts"
import * as basicHeader from "./internal/basicHeader.ts"
import { readJson } from "./internal/body.ts"
import * as docsPage from "./internal/docsPage.ts"
import { admission, gateway } from "./internal/gateway.ts"
import { CurrentTenant } from "./internal/tenant.ts"
import { Keys, toJwks } from "./Keys.ts"
import { Limits } from "./Limits.ts"
import * as SampleApi from "./SampleApi.ts"

/**
 * The contract, and the sample operations.
 *
 * @category api
 * @since 0.1.0
 */
export class AuthorityApi extends TenovosApi.TenovosApi.add(SampleApi.Sample).annotateMerge(OpenApi.annotations({
  title: "Tenovos authority",
  description: "The Tenovos authentication contract, implemented. Not the Tenovos service.",
  // Not the contract's own servers: whoever tries an operation on the page must not send their keys there.
  servers: [{ url: "/v1" }],
  transform: (document) => withTokenSchemes(describeContract(document))
})) {}

/** Annotations of the same kind replace each other, so the contract's own transformation is called from ours. */
const describeContract = Context.getOrElse(
  TenovosApi.TenovosApi.annotations,
  OpenApi.Transform,
  () => (document: Document): Document => document
)

type Document = Parameters<OpenApi.Transform["Service"]>[0]

const withTokenSchemes = (document: Document): Document => ({
  ...document,
  components: {
    ...document["components"],
    securitySchemes: {
      ...document["components"].securitySchemes,
      AccessToken: { type: "apiKey", name: "AccessToken", in: "header" },
      Authorization: { type: "apiKey", name: "Authorization", in: "header" }
    }
  }
})

/**
 * The base URL that the answers announce. It is read for each request, since a server knows its own only when it
 * listens.
 *
 * @category references
 * @since 0.1.0
 */
export const EndpointUrl: Context.Reference<string> = Context.Reference<string>(
  "@effect-tenovos/server/AuthorityApi/EndpointUrl",
  { defaultValue: () => "http://localhost/v1" }
)

/**
 * What is made of a Basic header on `/auth/token`, which the contract declares and most programs don't send.
 *
 * `ignored` doesn't look at it. `accepted` lets who sends one say the same in it as in the body, and `required` refuses
 * whoever sends none.
 *
 * @category references
 * @since 0.1.0
 */
export const BasicAuthentication: Context.Reference<"required" | "accepted" | "ignored"> = Context.Reference<
  "required" | "accepted" | "ignored"
>(
  "@effect-tenovos/server/AuthorityApi/BasicAuthentication",
  { defaultValue: () => "ignored" }
)

const services = Effect.all({ audit: Audit, authority: Authority, limits: Limits })

const layerApiKeyAuth = Layer.effect(
  TenovosApi.ApiKeyAuth,
  Effect.map(services, (services) => {
    const admit = admission(services)
    return TenovosApi.ApiKeyAuth.of({
      ApiKeyAuth: Effect.fnUntraced(function*(httpEffect, { credential }) {
        const tenant = yield* Effect.orDie(admit(credential))
        if (Option.isNone(tenant)) return yield* new TenovosApi.Forbidden({ message: "Forbidden" })
        return yield* Effect.provideService(httpEffect, CurrentTenant, tenant.value)
      })
    })
  })
)

const invalid = "Invalid Authentication Parameters"
const badRequest = new TenovosApi.BadRequest({ message: invalid })
const orInvalid = Effect.mapError(() => badRequest)
const fault = new TenovosApi.BadGateway({ message: "Internal server error" })

// Old programs send more than these two, and v1.5 looks at nothing else.
const decodeSignIn = Schema.decodeUnknownEffect(
  TenovosApi.SignInRequest.mapFields(Struct.pick(["username", "password"]))
)
const decodeRefresh = Schema.decodeUnknownEffect(TenovosApi.RefreshRequest)
const decodeExpire = Schema.decodeUnknownEffect(TenovosApi.ExpireRequest)
const decodeAuthentication = Schema.decodeUnknownEffect(TenovosApi.Authentication)

const layerAuthorization = HttpApiBuilder.group(
  AuthorityApi,
  "authorization",
  Effect.fnUntraced(function*(handlers) {
    const authority = yield* Authority
    const audit = yield* Audit
    const limits = yield* Limits

    const isStrict = authority.profile === "strict"

    /** Of a refusal here, before the authority was asked. */
    const tell = (event: "sign-in" | "expire", givenName?: string) => (reason: string) =>
      Effect.flatMap(CurrentTenant, (tenant) => audit.note({ event, outcome: "refused", reason, tenant, givenName }))

    const authorize = Effect.fnUntraced(function*(request: HttpServerRequest) {
      const basic = yield* basicHeader.read(request, yield* BasicAuthentication, tell("sign-in"))
      const body = yield* readJson(request, invalid)
      const tenant = yield* CurrentTenant
      // Programs that write every field say `null` when they have no session.
      if (!Predicate.hasProperty(body, "session") || body.session === null) {
        const credentials = yield* orInvalid(
          decodeSignIn(isStrict && Predicate.isObject(body) ? { password: "", ...body } : body)
        )
        if (credentials.username === "") return yield* badRequest
        if (Option.isSome(basic) && !basicHeader.isSame(basic.value, credentials)) {
          yield* tell("sign-in", credentials.username)("other Basic header")
          return yield* new TenovosApi.Unauthorized({ message: invalid })
        }
        // The contract's own 429 can't say when to come again.
        return yield* authority.authorize({ ...credentials, tenant, address: limits.addressOf(request) }).pipe(
          Effect.catchTag("LimitExceeded", Effect.die)
        )
      }
      const { session } = yield* orInvalid(decodeRefresh(body))
      if (Redacted.value(session.refreshToken) === "" || Redacted.value(session.accessToken) === "") {
        return yield* badRequest
      }
      return yield* authority.refresh({ ...session, tenant, username: Option.getOrUndefined(basic)?.username })
    })

    const expire = Effect.fnUntraced(
      function*(request: HttpServerRequest, header: Redacted.Redacted | undefined) {
        const basic = yield* basicHeader.read(request, yield* BasicAuthentication, tell("expire"))
        const json = yield* readJson(request, invalid)
        if (isStrict && Predicate.isObject(json) && !["clientId", "userPoolId"].every((name) => isGiven(json, name))) {
          return yield* fault
        }
        const body = yield* orInvalid(decodeExpire(json))
        if (body.clientId === "" || body.userPoolId === "") return yield* badRequest
        const { accessToken } = body.session
        if (header === undefined || Redacted.value(header) !== Redacted.value(accessToken)) {
          yield* tell("expire")("other AccessToken header")
          return yield* new TenovosApi.Unauthorized({ message: "Failed to Expire Session and Logout 1" })
        }
        yield* authority.expire({
          tenant: yield* CurrentTenant,
          accessToken,
          username: Option.getOrUndefined(basic)?.username
        })
        return yield* emptied(body, isStrict)
      }
    )

    return handlers
      .handleRaw(
        "authorize",
        ({ request }) =>
          Effect.flatMap(
            authorize(request),
            (issued) => Effect.map(EndpointUrl, (endpointUrl) => toResponse({ ...issued, endpointUrl }))
          )
      )
      .handleRaw("expire", ({ headers, request }) => expire(request, headers.accesstoken))
  })
)

/** What the schema would make of it, without asking it: it is what the authority has just made. */
const toResponse = (
  { clientId, endpointUrl, password, session, userPoolId, username }: TenovosApi.Authentication
): HttpServerResponse.HttpServerResponse => {
  const { accessToken, authorization, expireEpoch, refreshToken } = session
  return HttpServerResponse.jsonUnsafe({
    endpointUrl,
    clientId,
    userPoolId,
    username,
    password: password && Redacted.value(password),
    session: {
      authorization: authorization && Redacted.value(authorization),
      refreshToken: refreshToken && Redacted.value(refreshToken),
      accessToken: Redacted.value(accessToken),
      expireEpoch
    }
  })
}

const isGiven = (body: object, name: string): boolean =>
  Predicate.hasProperty(body, name) && Predicate.isString(body[name]) && body[name] !== ""

/** The same object without what has ended, and without a password that had no business in it. */
const emptied = (body: typeof TenovosApi.ExpireRequest.Type, isStrict: boolean) =>
  Schema.encodeEffect(TenovosApi.ExpireRequest)(body).pipe(
    Effect.flatMap((given) =>
      decodeAuthentication({
        ...given,
        ...(given.password === undefined || isStrict ? {} : { password: "" }),
        session: { ...given.session, authorization: "", accessToken: "" }
      })
    ),
    Effect.orDie
  )

const invalidSearch = "Invalid Search Query"
const decodeSearch = Schema.decodeUnknownEffect(SampleApi.Search)

const layerSample = HttpApiBuilder.group(AuthorityApi, "sample", (handlers) =>
  handlers
    .handle("templates", () => Effect.succeed(SampleApi.templates))
    .handleRaw("search", ({ request }) =>
      readJson(request, invalidSearch).pipe(
        Effect.flatMap((body) => decodeSearch(body)),
        Effect.mapBoth({
          onFailure: () => new TenovosApi.BadRequest({ message: invalidSearch }),
          onSuccess: SampleApi.search
        })
      ))
    .handle("asset", ({ params: { id } }) =>
      Effect.mapError(
        Effect.fromOption(SampleApi.find(id)),
        () => new SampleApi.AssetNotFound({ message: "Asset not found" })
      )))

const layerUnderV1 = HttpApiBuilder.layer(AuthorityApi).pipe(
  Layer.provide([layerAuthorization, layerSample]),
  Layer.provide([layerApiKeyAuth, SampleApi.layerSessionAuth]),
  Layer.provide(
    Layer.effect(HttpRouter.HttpRouter, Effect.map(HttpRouter.HttpRouter, (router) => router.prefixed("/v1")))
  )
)

const layerBeside = HttpRouter.use(Effect.fnUntraced(function*(router) {
  const keys = yield* Keys
  const sql = yield* SqlClient
  yield* router.add(
    "GET",
    "/health",
    // A table's row, since a bare `SELECT 1` doesn't touch the file.
    Effect.match(sql`SELECT 1 FROM installation`, {
      onFailure: () => HttpServerResponse.jsonUnsafe({ status: "unavailable" }, { status: 503 }),
      onSuccess: () => HttpServerResponse.jsonUnsafe({ status: "ok" })
    })
  )
  yield* router.add(
    "GET",
    "/.well-known/jwks.json",
    Effect.map(keys.published, (keys) => HttpServerResponse.jsonUnsafe(toJwks(keys)))
  )
  yield* router.add(
    "GET",
    "/openapi.json",
    Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(AuthorityApi)))
  )
}))

const layerRoutes = Layer.mergeAll(layerUnderV1, layerBeside, docsPage.layer(AuthorityApi, "/docs"))

/**
 * The whole application, to be served by any server, with more routes beside its own: it fails with nothing, and answers
 * everything.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = (
  routes: Layer.Layer<never, never, HttpRouter.HttpRouter>
): Effect.Effect<
  Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest | Scope.Scope>,
  never,
  Authority | Keys | Audit | Limits | SqlClient | Scope.Scope
> =>
  Effect.flatMap(
    Effect.all({ audit: Audit, authority: Authority, limits: Limits }),
    (services) =>
      Layer.merge(layerRoutes, routes).pipe(
        Layer.provideMerge(HttpRouter.layer),
        Layer.provide(Layer.succeed(HttpRouter.RouterConfig, exactPaths)),
        Layer.provide(HttpServer.layerServices),
        Layer.build,
        Effect.map((context) => gateway(Context.get(context, HttpRouter.HttpRouter).asHttpEffect(), services))
      )
  )

// One path per operation, as at the gateway: what merely looks like it isn't it.
const exactPaths = { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: false }

/**
 * The same without more routes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: ReturnType<typeof makeWith> = makeWith(Layer.empty)
