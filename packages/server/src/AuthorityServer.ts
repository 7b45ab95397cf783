/**
 * Starts an authority: on a socket of Node, or in memory behind an `HttpClient`.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import type { Predicate } from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { MigrationError } from "effect/sql/Migrator"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Tracer from "effect/Tracer"
import * as Audit from "./Audit.ts"
import * as Authority from "./Authority.ts"
import * as AuthorityApi from "./AuthorityApi.ts"
import * as Control from "./Control.ts"
import * as Database from "./Database.ts"
import * as controlled from "./internal/controlled.ts"
import { isLoopback, NotLoopback } from "./internal/loopback.ts"
import * as masking from "./internal/masking.ts"
import * as nodeServer from "./internal/nodeServer.ts"
import { withoutClock } from "./internal/withoutClock.ts"
import * as Keys from "./Keys.ts"
import * as Limits from "./Limits.ts"
import * as MasterKey from "./MasterKey.ts"
import * as Migrations from "./Migrations.ts"
import * as Passwords from "./Passwords.ts"

/**
 * All that can be said of an authority, wherever it is run.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Authority.Options, Keys.Options, MasterKey.Options, Audit.Options {
  /** A file for SQLite, `postgres://user:password@host/database`, or `:memory:`, the default. */
  readonly database?: string | Redacted.Redacted | undefined
  /** The base URL that every answer announces. Defaults to the server's own, or `http://localhost/v1` in memory. */
  readonly endpointUrl?: string | undefined
  /**
   * Whether a Basic header on `/auth/token` is `required`, `accepted`, when it says the same as the body, or `ignored`.
   * Defaults to `ignored`.
   */
  readonly basicAuthentication?: "required" | "accepted" | "ignored" | undefined
  /** What one API key, user or address may ask in a time. Defaults to what no program reaches by accident. */
  readonly limits?: Limits.Options | undefined
  /**
   * How passwords are hashed, from `Passwords.make`. For tests that start many authorities or sign in often, since a
   * hash takes tens of milliseconds by design. Defaults to the parameters of OWASP.
   */
  readonly passwords?: Passwords.Passwords["Service"] | undefined
}

/**
 * The same of one that listens, and where it does.
 *
 * @category options
 * @since 0.1.0
 */
export interface NodeOptions extends Options {
  /** Defaults to `127.0.0.1`. */
  readonly host?: string | undefined
  /** Zero takes a free one. Defaults to 4010. */
  readonly port?: number | undefined
  /** Lets tests control it, at `/__control` and `/__inspector`: see `ControlApi`. Only on loopback. Defaults to false. */
  readonly dev?: boolean | undefined
}

/**
 * A server that listens.
 *
 * @category services
 * @since 0.1.0
 */
export class AuthorityServer extends Context.Service<AuthorityServer, {
  /** Where it is bound: `http://127.0.0.1:4010`. Health, keys and the page of the API stand here. */
  readonly origin: string
  /** What it announces: the base URL to give to a client. */
  readonly endpointUrl: string
}>()("@effect-tenovos/server/AuthorityServer") {}

/**
 * Why a database can't be opened.
 *
 * @category errors
 * @since 0.1.0
 */
export type OpeningError = SqlError | MigrationError | MasterKey.MalformedMasterKey | Keys.UnreadableKeys

/**
 * The authority on its database, without HTTP.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAuthority = (
  options?: Options
): Layer.Layer<Authority.Authority | Keys.Keys | Audit.Audit | Limits.Limits | SqlClient, OpeningError> =>
  Authority.layer(options).pipe(
    Layer.provideMerge(Keys.layer(options)),
    Layer.provideMerge(Audit.layer(options)),
    Layer.provide(
      options?.passwords === undefined
        ? Passwords.layer()
        : Layer.succeed(Passwords.Passwords, options.passwords)
    ),
    Layer.provideMerge(Limits.layer(options?.limits)),
    // Of this database, and not of another authority's in the same program.
    Layer.provide(Layer.fresh(Migrations.layer)),
    Layer.provideMerge(Database.layer(options?.database ?? ":memory:")),
    // Read first, so that a malformed one touches no database.
    Layer.provide(MasterKey.layer(options))
  )

/**
 * The authority on a socket. It listens when the layer is built, and closing the scope ends connections and database.
 *
 * With `dev` it fails with `NotLoopback`, before it touches the database, when `host` isn't loopback.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNode = (
  options?: NodeOptions
): Layer.Layer<
  AuthorityServer | Authority.Authority | Keys.Keys | Audit.Audit,
  OpeningError | ServeError | NotLoopback
> => {
  const host = options?.host ?? "127.0.0.1"
  const isDev = options?.dev === true
  if (isDev && !isLoopback(host)) return Layer.effectContext(new NotLoopback({ host }))
  const app = isDev
    // Loaded where it is wanted: everybody else would wait for it at each start.
    ? Effect.flatMap(Effect.promise(() => import("./internal/devApp.ts")), ({ make }) => make)
    : Effect.map(AuthorityApi.make, nodeServer.requireHost)
  return Layer.effect(AuthorityServer, Effect.flatMap(app, (app) => listen(app, host, options))).pipe(
    Layer.provideMerge(layerAuthority(options))
  )
}

const listen = Effect.fnUntraced(
  function*(
    app: Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope>,
    host: string,
    options: NodeOptions | undefined
  ) {
    const server = nodeServer.make()
    const http = yield* NodeHttpServer.make(() => server, {
      ...yield* nodeServer.bind(host, options?.port ?? 4010),
      disablePreemptiveShutdown: true
    })
    const origin = HttpServer.formatAddress(http.address)
    const endpointUrl = options?.endpointUrl ?? `${origin}/v1`
    const isTraced = (yield* Tracer.Tracer) !== Tracer.nativeTracer
    yield* http.serve(isTraced ? traced(app, yield* HttpMiddleware.TracerDisabledWhen) : app).pipe(
      Effect.provideService(HttpMiddleware.TracerDisabledWhen, () => true),
      // Spans that nobody gets to see would cost a good part of each request.
      isTraced ? identity : Effect.withTracerEnabled(false),
      Effect.provideService(AuthorityApi.EndpointUrl, endpointUrl),
      Effect.provideService(AuthorityApi.BasicAuthentication, options?.basicAuthentication ?? "ignored"),
      Effect.provideService(Headers.CurrentRedactedNames, redactedHeaders),
      // No operation has a query, so whatever is in one came there by mistake.
      Effect.provideService(UrlParams.CurrentRedactedNames, [/^/])
    )
    // Runs before the finalizers above, and leaves them nothing to wait for.
    yield* Effect.addFinalizer(() => nodeServer.close(server))
    return AuthorityServer.of({ origin, endpointUrl })
  }
)

/** Traced here and not by the server, whose spans would hold a token that a program put into the path by mistake. */
const traced = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  isDisabled: Predicate<HttpServerRequest.HttpServerRequest>
) =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) =>
      HttpMiddleware.tracer(Effect.provideService(app, HttpServerRequest.HttpServerRequest, request)).pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: masking.text(request.url) })),
        Effect.provideService(HttpMiddleware.TracerDisabledWhen, isDisabled)
      )
  )

// What a tracer would otherwise write into spans.
const redactedHeaders = ["authorization", "cookie", "set-cookie", "x-api-key", "accesstoken"]

/**
 * The same application without a socket: an `HttpClient` whose every request, whatever its host, the authority
 * answers. It follows the clock of whoever sends the request.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttpClient = (
  options?: Options
): Layer.Layer<HttpClient.HttpClient | Authority.Authority | Keys.Keys | Audit.Audit, OpeningError> =>
  Layer.effect(HttpClient.HttpClient, Effect.map(withoutClock(AuthorityApi.make), (app) => client(app, options))).pipe(
    Layer.provideMerge(layerAuthority(options))
  )

/**
 * The same under control. The requests follow the clock that {@link Control} moves, which goes with the one that is
 * current when the layer is built. A connection that is to end fails with an `HttpClientError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttpClientControlled = (
  options?: Options
): Layer.Layer<
  HttpClient.HttpClient | Authority.Authority | Keys.Keys | Audit.Audit | Control.Control,
  OpeningError
> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const control = yield* Control.Control
      const app = yield* withoutClock(AuthorityApi.make)
      return client(controlled.make(app, { authority, control, sever: controlled.severInMemory }), options)
    })
  ).pipe(Layer.provideMerge(Control.layer), Layer.provideMerge(layerAuthority(options)))

const client = (
  app: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    controlled.Severed,
    HttpServerRequest.HttpServerRequest | Scope.Scope
  >,
  options: Options | undefined
) =>
  HttpClient.make((request) =>
    Effect.scoped(app).pipe(
      Effect.map((response) => HttpServerResponse.toClientResponse(response, { request })),
      Effect.mapError((cause) =>
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      ),
      Effect.provideService(AuthorityApi.BasicAuthentication, options?.basicAuthentication ?? "ignored"),
      Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromClientRequest(request)),
      options?.endpointUrl === undefined
        ? (self) => self
        : Effect.provideService(AuthorityApi.EndpointUrl, options.endpointUrl)
    )
  )
