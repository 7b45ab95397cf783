/**
 * The control plane of a running authority, `tenovos serve --dev`, as a client: derived from the same `ControlApi` that the
 * server implements. Test files that share one server make themselves a tenant each, and leave the others alone.
 *
 * @since 0.1.0
 */
import type { Credentials } from "@effect-tenovos/core"
import * as ControlApi from "@effect-tenovos/server/ControlApi"
import type * as ControlMessages from "@effect-tenovos/server/ControlMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import type { SchemaError } from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * Which authority to control, and which tenant of it.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Where the authority is bound, without `/v1`: `http://127.0.0.1:4010`. */
  readonly origin: string
  /** The tenant that everything concerns. Without one: the whole authority. */
  readonly tenant?: string | undefined
}

/**
 * One method for each operation of `ControlApi`, by its group: `control.clock.advance({ payload: { advance: 3600000 } })`.
 *
 * @category services
 * @since 0.1.0
 */
export class AuthorityControl extends Context.Service<
  AuthorityControl,
  HttpApiClient.ForApi<typeof ControlApi.ControlApi>
>()("@effect-tenovos/testing/AuthorityControl") {}

/**
 * Control of an authority that runs elsewhere.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<AuthorityControl["Service"], never, HttpClient.HttpClient> =>
  HttpApiClient.make(ControlApi.ControlApi, {
    baseUrl: options.origin,
    transformClient: options.tenant === undefined
      ? (client) => client
      : HttpClient.mapRequest(HttpClientRequest.setUrlParam("tenant", options.tenant))
  })

/**
 * Provides control of an authority that runs elsewhere.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<AuthorityControl, never, HttpClient.HttpClient> =>
  Layer.effect(AuthorityControl, make(options))

/**
 * A tenant of one's own, and what a program needs to sign in there.
 *
 * @category models
 * @since 0.1.0
 */
export interface OwnTenant {
  readonly tenant: string
  /** Of its first user. */
  readonly credentials: Credentials.Credentials
  /** Of this tenant alone. */
  readonly control: AuthorityControl["Service"]
}

/**
 * Makes a tenant, and removes it when the scope closes. Without `users` it has one, with a random password.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeTenant = Effect.fnUntraced(function*(
  options: { readonly origin: string; readonly users?: ControlMessages.NewTenant["users"] }
): Effect.fn.Return<
  OwnTenant,
  ControlMessages.BadRequest | ControlMessages.Forbidden | ControlMessages.Conflict | HttpClientError | SchemaError,
  HttpClient.HttpClient | Scope.Scope
> {
  const whole = yield* make(options)
  const { apiKey, tenant, users } = yield* Effect.acquireRelease(
    whole.tenants.add({ payload: options.users === undefined ? {} : { users: options.users } }),
    // A server that is gone has no tenant either.
    ({ tenant }) => Effect.ignore(whole.tenants.remove({ params: { tenant } }))
  )
  const [{ password, username }] = users
  return {
    tenant,
    credentials: { endpointUrl: `${options.origin}/v1`, apiKey, username, password },
    control: yield* make({ origin: options.origin, tenant })
  }
})
