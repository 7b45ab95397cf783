/**
 * The contract of `/auth/token`, version 1.5, as one `HttpApi`.
 *
 * Client, authority, tests and the OpenAPI document all derive from this value. Where the API's own page and its
 * OpenAPI description disagree, the page wins; nothing in an answer but `session.accessToken` is required, and what
 * can't be read counts as missing.
 *
 * @since 0.1.0
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as contract from "./internal/contract.ts"

const id = <const Name extends string>(name: Name) => `@effect-tenovos/core/TenovosApi/${name}` as const

// -----------------------------------------------------------------------------
// Messages
// -----------------------------------------------------------------------------

/**
 * Body of `POST /auth/token` for a new session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SignInRequest = contract.SignInRequest
/**
 * Body of `POST /auth/token` for a new access token, short form. A whole previous {@link Authentication} will do too.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RefreshRequest = contract.RefreshRequest
/**
 * Body of `DELETE /auth/token`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExpireRequest = contract.ExpireRequest
/**
 * The answer to a sign-in, a refresh and an expiry.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Authentication = contract.Authentication
/**
 * @category models
 * @since 0.1.0
 */
export type Authentication = typeof Authentication.Type

/** The operation's own errors say `status: "error"`; the gateway's, in front of it, do not. */
const operationError = (identifier: string) =>
  Schema.Struct({ status: Schema.tag("error"), message: Schema.String }).annotate({ identifier })
const gatewayError = (identifier: string) =>
  Schema.Struct({ message: Schema.String, detail: Schema.optionalKey(Schema.String) }).annotate({ identifier })

/**
 * The operation found the request malformed (400).
 *
 * @category errors
 * @since 0.1.0
 */
export class BadRequest extends Schema.Error<BadRequest>(id("BadRequest"))(operationError("BadRequest"), {
  httpApiStatus: 400,
  description: "Bad request."
}) {}
/**
 * The operation refused the credentials or the token (401).
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.Error<Unauthorized>(id("Unauthorized"))(operationError("Unauthorized"), {
  httpApiStatus: 401,
  description: "Wrong credentials, or an expired or revoked token."
}) {}
/**
 * The gateway refused the API key (403).
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.Error<Forbidden>(id("Forbidden"))(gatewayError("Forbidden"), {
  httpApiStatus: 403,
  description: "Missing or unknown API key, or no permission."
}) {}
/**
 * The gateway has had enough of this API key (429).
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequests
  extends Schema.Error<TooManyRequests>(id("TooManyRequests"))(gatewayError("TooManyRequests"), {
    httpApiStatus: 429,
    description: "The API key's throttle or quota is used up."
  })
{}
/**
 * Something failed behind the gateway (502).
 *
 * @category errors
 * @since 0.1.0
 */
export class BadGateway extends Schema.Error<BadGateway>(id("BadGateway"))(gatewayError("BadGateway"), {
  httpApiStatus: 502,
  description: "A fault behind the gateway."
}) {}
/**
 * Nothing behind the gateway answered within its 29 seconds (504).
 *
 * @category errors
 * @since 0.1.0
 */
export class GatewayTimeout extends Schema.Error<GatewayTimeout>(id("GatewayTimeout"))(gatewayError("GatewayTimeout"), {
  httpApiStatus: 504,
  description: "No answer within the gateway's 29 seconds."
}) {}

// -----------------------------------------------------------------------------
// Security
// -----------------------------------------------------------------------------

/**
 * Every operation wants the customer's API key. It is looked at before anything else.
 *
 * @category middleware
 * @since 0.1.0
 */
export class ApiKeyAuth extends HttpApiMiddleware.Service<ApiKeyAuth>()(id("ApiKeyAuth"), {
  requiredForClient: true,
  security: { ApiKeyAuth: HttpApiSecurity.apiKey({ key: "X-API-Key", in: "header" }) },
  error: Forbidden
}) {}

/**
 * Sends the API key with every call of a client that is derived from {@link TenovosApi}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerApiKey = (apiKey: Redacted.Redacted): Layer.Layer<HttpApiMiddleware.ForClient<ApiKeyAuth>> =>
  HttpApiMiddleware.layerClient(
    ApiKeyAuth,
    ({ next, request }) => next(HttpClientRequest.setHeader(request, "x-api-key", Redacted.value(apiKey)))
  )

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

/** What the document says of an operation and `HttpApi` has no word for: the header parameters as the page spells them, and Basic. */
const documented = (parameters: ReadonlyArray<{ readonly name: string; readonly description: string }>) =>
  OpenApi.annotations({
    transform: (operation) => ({
      ...operation,
      security: [{ ApiKeyAuth: [], BasicAuth: [] }],
      parameters: [
        ...parameters.map((parameter) => ({ ...parameter, in: "header", required: true, schema: { type: "string" } })),
        { name: "Content-Type", in: "header", required: true, schema: { type: "string", enum: ["application/json"] } }
      ]
    })
  })

const apiKeyParameter = { name: "X-API-Key", description: "Customer-specific API key required to invoke the API." }

const gatewayErrors = [Forbidden, TooManyRequests, BadGateway, GatewayTimeout] as const

const authorize = HttpApiEndpoint.post("authorize", "/auth/token", {
  payload: Schema.Union([RefreshRequest, Authentication, SignInRequest]),
  success: Authentication,
  error: [BadRequest, Unauthorized, ...gatewayErrors]
}).annotateMerge(OpenApi.annotations({
  identifier: "GetAuthToken",
  summary: "Authorize Session",
  description: "Generates authentication credentials that expire after one hour, from a user name and a password, " +
    "or from a refresh token."
})).annotateMerge(documented([apiKeyParameter]))

const expire = HttpApiEndpoint.delete("expire", "/auth/token", {
  headers: { accesstoken: Schema.optionalKey(Schema.RedactedFromValue(Schema.String)) },
  payload: ExpireRequest,
  success: Authentication,
  error: [BadRequest, Unauthorized, ...gatewayErrors]
}).annotateMerge(OpenApi.annotations({
  identifier: "ExpireToken",
  summary: "Expire Access Token",
  description: "Ends the access token before its time."
})).annotateMerge(documented([apiKeyParameter, { name: "AccessToken", description: "The access token to end." }]))

/**
 * Issues, renews and ends sessions.
 *
 * @category groups
 * @since 0.1.0
 */
export class Authorization extends HttpApiGroup.make("authorization").add(authorize, expire).middleware(ApiKeyAuth)
  .annotateMerge(OpenApi.annotations({ title: "Authorization" }))
{}

/** What the generated document does not say as the contract does. */
const amend = (key: string, value: unknown): unknown => {
  switch (key) {
    case "Authentication":
      // Nothing in an answer is declared required.
      return JSON.parse(JSON.stringify(value, (key, value) => key === "required" ? undefined : value))
    case "additionalProperties":
      // Unknown fields are ignored both ways.
      return undefined
    case "expireEpoch":
      return { type: "number", description: "When the access token ends, in milliseconds since the Unix epoch." }
    case "securitySchemes":
      return Object.assign({}, value, {
        BasicAuth: {
          type: "http",
          scheme: "basic",
          description: "Declared by the contract; the API key alone will do."
        }
      })
    default:
      return value
  }
}

/**
 * The contract.
 *
 * @category api
 * @since 0.1.0
 */
export class TenovosApi extends HttpApi.make("tenovos").add(Authorization).annotateMerge(OpenApi.annotations({
  title: "Tenovos authentication",
  version: "1.5",
  servers: [
    { url: "https://api.tenovos.io/v1", description: "Production" },
    { url: "https://api.uat.tenovos.io/v1", description: "User acceptance" }
  ],
  transform: (document) => JSON.parse(JSON.stringify(document, amend))
})) {}
