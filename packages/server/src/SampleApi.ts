/**
 * Two operations of the Tenovos API, so that a program has something to call. They ask for all three headers, as every
 * authenticated operation does, and always answer the same.
 *
 * @since 0.1.0
 */
import { ApiKeyAuth, BadRequest } from "@effect-tenovos/core/TenovosApi"
import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Authority } from "./Authority.ts"
import { CurrentTenant } from "./internal/tenant.ts"

/**
 * The gateway's refusal: the tokens are missing, expired, or of a session that has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.Error<Unauthorized>("@effect-tenovos/server/SampleApi/Unauthorized")(
  Schema.Struct({ message: Schema.String }),
  { httpApiStatus: 401, description: "Missing or expired tokens." }
) {}

/**
 * Demands the access token and the id token of one live session, in `AccessToken` and `Authorization`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class SessionAuth extends HttpApiMiddleware.Service<SessionAuth>()(
  "@effect-tenovos/server/SampleApi/SessionAuth",
  { error: Unauthorized }
) {}

/**
 * Asks the authority about the two tokens.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSessionAuth: Layer.Layer<SessionAuth, never, Authority> = Layer.effect(
  SessionAuth,
  Effect.map(Authority, (authority) =>
    SessionAuth.of(Effect.fnUntraced(function*(httpEffect) {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      const user = yield* authority.verify({
        tenant: yield* CurrentTenant,
        accessToken: Redacted.make(headers["accesstoken"] ?? ""),
        idToken: Redacted.make(headers["authorization"] ?? "")
      })
      if (Option.isNone(user)) return yield* new Unauthorized({ message: "Unauthorized" })
      return yield* httpEffect
    })))
)

/**
 * A permission template.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Template = Schema.Struct({ templateId: Schema.String, templateName: Schema.String }).annotate({
  identifier: "SecurityTemplate"
})

/**
 * @category schemas
 * @since 0.1.0
 */
export const SearchResult = Schema.Struct({
  totalHits: Schema.Int,
  items: Schema.Array(Schema.Struct({ objectId: Schema.String, filename: Schema.String }))
}).annotate({ identifier: "SearchResult" })

const secured = OpenApi.annotations({
  transform: (operation) => ({ ...operation, security: [{ ApiKeyAuth: [], AccessToken: [], Authorization: [] }] })
})

/**
 * `GET /security/template` and `POST /search/keyword`.
 *
 * @category groups
 * @since 0.1.0
 */
export class Sample extends HttpApiGroup.make("sample").add(
  HttpApiEndpoint.get("templates", "/security/template", { success: Schema.Array(Template) }).annotateMerge(secured),
  HttpApiEndpoint.post("search", "/search/keyword", {
    payload: Schema.Record(Schema.String, Schema.Unknown),
    success: SearchResult,
    error: BadRequest
  }).annotateMerge(secured)
)
  // The last one runs first.
  .middleware(SessionAuth)
  .middleware(ApiKeyAuth)
  .annotateMerge(OpenApi.annotations({ title: "Sample operations", description: "Fixed answers to call." }))
{}

/**
 * What the two operations answer.
 *
 * @category constants
 * @since 0.1.0
 */
export const answers: {
  readonly templates: ReadonlyArray<typeof Template.Type>
  readonly search: typeof SearchResult.Type
} = {
  templates: [
    { templateId: "0f3a6f0e-5f0c-4c51-9b5f-3d1f5a3f0001", templateName: "Everyone may read" },
    { templateId: "0f3a6f0e-5f0c-4c51-9b5f-3d1f5a3f0002", templateName: "Editors may change" }
  ],
  search: {
    totalHits: 2,
    items: [
      { objectId: "7c1d9a52-0a86-4f3d-8c9e-6b1f5a3f0001", filename: "autumn.jpg" },
      { objectId: "7c1d9a52-0a86-4f3d-8c9e-6b1f5a3f0002", filename: "winter.mp4" }
    ]
  }
}
